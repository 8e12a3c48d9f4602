"""Runs that are cut off: nothing playable is left, and they go on where they were."""

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction

import av
import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.files import safetensors_file
from apgan_jax.video.encoding import Encoding
from apgan_jax.video.reader import Frame, VideoReader
from apgan_jax.video.segments import decoding_times, in_segments, remove_segments
from apgan_jax.video.writer import VideoWriter
from support.processes import environment
from support.video_clips import (
    RED,
    copy_video,
    count_frames,
    read_rgb,
    read_sound,
    read_times,
    square_patch,
    write_clip,
)

JOB = {'model': 'abc', 'faces': ['left', 2]}
OPTIONS = {'segment_seconds': 0.4, 'job': JOB}
# Variable: what fresh encoders make of decoding times overlaps between segments.
PTS = np.cumsum([40, 40, 5, 120, 33] * 16).tolist()


@pytest.fixture
def clip(tmp_path):
    return write_clip(
        tmp_path / 'clip.mp4',
        pts=PTS,
        time_base=Fraction(1, 1000),
        sound='aac',
        sound_seconds=4,
        is_moving=True,
    )


_WRITER = """
import json, signal, sys, time
# Shells have background jobs, and all that these start, ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
from support.video_clips import RED, square_patch
from apgan_jax.video.reader import VideoReader
from apgan_jax.video.writer import VideoWriter
with VideoReader(sys.argv[1]) as reader:
    writer = VideoWriter(sys.argv[2], reader, **json.loads(sys.argv[3]))
    for frame in writer.in_segments(reader):
        notes = {'last': frame.number}
        writer.write(frame, [square_patch(RED, 8, 8, 30)], notes)
        print(frame.number, flush=True)
        time.sleep(0.02)
"""


def write_until(clip, output, number, stop):
    """A process that writes frames, sent a signal after one of them."""
    command = [sys.executable, '-c', _WRITER, str(clip), str(output), json.dumps(OPTIONS)]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        for line in process.stdout:
            if int(line) == number:
                process.send_signal(stop)
                break
        assert process.wait(timeout=20) != 0


def resume(clip, output):
    with VideoReader(clip) as reader:
        writer = VideoWriter(output, reader, resume=True, **OPTIONS)
        first = writer.next_frame
        assert (writer.restored_notes or {'last': -1}) == {'last': first - 1}
        for frame in writer.in_segments(reader.frames(first)):
            notes = {'last': frame.number}
            writer.write(frame, [square_patch(RED, 8, 8, 30)], notes)
        return first, writer.finish()


