"""Swaps of the portrait's variations by a generator with random weights."""

import csv
import itertools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from apgan_jax.data.records import FaceRecord, RecordDataset
from apgan_jax.face import blending
from apgan_jax.face.aligned import align_face
from apgan_jax.face.alignment import CropSpec
from apgan_jax.face.finding import FoundFaces
from apgan_jax.files.image_files import read_image
from apgan_jax.inference.blend import Blend
from apgan_jax.inference.casting import Largest, OneSource
from apgan_jax.inference.frame_swapper import FrameSwapper
from apgan_jax.inference.swap import swap_picture
from apgan_jax.inference.swapper import Swapper
from apgan_jax.provenance import xmp
from data_prep.filtering import ANY_FACE, FaceFilter
from data_prep.sources import Photo, list_photos
from support.faces import blank, write_photos

reverse = pytest.importorskip('data_prep.reverse', exc_type=ImportError)


def photo(person: str, number: int) -> Photo:
    name = f'{person}/{number}.png'
    return Photo(Path(name), name, person)


def photos_of(**counts: int) -> list[Photo]:
    return [photo(person, n) for person, count in counts.items() for n in range(count)]


# --- Which photos, and who they become ------------------------------------------------------------


def test_people_with_one_photo_and_people_nobody_knows_are_of_no_use():
    photos = [*photos_of(ann=2, bob=1, cat=3), Photo(Path('x'), 'x'), Photo(Path('y'), 'y')]
    assert reverse.photos_with_another(photos) == [0, 1, 3, 4, 5]


@pytest.mark.parametrize('photos', [photos_of(ann=1, bob=1), photos_of(ann=4)])
def test_photos_without_a_pair_are_refused(photos):
    with pytest.raises(reverse.UserError, match=r'^\d photos of \d labelled people: .*--labels'):
        reverse.photos_with_another(photos)


def test_all_photos_are_taken_without_a_limit():
    photos = photos_of(ann=3, bob=2)
    assert reverse.draw_photos(photos, [0, 1, 3, 4], None, seed=0) == [0, 1, 3, 4]


def test_a_limit_takes_two_photos_of_each_of_as_many_people_as_can_be():
    photos = photos_of(ann=9, bob=9, cat=9, dan=9)
    drawn = reverse.draw_photos(photos, range(len(photos)), 6, seed=3)
    people = [photos[number].identity for number in drawn]
    assert len(set(people)) == 3
    assert all(people.count(person) == 2 for person in people)
    assert drawn == reverse.draw_photos(photos, range(len(photos)), 6, seed=3)
    assert drawn != reverse.draw_photos(photos, range(len(photos)), 6, seed=4)


def test_strangers_are_other_people_each_as_often():
    photos = [*photos_of(ann=50, bob=2, cat=1), Photo(Path('x'), 'x')]
    strangers = reverse.Strangers(photos, seed=0)
    drawn = [each.identity for each in itertools.islice(strangers.draw(photo('cat', 0)), 400)]
    assert set(drawn) == {'ann', 'bob'}
    assert 160 < drawn.count('bob') < 240


def test_strangers_depend_on_seed_and_photo_alone():
    photos = photos_of(ann=5, bob=5, cat=5)

    def names(seed: int, number: int) -> list[str]:
        draws = reverse.Strangers(photos, seed).draw(photo('ann', number))
        return [each.file_name for each in itertools.islice(draws, 10)]

    assert names(0, 1) == names(0, 1)
    assert names(0, 1) != names(1, 1)
    assert names(0, 1) != names(0, 2)


# --- The data set ---------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def swapper(tiny_bundle_file):
    return Swapper(reverse.load_bundle(tiny_bundle_file))


@pytest.fixture(scope='module')
def photos(built_dataset, tmp_path_factory):
    """The variations; one of somebody who is there once; one of ann without a face."""
    folder = tmp_path_factory.mktemp('more')
    write_photos(folder, {'eve/1.png': blank(), 'ann/9.png': blank()})
    first = list_photos([f'vggface2:{built_dataset.photos}'], exclude=['rejects/*', 'left-out/*'])
    return [*first, *list_photos([f'vggface2:{folder}'])]


