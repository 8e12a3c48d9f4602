"""Whole clips through `apgan swap` and `apgan anonymise`, with a model of random weights."""

import os
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from apgan_jax.face import blending
from apgan_jax.face.finding import FaceFinder, FoundFaces
from apgan_jax.face.locations import Location
from apgan_jax.files.image_files import read_image, write_image
from apgan_jax.files.photos import read_photo
from apgan_jax.identity_file import SHIPPED_IDENTITY
from apgan_jax.inference import frame_swapper, jobs
from apgan_jax.inference.last_look import LastLook
from apgan_jax.provenance import manifest
from support.commands import is_changed, run
from support.faces import brighter, head, portrait, write_photos
from support.processes import ROOT
from support.recognisers import EverybodyIsKnown
from support.scenes import WIDTH, add_face, empty, write_clip
from support.time_stamps import make_authority, served
from support.video_clips import count_frames, read_rgb, read_sound, read_times

OTHER = brighter(head()[:, ::-1], 0.7)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
# Of `portrait`, pixels.
FACE, FAR = (225, 110), (460, 460)


def walk(count, start=300.0, step=6.0):
    """(centre, picture) of a face that moves to the right."""
    centres = [(start + step * number, 330.0) for number in range(count)]
    return centres, [add_face(empty(), centre, 150) for centre in centres]


def test_a_clip_with_variable_times_and_longer_sound(tiny_bundle_file, tmp_path, capsys):
    centres, pictures = walk(12)
    pts = [0, 40, 70, 140, 180, 260, 300, 310, 350, 420, 500, 533]
    clip = write_clip(tmp_path / 'clip.mp4', pictures, pts=pts, sound_seconds=1.5)
    output = tmp_path / 'out.mp4'
    assert run(tiny_bundle_file, 'swap', clip, output) == 0
    assert '12 faces swapped in 12 frames' in capsys.readouterr().out
    assert count_frames(output) == 12
    assert read_times(output) == read_times(clip)
    assert read_sound(output) == read_sound(clip)
    for before, after, centre in zip(read_rgb(clip), read_rgb(output), centres, strict=True):
        assert is_changed(before, after, centre)
        assert not is_changed(before, after, (1100, 600))
    report = manifest.verify(output)
    assert (report.state, report.is_marked_synthetic) == ('trusted', True)
    assert report.edit.faces_swapped == 12


@pytest.mark.parametrize('rotation, turns', [(90, 1), (180, 2), (270, 3)])
def test_turned_clips(tiny_bundle_file, tmp_path, rotation, turns):
    picture = add_face(empty(), (640, 330), 200)
    stored = np.ascontiguousarray(np.rot90(picture, -turns))
    clip = write_clip(tmp_path / 'clip.mp4', [stored] * 4, rotation=rotation)
    output = tmp_path / 'out.mp4'
    assert run(tiny_bundle_file, 'swap', clip, output) == 0
    for before, after in zip(read_rgb(clip), read_rgb(output), strict=True):
        upright = [np.rot90(each, turns) for each in (before, after)]
        assert is_changed(*upright, (640, 330))
        assert not is_changed(*upright, (150, 600))


def test_no_face_at_all(tiny_bundle_file, tmp_path, capsys):
    clip = write_clip(tmp_path / 'clip.mp4', [empty(80 + number) for number in range(6)])
    output = tmp_path / 'out.mp4'
    for command in ('swap', 'anonymise'):
        assert run(tiny_bundle_file, command, clip, output) == 1
        assert 'no face found that can be swapped, nothing was written' in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == [clip]
    assert run(tiny_bundle_file, 'swap', clip, output, '--allow-none') == 0
    printed = capsys.readouterr().out
    assert '0 faces swapped in 6 frames' in printed
    assert '6 frames without a face' in printed
    assert count_frames(output) == 6
    # Nothing in it is synthetic.
    assert manifest.verify(output).state == 'absent'


