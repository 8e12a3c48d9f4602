"""Tries out how streams of sound and text can be carried, before there is any work to lose.

Whether a container takes a stream shows when its header is written, with some only when its first
packets have been: PCM in mp4 depends on the channels' layout, MP3 on its sample rate. So that is
done for each stream by itself, into memory.
"""

import io
from collections.abc import Iterator
from typing import Any

import av

from apgan_jax.video.reader import VideoReader, open_container, packets_of
from apgan_jax.video.streams import (
    WHOLE,
    ConvertedText,
    CopiedSound,
    CopiedText,
    EncodedSound,
    Track,
)

# Ways to carry a stream, the best first.
_WAYS: dict[str, tuple[type[Track], ...]] = {
    'audio': (CopiedSound, EncodedSound),
    'subtitle': (CopiedText, ConvertedText),
}
# Codecs whose header holds titles and names.
_WITH_COMMENTS = ('vorbis', 'speex')
_TRIED_PACKETS = 8
# Of all streams together: in a long film the first words may come late.
_MOST_PACKETS = 4000


def choose_tracks(
    reader: VideoReader, format_name: str, *, bare: bool = False
) -> dict[int, type[Track]]:
    """The best way to carry each stream of a reader's target but the picture.

    Args:
      reader: whose target is opened once more for each try. A live one cannot be.
      format_name: of the container, FFmpeg's.
      bare: without comments; what has them in its own header is not copied.

    Returns:
      By index of the stream, without those that cannot be carried.
    """
    if reader.is_live:
        return {}
    chosen = {}
    for stream in reader.container.streams:
        if stream.codec_context is None:
            continue
        for way in _WAYS.get(stream.type, ()):
            if bare and way is CopiedSound and stream.codec_context.name in _WITH_COMMENTS:
                continue
            if _works(way, reader, stream.index, format_name):
                chosen[stream.index] = way
                break
    return chosen


def _works(way: type[Track], reader: VideoReader, index: int, format_name: str) -> bool:
    try:
        with (
            open_container(reader.target) as source,
            av.open(io.BytesIO(), 'w', format=format_name) as container,
        ):
            track = way(container, source.streams[index])
            container.start_encoding()
            for packet in _first_packets(source, index):
                container.mux(list(track.convert(packet, WHOLE, lambda: None)))
            container.mux(list(track.finish()))
    # PyAV raises ValueError for what it knows that the container cannot carry.
    except (av.FFmpegError, ValueError):
        return False
    return True


def _first_packets(source: Any, index: int) -> Iterator[Any]:
    found = 0
    packets = packets_of(source, list(source.streams), lambda: None)
    for _, packet in zip(range(_MOST_PACKETS), packets, strict=False):
        if packet.stream.index == index and packet.size and None not in (packet.pts, packet.dts):
            yield packet
            found += 1
        if found == _TRIED_PACKETS:
            return
