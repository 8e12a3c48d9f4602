"""What is drawn to be looked at, and the two pictures of it."""

import numpy as np
import pytest

from apgan_jax.data.example import serialise_example
from apgan_jax.errors import UserError
from apgan_jax.files.image_files import encode_image, read_image
from data_prep import review
from support.faces import head, make_records, write_dataset, write_photos


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


@pytest.fixture
def data_dir(tmp_path):
    """What a build leaves: three records, and a report of two rejects, one a near-duplicate."""
    folder = write_dataset(tmp_path / 'data', make_records(3, str))
    dark = head() // 2
    photos = write_photos(tmp_path / 'photos', {'a.png': head(), 'b.png': dark, 'c.png': dark})
    rows = [
        f'{photos / "a.png"}\tblurred: 0.001 < 0.012',
        f'{photos / "b.png"}\tnear-duplicate: {photos / "c.png"}',
    ]
    (folder / 'rejected.tsv').write_text('\n'.join(['file\treason', *rows]) + '\n')
    return folder


def tiles(sheet):
    """The pictures of a sheet of one row, captions apart, that are not black."""
    assert sheet.shape == (128 + 16, 20 * 128, 3)
    return [tile[:128] for tile in np.split(sheet, 20, axis=1) if tile[:128].any()]


def test_random_records_are_drawn(data_dir):
    # The red of a picture tells its number; a seed chooses.
    drawn = {int(tile[0, 0, 0]) // 8 for tile in tiles(review.draw_kept(data_dir, 2, seed=0))}
    assert len(drawn) == 2
    assert drawn < {0, 1, 2}
    assert len(tiles(review.draw_kept(data_dir, 9, seed=0))) == 3


def test_a_near_duplicate_is_followed_by_the_photo_that_stayed(data_dir):
    bright, dark, stayed = tiles(review.draw_rejects(data_dir, 10, seed=0))
    np.testing.assert_array_equal(dark, stayed)
    assert bright.mean() > 1.8 * dark.mean()


def test_the_command_writes_two_pictures(data_dir, tmp_path, capsys):
    output = tmp_path / 'out'
    assert review.main([str(data_dir), '--output', str(output), '--count', '2']) == 0
    pictures = [output / 'kept.png', output / 'rejects.png']
    assert capsys.readouterr().out.splitlines() == [str(path) for path in pictures]
    np.testing.assert_array_equal(read_image(pictures[0]), review.draw_kept(data_dir, 2, seed=0))


@pytest.fixture
def faces_dir(tmp_path, aligned_head):
    """Two records of the portrait, with the landmarks that occluders are placed by."""
    record = serialise_example(
        {
            'image': encode_image(aligned_head.crop, '.png'),
            'landmarks': aligned_head.landmarks,
            'file_name': b'ann/1.png',
        }
    )
    return write_dataset(tmp_path / 'faces', [record, record], size=128)


def test_what_is_painted_before_faces_is_followed_by_what_it_covers(faces_dir, aligned_head):
    sheet = review.draw_occluders(faces_dir, 2, seed=0)
    first, its_covers, second, other_covers = tiles(sheet)
    for face, covers in ((first, its_covers), (second, other_covers)):
        bare = (covers == 0).all(axis=2)
        assert covers.max() == 255 and bare.any()
        np.testing.assert_array_equal(face[bare], aligned_head.crop[bare])
        assert (face != aligned_head.crop).any()
    assert (its_covers != other_covers).any()
    np.testing.assert_array_equal(sheet, review.draw_occluders(faces_dir, 2, seed=0))


def test_the_command_writes_what_is_painted_before_faces(faces_dir, tmp_path, capsys):
    output = tmp_path / 'out'
    assert review.main([str(faces_dir), '--occluders', '--output', str(output)]) == 0
    assert capsys.readouterr().out.splitlines() == [str(output / 'occluders.jpg')]
    assert [path.name for path in output.iterdir()] == ['occluders.jpg']


def test_the_command_refuses_another_folder_in_one_line(tmp_path, capsys):
    assert review.main([str(tmp_path), '--output', str(tmp_path / 'out')]) == 1
    error = capsys.readouterr().err
    assert error.startswith('data_prep.review: ') and error.count('\n') == 1
    assert not (tmp_path / 'out').exists()
