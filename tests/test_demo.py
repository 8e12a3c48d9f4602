"""The demo's clip shows a face that moves; what an earlier demo left goes, and nothing else."""

import av
import numpy as np
import pytest

from apgan_jax import demo
from apgan_jax.face.landmarks import largest
from apgan_jax.video.reader import probe


def test_the_virtual_camera_shows_one_face_that_moves_to_the_right(image_landmarker):
    frames = list(demo.virtual_camera(3))
    assert {frame.shape for frame in frames} == {(720, 1280, 3)}
    faces = [largest(image_landmarker.detect(frame)) for frame in frames]
    places = [float(face.five_points[:, 0].mean()) for face in faces]
    np.testing.assert_allclose(np.diff(places), 0.12 * 1280, atol=40)
    # It comes nearer and goes back again.
    first, middle, last = (face.width for face in faces)
    assert middle > 1.2 * max(first, last)


def test_the_clip_has_pictures_and_a_tone(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, '_SECONDS', 1)
    monkeypatch.setattr(demo, '_FRAME_RATE', 5)
    clip = tmp_path / 'clip.mp4'
    demo.write_clip(clip)
    info = probe(clip)
    assert (info.width, info.height, info.frames) == (1280, 720, 5)
    with av.open(str(clip)) as container:
        wave = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    spectrum = np.abs(np.fft.rfft(wave[:48_000]))
    assert spectrum.argmax() == pytest.approx(220, abs=2)
    assert np.abs(wave).max() == pytest.approx(0.1, abs=0.02)


def test_what_an_earlier_demo_left_goes_and_nothing_else(tmp_path):
    output = tmp_path / 'demo'
    for name in ('photos', 'records', 'run', 'holiday'):
        (output / name).mkdir(parents=True)
        (output / name / 'file').touch()
    for name in ('target.mp4', 'swapped.mp4', 'contact_sheet.png', 'letter.txt'):
        (output / name).touch()
    demo._clear(output)
    demo._clear(output)
    assert sorted(path.name for path in output.iterdir()) == ['holiday', 'letter.txt']
    assert (output / 'holiday' / 'file').exists()


def test_without_a_folder_it_says_what_is_missing(capsys):
    with pytest.raises(SystemExit, match='2'):
        demo.main([])
    assert '--output' in capsys.readouterr().err
