"""Photos on disk: RGB uint8 arrays (height, width, 3) in memory, JPEG or PNG bytes outside.

BGR, OpenCV's order, exists only inside the functions of this file.
"""

from pathlib import Path

import cv2
import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.files.atomic import whole_file

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.webp', '.bmp')


def is_image(path: Path) -> bool:
    """Whether the name is that of a photo."""
    return Path(path).suffix.lower() in IMAGE_SUFFIXES


def images_in(folder: Path) -> list[Path]:
    """The photos of a folder, by name."""
    return sorted(path for path in folder.iterdir() if is_image(path))


def decode_image(data: bytes) -> np.ndarray | None:
    """Decodes an image file's bytes to RGB uint8 (h, w, 3), upright by its EXIF orientation.

    Returns None when the bytes are no image that OpenCV reads.
    """
    if not data:
        return None
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


def encode_image(image: np.ndarray, suffix: str, *, jpeg_quality: int = 95) -> bytes:
    """Encodes RGB uint8 (h, w, 3) as the format that `suffix` ('.png', '.jpg', …) names."""
    parameters = [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality] if suffix in ('.jpg', '.jpeg') else []
    done, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), parameters)
    if not done:
        raise ValueError(f'OpenCV could not encode an image of shape {image.shape} as {suffix}')
    return data.tobytes()


def read_image(path: Path) -> np.ndarray:
    """Reads a photo as RGB uint8 (h, w, 3).

    Raises:
      UserError: the file is missing or is no readable image.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f'{path}: no such file; give the path of a photo ({_known()})')
    image = decode_image(path.read_bytes())
    if image is None:
        raise UserError(f'{path}: not a readable image; give an intact {_known()} file')
    return image


def write_image(path: Path, image: np.ndarray) -> None:
    """Writes RGB uint8 (h, w, 3) in the format that the path's suffix names, whole or not."""
    data = encode_image(image, Path(path).suffix.lower())
    with whole_file(path) as part:
        part.write_bytes(data)


def _known() -> str:
    return ', '.join(suffix[1:] for suffix in IMAGE_SUFFIXES)
