"""How a video is encoded: what the user may choose, and what follows from the source."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.codec.context import Flags, ThreadType
from av.video.reformatter import ColorRange

from apgan_jax.errors import UserError
from apgan_jax.video.reader import VideoInfo, VideoReader

_BT709_MATRIX = 1
_CHROMA_STEPS = {(1, 1): '444', (2, 1): '422', (2, 2): '420'}
# Above this, what x264 keeps of the frames to come is most of the memory.
_LARGE_PIXELS = 2048 * 1152


@dataclass(frozen=True)
class _Codec:
    """An encoder of FFmpeg and what is peculiar to it."""

    encoder: str
    quality: int
    max_quality: int
    preset: str
    presets: tuple[str, ...]
    chromas: tuple[str, ...]
    # Whether an interlaced frame stays one; the others would take its lines for one moment's.
    has_fields: bool = False
    # Apple's players want `hvc1`, where the parameter sets are in the header alone.
    tag: str | None = None


_X26X_PRESETS = (
    *('ultrafast', 'superfast', 'veryfast', 'faster', 'fast'),
    *('medium', 'slow', 'slower', 'veryslow'),
)
# Qualities that look lossless; presets that cost no more than the rest of the work.
_CODECS = {
    'h264': _Codec('libx264', 18, 51, 'veryfast', _X26X_PRESETS, ('420', '422', '444'), True),
    'hevc': _Codec(
        'libx265', 20, 51, 'ultrafast', _X26X_PRESETS, ('420', '422', '444'), tag='hvc1'
    ),
    'av1': _Codec('libsvtav1', 24, 63, '10', tuple(str(n) for n in range(14)), ('420',)),
}


@dataclass(frozen=True)
class Encoding:
    """What may be chosen about the output's video track. The default plays everywhere.

    Bit depth, colour tags, times and size stay the source's.

    Attributes:
      codec: 'h264', 'hevc' or 'av1'.
      quality: constant rate factor, smaller is better; None for one that looks lossless.
      preset: of the encoder, slower ones make smaller files; None for a fast one.
      chroma: 'keep' the source's colour resolution, or '420', which more players take; frames with
        an odd side get one more line or column then.
    """

    codec: str = 'h264'
    quality: int | None = None
    preset: str | None = None
    chroma: str = 'keep'

    def __post_init__(self) -> None:
        if self.codec not in _CODECS:
            raise UserError(f'codec {self.codec!r}: unknown; choose one of {", ".join(_CODECS)}')
        codec = _CODECS[self.codec]
        if self.quality is not None and not 0 <= self.quality <= codec.max_quality:
            raise UserError(
                f'quality {self.quality}: {self.codec} takes 0 (best) to {codec.max_quality}'
            )
        if self.preset is not None and self.preset not in codec.presets:
            raise UserError(
                f'preset {self.preset!r}: unknown to {self.codec}; choose one of '
                f'{", ".join(codec.presets)}'
            )
        if self.chroma not in ('keep', '420'):
            raise UserError(f"chroma {self.chroma!r}: unknown; choose 'keep' or '420'")
        if codec.encoder not in av.codecs_available:
            raise UserError(
                f'codec {self.codec!r}: this PyAV was built without {codec.encoder}; choose another'
            )


@dataclass(frozen=True)
class PictureFormat:
    """Encoded frames: their planes, what their samples mean, and their clock.

    Attributes:
      name: FFmpeg's name of the pixel format: planar YUV of 8 or 10 bits.
      height: of the stored frame, pixels.
      width: likewise.
      color_matrix: ITU-T H.273 code.
      color_range: likewise, of FFmpeg's numbering (2 is full).
      time_base: seconds per unit of time.
      rate: mean, frames per second.
    """

    name: str
    height: int
    width: int
    color_matrix: int
    color_range: int
    time_base: Fraction
    rate: Fraction

    @property
    def bits(self) -> int:
        """Per sample, 8 or 10."""
        return 10 if self.name.endswith('10le') else 8

    @property
    def is_full_range(self) -> bool:
        """Whether black is 0 rather than 16 (of 255)."""
        return self.color_range == ColorRange.JPEG or self.name.startswith('yuvj')


def picture_format(reader: VideoReader, encoding: Encoding) -> PictureFormat:
    """What the frames of a video become: as they are, as far as the codec can take them."""
    info = reader.info
    height, width = info.stored_size
    # Some codecs store RGB, which has no matrix or range to keep.
    is_rgb = av.VideoFormat(info.pixel_format).is_rgb
    name, is_padded = _format_name(info, encoding)
    return PictureFormat(
        name=name,
        height=height + (is_padded and height % 2),
        width=width + (is_padded and width % 2),
        color_matrix=_BT709_MATRIX if is_rgb else info.color_matrix,
        color_range=int(ColorRange.MPEG) if is_rgb else info.color_range,
        time_base=reader.time_base,
        rate=reader.rate,
    )


def not_kept(info: VideoInfo, encoding: Encoding, picture: PictureFormat) -> tuple[str, ...]:
    """What a video has and its encoded frames have not, for people."""
    lost = ['transparency'] if info.has_alpha else []
    bits = av.VideoFormat(info.pixel_format).components[0].bits
    if bits > picture.bits:
        lost.append(f'{bits} bits ({picture.bits} are written)')
    if info.first_field and not _CODECS[encoding.codec].has_fields:
        lost.append(f'interlacing ({encoding.codec} is written as progressive; h264 keeps it)')
    return tuple(lost)


def _format_name(info: VideoInfo, encoding: Encoding) -> tuple[str, bool]:
    """The pixel format, and whether odd sides are padded rather than kept."""
    chromas = ('420',) if encoding.chroma == '420' else _CODECS[encoding.codec].chromas
    source = av.VideoFormat(info.pixel_format, 64, 64)
    chroma = _chroma(source)
    if chroma not in chromas:
        chroma = '420'
    height, width = info.stored_size
    # Half-size colour planes need even sides.
    is_split = (width % 2 and chroma != '444') or (height % 2 and chroma == '420')
    is_padded = bool(is_split) and '444' not in chromas
    if is_split and not is_padded:
        chroma = '444'
    if source.components[0].bits > 8:
        return f'yuv{chroma}p10le', is_padded
    # The `j` formats are the same with full range.
    return f'yuv{"j" * source.name.startswith("yuvj")}{chroma}p', is_padded


def _chroma(source: av.VideoFormat) -> str:
    if source.is_rgb or len(source.components) < 3:
        return '420'
    luma, chroma = source.components[:2]
    steps = luma.width // chroma.width, luma.height // chroma.height
    return _CHROMA_STEPS.get(steps, '420')


def create_encoder(encoding: Encoding, picture: PictureFormat, info: VideoInfo) -> Any:
    """An open encoder that begins a new segment.

    Raises:
      UserError: the encoder refuses the size or the format.
    """
    encoder: Any = av.CodecContext.create(_CODECS[encoding.codec].encoder, 'w')
    encoder.options = _options(encoding, info)
    _configure(encoder, picture, info)
    # As containers have it, so that a segment's packets fit the header that they will get.
    encoder.flags |= Flags.global_header
    try:
        encoder.open()
    except av.FFmpegError as error:
        raise UserError(
            f'{picture.width}×{picture.height} {picture.name}: the {encoding.codec} encoder '
            f'refuses it ({error.strerror}); choose another codec'
        ) from error
    return encoder


def add_stream(container: Any, encoding: Encoding, picture: PictureFormat, info: VideoInfo) -> Any:
    """A track of a container for packets that `create_encoder`'s encoders made."""
    codec = _CODECS[encoding.codec]
    options = _options(encoding, info)
    stream = container.add_stream(codec.encoder, rate=picture.rate, options=options)
    stream.time_base = picture.time_base
    _configure(stream.codec_context, picture, info)
    if codec.tag:
        stream.codec_context.codec_tag = codec.tag
    stream.set_display_matrix(info.display_matrix)
    return stream