@pytest.mark.parametrize('stop', [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_goes_on(tmp_path, clip, stop):
    output, whole = tmp_path / 'output.mp4', tmp_path / 'whole.mp4'
    write_until(clip, output, 50, stop)
    assert not output.exists()
    left = sorted(path for path in tmp_path.rglob('*') if path.is_file() and path != clip)
    assert len(left) >= 5
    for path in left:
        with pytest.raises(av.FFmpegError):
            av.open(str(path))
    first, stats = resume(clip, output)
    assert 20 < first <= 50
    uninterrupted = copy_video(clip, whole, patches=[square_patch(RED, 8, 8, 30)], **OPTIONS)
    assert stats == uninterrupted
    assert stats.unchanged_frames == 0
    # x264's macroblock tree differs a little from run to run at variable rates.
    for resumed, straight in zip(read_rgb(output), read_rgb(whole), strict=True):
        assert np.abs(resumed.astype(float) - straight).mean() < 2
    assert read_times(output) == read_times(whole)
    assert count_frames(output) == len(PTS)
    assert read_times(output) == read_times(clip)
    assert read_sound(output) == read_sound(clip)
    assert sorted(tmp_path.iterdir()) == sorted([clip, output, whole])


def test_resuming_what_never_began_starts_at_0(tmp_path, clip):
    first, stats = resume(clip, tmp_path / 'output.mp4')
    assert (first, stats.frames) == (0, len(PTS))


def test_resuming_a_run_that_had_only_to_be_assembled(tmp_path, clip):
    output = tmp_path / 'output.mp4'
    with VideoReader(clip) as reader:
        writer = VideoWriter(output, reader, **OPTIONS)
        for frame in writer.in_segments(reader):
            writer.write(frame, notes={'last': frame.number})
        output.mkdir()  # in the way of the finished file
        with pytest.raises(UserError, match='cannot be written'):
            writer.finish()
    output.rmdir()
    first, stats = resume(clip, output)
    assert (first, stats.frames) == (len(PTS), len(PTS))
    assert read_times(output) == read_times(clip)


def test_a_broken_segment_is_made_again_or_named(tmp_path, clip):
    output = tmp_path / 'output.mp4'
    write_until(clip, output, 50, signal.SIGKILL)
    segments = sorted((tmp_path / 'output.mp4.parts').glob('segment-*'))
    segments[1].write_bytes(segments[1].read_bytes()[:100])
    with pytest.raises(UserError, match=segments[1].name):
        resume(clip, output)
    segments[1].unlink()
    first, stats = resume(clip, output)
    assert (0 < first < 20) and stats.frames == len(PTS)


def truncate(path):
    path.write_bytes(path.read_bytes()[:100])


def zero_the_end(path):
    """As a power cut can leave a file: of its length, without its last pages."""
    data = path.read_bytes()
    path.write_bytes(data[:-2000] + bytes(2000))


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[-len(data) // 3] ^= 1
    path.write_bytes(data)


def forget_the_notes(path):
    tensors, document = safetensors_file.read(path, 'segment')
    del document['notes']
    safetensors_file.write(path, tensors, document)


def lose_an_array(path):
    tensors, document = safetensors_file.read(path, 'segment')
    del tensors['size']
    safetensors_file.write(path, tensors, document)


def empty(path):
    path.write_bytes(b'')


@pytest.mark.parametrize(
    'damage', [truncate, zero_the_end, flip_a_bit, forget_the_notes, lose_an_array, empty]
)
def test_a_damaged_segment_is_named_before_any_work(tmp_path, clip, damage):
    output = tmp_path / 'output.mp4'
    begin(clip, output)
    damage(tmp_path / 'output.mp4.parts' / 'segment-000000.safetensors')
    with VideoReader(clip) as reader, pytest.raises(UserError, match='is damaged; ') as caught:
        VideoWriter(output, reader, resume=True, **OPTIONS)
    assert 'segment-000000.safetensors' in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('text', ['', '[]', 'null', '{"half":'])
def test_a_damaged_job_is_named(tmp_path, clip, text):
    output = tmp_path / 'output.mp4'
    begin(clip, output)
    (tmp_path / 'output.mp4.parts' / 'job.json').write_text(text)
    with VideoReader(clip) as reader, pytest.raises(UserError, match=r'job\.json: is damaged'):
        VideoWriter(output, reader, resume=True, **OPTIONS)


def begin(clip, output, **options):
    with VideoReader(clip, end=options.pop('end', None)) as reader:
        writer = VideoWriter(output, reader, **{**OPTIONS, **options})
        for frame in writer.in_segments(reader):
            if frame.number < 30:
                writer.write(frame)
        return writer


def test_other_jobs_are_not_resumed(tmp_path, clip):
    output = tmp_path / 'output.mp4'
    begin(clip, output)
    for name, options in [
        (r'job\.model was .abc. and is .xyz.', {'job': {**JOB, 'model': 'xyz'}}),
        (r'job\.more was None', {'job': {**JOB, 'more': 1}}),
        (r'encoding\.codec was .h264.', {'encoding': Encoding('hevc')}),
        (r'target\.end was None and is 2', {'end': 2}),
    ]:
        with pytest.raises(UserError, match=f'cannot resume, {name}'):
            begin(clip, output, resume=True, **options)
    os.utime(clip, ns=(1, time.time_ns()))
    with pytest.raises(UserError, match=r'target\.modified_ns'):
        begin(clip, output, resume=True)


def test_without_resume_all_starts_anew(tmp_path, clip):
    output, parts = tmp_path / 'output.mp4', tmp_path / 'parts'
    begin(clip, output, parts=parts)
    (parts / '.segment-000009.safetensors.killed').touch()
    (parts / 'letter.txt').touch()
    with VideoReader(clip) as reader:
        writer = VideoWriter(output, reader, parts=parts)
        assert writer.next_frame == 0
        assert {path.name for path in parts.iterdir()} == {'job.json', 'letter.txt'}
        for frame in reader:
            writer.write(frame)
        writer.finish()
    assert [path.name for path in parts.iterdir()] == ['letter.txt']


@pytest.mark.parametrize('resume', [False, True])
def test_a_folder_of_parts_that_is_a_link_is_refused(tmp_path, clip, resume):
    output, elsewhere = tmp_path / 'output.mp4', tmp_path / 'elsewhere'
    elsewhere.mkdir()
    for name in ('segment-000000.safetensors', 'job.json', 'letter.txt'):
        (elsewhere / name).write_text('precious')
    (tmp_path / 'output.mp4.parts').symlink_to(elsewhere)
    with pytest.raises(UserError, match=r'output\.mp4\.parts: is a link'):
        begin(clip, output, resume=resume)
    remove_segments(tmp_path / 'output.mp4.parts')
    assert {path.read_text() for path in elsewhere.iterdir()} == {'precious'}
    assert len(list(elsewhere.iterdir())) == 3


@pytest.mark.parametrize('name', ['job.json', 'segment-000000.safetensors'])
@pytest.mark.parametrize('is_there', [True, False])
def test_links_among_the_parts_are_replaced_not_followed(tmp_path, clip, name, is_there):
    elsewhere, parts = tmp_path / 'elsewhere', tmp_path / 'output.mp4.parts'
    parts.mkdir()
    if is_there:
        elsewhere.write_text('precious')
    (parts / name).symlink_to(elsewhere)
    begin(clip, tmp_path / 'output.mp4')
    assert not (parts / name).is_symlink()
    assert elsewhere.exists() == is_there
    assert not is_there or elsewhere.read_text() == 'precious'


def test_parts_stay_until_they_are_told_to_go(tmp_path, clip):
    output, parts = tmp_path / 'output.mp4', tmp_path / 'output.mp4.parts'
    with VideoReader(clip) as reader:
        writer = VideoWriter(output, reader, **OPTIONS)
        for frame in writer.in_segments(reader):
            writer.write(frame)
        writer.finish(keep_parts=True)
        assert output.exists()
        assert VideoWriter(output, reader, resume=True, **OPTIONS).next_frame == len(PTS)
    remove_segments(parts)
    assert not parts.exists()
    remove_segments(parts)


def test_notes_are_kept_with_the_segment_that_their_frame_ends(tmp_path, clip):
    output = tmp_path / 'output.mp4'
    with VideoReader(clip) as reader:
        writer = VideoWriter(output, reader, **OPTIONS)
        ends = []
        for frame in writer.in_segments(reader):
            array = np.full(3, frame.number, np.float32)
            notes = {'number': frame.number, 'deep': [{'array': array}], 'one': np.array(0.5)}
            writer.write(frame, notes=notes)
            ends += [frame.number] if frame.ends_segment else []
            if len(ends) == 3:
                break
    with VideoReader(clip) as reader:
        resumed = VideoWriter(output, reader, resume=True, **OPTIONS)
        assert resumed.next_frame == ends[-1] + 1
        assert resumed.restored_notes['number'] == ends[-1]
        restored = resumed.restored_notes['deep'][0]['array']
        assert resumed.restored_notes['one'].shape == ()
    np.testing.assert_array_equal(restored, np.full(3, ends[-1], np.float32))
    assert restored.dtype == np.float32


def test_segments_end_where_a_run_that_goes_on_ends_them():
    times = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.3, 200))
    frames = [Frame(np.zeros(1), time, number, None) for number, time in enumerate(times)]
    whole = [each.ends_segment for each in in_segments(frames, 1.0)]
    assert whole[-1]
    for first in np.flatnonzero(whole)[:-1] + 1:
        resumed = [each.ends_segment for each in in_segments(frames[first:], 1.0)]
        assert resumed == whole[first:]
    ends = np.flatnonzero(whole)
    starts = [0, *(ends[:-1] + 1)]
    # The frame after a segment is the first that lies so long after its first one.
    for start, end in zip(starts[:-1], ends[:-1], strict=True):
        assert times[end] < times[start] + 1.0 <= times[end + 1]
    assert list(in_segments([], 1.0)) == []


def test_a_live_target_cannot_be_resumed(tmp_path, clip):
    with (
        VideoReader(f'camera:{clip}') as reader,
        pytest.raises(UserError, match='is live and cannot be resumed'),
    ):
        VideoWriter(tmp_path / 'output.mp4', reader, resume=True)


def test_the_job_is_json(tmp_path, clip):
    begin(clip, tmp_path / 'output.mp4')
    job = json.loads((tmp_path / 'output.mp4.parts' / 'job.json').read_text())
    assert job['job'] == JOB
    assert job['target']['bytes'] == clip.stat().st_size


@pytest.mark.parametrize(
    ('pts', 'expected'),
    [
        ([0, 1, 2, 3], [0, 1, 2, 3]),
        # One frame of reordering: I P B, I P B.
        ([0, 2, 1, 3, 5, 4], [-1, 0, 1, 2, 3, 4]),
        # A long gap in the second segment does not reach back into the first.
        ([0, 2, 1, 3, 900, 450], [-1, 0, 1, 2, 3, 450]),
        ([7], [7]),
    ],
)
def test_decoding_times(pts, expected):
    np.testing.assert_array_equal(decoding_times(np.array(pts)), expected)


def test_decoding_times_are_never_late():
    rng = np.random.default_rng(0)
    for _ in range(50):
        shown = np.sort(rng.choice(10_000, 60, replace=False))
        # Shuffled within groups of up to 8, as encoders do.
        pts = np.concatenate([rng.permutation(group) for group in np.split(shown, [8, 11, 30, 33])])
        dts = decoding_times(pts)
        assert (dts <= pts).all()
        assert (np.diff(dts) > 0).all()