@pytest.fixture(scope='module')
def reversed_folder(photos, swapper, tmp_path_factory):
    folder = tmp_path_factory.mktemp('reversed') / 'dataset'
    counts = reverse.build_reverse(
        photos, output=folder, spec=CropSpec(size=64), swapper=swapper, seed=1
    )
    assert counts == {'records': 8, 'no face': 1, 'no other photo of the person': 1}
    return folder


def records_by_name(folder: Path) -> dict[str, FaceRecord]:
    return {record.file_name: record for record in map(FaceRecord.parse, RecordDataset(folder))}


@pytest.fixture(scope='module')
def records(reversed_folder):
    return records_by_name(reversed_folder)


def test_who_was_left_out_is_listed(reversed_folder):
    with open(reversed_folder / 'rejected.tsv', newline='', encoding='utf-8') as file:
        rows = [
            (Path(row['file']).parent.name, row['reason'])
            for row in csv.DictReader(file, dialect='excel-tab')
        ]
    assert sorted(rows) == [('ann', 'no face'), ('eve', 'no other photo of the person')]


def test_the_truth_is_the_record_that_build_makes(records, built_dataset):
    ordinary = records_by_name(built_dataset.folder)
    assert records.keys() == ordinary.keys()
    for name, record in records.items():
        assert record.truth == ordinary[name].image
        assert record.boundary_map == ordinary[name].boundary_map
        for array in ('landmarks', 'five_points', 'crop_from_frame'):
            np.testing.assert_array_equal(getattr(record, array), getattr(ordinary[name], array))
        assert record.identity == name[:3]


def test_the_face_is_another_and_all_about_it_is_the_same(records):
    for record in records.values():
        difference = np.abs(record.decode_image().astype(int) - record.decode_truth()).mean(axis=2)
        mask = blending.face_mask(record.landmarks, 64)
        assert difference[mask > 0.9].mean() > 8
        # JPEG carries what changes through blocks of 16 pixels.
        outside = cv2.dilate(mask, np.ones((5, 5))) == 0
        assert difference[outside].mean() < 2


@pytest.fixture(scope='module')
def task(photos, swapper):
    wanted = next(each for each in photos if each.file_name == 'ann/2.jpg')
    strangers = reverse.Strangers(photos, seed=1)
    with reverse.TaskReader(swapper, strangers, FaceFilter(ANY_FACE)) as reader:
        return reader.read(0, wanted)


def test_a_photo_is_swapped_as_the_product_does_it_but_for_the_detail(task, records, swapper):
    found = FoundFaces([task.face], [])
    casting = OneSource(task.identity, Largest())
    product = FrameSwapper(swapper, casting, batch_size=8, blend=Blend(detail=False))
    expected, _ = swap_picture(read_image(task.photo.path), found, product)
    (swapped,) = reverse.swap_tasks(swapper, [task])
    np.testing.assert_array_equal(swapped, expected)
    # The record, made in a batch with others, is the same but for rounding and JPEG.
    crop = align_face(swapped, task.face.landmarks, CropSpec(size=64)).crop
    assert np.abs(records['ann/2.jpg'].decode_image().astype(int) - crop).mean() < 3


def test_a_swapped_photo_is_untouched_outside_of_the_mask(task, swapper):
    (swapped,) = reverse.swap_tasks(swapper, [task])
    spec = swapper.bundle.crop_spec
    aligned = align_face(task.rgb, task.face.landmarks, spec)
    mask = cv2.dilate(blending.face_mask(aligned.landmarks, spec.size), np.ones((5, 5)))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = task.rgb.shape[1::-1]
    outside = cv2.warpAffine(mask, aligned.crop_from_frame, size, flags=flags) == 0
    assert outside.mean() > 0.3
    np.testing.assert_array_equal(swapped[outside], task.rgb[outside])


