"""Who is looked for among whom, by colours, and whose faces are read from files."""

import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.evaluation.people import Galleries, people_of, person_of, read_person
from support.faces import blank, head, write_photos
from support.recognisers import MeanColour, face, pair

RED, DARK_RED, GREEN = (face(*c).crop for c in ((200, 0, 0), (100, 10, 0), (0, 200, 0)))


@pytest.fixture
def galleries():
    return Galleries([MeanColour()])


def measured(metrics, swapped):
    return {metric.key: metric.measure(pair(swapped)) for metric in metrics}


def test_a_swap_is_found_among_all_but_what_the_model_was_given(galleries):
    galleries.add('red', np.stack([RED, DARK_RED]))
    galleries.add('green', GREEN[None])
    metrics = galleries.metrics('red', RED[None])
    found = measured(metrics, face(90, 0, 0))
    assert found['source_similarity_colour'] == pytest.approx(1)
    assert found['target_similarity_colour'] == pytest.approx(0)
    assert found['identity_retrieval_colour'] == 1
    assert measured(metrics, face(0, 90, 0))['identity_retrieval_colour'] == 0
    assert galleries.line() == 'gallery: 3 faces of 2 people'


def test_a_face_that_is_there_is_not_added_again(galleries):
    galleries.add('red', np.stack([RED, RED]))
    galleries.add('green', np.stack([RED, GREEN]))
    assert galleries.line() == 'gallery: 2 faces of 2 people'


@pytest.mark.parametrize('others', [[], [GREEN]], ids=['nobody else', 'given whole'])
def test_who_cannot_be_found_is_not_looked_for_and_the_line_says_so(galleries, others):
    galleries.add('red', RED[None])
    for crop in others:
        galleries.add('green', crop[None])
    given = RED if others else GREEN
    keys = [metric.key for metric in galleries.metrics('red', given[None])]
    assert keys == ['source_similarity_colour', 'target_similarity_colour']
    assert 'without identity retrieval where no face of the source is left' in galleries.line()


def test_similarity_is_to_another_face_where_one_is_named(galleries):
    (similarity, *_) = galleries.metrics('red', RED[None], source=GREEN[None])
    assert similarity.measure(pair(face(0, 90, 0))) == pytest.approx(1)


def test_faces_of_photos_folders_and_videos(clips, tmp_path):
    folder = write_photos(tmp_path / 'ann', {'1.png': head(), '2.png': blank(), '3.png': head()})
    crops = read_person(folder)
    assert crops.shape == (2, 256, 256, 3)
    np.testing.assert_array_equal(read_person(folder / '1.png')[0], crops[0])
    assert read_person(folder / '2.png').shape == (0, 256, 256, 3)
    video = clips / 'original_sequences' / 'youtube' / 'c23' / 'videos' / '001.mp4'
    assert read_person(video, frames=2).shape == (2, 256, 256, 3)


def test_a_folder_of_videos_is_many_people_and_one_of_photos_is_one(tmp_path):
    photos = write_photos(tmp_path / 'photos', {'1.png': blank(), '2.png': blank()})
    videos = tmp_path / 'videos'
    videos.mkdir()
    for name in ('b.mp4', 'a.mov', 'notes.txt'):
        (videos / name).touch()
    paths = [videos, photos, photos / '1.png']
    assert people_of(paths) == [videos / 'a.mov', videos / 'b.mp4', photos, photos / '1.png']


def test_what_holds_nobody_is_refused(tmp_path):
    with pytest.raises(UserError, match=r'--gallery .*none: no such file or folder'):
        people_of([tmp_path / 'none'])
    with pytest.raises(UserError, match='holds neither photos nor videos'):
        people_of([tmp_path])


def test_a_person_is_known_by_the_file_wherever_it_is_named_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert person_of(tmp_path / 'a.mp4') == person_of(tmp_path / 'x' / '..' / 'a.mp4')
    assert person_of(tmp_path / 'a.mp4') != person_of(tmp_path / 'x' / 'a.mp4')
