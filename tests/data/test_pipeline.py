import dataclasses
import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from apgan_jax.data.augmentation import SourceJitter
from apgan_jax.data.pipeline import (
    PairOptions,
    PairSampler,
    index_of,
    open_dataset,
    training_batches,
)
from apgan_jax.data.records import FaceRecord
from apgan_jax.errors import UserError
from apgan_jax.face import boundary
from apgan_jax.face.blending import outline_mask
from apgan_jax.files.image_files import encode_image
from support.faces import make_records, numbered_picture, oval_landmarks, write_dataset


def three_people(number):
    return f'person {number % 3}'


def number_of(picture):
    return int(picture[0, 0, 0]) // 8


def is_mirrored(picture):
    return picture[0, 0, 2] > picture[0, -1, 2]


@pytest.fixture
def dataset(tmp_path):
    return open_dataset(write_dataset(tmp_path / 'data', make_records(12, three_people)))


def batches_of(dataset, *, seed=0, batch_size=4, options=None, **kwargs):
    options = options or PairOptions()
    return training_batches(dataset, batch_size=batch_size, seed=seed, options=options, **kwargs)


def pairs_of(dataset, count, **kwargs):
    """The first `count` pairs, one at a time."""
    pairs = itertools.islice(batches_of(dataset, batch_size=1, **kwargs), count)
    return [{name: value[0] for name, value in pair.items()} for pair in pairs]


def target_numbers(pairs):
    return [number_of(pair['target']) for pair in pairs]


def test_shapes_and_dtypes(dataset):
    batch = next(batches_of(dataset))
    assert {name: (value.shape, value.dtype) for name, value in batch.items()} == {
        'source': ((4, 16, 16, 3), np.uint8),
        'target': ((4, 16, 16, 3), np.uint8),
        'boundary_map': ((4, 16, 16, 3), np.uint8),
        'same_image': ((4,), np.bool_),
    }


def test_the_seed_decides(dataset):
    first, again, other = (
        list(itertools.islice(batches_of(dataset, seed=seed), 6)) for seed in (1, 1, 2)
    )
    for batch, same in zip(first, again, strict=True):
        for name in batch:
            np.testing.assert_array_equal(batch[name], same[name])
    assert any(
        (batch['target'] != different['target']).any()
        for batch, different in zip(first, other, strict=True)
    )


def test_every_record_is_a_target_once_an_epoch_in_another_order(dataset):
    numbers = target_numbers(pairs_of(dataset, 36))
    epochs = [numbers[:12], numbers[12:24], numbers[24:]]
    assert [sorted(epoch) for epoch in epochs] == [list(range(12))] * 3
    assert epochs[0] != epochs[1] != epochs[2]


@pytest.mark.parametrize('count', [2, 3, 5])
def test_shards_share_out_each_epoch(dataset, count):
    """Also where the number of records (12) is no multiple of the number of shards (5)."""
    shards = [target_numbers(pairs_of(dataset, 24, shard=(index, count))) for index in range(count)]
    taken_in_turn = list(itertools.chain(*zip(*shards, strict=True)))
    for epoch in range(2):
        assert sorted(taken_in_turn[12 * epoch : 12 * (epoch + 1)]) == list(range(12))


def test_one_shard_is_the_whole(dataset):
    assert target_numbers(pairs_of(dataset, 12)) == target_numbers(
        pairs_of(dataset, 12, shard=(0, 1))
    )


def test_the_share_of_same_images(dataset):
    pairs = pairs_of(dataset, 600)
    same = np.array([pair['same_image'] for pair in pairs])
    # Five standard deviations of a share of 0.2.
    assert abs(same.mean() - 0.2) < 5 * (0.2 * 0.8 / 600) ** 0.5
    for pair in pairs:
        if pair['same_image']:
            np.testing.assert_array_equal(pair['source'], pair['target'])


