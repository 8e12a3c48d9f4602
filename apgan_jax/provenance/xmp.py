"""XMP metadata that says a picture or video is synthetic, for programs that know no C2PA.

The one property is IPTC's `Iptc4xmpExt:DigitalSourceType`. The packet is put beside the media's
own data, which stays as it is byte for byte: OpenCV can write XMP too, but only while it encodes,
and a JPEG would lose quality. XMP is not signed: whoever likes can change it.

Where it goes: JPEG: an APP1 segment. PNG: an iTXt chunk. MP4, M4V and MOV: a `uuid` box at the end.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree

SOURCE_TYPES = 'http://cv.iptc.org/newscodes/digitalsourcetype/'
COMPOSITE = SOURCE_TYPES + 'compositeWithTrainedAlgorithmicMedia'
SYNTHETIC_SOURCE_TYPES = frozenset({COMPOSITE, SOURCE_TYPES + 'trainedAlgorithmicMedia'})

_RDF = 'http://www.w3.org/1999/02/22-rdf-syntax-ns#'
_IPTC = 'http://iptc.org/std/Iptc4xmpExt/2008-02-29/'
_META = 'adobe:ns:meta/'
_PROPERTY = f'{{{_IPTC}}}DigitalSourceType'
_EMPTY = f'<x:xmpmeta xmlns:x="{_META}"><rdf:RDF xmlns:rdf="{_RDF}"/></x:xmpmeta>'.encode()
_BEGIN = b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>'
_END = b'<?xpacket end="w"?>'

_JPEG, _PNG = b'\xff\xd8', b'\x89PNG\r\n\x1a\n'
_JPEG_XMP = b'http://ns.adobe.com/xap/1.0/\0'
# Keyword, then: not compressed, method 0, no language, no translated keyword.
_PNG_XMP = b'XML:com.adobe.xmp\0' + b'\0\0\0\0'
_BOX_XMP = bytes.fromhex('be7acfcb97a942e89c71999491e3afac')
_MAX_PACKET = 0xFFFF - 2 - len(_JPEG_XMP)

# A part of a file that holds an XMP packet: its first byte, the byte after it, and the packet.
# Where there is none yet the part is empty and lies where one belongs.
_Part = tuple[int, int, bytes]


def declare_synthetic(path: Path) -> None:
    """Adds the property to a file in place; to one that has XMP already, beside what that says.

    A file of another format than the module names is left alone.

    Args:
      path: finished media that is not signed yet.

    Raises:
      OSError: the file cannot be read or written.
    """
    with path.open('r+b') as file:
        head = file.read(12)
        if _is_boxes(head):
            _append_box(file, _with_property(b''))
        elif head.startswith((_JPEG, _PNG)):
            file.seek(0)
            content = _with_packet(file.read())
            file.seek(0)
            file.write(content)
            file.truncate()


def declared_synthetic(picture: bytes) -> bytes:
    """The bytes of a JPEG or PNG file with the property added, see `declare_synthetic`."""
    return _with_packet(picture)


def declares_synthetic(path: Path) -> bool:
    """Whether the XMP of a file, of a format that the module names, says it is synthetic.

    Raises:
      OSError: the file cannot be read.
    """
    packet = read_packet(path)
    return any(source_type.encode() in packet for source_type in SYNTHETIC_SOURCE_TYPES)


def read_packet(path: Path) -> bytes:
    """Returns a file's XMP packet; empty if there is none.

    Raises:
      OSError: the file cannot be read.
    """
    with path.open('rb') as file:
        head = file.read(12)
        file.seek(0)
        if _is_boxes(head):
            return _find_in_boxes(file)
        if head.startswith((_JPEG, _PNG)):
            return _find(file.read())[2]
    return b''


def _with_property(packet: bytes) -> bytes:
    """Returns an XMP packet with the property set, whatever else it says kept."""
    try:
        tree = ElementTree.fromstring(packet or _EMPTY)
        rdf = next(tree.iter(f'{{{_RDF}}}RDF'))
    except (ElementTree.ParseError, StopIteration):
        return _with_property(b'')
    for node in rdf:
        node.attrib.pop(_PROPERTY, None)
        for child in node.findall(_PROPERTY):
            node.remove(child)
    ElementTree.SubElement(
        rdf, f'{{{_RDF}}}Description', {f'{{{_RDF}}}about': '', _PROPERTY: COMPOSITE}
    )
    for prefix, name in (('x', _META), ('rdf', _RDF), ('Iptc4xmpExt', _IPTC)):
        ElementTree.register_namespace(prefix, name)
    result = _BEGIN + ElementTree.tostring(tree, encoding='utf-8') + _END
    return result if len(result) <= _MAX_PACKET else _with_property(b'')


def _with_packet(content: bytes) -> bytes:
    """Returns a JPEG or PNG file's bytes with the property in its packet."""
    start, end, packet = _find(content)
    packet = _with_property(packet)
    if content.startswith(_PNG):
        data = b'iTXt' + _PNG_XMP + packet
        part = struct.pack('>I', len(data) - 4) + data + struct.pack('>I', zlib.crc32(data))
    else:
        data = _JPEG_XMP + packet
        part = b'\xff\xe1' + struct.pack('>H', len(data) + 2) + data
    return content[:start] + part + content[end:]


def _find(content: bytes) -> _Part:
    parts = _png_parts(content) if content.startswith(_PNG) else _jpeg_parts(content)
    return next(parts)


def _png_parts(content: bytes) -> Iterator[_Part]:
    """Yields the packets of a PNG, then the place after its header, where one may begin."""
    header_end = start = len(_PNG) + 25
    while start + 8 <= len(content):
        length, kind = struct.unpack_from('>I4s', content, start)
        data = content[start + 8 : start + 8 + length]
        if kind == b'iTXt' and data.startswith(_PNG_XMP):
            yield start, start + 12 + length, data.removeprefix(_PNG_XMP)
        start += 12 + length
    yield header_end, header_end, b''


def _jpeg_parts(content: bytes) -> Iterator[_Part]:
    """Yields the packets of a JPEG, then the place after JFIF and EXIF, which must come first."""
    start = place = len(_JPEG)
    while content[start : start + 1] == b'\xff' and 0xE0 <= content[start + 1] <= 0xEF:
        kind, length = struct.unpack_from('>HH', content, start)
        end = start + 2 + length
        data = content[start + 4 : end]
        if data.startswith(_JPEG_XMP):
            yield start, end, data.removeprefix(_JPEG_XMP)
        if kind == 0xFFE0 or data.startswith(b'Exif\0'):
            place = end
        start = end
    yield place, place, b''


def _is_boxes(head: bytes) -> bool:
    return head[4:8] == b'ftyp'


def _append_box(file: BinaryIO, packet: bytes) -> None:
    # At the end, because every chunk offset in `moov` counts from the start of the file.
    file.seek(0, os.SEEK_END)
    data = b'uuid' + _BOX_XMP + packet
    file.write(struct.pack('>I', len(data) + 4) + data)


def _find_in_boxes(file: BinaryIO) -> bytes:
    position = 0
    while len(head := file.read(24)) == 24:
        size, kind = struct.unpack_from('>I4s', head)
        if kind == b'uuid' and head[8:] == _BOX_XMP:
            return file.read(max(size - 24, 0))
        if size == 1:
            (size,) = struct.unpack_from('>Q', head, 8)
        # A size of 0 reaches to the end of the file; less than a header is damage.
        if size < 8:
            break
        position += size
        file.seek(position)
    return b''
