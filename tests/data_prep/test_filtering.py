"""Clear faces of adults are kept; every reason to leave one out, on a picture made for it."""

import dataclasses
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.face import landmarks
from apgan_jax.files.image_files import read_image
from data_prep import age, review, sources
from data_prep.filtering import FaceFilter, FaceRules, outside_share
from support.faces import blank, brighter, head, portrait, turned, write_photos


def needs_age_network():
    try:
        age.AGE_NETWORK.find()
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope='module')
def clear_filter():
    with FaceFilter(FaceRules(clear=True)) as face_filter:
        yield face_filter


@pytest.fixture
def fault_of(clear_filter, image_landmarker):
    def find(photo):
        face = landmarks.largest(image_landmarker.detect(photo))
        return clear_filter.fault_of(photo, face)

    return find


@pytest.fixture
def fault_of_covered(clear_filter, image_landmarker):
    """The fault of a picture of which only the bare face's landmarks are known."""

    def find(covered):
        face = landmarks.largest(image_landmarker.detect(head()))
        return clear_filter.fault_of(covered, face)

    return find


# --- Clear faces ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'photo',
    [portrait(), head(), head()[:, ::-1], brighter(head(), 0.6), brighter(head(), 1.3)],
    ids=['portrait', 'head', 'mirrored', 'darker', 'brighter'],
)
def test_a_clear_face_is_kept(photo, fault_of):
    assert fault_of(np.ascontiguousarray(photo)) is None


def test_size_of_the_photo_does_not_matter(fault_of):
    assert fault_of(cv2.resize(head(), None, fx=3, fy=3)) is None


def test_blurred(fault_of):
    assert fault_of(cv2.GaussianBlur(head(), (0, 0), 3)).startswith('blurred: 0.00')


def test_turned_away(clear_filter, image_landmarker):
    (face,) = image_landmarker.detect(head())
    away = dataclasses.replace(face, pose_matrix=turned(60))
    assert clear_filter.fault_of(head(), away) == 'turned away: 60 > 40 degrees'


def test_cut_by_the_border(fault_of):
    left, top = 60, 40
    assert fault_of(np.ascontiguousarray(head()[top:180, left:165])).startswith('cut by the border')


@pytest.mark.parametrize('shift, share', [(0, 0), (40, 0.25), (160, 1)])
def test_the_share_outside(shift, share):
    crop_from_frame = np.array([[1.0, 0, shift], [0, 1, 0]])
    assert outside_share(crop_from_frame, (160, 160)) == pytest.approx(share, abs=0.01)


def test_dark_glasses(image_landmarker, fault_of_covered):
    (face,) = image_landmarker.detect(head())
    glasses = head().copy()
    for x, y in face.five_points[:2]:
        cv2.circle(glasses, (round(float(x)), round(float(y))), 20, (10, 10, 10), cv2.FILLED)
    assert fault_of_covered(glasses).startswith('eyes in the dark')


def test_a_covered_face(image_landmarker, fault_of_covered):
    (face,) = image_landmarker.detect(head())
    x, y = face.five_points[2:].mean(axis=0)
    covered = head().copy()
    cv2.circle(covered, (round(float(x)), round(float(y))), 42, (120, 90, 70), cv2.FILLED)
    assert fault_of_covered(covered).startswith(('covered or unclear', 'unsure landmarks'))


def test_nothing_is_asked_by_default(portrait_face):
    with FaceFilter(FaceRules()) as face_filter:
        assert face_filter.fault_of(blank(), portrait_face) is None


# --- Age ------------------------------------------------------------------------------------------


def test_the_age_network_has_the_published_size():
    """face-api's documentation: about 420 kB, one byte a weight."""
    needs_age_network()
    assert 400_000 < sum(each.size for each in age.read_weights().values()) < 440_000


def test_an_astronaut_is_grown_up(portrait_face):
    """Eileen Collins was in her forties."""
    needs_age_network()
    years = age.AgeNetwork().years(portrait(), portrait_face.landmarks)
    assert 25 < years < 55
    with FaceFilter(FaceRules(min_age=22)) as adults:
        assert adults.fault_of(portrait(), portrait_face) is None
    with FaceFilter(FaceRules(min_age=90)) as nobody:
        assert nobody.fault_of(portrait(), portrait_face).startswith('looks young: ')


def test_a_mirrored_face_is_as_old(image_landmarker, portrait_face):
    needs_age_network()
    network = age.AgeNetwork()
    mirrored = np.ascontiguousarray(portrait()[:, ::-1])
    (face,) = image_landmarker.detect(mirrored)
    years = network.years(portrait(), portrait_face.landmarks)
    assert network.years(mirrored, face.landmarks) == pytest.approx(years, abs=2)