@pytest.mark.parametrize('share', [0.0, 1.0])
def test_none_or_all_are_same_images(dataset, share):
    pairs = pairs_of(dataset, 40, options=PairOptions(same_image_share=share))
    assert {bool(pair['same_image']) for pair in pairs} == {share == 1.0}


def test_different_images_show_different_people(dataset):
    for pair in pairs_of(dataset, 300):
        if not pair['same_image']:
            people = {three_people(number_of(pair[name])) for name in ('source', 'target')}
            assert len(people) == 2


def test_pictures_are_mirrored_with_their_maps(dataset):
    stored = FaceRecord.parse(dataset[0]).decode_boundary_map()
    pairs = pairs_of(dataset, 200)
    mirrored = [is_mirrored(pair['target']) for pair in pairs]
    assert 0.3 < np.mean(mirrored) < 0.7
    for pair, flipped in zip(pairs, mirrored, strict=True):
        picture = numbered_picture(number_of(pair['target']))
        np.testing.assert_array_equal(pair['target'], picture[:, ::-1] if flipped else picture)
        expected = boundary.mirror(stored) if flipped else stored
        np.testing.assert_array_equal(pair['boundary_map'], expected)
    sides = {
        (bool(flipped), bool(is_mirrored(pair['source'])))
        for pair, flipped in zip(pairs, mirrored, strict=True)
    }
    assert len(sides) == 4


def test_nothing_is_mirrored_where_it_is_off(dataset):
    for pair in pairs_of(dataset, 40, options=PairOptions(mirror=False)):
        assert not is_mirrored(pair['source'])
        assert not is_mirrored(pair['target'])


def test_a_restored_iterator_goes_on_alike(dataset):
    iterator = batches_of(dataset, batch_size=5)
    for _ in range(3):
        next(iterator)
    state = iterator.get_state()
    expected = [next(iterator) for _ in range(4)]
    restored = batches_of(dataset, batch_size=5)
    restored.set_state(state)
    for batch in expected:
        for name, value in next(restored).items():
            np.testing.assert_array_equal(value, batch[name])


@pytest.mark.parametrize('num_threads, prefetch', [(1, 1), (4, 8)])
def test_threads_change_nothing(dataset, num_threads, prefetch):
    expected = next(batches_of(dataset, seed=3))
    batch = next(batches_of(dataset, seed=3, num_threads=num_threads, prefetch=prefetch))
    for name, value in expected.items():
        np.testing.assert_array_equal(batch[name], value)


def test_records_without_labels_count_as_different_people(tmp_path):
    dataset = open_dataset(write_dataset(tmp_path / 'data', make_records(4, lambda _: '')))
    for pair in pairs_of(dataset, 60):
        same_number = number_of(pair['source']) == number_of(pair['target'])
        assert same_number == pair['same_image']


def test_a_single_record_and_a_single_person_do_not_hang(tmp_path):
    one = open_dataset(write_dataset(tmp_path / 'one', make_records(1, str)))
    assert target_numbers(pairs_of(one, 10)) == [0] * 10
    alone = open_dataset(write_dataset(tmp_path / 'alone', make_records(3, lambda _: 'ann')))
    assert len(pairs_of(alone, 10)) == 10


def test_the_only_other_person_is_found(tmp_path):
    """One photo of 32: 16 draws miss it more often than not."""
    people = lambda number: 'bob' if number == 17 else 'ann'  # noqa: E731
    dataset = open_dataset(write_dataset(tmp_path / 'data', make_records(32, people)))
    for pair in pairs_of(dataset, 64, options=PairOptions(same_image_share=0.0)):
        assert not pair['same_image']
        assert people(number_of(pair['source'])) != people(number_of(pair['target']))


def test_threads_draw_an_epoch_once(dataset, monkeypatch):
    calls, draw = [], PairSampler._draw_epoch

    def slow_draw(self, number):
        calls.append(number)
        time.sleep(0.05)
        return draw(self, number)

    monkeypatch.setattr(PairSampler, '_draw_epoch', slow_draw)
    sampler = PairSampler(dataset, PairOptions(), 0, 0.01)
    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(sampler._epoch, [0] * 4)
    assert calls == [0]
    assert all(other is first for other in others)


