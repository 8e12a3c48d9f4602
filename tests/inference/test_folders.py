"""Whole folders: the tree is kept, a bad file is named, a run goes on, nothing is lost silently."""

import os
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from apgan_jax.errors import UserError
from apgan_jax.face import blending
from apgan_jax.files.image_files import read_image, write_image
from apgan_jax.files.photos import read_photo
from apgan_jax.identity_file import SHIPPED_IDENTITY, bank_files
from apgan_jax.inference import folders, frame_swapper, jobs
from apgan_jax.inference.last_look import LastLook
from apgan_jax.inference.swap import Output
from apgan_jax.inference.swapper import Swapper
from apgan_jax.provenance import manifest
from support.commands import is_changed, run
from support.faces import blank, head, portrait, write_photos
from support.recognisers import EverybodyIsKnown
from support.scenes import add_face, empty, write_clip
from support.video_clips import count_frames, read_rgb


def small_clip(path, *, with_face=True, count=4):
    """640×360; of a face at (320, 165), or of nothing."""
    picture = add_face(empty(), (640, 330), 200) if with_face else empty()
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_clip(path, [picture[::2, ::2]] * count)


def names_in(folder):
    """Of all files, hidden ones and folders of parts included."""
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file()
    )


def states_of(folder):
    return {name: manifest.verify(folder / name).state for name in names_in(folder)}


def times_of(folder):
    return {name: (folder / name).stat().st_mtime_ns for name in names_in(folder)}


@pytest.fixture
def tree(tmp_path):
    """Photos and videos in folders in folders, two that are damaged, and what is neither."""
    folder = write_photos(tmp_path / 'in', {'a.png': portrait(), 'sub/empty.bmp': blank()})
    write_photos(folder, {'sub/b.jpg': head()})
    small_clip(folder / 'sub' / 'deep' / 'clip.mkv')
    for name in ('bad.jpg', 'sub/bad.mp4', 'notes.txt', '.hidden.png'):
        (folder / name).write_bytes(b'nothing of that kind')
    return folder


def test_a_tree_with_bad_files_and_how_it_goes_on(tiny_bundle_file, tmp_path, capsys, tree):
    output, sheet, parts = tmp_path / 'out', tmp_path / 'sheet.png', tmp_path / '.out.parts'
    assert run(tiny_bundle_file, 'swap', tree, output, '--contact-sheet', sheet) == 1
    captured = capsys.readouterr()
    assert captured.err.endswith('apgan swap: 2 files failed\n')
    assert '6 faces swapped in 7 frames' in captured.out
    assert 'passed on unchanged and without a mark: sub/empty.bmp\n' in captured.out
    assert 'left out, neither photo nor video: notes.txt\n' in captured.out
    assert 'failed: bad.jpg: not a readable image' in captured.out
    assert 'failed: sub/bad.mp4: cannot be opened as a video' in captured.out
    assert states_of(output) == {
        'a.png': 'trusted',
        'sub/b.jpg': 'trusted',
        'sub/deep/clip.mp4': 'trusted',
        'sub/empty.bmp': 'absent',
    }
    assert (output / 'sub/empty.bmp').read_bytes() == (tree / 'sub/empty.bmp').read_bytes()
    for before, after in zip(
        read_rgb(tree / 'sub/deep/clip.mkv'), read_rgb(output / 'sub/deep/clip.mp4'), strict=True
    ):
        assert is_changed(before, after, (320, 165))
    # Frames above, faces below; the third file, without one, is the same twice.
    picture = read_image(sheet)
    frames = picture[:-640].reshape(2, -1, 4, 320, 3)
    faces = picture[-640:].reshape(2, 320, 4, 320, 3)
    for before, after in (frames, faces):
        assert (before == after).all(axis=(0, 2, 3)).tolist() == [False, False, True, False]
    assert (faces[:, :, 2] == 255).all()
    assert manifest.verify(sheet).state == 'trusted'

    options = ['--resume', '--source', bank_files()[0]]
    assert run(tiny_bundle_file, 'swap', tree, output, *options) == 1
    assert 'cannot resume, source was' in capsys.readouterr().err

    before = times_of(output)
    write_image(tree / 'bad.jpg', head())
    drawn = sheet.read_bytes()
    again = ['--resume', '--contact-sheet', sheet]
    assert run(tiny_bundle_file, 'swap', tree, output, *again) == 1
    assert sheet.read_bytes() != drawn
    printed = capsys.readouterr().out
    # Of this run and of that before.
    assert '7 faces swapped in 8 frames' in printed
    assert 'finished before: a.png, sub/b.jpg, sub/empty.bmp, sub/deep/clip.mkv\n' in printed
    assert times_of(output).items() >= before.items()
    assert names_in(output) == sorted([*before, 'bad.jpg'])
    assert parts.is_dir()

    (tree / 'sub/bad.mp4').unlink()
    (output / 'sub/deep/clip.mp4').unlink()
    before = times_of(output)
    assert run(tiny_bundle_file, 'swap', tree, output, '--resume') == 0
    assert '7 faces swapped in 8 frames' in capsys.readouterr().out
    assert times_of(output).items() >= before.items()
    assert not parts.exists()
    # All is finished, and stays so.
    before = times_of(output)
    assert run(tiny_bundle_file, 'swap', tree, output, '--resume') == 0
    assert times_of(output) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ['in', 'out', 'sheet.png']