@pytest.mark.parametrize('suffix', ['.mp4', '.png'])
def test_a_choice_that_nobody_meets_is_an_error(tiny_bundle_file, tmp_path, capsys, suffix):
    picture, target = add_face(empty(), (640, 330), 200), tmp_path / f'target{suffix}'
    if suffix == '.mp4':
        write_clip(target, [picture] * 4)
    else:
        write_image(target, picture)
    output = tmp_path / f'out{suffix}'
    assert run(tiny_bundle_file, 'swap', target, output, '--face', '7') == 1
    assert 'none of them chosen, nothing was written' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [target]


def test_people_are_numbered_from_one(tiny_bundle_file, tmp_path, capsys, stranger):
    picture = add_face(add_face(empty(), (330, 330), 180), (900, 330), 180, stranger)
    clip = write_clip(tmp_path / 'clip.mp4', [picture] * 5)
    assert run(tiny_bundle_file, 'swap', clip, tmp_path / 'out.mp4', '--face', '2') == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines()[-3:]]
    assert table == [
        ['person', 'frames', 'swapped', 'blurred', 'left'],
        ['1', '5', '0', '0', '5'],
        ['2', '5', '5', '0', '0'],
    ]


@pytest.mark.parametrize('suffix', ['.mp4', '.png'])
def test_who_cannot_be_hidden_is_named(tiny_bundle_file, tmp_path, capsys, monkeypatch, suffix):
    """Patches that hide nothing, in place of blur, over a face."""

    def clear_patch(picture, box):
        return blending.Patch(picture[:8, :8], np.zeros((8, 8), np.float32), np.eye(2, 3))

    monkeypatch.setattr(frame_swapper, 'blurred_patch', clear_patch)
    monkeypatch.setattr(jobs, 'LastLook', lambda sface: LastLook(EverybodyIsKnown()))
    picture, target = add_face(empty(), (640, 330), 200), tmp_path / f'target{suffix}'
    if suffix == '.mp4':
        write_clip(target, [picture] * 3)
    else:
        write_image(target, picture)
    output = tmp_path / f'out{suffix}'
    assert run(tiny_bundle_file, 'anonymise', target, output, '--strict') == 1
    assert 'may be recognisable still (at 0.00 s from ' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [target]
    assert run(tiny_bundle_file, 'anonymise', target, output) == 3
    printed = capsys.readouterr().out
    assert f'{3 if suffix == ".mp4" else 1} faces may be recognisable still' in printed
    assert manifest.verify(output).state == 'trusted'


def named_clip(path, picture):
    """A clip whose container, sound and chapter have somebody's name."""
    unnamed = write_clip(path.with_stem('unnamed'), [picture] * 4, sound_seconds=0.1)
    with av.open(str(unnamed)) as source, av.open(str(path), 'w') as container:
        container.metadata.update(title='Jane Doe', artist='Jane Doe', comment='Jane Doe')
        streams = [container.add_stream_from_template(each) for each in source.streams]
        streams[1].metadata['title'] = 'Jane Doe speaks'
        chapter = {'id': 0, 'start': 0, 'end': 160, 'time_base': Fraction(1, 1000)}
        container.set_chapters([chapter | {'metadata': {'title': 'Jane Doe, part one'}}])
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream_index]
                container.mux(packet)
    unnamed.unlink()
    return path


def named_photo(path, picture):
    exif = Image.Exif()
    exif[0x013B] = 'Jane Doe'
    Image.fromarray(picture).save(path, exif=exif)
    return path


@pytest.mark.parametrize('write, suffix', [(named_clip, '.mp4'), (named_photo, '.jpg')])
def test_no_trace_of_a_name_in_what_is_anonymised(tiny_bundle_file, tmp_path, write, suffix):
    """Nor of a mark that the original had, which names it."""
    target = write(tmp_path / f'Jane Doe{suffix}', add_face(empty(), (640, 330), 200))
    marked, output = tmp_path / f'Jane Doe 2{suffix}', tmp_path / f'out{suffix}'
    assert run(tiny_bundle_file, 'swap', target, marked) == 0
    for source in (target, marked):
        assert b'Jane' in source.read_bytes()
        assert run(tiny_bundle_file, 'anonymise', source, output, '--overwrite') == 0
        assert b'Jane' not in output.read_bytes()
        assert manifest.verify(output).parent_title == 'redacted'
    if suffix == '.mp4':
        with av.open(str(output)) as container:
            assert [chapter['start'] for chapter in container.chapters()] == [0]