def test_members_of_congress_are_adults(image_landmarker):
    """They are 25 at least; one in forty may look younger to the network."""
    needs_age_network()
    if 'APGAN_DATA' not in os.environ:
        pytest.skip('APGAN_DATA is unset: it would hold faces/congress')
    network = age.AgeNetwork()
    photos = sorted((Path(os.environ['APGAN_DATA']) / 'faces' / 'congress').iterdir())[:400:10]
    ages = []
    for photo in map(read_image, photos):
        face = landmarks.largest(image_landmarker.detect(photo))
        ages.append(network.years(photo, face.landmarks))
    assert np.mean(np.array(ages) < 22) <= 1 / 40
    assert 40 < np.median(ages) < 70


def test_a_missing_network_is_named_with_its_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv(age.AGE_NETWORK.variable, str(tmp_path / 'none.tgz'))
    with pytest.raises(
        UserError, match=r'none\.tgz: the age network was not found; run .*npm pack'
    ):
        FaceRules(min_age=22).require_models()
    FaceRules(clear=True).require_models()


# --- The command ----------------------------------------------------------------------------------


def test_the_command_counts_reasons_and_another_build_takes_its_list(tmp_path, capsys):
    build = pytest.importorskip('data_prep.build', exc_type=ImportError)
    blurred = cv2.GaussianBlur(cv2.resize(head(), None, fx=2, fy=2), (0, 0), 8)
    photos = write_photos(tmp_path / 'photos', {'a.png': head(), 'blurred.png': blurred})
    output = tmp_path / 'out'
    arguments = [f'--source=folder:{photos}', '--size=64']
    assert build.main([*arguments, f'--output={output}', '--clear']) == 0
    said = capsys.readouterr().out
    assert '1 records of 2 photos' in said
    assert 'rejected, blurred: 1' in said
    listed = sources.list_photos([f'folder:{photos}'], rejected=output / 'rejected.tsv')
    assert [photo.file_name for photo in listed] == ['a.png']


def test_a_report_that_is_none(tmp_path):
    photos = write_photos(tmp_path / 'photos', {'a.png': blank()})
    report = tmp_path / 'rejected.tsv'
    with pytest.raises(UserError, match=r'--rejected .*rejected\.tsv: no such file'):
        sources.list_photos([f'folder:{photos}'], rejected=report)
    report.write_text('file\tidentity\n')
    with pytest.raises(UserError, match='columns file and reason'):
        sources.list_photos([f'folder:{photos}'], rejected=report)


# --- What to look at ------------------------------------------------------------------------------


def test_every_reason_has_its_share_among_what_is_looked_at(tmp_path):
    report = tmp_path / 'rejected.tsv'
    rows = [*(f'{number}.png\tblurred: 0.001 < 0.012' for number in range(50))]
    rows += ['x.png\tlooks young: 9.0 < 22 years', 'y.png\tno face', 'z.png\ttiny face: 3 < 32 px']
    report.write_text('\n'.join(['file\treason', *rows]) + '\n')
    drawn = review.sample_rejects(report, 6, seed=0)
    reasons = [reason.split(':')[0] for _, reason in drawn]
    assert reasons == ['blurred'] * 4 + ['looks young', 'tiny face']
    assert drawn == review.sample_rejects(report, 6, seed=0)


def test_a_report_without_a_face_is_refused(tmp_path):
    (tmp_path / 'rejected.tsv').write_text('file\treason\nblank.png\tno face\n')
    with pytest.raises(UserError, match='lists no face'):
        review.sample_rejects(tmp_path / 'rejected.tsv', 10, seed=0)
    with pytest.raises(UserError, match='no such file'):
        review.sample_rejects(tmp_path / 'none.tsv', 10, seed=0)


def test_people_half_of_whose_photos_look_young_go_with_all_of_them(tmp_path):
    names = ['a/1.png', 'a/2.png', 'b/1.png', 'b/2.png', 'b/3.png', 'c.png', 'd.png']
    write_photos(tmp_path / 'photos', dict.fromkeys(names, blank()))
    labels = tmp_path / 'labels.tsv'
    labels.write_text('file\tidentity\n' + ''.join(f'{n}\t{n[0]}\n' for n in names[:5]))
    report = tmp_path / 'rejected.tsv'
    rows = [
        ('a/1.png', f'{sources.LOOKS_YOUNG}: 15.0 < 22 years'),
        ('b/1.png', f'{sources.LOOKS_YOUNG}: 20 < 22'),
    ]
    rows += [('b/2.png', 'blurred: 0.001'), ('c.png', f'{sources.LOOKS_YOUNG}: 12.0 < 22 years')]
    lines = ''.join(f'{tmp_path / "photos" / name}\t{reason}\n' for name, reason in rows)
    report.write_text('file\treason\n' + lines)
    left = sources.list_photos([f'folder:{tmp_path / "photos"}'], labels=labels, rejected=report)
    # A person's two photos, one of them young; another's three; two without a label.
    assert [photo.file_name for photo in left] == ['b/3.png', 'd.png']
