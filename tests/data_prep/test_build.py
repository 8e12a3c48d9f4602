"""The data set of the fixture `built_dataset`, and what the command refuses."""

import csv

import numpy as np
import pytest

from apgan_jax.data.records import FaceRecord, RecordDataset, read_crop_spec
from apgan_jax.face import alignment, boundary, landmarks
from apgan_jax.face.alignment import CropSpec
from support.faces import EYES, blank, portrait, variations, write_photos

build = pytest.importorskip('data_prep.build', exc_type=ImportError)


@pytest.fixture(scope='module')
def dataset(built_dataset):
    return RecordDataset(built_dataset.folder)


@pytest.fixture(scope='module')
def faces_by_name(dataset):
    return {record.file_name: record for record in map(FaceRecord.parse, dataset)}


def test_every_photo_is_counted_once(built_dataset, dataset):
    expected = {'records': 8, 'no face': 1, 'tiny face': 1, 'corrupt or no image': 1}
    assert built_dataset.counts == expected
    assert len(dataset) == 8


def test_the_report_lists_each_reject_with_its_reason(built_dataset):
    with open(built_dataset.folder / 'rejected.tsv', newline='', encoding='utf-8') as file:
        rows = list(csv.reader(file, delimiter='\t'))
    assert rows[0] == ['file', 'reason']
    rejects = built_dataset.photos / 'rejects'
    listed = dict(rows[1:])
    assert len(rows) == 4
    assert listed[str(rejects / 'blank.png')] == 'no face'
    assert listed[str(rejects / 'corrupt.jpg')] == 'corrupt or no image'
    assert listed[str(rejects / 'tiny.png')].startswith('tiny face: ')
    assert listed[str(rejects / 'tiny.png')].endswith(' < 32 px')


def test_labels_and_exclusions_are_honoured(faces_by_name):
    assert faces_by_name.keys() == variations().keys()
    assert all(record.identity == name[:3] for name, record in faces_by_name.items())


def test_the_metadata_carry_the_crop_spec(built_dataset):
    assert read_crop_spec(built_dataset.folder) == CropSpec(size=64)


def test_records_know_what_their_crops_show_of_the_photo(faces_by_name):
    for name, picture in variations().items():
        assert faces_by_name[name].photo_size == picture.shape[:2]


def test_a_data_set_of_faces_from_brow_to_chin(tmp_path):
    photos = write_photos(tmp_path / 'photos', {'a.png': portrait()})
    output = tmp_path / 'out'
    arguments = [f'--source=folder:{photos}', f'--output={output}', '--size=64', '--crop=face-v1']
    assert build.main([*arguments, '--unique']) == 0
    spec = CropSpec.named('face-v1', 64)
    dataset = RecordDataset(output)
    assert dataset.crop_spec == spec
    record = FaceRecord.parse(dataset[0])
    template = np.asarray(spec.template) * 64 - 0.5
    # In this crop the face is larger, and so is what the least squares leave.
    np.testing.assert_allclose(record.five_points, template, atol=3 * 0.82 / 0.72)


def test_nothing_is_left_beside_the_data_set(built_dataset):
    names = {path.name for path in built_dataset.folder.parent.iterdir()}
    assert names == {'photos', 'labels.tsv', 'dataset'}


def test_tfds_reads_the_same(built_dataset, faces_by_name):
    tfds = pytest.importorskip('tensorflow_datasets')
    builder = tfds.builder_from_directory(str(built_dataset.folder))
    assert builder.info.splits['train'].num_examples == 8
    names = set()
    for example in tfds.as_numpy(builder.as_dataset(split='train')):
        record = faces_by_name[example['file_name'].decode()]
        names.add(record.file_name)
        # TensorFlow's JPEG decoder interpolates the colours in another way.
        image = record.decode_image()
        assert np.abs(example['image'].astype(int) - image).mean() < 2
        np.testing.assert_array_equal(example['boundary_map'], record.decode_boundary_map())
        for name in ('landmarks', 'five_points', 'crop_from_frame', 'photo_size'):
            np.testing.assert_array_equal(example[name], getattr(record, name))
        assert example['identity'].decode() == record.identity
    assert names == faces_by_name.keys()


def test_tfds_holds_the_very_bytes(built_dataset, faces_by_name):
    tfds = pytest.importorskip('tensorflow_datasets')
    builder = tfds.builder_from_directory(str(built_dataset.folder))
    skip = {'image': tfds.decode.SkipDecoding()}
    for example in tfds.as_numpy(builder.as_dataset(split='train', decoders=skip)):
        assert example['image'] == faces_by_name[example['file_name'].decode()].image


