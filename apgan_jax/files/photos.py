"""Photos with all that their files have: depth, grey or colours, transparency, profile and EXIF.

Networks are shown `WholePhoto.rgb`. What they change is painted into `WholePhoto.pixels`, so that
all else stays as it was, as in the planes of a video's frames.
"""

import functools
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
from PIL import ExifTags, Image

from apgan_jax.errors import UserError
from apgan_jax.files import colour_profiles
from apgan_jax.files.exif import kept_exif

IMAGE_SUFFIXES = (
    *('.jpg', '.jpeg', '.png', '.webp', '.bmp', '.jfif', '.avif', '.heic', '.heif'),
    *('.tif', '.tiff', '.gif'),
)
# Named, because Pillow knows more: it takes MPEG videos for pictures and runs PostScript.
_FORMATS = ('JPEG', 'PNG', 'WEBP', 'AVIF', 'HEIF', 'TIFF', 'GIF', 'BMP')
# Of these FFmpeg shows all pictures, of other animations the first one.
_VIDEO_FORMATS = ('GIF', 'PNG')
_GREY_MODES = ('1', 'L', 'LA', 'La', 'I;16', 'I;16B', 'I;16L')
# Places in a PNG file, and the types of colour that are none.
_PNG_DEPTH, _PNG_COLOUR, _PNG_GREY = 24, 25, (0, 4)
_BITS_PER_SAMPLE = 258
# A picture whose brightest value is this part of white hides what it shows.
_NEARLY_BLACK = 4

pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)


@dataclass(frozen=True, eq=False)
class WholePhoto:
    """A picture, upright.

    Attributes:
      pixels: uint8 or uint16, grey (h, w) or RGB (h, w, 3), in the profile's colours.
      alpha: opacity, of the same type (h, w); None for an opaque picture.
      profile: ICC bytes; None for sRGB.
      exif: what of it holds for pictures made of this one, TIFF bytes; None for none.
      not_kept: what the file has beyond this, for people.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    profile: bytes | None = None
    exif: bytes | None = None
    not_kept: tuple[str, ...] = ()

    @property
    def is_grey(self) -> bool:
        """Whether it has no colours."""
        return self.pixels.ndim == 2

    @property
    def highest(self) -> int:
        """The value of white."""
        return int(np.iinfo(self.pixels.dtype).max)

    @functools.cached_property
    def rgb(self) -> np.ndarray:
        """sRGB uint8 (h, w, 3), C-contiguous: what a viewer sees behind all transparency."""
        pixels = self.pixels if self.highest == 255 else (self.pixels // 257).astype(np.uint8)
        if self.profile is not None:
            return colour_profiles.to_srgb(Image.fromarray(pixels), self.profile)
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB) if self.is_grey else pixels

    def own_colours(self, picture: np.ndarray) -> np.ndarray:
        """sRGB uint8 (h, w, 3) as `pixels` would have it: float32, (h, w) or (h, w, 3)."""
        if self.profile is not None:
            mode = 'L' if self.is_grey else 'RGB'
            picture = colour_profiles.from_srgb(picture, self.profile, mode)
        elif self.is_grey:
            picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        return picture.astype(np.float32) * np.float32(self.highest / 255)

    def brightened(self) -> tuple['WholePhoto', float]:
        """Itself, or of a picture that is nearly black one with its full range, and the gain."""
        most = int(self.pixels.max(initial=0))
        if not 0 < most <= self.highest // _NEARLY_BLACK:
            return self, 1.0
        gain = self.highest / most
        return self.multiplied(gain), gain

    def multiplied(self, gain: float) -> 'WholePhoto':
        """One with other values, of the same type."""
        pixels = np.rint(self.pixels * np.float32(gain)).clip(0, self.highest)
        return replace(self, pixels=pixels.astype(self.pixels.dtype))

    def over(self, background: int) -> 'WholePhoto':
        """An opaque one, before a grey of 0 to 255."""
        if self.alpha is None:
            return self
        opacity = self.alpha.astype(np.float32) / np.iinfo(self.alpha.dtype).max
        opacity = opacity if self.is_grey else opacity[:, :, None]
        grey = np.float32(background / 255 * self.highest)
        pixels = np.rint(self.pixels * opacity + grey * (1 - opacity))
        lost = (*self.not_kept, 'transparency, which showed a face')
        return replace(self, pixels=pixels.astype(self.pixels.dtype), alpha=None, not_kept=lost)

    def bare(self) -> 'WholePhoto':
        """What a viewer sees and nothing else: profiles name cameras and screens, too.

        Pixels that nobody sees are black; a picture with a profile becomes one of 8 bits.
        """
        pixels = self.pixels
        if self.profile is not None:
            pixels = self.rgb[:, :, 0] if self.is_grey else self.rgb
        alpha = self.alpha
        if alpha is not None:
            shown = alpha > 0 if self.is_grey else (alpha > 0)[:, :, None]
            pixels = pixels * shown
            alpha = alpha if alpha.dtype == pixels.dtype else (alpha // 257).astype(np.uint8)
        return replace(self, pixels=pixels, alpha=alpha, profile=None, exif=None)


def is_image(path: Path) -> bool:
    """Whether the name is that of a photo."""
    return Path(path).suffix.lower() in IMAGE_SUFFIXES


def is_photo(path: Path) -> bool:
    """Whether a file holds a photo, whatever its name; of one that cannot be read: its name's."""
    path = Path(path)
    try:
        if path.is_file():  # Opening a pipe would wait for somebody to write to it.
            with _opened(path) as image:
                return image.format not in _VIDEO_FORMATS or _count(image) == 1
    except Image.DecompressionBombError:
        return True
    except Exception:  # See `read_photo`.
        pass
    return is_image(path)


