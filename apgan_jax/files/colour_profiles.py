"""ICC profiles: between a photo's colours and sRGB, which networks and generated faces have."""

import functools
import io

import numpy as np
from PIL import Image, ImageCms

_SRGB = ImageCms.createProfile('sRGB')
# Colours that both can show stay the same; what one cannot show becomes the nearest that it can.
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC


def is_usable(profile: bytes, mode: str) -> bool:
    """Whether a profile can be read and is one for pictures of mode 'L', 'RGB' or 'CMYK'."""
    try:
        _transform(profile, mode, is_back=False)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return False
    return True


def to_srgb(picture: Image.Image, profile: bytes) -> np.ndarray:
    """RGB uint8 (h, w, 3) of a picture of mode 'L', 'RGB' or 'CMYK'."""
    transform = _transform(profile, picture.mode, is_back=False)
    return np.asarray(ImageCms.applyTransform(picture, transform))


def from_srgb(picture: np.ndarray, profile: bytes, mode: str) -> np.ndarray:
    """RGB uint8 (h, w, 3) in a profile's colours: uint8, (h, w) of mode 'L', (h, w, 3) of 'RGB'."""
    transform = _transform(profile, mode, is_back=True)
    return np.asarray(ImageCms.applyTransform(Image.fromarray(picture), transform))


@functools.lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str, *, is_back: bool) -> ImageCms.ImageCmsTransform:
    own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if is_back:
        return ImageCms.buildTransform(_SRGB, own, 'RGB', mode, _INTENT)
    return ImageCms.buildTransform(own, _SRGB, mode, 'RGB', _INTENT)