def test_a_face_that_enters_and_leaves(tiny_bundle_file, tmp_path, capsys):
    _, pictures = walk(12, start=500)
    pictures = [empty()] * 8 + pictures + [empty()] * 8
    clip = write_clip(tmp_path / 'clip.mp4', pictures)
    output = tmp_path / 'out.mp4'
    assert run(tiny_bundle_file, 'swap', clip, output) == 0
    assert '16 frames without a face' in capsys.readouterr().out
    before, after = read_rgb(clip), read_rgb(output)
    changed = [is_changed(before[k], after[k], (500 + 6 * (k - 8), 330)) for k in range(8, 20)]
    assert all(changed)
    for number in (0, 7, 21, 27):
        assert np.abs(before[number].astype(int) - after[number]).mean() < 2


@pytest.fixture(scope='module')
def two_people():
    """Two different faces that pass each other; both are seen in every frame."""
    pictures = []
    for number in range(20):
        shift = 25.0 * number
        canvas = add_face(empty(), (330 + shift, 220), 130)
        pictures.append(add_face(canvas, (WIDTH - 330 - shift, 520), 130, OTHER))
    return pictures


@pytest.mark.parametrize('face, expected', [('all', 40), ('left', 20), ('1', 20)])
def test_two_people(tiny_bundle_file, tmp_path, capsys, two_people, face, expected):
    clip = write_clip(tmp_path / 'clip.mp4', two_people)
    output = tmp_path / 'out.mp4'
    assert run(tiny_bundle_file, 'swap', clip, output, '--face', face) == 0
    printed = capsys.readouterr().out
    assert f'{expected} faces swapped in 20 frames' in printed
    assert [line.split()[:2] for line in printed.splitlines()[-2:]] == [['1', '20'], ['2', '20']]
    first, *_, last = zip(read_rgb(clip), read_rgb(output), strict=True)
    if face == '1':
        # The one who came first from the left, who is on the right in the end.
        assert is_changed(*first, (330, 220))
        assert is_changed(*last, (330 + 475, 220))
        assert not is_changed(*last, (WIDTH - 330 - 475, 520))


def test_anonymised_people_are_swapped_or_blurred(tiny_bundle_file, tmp_path, capsys, two_people):
    clip = write_clip(tmp_path / 'clip.mp4', two_people[:8])
    output = tmp_path / 'out.mp4'
    assert run(tiny_bundle_file, 'anonymise', clip, output, '--label') == 0
    report = manifest.verify(output).edit
    assert report.kind == 'anonymised'
    # Or both, as this model's faces are hardly any: found again, they count as blurred.
    people = [line.split() for line in capsys.readouterr().out.splitlines()]
    people = [row for row in people if row[0] in '12' and len(row) == 5]
    assert sum(int(swapped) + int(blurred) for _, _, swapped, blurred, _ in people) == 16
    assert report.label == 'synthetic face'
    for number, (before, after) in enumerate(zip(read_rgb(clip), read_rgb(output), strict=True)):
        assert is_changed(before, after, (330 + 25 * number, 220))
        assert is_changed(before, after, (WIDTH - 330 - 25 * number, 520))
        # The label in the lower left corner.
        assert is_changed(before, after, (60, 690), half=10)


@pytest.mark.parametrize('command', ['swap', 'anonymise'])
def test_a_photo_of_a_group(tiny_bundle_file, tmp_path, command):
    """More people than are looked for at once, one of them upside down."""
    places = [(x, y) for x in range(110, 1280, 210) for y in (160, 520)]
    photo = empty()
    for place in places:
        photo = add_face(photo, place, 80, roll=180 if place == (320, 520) else 0)
    write_image(tmp_path / 'group.png', photo)
    output = tmp_path / 'out.png'
    choice = ['--face', 'all'] if command == 'swap' else []
    assert run(tiny_bundle_file, command, tmp_path / 'group.png', output, *choice) == 0
    edit = manifest.verify(output).edit
    assert edit.faces_swapped + edit.faces_blurred >= len(places) == 12
    for place in places:
        assert is_changed(photo, read_image(output), place, half=15)


