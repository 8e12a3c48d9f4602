"""XMP in finished files: other readers find it, and nothing else about the file changes."""

import shutil
from xml.etree import ElementTree

import av
import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from apgan_jax.provenance import manifest, xmp
from apgan_jax.provenance.credentials import load_or_create_credentials

COMPOSITE = 'http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia'
CAPTURE = 'http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture'
PROPERTY = '{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType'
OTHERS_XMP = (
    '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    'rdf:about="" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" photoshop:Credit="Ann" '
    'xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
    f'<i:DigitalSourceType>{CAPTURE}</i:DigitalSourceType>'
    '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
).encode()
IMAGE_SUFFIXES = ('.jpg', '.png')


def write_image(path, **options):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


def write_video(path):
    with av.open(str(path), 'w', options={'movflags': '+faststart'}) as container:
        stream = container.add_stream('libx264', rate=25)
        stream.width, stream.height = 64, 48
        for level in range(5):
            picture = np.full((48, 64, 3), 40 * level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))
    return path


def values(packet):
    """All values of the property in a packet, as attributes or elements."""
    nodes = list(ElementTree.fromstring(packet).iter())
    return [node.get(PROPERTY) for node in nodes if PROPERTY in node.attrib] + [
        node.text for node in nodes if node.tag == PROPERTY
    ]


def pillow_packet(path):
    with Image.open(path) as image:
        image.load()
        return image.info.get('xmp') or image.info['XML:com.adobe.xmp'].encode()


@pytest.mark.parametrize('suffix', IMAGE_SUFFIXES)
def test_pillow_and_opencv_read_the_property(tmp_path, suffix):
    path = write_image(tmp_path / f'image{suffix}')
    assert not xmp.declares_synthetic(path)
    xmp.declare_synthetic(path)
    assert xmp.declares_synthetic(path)
    _, kinds, data = cv2.imreadWithMetadata(str(path), cv2.IMREAD_COLOR)
    # Of a JPEG, OpenCV returns the whole segment: a name that ends in 0, then the packet.
    opencv_packet = (
        bytes(data[list(kinds).index(cv2.IMAGE_METADATA_XMP)]).rstrip(b'\0').rpartition(b'\0')[2]
    )
    for packet in (pillow_packet(path), opencv_packet, xmp.read_packet(path)):
        assert values(packet) == [COMPOSITE]


@pytest.mark.parametrize('suffix', IMAGE_SUFFIXES)
def test_pixels_exif_and_colour_profile_stay(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x010E] = 'a description'
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
    path = write_image(tmp_path / f'image{suffix}', exif=exif, icc_profile=profile)
    with Image.open(path) as before:
        pixels = np.asarray(before)
    xmp.declare_synthetic(path)
    with Image.open(path) as after:
        np.testing.assert_array_equal(np.asarray(after), pixels)
        assert after.getexif()[0x010E] == 'a description'
        assert after.info['icc_profile'] == profile
    assert values(pillow_packet(path)) == [COMPOSITE]


@pytest.mark.parametrize('suffix', IMAGE_SUFFIXES)
def test_bytes_in_memory_get_what_a_file_gets(tmp_path, suffix):
    path = write_image(tmp_path / f'photo{suffix}')
    declared = xmp.declared_synthetic(path.read_bytes())
    xmp.declare_synthetic(path)
    assert declared == path.read_bytes()


@pytest.mark.parametrize('suffix', IMAGE_SUFFIXES)
def test_existing_xmp_is_kept_but_for_its_source_type(tmp_path, suffix):
    info = PngImagePlugin.PngInfo()
    info.add_itxt('XML:com.adobe.xmp', OTHERS_XMP.decode())
    options = {'.jpg': {'xmp': OTHERS_XMP}, '.png': {'pnginfo': info}}[suffix]
    path = write_image(tmp_path / f'image{suffix}', **options)
    assert values(pillow_packet(path)) == [CAPTURE]
    for _ in range(2):  # Twice, because doing it again must not pile up.
        xmp.declare_synthetic(path)
        assert values(pillow_packet(path)) == [COMPOSITE]
        assert b'"Ann"' in pillow_packet(path)
        assert path.read_bytes().count(b'<?xpacket begin') == 1


@pytest.mark.parametrize('damaged', [b'no XML at all', b'<a/>', b''])
def test_damaged_xmp_is_replaced(tmp_path, damaged):
    path = write_image(tmp_path / 'image.jpg', xmp=damaged or b' ')
    xmp.declare_synthetic(path)
    assert values(pillow_packet(path)) == [COMPOSITE]


@pytest.mark.parametrize('suffix', ['.mp4', '.mov', '.m4v'])
def test_ffmpeg_reads_the_property_of_a_video_whose_media_stays(tmp_path, suffix):
    path = write_video(tmp_path / f'video{suffix}')
    before = path.read_bytes()
    xmp.declare_synthetic(path)
    assert path.read_bytes().startswith(before)
    with av.open(str(path), options={'export_xmp': '1'}) as container:
        assert values(container.metadata['xmp'].encode()) == [COMPOSITE]
        assert sum(1 for _ in container.decode(video=0)) == 5
    assert values(xmp.read_packet(path)) == [COMPOSITE]


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.mp4', '.mov', '.m4v'])
def test_marked_output_is_signed_over_its_xmp(tmp_path, suffix):
    credentials = load_or_create_credentials(tmp_path / 'own')
    parent = tmp_path / f'parent{suffix}'
    (write_image if suffix in IMAGE_SUFFIXES else write_video)(parent)
    output = tmp_path / f'output{suffix}'
    with manifest.marked_output(
        output, parent=parent, model_name='m', bundle_sha256='00', credentials=credentials
    ) as unsigned:
        shutil.copyfile(parent, unsigned)
    assert values(xmp.read_packet(output)) == [COMPOSITE]
    assert manifest.verify(output, credentials=credentials).state == 'trusted'
    # Change one letter of the packet, not its length: the signature covers it.
    output.write_bytes(
        output.read_bytes().replace(b'compositeWithTrained', b'kompositeWithTrained')
    )
    assert manifest.verify(output, credentials=credentials).state == 'altered'


@pytest.mark.parametrize('content', [b'', b'short', bytes(100), b'\xff\xd8', b'\x89PNG\r\n\x1a\n'])
def test_other_and_damaged_files_raise_nothing(tmp_path, content):
    path = tmp_path / 'file'
    path.write_bytes(content)
    assert xmp.read_packet(path) == b''
    xmp.declare_synthetic(path)


def test_boxes_of_forged_sizes_end_the_search(tmp_path):
    path = tmp_path / 'video.mp4'
    for size in (0, 1, 7, 0xFFFFFFFF):
        path.write_bytes(bytes.fromhex('00000018667479706d703432') + bytes(12))
        with path.open('ab') as file:
            file.write(size.to_bytes(4, 'big') + b'moov' + bytes(40))
        assert xmp.read_packet(path) == b''
