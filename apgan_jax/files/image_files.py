"""Photos as RGB uint8 arrays (height, width, 3), for whoever wants no more of them than that.

What else photos have is in `photos`. BGR, OpenCV's order, exists only inside the functions of this
file.
"""

from pathlib import Path

import cv2
import numpy as np

from apgan_jax.files.atomic import whole_file
from apgan_jax.files.photos import IMAGE_SUFFIXES as IMAGE_SUFFIXES
from apgan_jax.files.photos import decode_photo, is_image, read_photo


def images_in(folder: Path) -> list[Path]:
    """The photos of a folder, by name."""
    return sorted(path for path in folder.iterdir() if is_image(path))


def decode_image(data: bytes) -> np.ndarray | None:
    """Decodes an image file's bytes to RGB uint8 (h, w, 3), upright by its EXIF orientation.

    Returns None when the bytes are no image.
    """
    if not data:
        return None
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    if picture is None:
        try:
            return decode_photo(data).rgb  # HEIC, which OpenCV does not know.
        except Exception:  # As many kinds as there are decoders.
            return None
    return picture


def encode_image(image: np.ndarray, suffix: str, *, jpeg_quality: int = 95) -> bytes:
    """Encodes RGB uint8 (h, w, 3) as the format that `suffix` ('.png', '.jpg', …) names."""
    parameters = [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality] if suffix in ('.jpg', '.jpeg') else []
    done, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), parameters)
    if not done:
        raise ValueError(f'OpenCV could not encode an image of shape {image.shape} as {suffix}')
    return data.tobytes()


def read_image(path: Path) -> np.ndarray:
    """Reads a photo as sRGB uint8 (h, w, 3).

    Raises:
      UserError: the file is missing or is no readable image.
    """
    return read_photo(path).rgb


def write_image(path: Path, image: np.ndarray) -> None:
    """Writes RGB uint8 (h, w, 3) in the format that the path's suffix names, whole or not."""
    data = encode_image(image, Path(path).suffix.lower())
    with whole_file(path) as part:
        part.write_bytes(data)