def test_every_record_says_that_it_is_synthetic(records, reversed_folder, swapper, tmp_path):
    bundle = swapper.bundle
    assert len(bundle.sha256) == 64
    for record in records.values():
        assert record.made_by == bundle.sha256
    path = tmp_path / 'some.jpg'
    path.write_bytes(record.image)
    assert xmp.declares_synthetic(path)
    metadata = json.loads((reversed_folder / 'metadata.json').read_text())
    assert metadata['synthetic']['bundle_sha256'] == bundle.sha256
    assert RecordDataset(reversed_folder).is_synthetic


def test_records_of_photos_say_nothing_of_the_kind(built_dataset):
    dataset = RecordDataset(built_dataset.folder)
    record = FaceRecord.parse(dataset[0])
    assert (dataset.is_synthetic, record.truth, record.made_by) == (False, None, '')


def test_tfds_reads_a_reversed_data_set(reversed_folder, records):
    tfds = pytest.importorskip('tensorflow_datasets')
    builder = tfds.builder_from_directory(str(reversed_folder))
    skip = {'image': tfds.decode.SkipDecoding(), 'truth': tfds.decode.SkipDecoding()}
    examples = list(tfds.as_numpy(builder.as_dataset(split='train', decoders=skip)))
    assert len(examples) == builder.info.splits['train'].num_examples == 8
    for example in examples:
        record = records[example['file_name'].decode()]
        assert (example['image'], example['truth']) == (record.image, record.truth)
        assert example['made_by'].decode() == record.made_by


def test_the_same_seed_gives_the_same_bytes(photos, swapper, reversed_folder, tmp_path):
    def make(name: str, seed: int) -> list[bytes]:
        folder = tmp_path / name
        reverse.build_reverse(
            photos, output=folder, spec=CropSpec(size=64), swapper=swapper, seed=seed
        )
        return list(RecordDataset(folder))

    assert make('again', 1) == list(RecordDataset(reversed_folder))
    assert make('other', 2) != list(RecordDataset(reversed_folder))


# --- The command ----------------------------------------------------------------------------------


def test_the_command_swaps_as_many_as_asked_for(photos, tiny_bundle_file, tmp_path, capsys):
    source = photos[0].path.parent.parent
    output = tmp_path / 'out'
    arguments = ['--source', f'vggface2:{source}', '--exclude', 'rejects/*', '--size', '32']
    arguments += ['--exclude', 'left-out/*', '--bundle', str(tiny_bundle_file), '--limit', '2']
    assert reverse.main([*arguments, '--output', str(output)]) == 0
    said = capsys.readouterr().out
    assert f'2 records of 8 photos in {output}' in said
    assert 'not taken, for --limit 2: 6' in said
    assert [path.name for path in tmp_path.iterdir()] == ['out']
    records = records_by_name(output).values()
    assert len({record.identity for record in records}) == 1


@pytest.mark.parametrize(
    'more, words',
    [(['--limit', '0'], '--limit 0'), (['--size', '8'], '--size 8'), ([], 'no other')],
)
def test_what_the_command_refuses(tmp_path, capsys, more, words):
    photos = write_photos(tmp_path / 'photos', {'ann/1.png': blank(), 'bob/1.png': blank()})
    arguments = ['--source', f'vggface2:{photos}', '--output', str(tmp_path / 'out'), *more]
    assert reverse.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith('data_prep.reverse: ')
    assert error.count('\n') == 1
    assert words in error or 'two people are needed' in error
    assert [path.name for path in tmp_path.iterdir()] == ['photos']


def test_nothing_is_left_behind_when_no_face_is_found(tmp_path, capsys):
    names = ('ann/1.png', 'ann/2.png', 'bob/1.png')
    photos = write_photos(tmp_path / 'photos', dict.fromkeys(names, blank()))
    arguments = ['--source', f'vggface2:{photos}', '--output', str(tmp_path / 'out')]
    assert reverse.main(arguments) == 1
    error = capsys.readouterr().err
    assert 'Traceback' not in error
    assert '3 photos, none usable' in error.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ['photos']