def read_photo(path: Path) -> WholePhoto:
    """Reads a photo of any format that IMAGE_SUFFIXES names, whatever its own name.

    Raises:
      UserError: the file is missing, no readable picture, or one that would fill the memory.
    """
    path = Path(path)
    known = ', '.join(suffix[1:] for suffix in IMAGE_SUFFIXES)
    if not path.is_file():
        raise UserError(f'{path}: no such file; give the path of a photo ({known})')
    try:
        with _opened(path):  # The header first: it may be no picture, and as long as a film.
            pass
        return decode_photo(path.read_bytes())
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise UserError(f'{path}: has more than {most} megapixels; make it smaller') from error
    except _TooDeepError as error:
        raise UserError(f'{path}: has more than 16 bits a sample; save it with 16 or 8') from error
    # Every kind, because decoders of damaged files raise whatever their arithmetic runs into.
    except Exception as error:
        raise UserError(f'{path}: not a readable image; give an intact {known} file') from error


def decode_photo(data: bytes) -> WholePhoto:
    """The photo that a file's bytes are.

    Raises:
      Exception: they are none, in as many ways as decoders have.
    """
    with _opened(io.BytesIO(data)) as image:
        samples, is_grey = _samples(image, data)
        pixels, alpha = _split(_upright(samples, image), is_grey=is_grey)
        profile, exif = _profile(image, is_grey=is_grey), _exif(image)
        not_kept = _not_kept(
            image, data, has_profile=profile is not None, has_exif=exif is not None
        )
        return WholePhoto(pixels, alpha, profile, exif or None, not_kept)


class _TooDeepError(ValueError):
    """Samples of 32 bits."""


@contextmanager
def _opened(source: Path | io.BytesIO) -> Iterator[Image.Image]:
    """The header of a picture; its pixels are read when somebody asks for them."""
    with warnings.catch_warnings():
        # Of large pictures below the limit, and of odd EXIF.
        warnings.simplefilter('ignore')
        with Image.open(source, formats=_FORMATS) as image:
            yield image


def _count(image: Image.Image) -> int:
    """Pictures in a file; a phone's photo may carry others, such as its depths, beside it."""
    return 1 if image.format in ('MPO', 'HEIF') else getattr(image, 'n_frames', 1)