def test_what_is_not_of_the_job_is_not_written_over(tiny_bundle_file, tmp_path, capsys):
    """Neither somebody's own file nor one that was changed; a newer target is swapped again."""
    folder = write_photos(tmp_path / 'in', dict.fromkeys(['a.png', 'b.png', 'c.png'], head()))
    output = tmp_path / 'out'
    assert run(tiny_bundle_file, 'swap', folder, output) == 0
    write_image(output / 'a.png', blank())
    damaged = bytearray((output / 'b.png').read_bytes())
    damaged[-2000] ^= 1
    (output / 'b.png').write_bytes(damaged)
    os.utime(folder / 'c.png')
    before = {name: (output / name).read_bytes() for name in names_in(output)}
    capsys.readouterr()
    assert run(tiny_bundle_file, 'swap', folder, output, '--resume') == 1
    printed = capsys.readouterr().out
    for name in ('a.png', 'b.png'):
        line = f'failed: {name}: {output / name} is there and not of this job, or damaged'
        assert line in printed
        assert (output / name).read_bytes() == before[name]
    assert '1 faces swapped in 1 frames' in printed
    assert manifest.verify(output / 'c.png').state == 'trusted'


class StoppedError(BaseException):
    """Ctrl-C, in a process that goes on."""


def test_an_interrupted_folder_goes_on_within_a_video(tiny_bundle, tmp_path):
    """What was finished stays; of the video that was begun the parts do."""
    folder = write_photos(tmp_path / 'in', {'a.png': head()})
    small_clip(folder / 'b.mp4', count=12)
    job, _ = jobs.swap_job(Swapper(tiny_bundle), [SHIPPED_IDENTITY])
    frames = iter(range(100))

    def on_frame():
        if next(frames) == 3:
            raise StoppedError

    output = tmp_path / 'out'
    with pytest.raises(StoppedError):
        folders.swap_target(folder, output, job=job, how=Output(), on_frame=on_frame)
    assert names_in(output) == ['.b.mp4.parts/job.json', 'a.png']
    made = (output / 'a.png').stat().st_mtime_ns
    report = folders.swap_target(folder, output, job=job, how=Output(resume=True))
    assert names_in(output) == ['a.png', 'b.mp4']
    assert (output / 'a.png').stat().st_mtime_ns == made
    assert (report.finished, report.counts.swapped) == (['a.png'], 13)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['in', 'out']


@pytest.mark.parametrize('face', ['largest', '1', 'all'])
def test_files_of_a_folder_know_nothing_of_each_other(tiny_bundle_file, tmp_path, capsys, face):
    folder = write_photos(tmp_path / 'in', {f'{number}.png': portrait() for number in range(3)})
    assert run(tiny_bundle_file, 'swap', folder, tmp_path / 'out', '--face', face) == 0
    assert '3 faces swapped in 3 frames' in capsys.readouterr().out


