"""Writes photos in the formats that can carry the mark, with all that each of them can hold."""

import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from apgan_jax.errors import UserError
from apgan_jax.files.atomic import whole_file
from apgan_jax.files.photos import WholePhoto

# A JPEG's segment counts its bytes in 16 bits.
_MOST_EXIF = 65_000
_EXIF_BEGIN = b'Exif\0\0'


@dataclass(frozen=True)
class _Format:
    """A format and what it can hold.

    Attributes:
      name: Pillow's.
      has_alpha: transparency.
      has_depth: 16 bits.
      has_grey: pictures without colours.
      has_profile: a profile, and EXIF.
      options: for Pillow.
    """

    name: str
    has_alpha: bool = True
    has_depth: bool = False
    has_grey: bool = True
    has_profile: bool = True
    options: dict[str, Any] = field(default_factory=dict)


_JPEG = _Format('JPEG', has_alpha=False, options={'quality': 95})
_TIFF = _Format('TIFF', options={'compression': 'tiff_lzw'})
_FORMATS = {
    '.jpg': _JPEG,
    '.jpeg': _JPEG,
    '.png': _Format('PNG', has_depth=True),
    '.webp': _Format('WEBP', has_grey=False, options={'quality': 95}),
    '.avif': _Format('AVIF', options={'quality': 90}),
    '.tif': _TIFF,
    '.tiff': _TIFF,
    '.gif': _Format('GIF', has_grey=False, has_profile=False),
}
PHOTO_OUTPUT_SUFFIXES = tuple(_FORMATS)


def write_photo(path: Path, photo: WholePhoto) -> tuple[str, ...]:
    """Writes a photo in the format that the path's suffix names, whole or not at all.

    Args:
      path: ends in one of PHOTO_OUTPUT_SUFFIXES.
      photo: what to write.

    Returns:
      What the format does not hold, for people.

    Raises:
      UserError: the format takes no picture of this size.
    """
    kind = _FORMATS[Path(path).suffix.lower()]
    fitted, lost = _fitted(photo, kind)
    try:
        data = _encoded(fitted, kind)
    except (OSError, ValueError) as error:
        height, width = photo.pixels.shape[:2]
        raise UserError(
            f'{path}: {kind.name} does not take a picture of {width}×{height}; choose .png'
        ) from error
    with whole_file(path) as part:
        part.write_bytes(data)
    return lost


def _fitted(photo: WholePhoto, kind: _Format) -> tuple[WholePhoto, tuple[str, ...]]:
    """What a format can hold of a photo, and the rest by name."""
    lost = []
    if photo.highest > 255 and not kind.has_depth:
        lost.append(f'8 of 16 bits ({kind.name} has 8)')
        photo = _with_8_bits(photo)
    if photo.alpha is not None and not kind.has_alpha:
        lost.append(f'transparency ({kind.name} has none): white')
        photo = replace(photo, pixels=_on_white(photo.pixels, photo.alpha), alpha=None)
    if kind is _JPEG and len(photo.exif or b'') > _MOST_EXIF:
        lost.append('EXIF (too long for JPEG)')
        photo = replace(photo, exif=None)
    if not kind.has_profile:
        lost += ['all but 256 colours', *(['EXIF'] if photo.exif else [])]
    if not kind.has_profile or (photo.is_grey and not kind.has_grey):
        photo = replace(photo, pixels=photo.rgb, profile=None)
    return photo, tuple(lost)


def _with_8_bits(photo: WholePhoto) -> WholePhoto:
    pixels = np.rint(photo.pixels / 257).astype(np.uint8)
    alpha = None if photo.alpha is None else np.rint(photo.alpha / 257).astype(np.uint8)
    return replace(photo, pixels=pixels, alpha=alpha)


def _on_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """As viewers show it on a page."""
    share = alpha.astype(np.float32) / 255
    share = share if pixels.ndim == 2 else share[:, :, None]
    return np.rint(255 + share * (pixels.astype(np.float32) - 255)).astype(np.uint8)


def _encoded(photo: WholePhoto, kind: _Format) -> bytes:
    if photo.highest > 255:
        return _deep_png(photo)
    samples = photo.pixels
    if photo.alpha is not None:
        samples = np.dstack([samples, photo.alpha])
    options = dict(kind.options)
    if photo.profile and kind.has_profile:
        options['icc_profile'] = photo.profile
    if photo.exif and kind.has_profile:
        options['exif'] = _EXIF_BEGIN + photo.exif
    data = io.BytesIO()
    Image.fromarray(samples).save(data, kind.name, **options)
    return data.getvalue()


def _deep_png(photo: WholePhoto) -> bytes:
    """By OpenCV: Pillow has no colours of 16 bits."""
    samples = photo.pixels if photo.is_grey else photo.pixels[:, :, ::-1]
    if photo.alpha is not None:
        samples = np.dstack([*([samples] * 3 if photo.is_grey else [samples]), photo.alpha])
    known = ((cv2.IMAGE_METADATA_EXIF, photo.exif), (cv2.IMAGE_METADATA_ICCP, photo.profile))
    kinds = [kind for kind, value in known if value]
    values = [np.frombuffer(value, np.uint8) for _, value in known if value]
    done, data = cv2.imencodeWithMetadata('.png', np.ascontiguousarray(samples), kinds, values)
    if not done:
        raise ValueError('OpenCV cannot write it')
    return data.tobytes()