def test_geometry_of_a_record(faces_by_name):
    record = faces_by_name['ann/1.png']
    assert record.decode_image().shape == (64, 64, 3)
    eyes = alignment.transform_points(record.crop_from_frame, np.array(EYES, float))
    np.testing.assert_allclose(eyes, record.five_points[:2], atol=2)
    np.testing.assert_allclose(
        landmarks.five_points(record.landmarks), record.five_points, atol=1e-4
    )
    # The least squares leave the five points within a few pixels of the template.
    template = np.asarray(CropSpec(size=64).template) * 64 - 0.5
    np.testing.assert_allclose(record.five_points, template, atol=3)
    crop = alignment.warp_to_crop(portrait(), record.crop_from_frame.astype(float), 64)
    # JPEG at quality 95 stands between.
    assert np.abs(record.decode_image().astype(int) - crop).mean() < 3


def test_the_boundary_map_is_that_of_the_landmarks(faces_by_name):
    for record in faces_by_name.values():
        np.testing.assert_array_equal(
            record.decode_boundary_map(), boundary.draw_boundary_map(record.landmarks, 64)
        )


def test_the_same_face_lands_in_the_same_place(faces_by_name):
    """A photo of another size, of another crop and mirrored: aligned, they are all alike."""
    expected = faces_by_name['ann/1.png'].decode_image().astype(float)
    for name, flipped in (('ann/2.jpg', False), ('dan/1.png', False), ('bob/2.png', True)):
        image = faces_by_name[name].decode_image().astype(float)
        image = image[:, ::-1] if flipped else image
        centre = (slice(16, 56), slice(12, 52))
        assert np.abs(image[centre] - expected[centre]).mean() < 12, name


# --- What is refused ------------------------------------------------------------------------------


def assert_refused(capsys, arguments, *values):
    assert build.main([str(argument) for argument in arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith('data_prep.build: ')
    assert error.count('\n') == 1
    for value in values:
        assert str(value) in error


def test_an_unknown_kind_of_source(tmp_path, capsys):
    arguments = ['--source', f'zip:{tmp_path}', '--output', tmp_path / 'out']
    assert_refused(capsys, arguments, f'zip:{tmp_path}', 'folder', 'vggface2')


def test_a_source_without_a_kind(tmp_path, capsys):
    assert_refused(capsys, ['--source', 'photos', '--output', tmp_path / 'out'], 'photos', 'KIND')


def test_a_missing_folder(tmp_path, capsys):
    missing = tmp_path / 'none'
    arguments = ['--source', f'folder:{missing}', '--output', tmp_path / 'out']
    assert_refused(capsys, arguments, missing, 'no folder')


def test_a_folder_without_photos(tmp_path, capsys):
    (tmp_path / 'photos').mkdir()
    (tmp_path / 'photos' / 'notes.txt').write_text('none')
    arguments = ['--source', f'folder:{tmp_path / "photos"}', '--output', tmp_path / 'out']
    assert_refused(capsys, arguments, 'no photo found', '.jpg')


@pytest.mark.parametrize(
    'content, value',
    [
        (None, 'no such file'),
        ('file,identity\na.png,ann\n', 'tab-separated'),
        ('', 'header'),
        ('file\tperson\na.png\tann\n', 'identity'),
        ('file\tidentity\na.png\n', 'identity'),
        (b'file\tidentity\n\xff\xfe.png\tann\n', 'labels.tsv'),
    ],
)
def test_malformed_labels(tmp_path, capsys, content, value):
    write_photos(tmp_path / 'photos', {'a.png': blank()})
    labels = tmp_path / 'labels.tsv'
    if content is not None:
        labels.write_bytes(content if isinstance(content, bytes) else content.encode())
    arguments = ['--source', f'folder:{tmp_path / "photos"}', '--labels', labels]
    assert_refused(capsys, [*arguments, '--output', tmp_path / 'out'], labels, value)
    assert not (tmp_path / 'out').exists()


def test_an_output_that_exists(tmp_path, capsys):
    photos = write_photos(tmp_path / 'photos', {'a.png': blank()})
    (tmp_path / 'out').mkdir()
    arguments = ['--source', f'folder:{photos}', '--output', tmp_path / 'out']
    assert_refused(capsys, arguments, tmp_path / 'out', 'exists already')
    assert list((tmp_path / 'out').iterdir()) == []


def test_a_crop_that_there_is_not(tmp_path, capsys):
    photos = write_photos(tmp_path / 'photos', {'a.png': blank()})
    arguments = ['--source', f'folder:{photos}', '--output', tmp_path / 'out', '--crop', 'neck']
    assert_refused(capsys, arguments, "'neck'", 'head-v1', 'face-v1')


def test_crops_that_are_too_small(tmp_path, capsys):
    photos = write_photos(tmp_path / 'photos', {'a.png': blank()})
    arguments = ['--source', f'folder:{photos}', '--output', tmp_path / 'out', '--size', '8']
    assert_refused(capsys, arguments, '--size 8')


def test_nothing_is_left_behind_when_no_photo_is_usable(tmp_path, capsys):
    photos = write_photos(tmp_path / 'photos', {'a.png': blank()})
    assert build.main(['--source', f'folder:{photos}', '--output', str(tmp_path / 'out')]) == 1
    # TFDS has shown its progress before.
    error = capsys.readouterr().err
    assert 'Traceback' not in error
    assert '1 photos, none usable' in error.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ['photos']
