"""Who sources are, and the files that bundles make to be measured."""

import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.evaluation.people import Galleries
from apgan_jax.evaluation.swaps import SourcePerson, Wanted, make_swaps
from apgan_jax.files.image_files import read_image
from apgan_jax.inference.swapper import Swapper
from apgan_jax.provenance import manifest
from support.faces import blank, head, portrait, write_photos
from support.recognisers import MeanColour


@pytest.fixture
def photos(tmp_path):
    """A folder of two photos of a person and one of nobody."""
    pictures = {'1.png': head(), '2.png': portrait(), '3.png': blank()}
    return write_photos(tmp_path / 'ann', pictures)


def test_a_folder_of_photos_is_a_person_of_its_name(photos):
    person = SourcePerson.of([photos])
    assert (person.name, person.is_video) == ('ann', False)
    assert [path.name for path in person.files] == ['1.png', '2.png', '3.png']
    assert person.given(2) == [photos / '1.png', photos / '2.png']


def test_a_video_is_given_whole_whatever_k(tmp_path):
    video = tmp_path / 'bob.mp4'
    video.touch()
    person = SourcePerson.of([video])
    assert (person.name, person.is_video) == ('bob', True)
    assert person.given(50) == [video]


def test_people_of_one_name_are_told_apart(tmp_path):
    files = [tmp_path / folder / 'clip.mp4' for folder in ('a', 'b')]
    for path in files:
        path.parent.mkdir()
        path.touch()
    one, other = (SourcePerson.of([path]) for path in files)
    assert one.name == other.name
    assert one.key != other.key


def test_what_is_no_person_is_refused(photos, tmp_path):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'a.mp4').touch()
    for paths, words in (
        ([tmp_path / 'none.png'], 'no such file or folder'),
        ([tmp_path / 'empty'], 'holds no photos; give a folder of them'),
        ([tmp_path / 'a.mp4', photos / '1.png'], 'give photos, a folder of photos or one video'),
        ([tmp_path / 'a.safetensors'], 'has no faces to compare with; give photos'),
    ):
        with pytest.raises(UserError, match=words):
            SourcePerson.of(paths)


def test_fewer_photos_than_k_are_refused(photos):
    with pytest.raises(UserError, match='--k 4: ann has 3 photos; give more'):
        SourcePerson.of([photos]).given(4)


def test_faces_are_those_of_the_photos_that_show_one(photos):
    person = SourcePerson.of([photos])
    everyone = person.all_crops()
    assert everyone.shape == (2, 256, 256, 3)
    np.testing.assert_array_equal(person.given_crops(1), everyone[:1])
    with pytest.raises(UserError, match=r'3\.png: no face found; give a clear, large face'):
        SourcePerson.of([photos / '3.png']).given_crops(1)


def test_swaps_are_marked_files_that_are_gone_when_the_next_is_asked_for(photos, tiny_bundle):
    source = SourcePerson.of([photos / '2.png'])
    wanted = [Wanted(name, photos / '1.png', source) for name in ('one', 'two')]
    galleries = Galleries([MeanColour()])
    paths = []
    for each in make_swaps(Swapper(tiny_bundle), wanted, 1, galleries):
        paths.append(each.clip.swapped)
        assert [path.exists() for path in paths] == [False] * (len(paths) - 1) + [True]
        assert each.clip.target == photos / '1.png'
        assert not each.clip.is_sequence
        assert each.bundle is tiny_bundle
        assert manifest.verify(paths[-1]).is_marked_synthetic
        swapped = read_image(paths[-1])
        assert swapped.shape == head().shape
        assert (swapped != head()).any()
        # Nobody is in the gallery: retrieval is left out.
        assert [metric.key for metric in each.metrics] == [
            'source_similarity_colour',
            'target_similarity_colour',
        ]
    assert [path.name for path in paths] == ['one.png', 'two.png']
    assert not any(path.exists() for path in paths)