def test_who_cannot_be_read_is_hidden_where_people_are_anonymised(
    tiny_bundle_file, tmp_path, capsys, monkeypatch
):
    """In place of a face that YuNet sees and whose landmarks nobody can tell."""
    place = [Location(complex(640, 350), 100)]
    monkeypatch.setattr(FaceFinder, 'find', lambda *arguments: FoundFaces([], place))
    photo = add_face(empty(), (640, 350), 80)
    write_image(tmp_path / 'photo.png', photo)
    output = tmp_path / 'out.png'
    assert run(tiny_bundle_file, 'swap', tmp_path / 'photo.png', output) == 1
    assert 'no face found' in capsys.readouterr().err
    assert not output.exists()
    assert run(tiny_bundle_file, 'anonymise', tmp_path / 'photo.png', output) == 0
    assert is_changed(photo, read_image(output), (640, 350))
    edit = manifest.verify(output).edit
    assert (edit.faces_swapped, edit.faces_blurred) == (0, 1)


def test_a_part_of_a_clip(tiny_bundle_file, tmp_path):
    _, pictures = walk(20)
    clip = write_clip(tmp_path / 'clip.mp4', pictures)
    output, sheet = tmp_path / 'out.mp4', tmp_path / 'sheet.png'
    options = ['--start', 0.2, '--end', 0.6, '--contact-sheet', sheet]
    assert run(tiny_bundle_file, 'swap', clip, output, *options) == 0
    assert count_frames(output) == 10
    # Six columns of 320 pixels: frames, and their faces.
    assert read_image(sheet).shape == (360 + 640, 1920, 3)


# What each becomes: its own format if that can carry the mark.
KINDS = {
    'a.jfif': 'a.png',
    'b.heic': 'b.png',
    'c.avif': 'c.avif',
    'd.tif': 'd.tif',
    'e.webp': 'e.webp',
    'f.gif': 'f.gif',
    'g.jpg': 'g.jpg',
}


@pytest.fixture(scope='module')
def photos_of_all_kinds(tmp_path_factory):
    """Photos with a profile and EXIF; one with 16 bits and transparency, one without colours."""
    folder = tmp_path_factory.mktemp('kinds')
    exif = Image.Exif()
    exif[0x010F] = 'Phone of Ann'
    picture = Image.fromarray(portrait())
    for name in KINDS:
        kind = {'.jfif': 'JPEG', '.heic': 'HEIF'}.get(Path(name).suffix)
        options = {} if name.endswith('.gif') else {'icc_profile': SRGB, 'exif': exif.tobytes()}
        picture.save(folder / name, kind, **options)
    transparent = np.full((*portrait().shape[:2], 1), 40_000, np.uint16)
    deep = np.dstack([portrait()[:, :, ::-1].astype(np.uint16) * 257 + 3, transparent])
    cv2.imwrite(str(folder / 'deep.png'), deep)
    picture.convert('L').save(folder / 'grey.jpg', quality=95)
    return folder


def test_photos_of_all_kinds_keep_what_they_have(
    tiny_bundle_file, tmp_path, capsys, photos_of_all_kinds
):
    output = tmp_path / 'out'
    assert run(tiny_bundle_file, 'swap', photos_of_all_kinds, output) == 0
    assert 'not kept: all but 256 colours\n' in capsys.readouterr().out
    names = {path.name for path in output.iterdir()}
    assert names == {*KINDS.values(), 'deep.png', 'grey.jpg'}
    for name in names:
        report = manifest.verify(output / name)
        assert (report.state, report.is_marked_synthetic) == ('trusted', True)
    for before, after in KINDS.items():
        one, other = (read_photo(x) for x in (photos_of_all_kinds / before, output / after))
        assert (one.profile, one.exif) == (other.profile, other.exif)
        assert is_changed(one.rgb, other.rgb, FACE)
        assert not is_changed(one.rgb, other.rgb, FAR)
    one, other = (read_photo(x / 'deep.png') for x in (photos_of_all_kinds, output))
    np.testing.assert_array_equal(one.alpha, other.alpha)
    np.testing.assert_array_equal(one.pixels[400:], other.pixels[400:])
    assert is_changed(one.rgb, other.rgb, FACE)
    assert read_photo(output / 'grey.jpg').is_grey