def test_nothing_done_is_an_error_and_leaves_nothing(tiny_bundle_file, tmp_path, capsys):
    """Faces are seen and none is chosen; a bad file is named all the same."""
    folder = write_photos(tmp_path / 'in', {'a.png': portrait(), 'sub/b.jpg': head()})
    small_clip(folder / 'sub' / 'clip.mp4')
    (folder / 'bad.png').touch()
    output, there = tmp_path / 'out', sorted(tmp_path.iterdir())
    assert run(tiny_bundle_file, 'swap', folder, output, '--face', 7) == 1
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith('apgan swap')]
    assert 'no face was changed in any of 4 files (bad.png: the file is empty' in line
    assert sorted(tmp_path.iterdir()) == there
    (folder / 'bad.png').unlink()
    assert run(tiny_bundle_file, 'swap', folder, output, '--face', 7, '--allow-none') == 0
    assert '6 faces were left as they are' in capsys.readouterr().out
    assert names_in(output) == names_in(folder)
    for name in names_in(folder):
        assert (output / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize('name', ['in', 'in/a.png', 'in/clip.mp4'])
def test_a_stranger_is_found_nowhere(tiny_bundle_file, tmp_path, capsys, stranger, name):
    folder = write_photos(tmp_path / 'in', {'a.png': portrait()})
    small_clip(folder / 'clip.mp4')
    write_image(tmp_path / 'stranger.png', stranger)
    target, there = tmp_path / name, names_in(tmp_path)
    face = f'like:{tmp_path / "stranger.png"}'
    output = tmp_path / f'out{target.suffix}'
    assert run(tiny_bundle_file, 'swap', target, output, '--face', face) == 1
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith('apgan swap')]
    assert 'nothing was written' in line
    assert names_in(tmp_path) == there


def named_photo(path, picture):
    exif = Image.Exif()
    exif[0x013B] = 'Jane Doe'
    Image.fromarray(picture).save(path, exif=exif)


def test_no_trace_of_a_name_where_nobody_was_found(tiny_bundle_file, tmp_path, capsys):
    """Photos and videos without a face keep picture and sound, and get no mark."""
    folder = tmp_path / 'in'
    folder.mkdir()
    named_photo(folder / 'a.jpg', head())
    named_photo(folder / 'b.jpg', blank())
    unnamed = write_clip(tmp_path / 'c.mp4', [empty()[:64, :96]] * 5, sound_seconds=0.2)
    with av.open(str(unnamed)) as source, av.open(str(folder / 'c.mp4'), 'w') as container:
        container.metadata['title'] = 'Jane Doe'
        streams = [container.add_stream_from_template(each) for each in source.streams]
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream_index]
                container.mux(packet)
    assert all(b'Jane' in (folder / name).read_bytes() for name in names_in(folder))
    output = tmp_path / 'out'
    assert run(tiny_bundle_file, 'anonymise', folder, output) == 0
    printed = capsys.readouterr().out
    assert 'passed on without metadata and without a mark: b.jpg, c.mp4' in printed
    assert states_of(output) == {'a.jpg': 'trusted', 'b.jpg': 'absent', 'c.mp4': 'absent'}
    assert not any(b'Jane' in (output / name).read_bytes() for name in names_in(output))
    assert read_photo(output / 'b.jpg').exif is None
    assert count_frames(output / 'c.mp4') == 5
    with av.open(str(output / 'c.mp4')) as container:
        assert len(container.streams.audio) == 1
    # Those without a mark are known by their bytes.
    before = times_of(output)
    assert run(tiny_bundle_file, 'anonymise', folder, output, '--resume') == 0
    printed = capsys.readouterr().out
    assert f'{output}: everything was finished before\n' in printed
    assert 'finished before: a.jpg, b.jpg, c.mp4' in printed
    assert 'passed on without metadata and without a mark: b.jpg, c.mp4' in printed
    assert times_of(output) == before
    # Somebody else under the same name, in a file that is older.
    named_photo(folder / 'a.jpg', portrait())
    os.utime(folder / 'a.jpg', (1e9, 1e9))
    assert run(tiny_bundle_file, 'anonymise', folder, output, '--resume') == 0
    assert 'finished before: b.jpg, c.mp4' in capsys.readouterr().out
    assert times_of(output).items() ^ before.items() >= {('a.jpg', before['a.jpg'])}