def person_of(picture):
    return three_people(number_of(picture))


def test_the_share_of_same_identities(dataset):
    options = PairOptions(same_image_share=0.2, same_identity_share=0.5)
    kinds = []
    for pair in pairs_of(dataset, 600, options=options):
        same_person = person_of(pair['source']) == person_of(pair['target'])
        if pair['same_image']:
            kinds.append('image')
        else:
            assert number_of(pair['source']) != number_of(pair['target'])
            kinds.append('person' if same_person else 'other')
    shares = [kinds.count(kind) / 600 for kind in ('image', 'person', 'other')]
    np.testing.assert_allclose(shares, [0.2, 0.5, 0.3], atol=5 * (0.25 / 600) ** 0.5)


def test_somebody_with_one_photo_gets_somebody_else(tmp_path):
    dataset = open_dataset(write_dataset(tmp_path / 'data', make_records(5, str)))
    options = PairOptions(same_image_share=0.0, same_identity_share=1.0)
    for pair in pairs_of(dataset, 30, options=options):
        assert number_of(pair['source']) != number_of(pair['target'])


@pytest.mark.parametrize('shares', [(-0.1, 0.0), (0.6, 0.5)])
def test_impossible_shares_are_refused(shares):
    with pytest.raises(UserError, match='must be 0 or more, 1 or less together'):
        PairOptions(same_image_share=shares[0], same_identity_share=shares[1])


def test_only_the_source_is_jittered(dataset):
    options = PairOptions(same_image_share=1.0, source_jitter=SourceJitter(brightness=0.5))
    plain = pairs_of(dataset, 20, options=PairOptions(same_image_share=1.0))
    jittered = pairs_of(dataset, 20, options=options)
    for before, after in zip(plain, jittered, strict=True):
        for name in ('target', 'boundary_map', 'same_image'):
            np.testing.assert_array_equal(after[name], before[name])
    assert any((a['source'] != b['source']).any() for a, b in zip(plain, jittered, strict=True))


def test_pairs_do_not_depend_on_the_number_of_processes_or_the_batch(dataset):
    whole = pairs_of(dataset, 24)
    shards = [
        itertools.islice(batches_of(dataset, batch_size=3, shard=(index, 2)), 4)
        for index in range(2)
    ]
    parts = [
        [{name: value[k] for name, value in batch.items()} for batch in shard for k in range(3)]
        for shard in shards
    ]
    for pair, other in zip(whole, itertools.chain(*zip(*parts, strict=True)), strict=True):
        for name, value in pair.items():
            np.testing.assert_array_equal(other[name], value)


def damage(dataset, number):
    """Flips a bit inside the data of a record."""
    path, offset = dataset.place(number)
    data = bytearray(path.read_bytes())
    data[offset + 100] ^= 1
    path.write_bytes(data)
    return path, offset


def test_a_corrupt_record_is_skipped_named_and_counted(dataset, caplog):
    path, offset = damage(dataset, 5)
    numbers = target_numbers(pairs_of(dataset, 36))
    assert 5 not in numbers
    # The others keep their places: only the damaged one is replaced.
    assert set(numbers[:12]) == set(range(12)) - {5}
    corrupt = dataset.corrupt
    assert corrupt.places == {(path, offset)}
    assert 3 <= corrupt.num_skipped < corrupt.num_read
    # Once, however often it is met.
    (line,) = [message for message in caplog.messages if 'corrupt' in message]
    assert line.startswith(f'{path}: skipping the corrupt record at byte {offset}: ')