def test_anonymised_photos_have_no_metadata(tiny_bundle_file, tmp_path, photos_of_all_kinds):
    output = tmp_path / 'out'
    assert run(tiny_bundle_file, 'anonymise', photos_of_all_kinds, output) == 0
    for path in output.iterdir():
        photo = read_photo(path)
        assert (photo.profile, photo.exif) == (None, None)
        assert b'Ann' not in path.read_bytes()


def test_a_photo_needs_no_suffix(tiny_bundle_file, tmp_path, photos_of_all_kinds, capsys):
    target, source = tmp_path / 'IMG 1', tmp_path / 'IMG:2'
    target.write_bytes((photos_of_all_kinds / 'b.heic').read_bytes())
    source.write_bytes((photos_of_all_kinds / 'd.tif').read_bytes())
    output = tmp_path / 'out.avif'
    assert run(tiny_bundle_file, 'swap', target, output, '--source', source) == 0
    assert manifest.verify(output).state == 'trusted'
    output = tmp_path / 'out.mp4'
    assert run(tiny_bundle_file, 'swap', target, output) == 1
    assert 'must end in .jpg, .jpeg, .png, .webp' in capsys.readouterr().err


def test_a_map_of_people(tiny_bundle_file, tmp_path, capsys):
    write_photos(tmp_path, {'ann.png': head(), 'source.png': brighter(portrait(), 0.8)})
    (tmp_path / 'who.toml').write_text('[[person]]\nlike = "ann.png"\nsource = "source.png"\n')
    clip = write_clip(tmp_path / 'clip.mp4', walk(5)[1])
    output = tmp_path / 'out.mp4'
    assert run(tiny_bundle_file, 'swap', clip, output, '--map', tmp_path / 'who.toml') == 0
    assert '5 faces swapped in 5 frames' in capsys.readouterr().out


def test_a_camera(tiny_bundle_file, tmp_path, capsys):
    clip = write_clip(tmp_path / 'clip.mkv', walk(10)[1])
    fifo, output = tmp_path / 'camera', tmp_path / 'out.mp4'
    os.mkfifo(fifo)
    feeder = threading.Thread(target=lambda: fifo.write_bytes(clip.read_bytes()))
    feeder.start()
    assert run(tiny_bundle_file, 'swap', f'camera:{fifo}', output) == 0
    feeder.join()
    assert '10 faces swapped in 10 frames' in capsys.readouterr().out
    assert count_frames(output) == 10
    assert manifest.verify(output).state == 'trusted'