def _configure(encoder: Any, picture: PictureFormat, info: VideoInfo) -> None:
    encoder.width, encoder.height = picture.width, picture.height
    encoder.pix_fmt = picture.name
    encoder.time_base, encoder.framerate = picture.time_base, picture.rate
    # Several frames at once; PyAV's default, slices of one frame, keeps the cores less busy.
    encoder.thread_type = ThreadType.AUTO
    if info.pixel_aspect:
        encoder.sample_aspect_ratio = info.pixel_aspect
    encoder.colorspace, encoder.color_range = picture.color_matrix, picture.color_range
    encoder.color_primaries, encoder.color_trc = info.color_primaries, info.color_transfer


def _options(encoding: Encoding, info: VideoInfo) -> dict[str, str]:
    codec = _CODECS[encoding.codec]
    quality = codec.quality if encoding.quality is None else encoding.quality
    options = {'crf': str(quality), 'preset': encoding.preset or codec.preset}
    parameters = _HDR_PARAMETERS[encoding.codec](info)
    if encoding.codec == 'h264' and encoding.preset is None:
        # A fifth less time than veryfast's own 2, for an eighth more bytes.
        parameters.append('subme=1')
        if info.width * info.height > _LARGE_PIXELS:
            # x264 keeps 50 MB of each 4K frame that it looks ahead at, veryfast's own 10, and of
            # each that it works at: threads share one.
            parameters += ['rc-lookahead=4', 'sliced-threads=1']
    if info.first_field and codec.has_fields:
        parameters.append(f'{info.first_field[0]}ff=1')
    if parameters:
        options[f'{codec.encoder.removeprefix("lib")}-params'] = ':'.join(parameters)
    return options


def _x264_parameters(info: VideoInfo) -> list[str]:
    return _hdr_parameters(info, 'mastering-display', 'cll', in_units=True)


def _x265_parameters(info: VideoInfo) -> list[str]:
    return ['log-level=none', *_hdr_parameters(info, 'master-display', 'max-cll', in_units=True)]


def _av1_parameters(info: VideoInfo) -> list[str]:
    return _hdr_parameters(info, 'mastering-display', 'content-light', in_units=False)


_HDR_PARAMETERS = {'h264': _x264_parameters, 'hevc': _x265_parameters, 'av1': _av1_parameters}


def _hdr_parameters(
    info: VideoInfo, display_name: str, light_name: str, *, in_units: bool
) -> list[str]:
    """The encoders' own parameters for what PyAV cannot hand over beside the frames.

    Args:
      info: of the source.
      display_name: of the parameter for the mastering display.
      light_name: of the parameter for the content's light.
      in_units: of 1/50,000 and of 1/10,000 cd/m², as the standards store them, or as they are.
    """
    parameters = []
    if info.mastering_display:
        xy, light = info.mastering_display[:8], info.mastering_display[8:]
        if in_units:
            text = [str(round(each * 50_000)) for each in xy]
            text += [str(round(each * 10_000)) for each in light]
        else:
            text = [f'{float(each):.6f}' for each in info.mastering_display]
        red, green, blue, white = (','.join(text[i : i + 2]) for i in range(0, 8, 2))
        parameters.append(
            f'{display_name}=G({green})B({blue})R({red})WP({white})L({text[9]},{text[8]})'
        )
    if info.content_light:
        parameters.append(f'{light_name}={info.content_light[0]},{info.content_light[1]}')
    return parameters