def test_the_rest_of_a_batch_is_what_it_was(dataset):
    before = pairs_of(dataset, 12, options=PairOptions(same_image_share=1.0))
    damage(dataset, 5)
    after = pairs_of(dataset, 12, options=PairOptions(same_image_share=1.0))
    for pair, other in zip(before, after, strict=True):
        if number_of(pair['target']) != 5:
            np.testing.assert_array_equal(other['source'], pair['source'])


def test_too_many_corrupt_records_stop_the_run(dataset):
    path, _ = damage(dataset, 5)
    batches = batches_of(dataset, max_corrupt_share=0.02)
    with pytest.raises(UserError, match=rf'max_corrupt_share=0\.02, the last at byte .*{path}'):
        for _ in range(1_000):
            next(batches)
    assert dataset.corrupt.num_read >= dataset.corrupt.MIN_READ


def test_nothing_but_corrupt_records_stops_at_once(dataset):
    for number in range(12):
        damage(dataset, number)
    with pytest.raises(UserError, match='16 records in a row are corrupt'):
        next(batches_of(dataset))


def test_a_picture_of_another_size_is_corrupt(tmp_path):
    serialised = [*make_records(6, str), *make_records(1, str, size=32)]
    dataset = open_dataset(write_dataset(tmp_path / 'data', serialised))
    pairs_of(dataset, 14)
    assert dataset.corrupt.places == {dataset.place(6)}


SIZE = 32
TRUTHS = PairOptions(truths=True, mirror=False)


def with_faces(folder, count=12, **arguments):
    arguments = {'points': lambda number: oval_landmarks(SIZE)} | arguments
    records = make_records(count, three_people, SIZE, **arguments)
    return open_dataset(write_dataset(folder, records, SIZE))


@pytest.fixture
def faces(tmp_path):
    return with_faces(tmp_path / 'faces')


def changed(**fields):
    return dataclasses.replace(TRUTHS, **fields)


def test_what_a_batch_has_with_truths(faces):
    batch = next(batches_of(faces, options=changed(most_shift=2)))
    shapes = {name: (value.shape, value.dtype) for name, value in batch.items()}
    assert shapes['truth'] == ((4, SIZE, SIZE, 3), np.uint8)
    assert shapes['mask'] == ((4, SIZE, SIZE), np.uint8)
    assert shapes['has_truth'] == ((4,), np.bool_)
    assert shapes['offsets'] == ((4, 2), np.int32)


def test_truths_change_nothing_else(faces):
    """A run that asks for them has the pairs that it had without."""
    plain = pairs_of(faces, 24, options=PairOptions())
    with_truths = pairs_of(faces, 24, options=changed(mirror=True))
    for pair, with_truth in zip(plain, with_truths, strict=True):
        for name, value in pair.items():
            np.testing.assert_array_equal(with_truth[name], value)


def test_the_truth_is_the_target_where_one_person_is_asked_for(faces):
    options = changed(same_image_share=0.3, same_identity_share=0.3)
    pairs = pairs_of(faces, 96, options=options)
    same_person = [number_of(pair['source']) % 3 == number_of(pair['target']) % 3 for pair in pairs]
    np.testing.assert_array_equal([pair['has_truth'] for pair in pairs], same_person)
    assert 40 < sum(same_person) < 80
    for pair in pairs:
        np.testing.assert_array_equal(pair['truth'], pair['target'])


def test_the_mask_is_the_faces_outline_and_is_mirrored_with_the_target(tmp_path):
    def beside(number):
        return oval_landmarks(SIZE) - np.float32([6, 0])

    dataset = with_faces(tmp_path / 'beside', points=beside)
    expected = np.rint(255 * outline_mask(beside(0), SIZE))
    pairs = pairs_of(dataset, 24, options=changed(mirror=True))
    for pair in pairs:
        mask = expected[:, ::-1] if is_mirrored(pair['target']) else expected
        np.testing.assert_array_equal(pair['mask'], mask)
    assert len({is_mirrored(pair['target']) for pair in pairs}) == 2


