"""The Python interface does what the commands do, and says what is wrong in one line."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import apgan_jax
from apgan_jax.api import Model
from apgan_jax.files.photos import read_photo
from apgan_jax.identity_file import SHIPPED_IDENTITY
from apgan_jax.inference.blend import Blend
from apgan_jax.inference.swapper import Swapper
from support.faces import portrait
from support.scenes import add_face, empty, write_clip

LEFT, RIGHT = (400, 320), (900, 320)


@pytest.fixture(scope='module')
def model(tiny_bundle):
    return Model(Swapper(tiny_bundle))


@pytest.fixture(scope='module')
def who(model):
    return model.identity(SHIPPED_IDENTITY)


@pytest.fixture(scope='module')
def couple():
    return add_face(add_face(empty(), LEFT, 170), RIGHT, 170)


def changed_at(before, after, place):
    x, y = place
    window = np.s_[y - 40 : y + 40, x - 40 : x + 40]
    return np.abs(before[window].astype(int) - after[window]).mean() > 1


def test_importing_loads_neither_jax_nor_mediapipe():
    code = (
        'import sys, apgan_jax\n'
        "print([name for name in ('jax', 'mediapipe', 'cv2', 'av') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert (result.stdout.strip(), result.returncode) == ('[]', 0)


@pytest.fixture(scope='module')
def page():
    """The code of the documentation's page, block by block."""
    text = (Path(__file__).parents[1] / 'docs' / 'python.md').read_text(encoding='utf-8')
    return re.findall(r'```python\n(.*?)```', text, re.DOTALL)


@pytest.fixture
def here(tmp_path, monkeypatch, couple):
    """A folder with the files that the page names."""
    monkeypatch.chdir(tmp_path)
    for name in ('ann-1.jpg', 'ann-2.jpg'):
        Image.fromarray(portrait()).save(name)
    Image.fromarray(couple).save('group.jpg')
    write_clip(tmp_path / 'clip.mp4', [couple] * 8)