def test_a_killed_swap_goes_on(tiny_bundle_file, tmp_path, capsys):
    """Segments are of 10 seconds: at a frame a second there is one every ten frames."""
    pts = [1000 * number for number in range(60)]
    clip = write_clip(tmp_path / 'clip.mp4', walk(60, step=3)[1], pts=pts)
    output, parts = tmp_path / 'out.mp4', tmp_path / '.out.mp4.parts'
    arguments = ['swap', '--source', SHIPPED_IDENTITY, '--target', clip, '--output', output]
    command = [sys.executable, '-m', 'apgan_jax.cli', *map(str, arguments)]
    command += ['--bundle', str(tiny_bundle_file)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(list(parts.glob('segment-*.safetensors'))) < 2:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not output.exists()
    assert parts.is_dir()
    for path in tmp_path.rglob('*'):
        if path.is_file() and path != clip:
            assert not cv2.VideoCapture(str(path)).read()[0], path
    for option, problem in (
        ('--whole-crop', 'job.whole_crop was False and is True'),
        ('--unsteady', 'job.steady was True and is False'),
        ('--whole-face', 'job.whole_face was False and is True'),
        ('--strength=1', 'job.strength was 1.35 and is 1.0'),
    ):
        assert run(tiny_bundle_file, 'swap', clip, output, '--resume', option) == 1
        assert problem in capsys.readouterr().err
    assert run(tiny_bundle_file, 'swap', clip, output, '--resume') == 0
    assert not parts.exists()
    assert read_times(output) == read_times(clip)
    straight = tmp_path / 'straight.mp4'
    assert run(tiny_bundle_file, 'swap', clip, straight) == 0
    assert manifest.verify(output).edit == manifest.verify(straight).edit
    for one, other in zip(read_rgb(output), read_rgb(straight), strict=True):
        assert np.abs(one.astype(int) - other).mean() < 2


def test_what_could_not_be_signed_is_finished_by_resuming(tiny_bundle_file, tmp_path, capsys):
    clip, output = write_clip(tmp_path / 'clip.mp4', walk(5)[1]), tmp_path / 'out.mp4'
    authority = tmp_path / 'authority'
    authority.mkdir()
    stamp, asked = make_authority(authority), []

    def answer(question):
        """That of an authority which is gone when the work is done."""
        asked.append(question)
        return stamp(question) if len(asked) == 1 else b''

    with served(answer) as url:
        assert run(tiny_bundle_file, 'swap', clip, output, '--timestamp', url) == 1
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith('apgan swap')]
    assert 'could not be signed' in line
    assert line.endswith('the same command with --resume goes on from there')
    assert len(asked) == 2
    assert sorted(x.name for x in tmp_path.iterdir()) == ['.out.mp4.parts', 'authority', 'clip.mp4']
    with served(stamp) as url:
        assert run(tiny_bundle_file, 'swap', clip, output, '--resume', '--timestamp', url) == 0
    assert '5 faces swapped in 5 frames' in capsys.readouterr().out
    assert not (tmp_path / '.out.mp4.parts').exists()
    assert count_frames(output) == 5
    report = manifest.verify(output, trust=[authority / 'root.pem'])
    assert (report.state, report.signed.is_stamp_trusted) == ('trusted', True)


def test_an_authority_that_is_not_there_is_found_before_the_work(
    tiny_bundle_file, tmp_path, capsys
):
    clip = write_clip(tmp_path / 'clip.mp4', walk(3)[1])
    options = ['--timestamp', 'http://127.0.0.1:9/']
    assert run(tiny_bundle_file, 'swap', clip, tmp_path / 'out.mp4', *options) == 1
    assert 'the authority gives no time stamp' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [clip]


def test_parts_that_are_a_link_are_refused(tiny_bundle_file, tmp_path, capsys):
    clip, elsewhere = write_clip(tmp_path / 'clip.mp4', walk(3)[1]), tmp_path / 'elsewhere'
    elsewhere.mkdir()
    (elsewhere / 'job.json').write_text('precious')
    (tmp_path / '.out.mp4.parts').symlink_to(elsewhere)
    assert run(tiny_bundle_file, 'swap', clip, tmp_path / 'out.mp4') == 1
    assert '.out.mp4.parts: is a link' in capsys.readouterr().err
    assert (elsewhere / 'job.json').read_text() == 'precious'


@pytest.mark.parametrize(
    'options, message',
    [
        (['--face', 'nose'], '--face nose: must be one of'),
        (['--key', 'key.pem'], '--certificate and --key belong together'),
        (['--codec', 'vp9'], 'vp9'),
        (['--start', '3', '--end', '2'], 'end'),
    ],
)
def test_wrong_options_end_with_one_line(tiny_bundle_file, tmp_path, capsys, options, message):
    clip = write_clip(tmp_path / 'clip.mp4', walk(3)[1])
    assert run(tiny_bundle_file, 'swap', clip, tmp_path / 'out.mp4', *options) == 1
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith('apgan swap')]
    assert message in line
    assert not (tmp_path / 'out.mp4').exists()