def test_the_mask_is_closed_outside_of_the_photo(tmp_path):
    dataset = with_faces(
        tmp_path / 'cut', more=lambda number: {'photo_size': np.float32([20, SIZE])}
    )
    mask = pairs_of(dataset, 1, options=TRUTHS)[0]['mask']
    assert not mask[21:].any() and mask[18, SIZE // 2] == 255


def test_occluders_are_on_target_and_truth_and_close_the_mask(faces):
    plain = pairs_of(faces, 24, options=TRUTHS)
    painted = pairs_of(faces, 24, options=changed(occluder_share=1.0))
    for before, after in zip(plain, painted, strict=True):
        np.testing.assert_array_equal(after['source'], before['source'])
        np.testing.assert_array_equal(after['truth'], after['target'])
        touched = (after['target'] != before['target']).any(axis=-1)
        assert touched.any()
        # A face's own pixels, left as they were, are still to be painted over.
        assert (after['mask'] <= before['mask']).all()
    closed = [(a['mask'] < b['mask']).mean() for a, b in zip(painted, plain, strict=True)]
    assert np.mean(closed) > 0.02
    again = pairs_of(faces, 24, options=changed(occluder_share=1.0))
    for one, other in zip(painted, again, strict=True):
        np.testing.assert_array_equal(one['target'], other['target'])


def test_the_share_of_occluders(faces):
    plain = pairs_of(faces, 96, options=TRUTHS)
    some = pairs_of(faces, 96, options=changed(occluder_share=0.25))
    share = np.mean([(a['target'] != b['target']).any() for a, b in zip(some, plain, strict=True)])
    assert 0.1 < share < 0.4


def test_turned_heads_come_more_often(tmp_path):
    dataset = with_faces(
        tmp_path / 'turned', points=lambda number: oval_landmarks(SIZE, turned=number == 5)
    )
    assert index_of(dataset).turned.tolist() == [5]
    pairs = pairs_of(dataset, 96, options=changed(turned_share=0.5))
    share = np.mean([number_of(pair['target']) == 5 for pair in pairs])
    assert 0.4 < share < 0.7


@pytest.fixture
def reverse(tmp_path):
    """Swapped photos 0 to 5: picture and truth tell the number, the truth is brighter."""

    def truth(number):
        picture = numbered_picture(number, SIZE) + np.uint8([0, 90, 0])
        return {'truth': encode_image(picture, '.png'), 'made_by': b'lite'}

    return with_faces(tmp_path / 'reverse', count=6, more=truth)


def test_a_reversed_pair_has_the_photo_as_its_truth(faces, reverse):
    options = changed(same_image_share=0.0, reverse_share=1.0)
    for pair in pairs_of(faces, 48, options=options, reverse=reverse):
        source, target = number_of(pair['source']), number_of(pair['target'])
        assert source % 3 == target % 3 and source != target
        assert pair['has_truth'] and not pair['same_image']
        np.testing.assert_array_equal(pair['truth'], pair['target'] + np.uint8([0, 90, 0]))


def test_the_share_of_reversed_pairs(faces, reverse):
    options = changed(reverse_share=0.3)
    pairs = pairs_of(faces, 120, options=options, reverse=reverse)
    share = np.mean([(pair['truth'] != pair['target']).any() for pair in pairs])
    assert 0.2 < share < 0.4


def test_an_iterator_with_everything_goes_on_alike(faces, reverse):
    options = changed(
        mirror=True,
        reverse_share=0.3,
        occluder_share=0.4,
        turned_share=0.2,
        most_shift=2,
        source_jitter=SourceJitter(brightness=0.2, shift=0.1),
    )
    first = batches_of(faces, options=options, reverse=reverse)
    for _ in range(5):
        next(first)
    state = first.get_state()
    expected = [next(first) for _ in range(4)]
    again = batches_of(faces, options=options, reverse=reverse, num_threads=2)
    again.set_state(state)
    for batch in expected:
        for name, value in next(again).items():
            np.testing.assert_array_equal(value, batch[name])