@pytest.mark.usefixtures('here')
def test_the_pages_photos(page, capsys):
    exec(page[0], {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == '2 () ()'
    assert [line.split()[0] for line in printed[1:3]] == ['1', '2']
    assert printed[3:] == ["['swapped', 'swapped']", 'trusted']


@pytest.mark.usefixtures('here')
def test_the_pages_videos(page, capsys):
    exec(page[1], {})
    assert '5 faces swapped in 5 frames' in capsys.readouterr().out
    assert apgan_jax.verify('anonymous.mp4').edit.kind == 'anonymised'


@pytest.mark.slow
def test_the_pages_training(page, built_dataset, tmp_path):
    exec(
        page[2].replace('data/faces64', str(built_dataset.folder)).replace('runs', str(tmp_path)),
        {},
    )
    assert (tmp_path / 'python' / 'checkpoints').is_dir()


def test_faces_are_numbered_from_the_left(model, couple):
    faces = model.faces(couple)
    assert [face.number for face in faces] == [1, 2]
    for face, (x, y) in zip(faces, (LEFT, RIGHT), strict=True):
        left, top, right, bottom = face.box
        assert left < x < right
        assert top < y < bottom
        assert face.points.shape == (5, 2)
        assert max(map(abs, face.pose)) < 30
        assert np.linalg.norm(face.vector) == pytest.approx(1, abs=1e-3)
        assert face.thumbnail.shape == (model.size, model.size, 3)
    assert faces[0].vector @ faces[1].vector > 0.9


@pytest.mark.parametrize(
    ('faces', 'left', 'right'),
    [('all', True, True), ('left', True, False), (2, False, True), ('2', False, True)],
)
def test_the_faces_that_were_asked_for_are_swapped(model, who, couple, faces, left, right):
    kept = couple.copy()
    swapped = model.swap(couple, who, faces=faces)
    np.testing.assert_array_equal(couple, kept)
    assert changed_at(couple, swapped.image, LEFT) == left
    assert changed_at(couple, swapped.image, RIGHT) == right
    assert swapped.fates == ['swapped' if each else 'left' for each in (left, right)]
    assert (swapped.kind, swapped.counts.swapped) == ('swapped', left + right)


def test_people_become_whom_a_mapping_says_by_number(model, who, couple):
    swapped = model.swap(couple, {2: who})
    assert swapped.fates == ['left', 'swapped']
    one, both = model.swap(couple, who, faces=2), model.swap(couple, {1: who, 2: who})
    np.testing.assert_array_equal(swapped.image, one.image)
    assert both.fates == ['swapped', 'swapped']


def test_people_become_whom_a_mapping_says_by_photo(model, who, couple, tmp_path):
    Image.fromarray(couple[:, :640].copy()).save(tmp_path / 'left.png')
    swapped = model.swap(couple, {str(tmp_path / 'left.png'): who})
    # Both are one person, and nobody is in a picture twice.
    assert sorted(swapped.fates) == ['left', 'swapped']


def test_a_saved_identity_is_the_same(model, tmp_path):
    who = model.identity(portrait())
    model.save_identity(who, tmp_path / 'who.safetensors')
    again = model.identity(tmp_path / 'who.safetensors')
    np.testing.assert_array_equal(again.embedding.vector, who.embedding.vector)
    for name in ('who.txt', 'none/who.safetensors'):
        with pytest.raises(apgan_jax.UserError, match=r'must end in \.safetensors, in a folder'):
            model.save_identity(who, tmp_path / name)


def test_an_identity_is_of_files_and_arrays_alike(model, tmp_path):
    Image.fromarray(portrait()).save(tmp_path / 'p.png')
    of_file = model.identity(tmp_path / 'p.png')
    of_array = model.identity([portrait()])
    np.testing.assert_array_equal(of_file.embedding.vector, of_array.embedding.vector)
    assert (of_file.used, of_array.used) == (1, 1)
    both = model.identity([str(tmp_path / 'p.png'), portrait(), empty()])
    assert both.used == 2
    assert both.left_out == ('picture 3: no face',)


def test_strength_is_that_of_the_blend_unless_it_is_given(model, who, couple):
    plain = model.swap(couple, who, blend=Blend(strength=1.0)).image
    np.testing.assert_array_equal(model.swap(couple, who, strength=1.0).image, plain)
    assert (model.swap(couple, who, strength=2.0).image != plain).any()


def test_what_is_saved_is_marked(model, who, couple, tmp_path):
    swapped = model.swap(couple, who, faces='all')
    apgan_jax.save(swapped.image, tmp_path / 'out.png', swapped)
    report = apgan_jax.verify(tmp_path / 'out.png')
    assert report.state == 'trusted'
    assert report.is_marked_synthetic
    assert (report.edit.kind, report.edit.faces_swapped) == ('swapped', 2)
    assert report.model_name == model.name
    np.testing.assert_array_equal(read_photo(tmp_path / 'out.png').rgb, swapped.image)


def test_an_unchanged_picture_gets_no_mark(model, who, tmp_path):
    swapped = model.swap(empty(), who)
    assert swapped.fates == []
    with pytest.raises(apgan_jax.UserError, match='no face was changed'):
        apgan_jax.save(swapped.image, tmp_path / 'out.png', swapped)
    assert list(tmp_path.iterdir()) == []


def test_anonymise_changes_everybody(model, couple):
    done = model.anonymise(couple)
    assert changed_at(couple, done.image, LEFT)
    assert changed_at(couple, done.image, RIGHT)
    assert (done.kind, 'left' in done.fates) == ('anonymised', False)


@pytest.mark.parametrize('anonymous', [False, True])
def test_videos_are_swapped_as_by_the_command(model, who, tmp_path, anonymous):
    clip = write_clip(tmp_path / 'clip.mp4', [add_face(empty(), LEFT, 170)] * 6)
    output, seen = tmp_path / 'out.mp4', []
    if anonymous:
        report = model.anonymise_video(clip, output, progress=lambda: seen.append(1))
    else:
        report = model.swap_video(clip, str(output), who={1: who}, progress=lambda: seen.append(1))
    assert (report.counts.frames, len(seen)) == (6, 6)
    assert report.counts.swapped + report.counts.blurred == 6
    assert apgan_jax.verify(output).edit.kind == ('anonymised' if anonymous else 'swapped')
    with pytest.raises(apgan_jax.UserError, match='exists already'):
        model.swap_video(clip, output, who=who)


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda model, who: model.faces(np.zeros((4, 4))), 'float64 .4, 4.; must be RGB uint8'),
        (lambda model, who: model.swap(empty()[..., :1], who), 'must be RGB uint8'),
        (lambda model, who: model.swap(empty(), who, faces='nose'), 'must be one of largest'),
        (lambda model, who: model.swap(empty(), who, strength=9), 'must be 0.5 to 2'),
        (lambda model, who: model.swap(empty(), {0: who}), 'who: has the number 0; map numbers'),
        (lambda model, who: model.swap(empty(), {}), 'who: has nobody'),
        (lambda model, who: model.swap(empty(), {1: who, 'a.png': who}), 'who: has both'),
        (lambda model, who: model.swap(empty(), {1: who}, faces='all'), 'mapping says which'),
        (lambda model, who: model.identity([]), 'at least one picture'),
        (lambda model, who: model.identity([empty()]), 'no face found'),
        (lambda model, who: model.identity('none.jpg'), 'none.jpg'),
        (lambda model, who: apgan_jax.load('none.safetensors'), 'no such file'),
    ],
)
def test_what_is_wrong_is_said_in_one_line(model, who, call, message):
    with pytest.raises(apgan_jax.UserError, match=message) as error:
        call(model, who)
    assert '\n' not in str(error.value)