def _samples(image: Image.Image, data: bytes) -> tuple[np.ndarray, bool]:
    """Stored samples, uint8 or uint16 (h, w) or (h, w, 3 or 4), and whether they are grey."""
    is_grey = image.mode in _GREY_MODES
    if image.format == 'PNG':
        is_grey = data[_PNG_COLOUR] in _PNG_GREY
    if _bits(image, data) > 8:
        return _deep_samples(data), is_grey
    if image.mode == 'CMYK':
        return _srgb_of_cmyk(image), False
    if image.has_transparency_data:
        return np.asarray(image.convert('RGBA')), is_grey
    return np.asarray(image.convert('L' if is_grey else 'RGB')), is_grey


def _bits(image: Image.Image, data: bytes) -> int:
    if image.format == 'PNG':
        return data[_PNG_DEPTH]
    if image.format == 'TIFF':
        bits = image.tag_v2.get(_BITS_PER_SAMPLE, 1)  # type: ignore[attr-defined]
        return max(bits) if isinstance(bits, tuple) else bits
    return 8


def _deep_samples(data: bytes) -> np.ndarray:
    """By OpenCV: Pillow has no colours of 16 bits."""
    samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None:
        raise ValueError('OpenCV cannot read it')
    if samples.dtype != np.uint16:
        raise _TooDeepError
    return samples if samples.ndim == 2 else samples[:, :, [2, 1, 0, 3][: samples.shape[2]]]


def _srgb_of_cmyk(image: Image.Image) -> np.ndarray:
    profile = image.info.get('icc_profile')
    if profile and colour_profiles.is_usable(profile, 'CMYK'):
        return colour_profiles.to_srgb(image, profile)
    return np.asarray(image.convert('RGB'))


def _upright(stored: np.ndarray, image: Image.Image) -> np.ndarray:
    """Turned by EXIF, which libraries do for TIFF and HEIF themselves."""
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    if image.format in ('TIFF', 'HEIF') or orientation not in range(2, 9):
        return stored
    turned = stored.swapaxes(0, 1) if orientation >= 5 else stored
    step_y = -1 if orientation in (3, 4, 7, 8) else 1
    step_x = -1 if orientation in (2, 3, 6, 7) else 1
    return turned[::step_y, ::step_x]


def _split(samples: np.ndarray, *, is_grey: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and opacity; None where all is opaque."""
    if samples.ndim == 2:
        return np.ascontiguousarray(samples), None
    pixels = np.ascontiguousarray(samples[:, :, 0] if is_grey else samples[:, :, :3])
    alpha = np.ascontiguousarray(samples[:, :, 3]) if samples.shape[2] == 4 else None
    if alpha is not None and alpha.min() == np.iinfo(alpha.dtype).max:
        alpha = None
    return pixels, alpha


def _profile(image: Image.Image, *, is_grey: bool) -> bytes | None:
    """That of the pixels; None for sRGB, which `_samples` makes of CMYK, and if it is none."""
    profile = image.info.get('icc_profile')
    fits = profile and colour_profiles.is_usable(profile, 'L' if is_grey else 'RGB')
    return profile if fits and image.mode != 'CMYK' else None


def _exif(image: Image.Image) -> bytes | None:
    """What of it holds, see `kept_exif`; None if it is damaged."""
    try:
        return kept_exif(image.getexif())
    except Exception:  # As in `read_photo`.
        return None


def _not_kept(
    image: Image.Image, data: bytes, *, has_profile: bool, has_exif: bool
) -> tuple[str, ...]:
    lost = []
    count = getattr(image, 'n_frames', 1)
    if count > 1:
        lost.append(f'all but the first of {count} pictures')
    if image.mode == 'CMYK':
        lost.append('CMYK colours')
    elif image.info.get('icc_profile') and not has_profile:
        lost.append('a colour profile that does not fit')
    if image.format in ('AVIF', 'HEIF') and (bits := _coded_bits(image, data)) > 8:
        lost.append(f'{bits} bits (8 are read)')
    if not has_exif:
        lost.append('damaged EXIF')
    return tuple(lost)


def _coded_bits(image: Image.Image, data: bytes) -> int:
    """Of formats that Pillow gives 8 bits of, whatever they have."""
    if image.format == 'HEIF':
        return image.info.get('bit_depth', 8)
    # The flags "high bit depth" and "twelve bit" of the codec's configuration box.
    flags = data[data.find(b'av1C') + 6]
    return (12 if flags & 0x20 else 10) if flags & 0x40 else 8