def test_who_cannot_be_hidden_is_named_with_the_file(
    tiny_bundle_file, tmp_path, capsys, monkeypatch
):
    """Patches that hide nothing, in place of blur, in the smaller photo."""
    blurred = frame_swapper.blurred_patch

    def hiding_little(picture, box):
        if picture.shape[1] == 640:
            return blending.Patch(picture[:8, :8], np.zeros((8, 8), np.float32), np.eye(2, 3))
        return blurred(picture, box)

    monkeypatch.setattr(frame_swapper, 'blurred_patch', hiding_little)
    monkeypatch.setattr(jobs, 'LastLook', lambda sface: LastLook(EverybodyIsKnown()))
    small = np.ascontiguousarray(add_face(empty(), (640, 330), 200)[::2, ::2])
    folder = write_photos(tmp_path / 'in', {'sub/a.png': small, 'b.png': portrait()})
    output = tmp_path / 'out'
    assert run(tiny_bundle_file, 'anonymise', folder, output) == 3
    printed = capsys.readouterr().out
    assert '1 faces may be recognisable still:\n  sub/a.png at 0.00 s from ' in printed
    assert names_in(output) == ['b.png', 'sub/a.png']
    # A run that goes on says so again, of a file that it leaves as it is; else it is done again.
    assert run(tiny_bundle_file, 'anonymise', folder, output, '--resume') == 3
    printed = capsys.readouterr().out
    assert '1 faces may be recognisable still:\n  sub/a.png at 0.00 s from ' in printed
    assert 'finished before: b.png, sub/a.png' in printed
    (tmp_path / '.out.parts' / 'files.jsonl').write_text('')
    assert run(tiny_bundle_file, 'anonymise', folder, output, '--resume') == 3
    assert 'finished before' not in capsys.readouterr().out
    strict = tmp_path / 'strict'
    assert run(tiny_bundle_file, 'anonymise', folder, strict, '--strict') == 1
    assert 'failed: sub/a.png: 1 faces may be recognisable still' in capsys.readouterr().out
    assert states_of(strict) == {'b.png': 'trusted'}


@pytest.mark.skipif(sys.platform != 'linux', reason='other systems have no such names')
def test_a_name_that_nobody_can_show_is_escaped(tiny_bundle_file, tmp_path, capsys):
    folder = write_photos(tmp_path / 'in', {'a.png': head()})
    for name in (b'na\xefve.png', b'two\nlines.png'):
        (folder / os.fsdecode(name)).write_bytes((folder / 'a.png').read_bytes())
    assert run(tiny_bundle_file, 'swap', folder, tmp_path / 'out') == 1
    printed = capsys.readouterr().out
    assert r"failed: 'na\udcefve.png': its name is no UTF-8 text of one line" in printed
    assert r"failed: 'two\nlines.png': its name is no UTF-8 text of one line" in printed
    assert names_in(tmp_path / 'out') == ['a.png']


def test_two_runs_do_not_write_one_folder(tiny_bundle, tmp_path):
    folder = write_photos(tmp_path / 'in', {'a.png': head()})
    job, _ = jobs.swap_job(Swapper(tiny_bundle), [SHIPPED_IDENTITY])

    output = tmp_path / 'out'

    def run_again():
        with pytest.raises(UserError, match='another run is writing it'):
            folders.swap_folder(folder, output, job=job, how=Output(resume=True))

    report = folders.swap_folder(folder, output, job=job, how=Output(), on_frame=run_again)
    assert report.failed == {}


@pytest.mark.parametrize(
    'files, expected',
    [
        # A photo whose format cannot carry the mark becomes a PNG that no other one is.
        (
            ['B.bmp', 'a.bmp', 'a.bmp.png', 'a.png', 'a.webp', 'b.png'],
            ['B.bmp.png', 'a.bmp.png.png', 'a.bmp.png', 'a.png', 'a.webp', 'b.png'],
        ),
        (['a.heic', 'b.jfif', 'c.JPG'], ['a.png', 'b.png', 'c.JPG']),
        (['a.mkv', 'b.MOV', 'c.avi', 'c.mp4'], ['a.mp4', 'b.MOV', 'c.avi.mp4', 'c.mp4']),
        # A video and a photo of one stem, as phones have them.
        (['a.heic', 'a.mov'], ['a.heic.png', 'a.mov']),
        # Each folder has names of its own.
        (['a.bmp', 'sub/a.bmp', 'sub/a.png'], ['a.png', 'sub/a.bmp.png', 'sub/a.png']),
    ],
)
def test_names(tmp_path, files, expected):
    names = folders.output_names(tmp_path, map(Path, files))
    assert [names[Path(file)].as_posix() for file in files] == expected


def test_names_fit_the_codec(tmp_path):
    names = folders.output_names(tmp_path, [Path('a.mov'), Path('b.m4v')], 'av1')
    assert [name.as_posix() for name in names.values()] == ['a.mp4', 'b.m4v']


def test_an_animation_becomes_a_video(tmp_path):
    frames = [Image.fromarray(np.full((8, 8, 3), level, np.uint8)) for level in (0, 90, 200)]
    for name in ('a.gif', 'b.png'):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    names = folders.output_names(tmp_path, [Path('a.gif'), Path('b.png'), Path('c.gif')])
    assert [name.as_posix() for name in names.values()] == ['a.mp4', 'b.mp4', 'c.gif']
