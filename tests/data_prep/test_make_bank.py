"""Groups of vectors whose likeness is known, and the files that are made of them."""

import jax
import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.files import safetensors_file
from apgan_jax.identity_file import load_identity
from apgan_jax.inference.swapper import Swapper
from data_prep import make_bank
from data_prep.make_bank import EmbeddedFaces, choose_groups, distinct_vectors, write_bank
from support.faces import make_records, write_dataset
from support.identities import random_identity

# Groups of three faces; more than the networks' vectors have directions would be alike.
GROUPS, SIZE = 6, 3


def clusters(dimension=192, *, common=1.0, seed=0):
    """Unit vectors (18, d) of six groups, face by face: 0, 1, … 5, 0, 1, … 5, …

    All have a direction in common, as synthetic faces do.
    """
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(rng.normal(size=(dimension, 1 + GROUPS)))[0].T
    vectors = np.tile(common * directions[:1] + directions[1:], (SIZE, 1))
    vectors += 0.01 * rng.normal(size=vectors.shape)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope='module')
def faces():
    """What both networks say of the same six people, three photos each."""
    identities = [random_identity(seed) for seed in range(GROUPS * SIZE)]
    embeddings = jax.tree.map(lambda *rows: np.concatenate(rows), *identities)
    names = [f'generated/{number}.png' for number in range(GROUPS * SIZE)]
    return EmbeddedFaces(embeddings.replace(vector=clusters()), clusters(128), names)


def test_what_sets_groups_apart_has_nothing_of_what_all_have_in_common():
    vectors = clusters(common=3.0)
    groups = np.arange(GROUPS * SIZE).reshape(SIZE, GROUPS).T
    apart = distinct_vectors(vectors, groups)
    means = vectors[groups].mean(axis=1)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    others = ~np.eye(GROUPS, dtype=bool)
    assert (means @ means.T)[others].min() > 0.85
    # Six directions about their mean are the corners of a simplex.
    np.testing.assert_allclose((apart @ apart.T)[others], -1 / (GROUPS - 1), atol=0.05)
    np.testing.assert_allclose(np.linalg.norm(apart, axis=1), 1, rtol=1e-5)


def test_groups_are_the_planted_ones():
    groups = choose_groups(clusters(), count=GROUPS, size=SIZE, most_alike=0.3)
    assert groups.shape == (GROUPS, SIZE)
    assert sorted(groups.ravel()) == list(range(GROUPS * SIZE))
    assert all(len(set(group % GROUPS)) == 1 for group in groups)


def test_more_groups_than_there_are_unlike_ones_are_refused():
    with pytest.raises(UserError, match='--count 7: only 6 groups are unlike each other'):
        choose_groups(clusters(), count=7, size=SIZE, most_alike=0.3)


def test_a_bank_is_files_that_are_read_back(faces, tiny_bundle, tmp_path, capsys):
    encoder = tiny_bundle.identity_encoder
    lines = write_bank(faces, tmp_path / 'bank', encoder, count=GROUPS, size=SIZE).splitlines()
    files = sorted((tmp_path / 'bank').iterdir())
    assert [path.name for path in files] == [f'{n:02d}.safetensors' for n in range(GROUPS)]
    for path, line in zip(files, lines, strict=True):
        group = [faces.names.index(name) for name in line.split()]
        identity = load_identity(path, encoder)
        # Of its faces it is the direction in which they are unlike all others.
        cosines = np.asarray(faces.embeddings.vector) @ identity.vector[0]
        assert set(np.argsort(-cosines)[:SIZE]) == set(group)
        for stage, feature in faces.embeddings.features.items():
            np.testing.assert_allclose(identity.features[stage][0], feature[group].mean(axis=0))
        tensors, _ = safetensors_file.read(path, 'identity')
        assert set(np.argsort(-faces.sface @ tensors['sface_vector'])[:SIZE]) == set(group)
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(':')[0] for line in said] == ['identity encoder', 'SFace']


def test_a_folder_that_holds_identities_is_refused(faces, tiny_bundle, tmp_path):
    (tmp_path / '00.safetensors').touch()
    with pytest.raises(UserError, match='holds identities already; choose another folder'):
        write_bank(faces, tmp_path, tiny_bundle.identity_encoder, count=2, size=SIZE)


def test_the_records_of_a_prefix_are_embedded_in_batches(tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(make_bank, '_BATCH', 2)
    data = write_dataset(tmp_path / 'data', make_records(5, str, size=64), size=64)
    swapper = Swapper(tiny_bundle)
    faces = make_bank.embed_faces(data, '00', swapper)
    assert faces.names == [f'{number:03d}.png' for number in range(5)]
    assert faces.embeddings.vector.shape == (5, 192)
    assert faces.sface.shape == (5, 128)
    (other,) = make_bank.embed_faces(data, '003', swapper).embeddings.vector
    np.testing.assert_allclose(faces.embeddings.vector[3], other, atol=1e-5)


def test_the_command_refuses_a_prefix_of_nothing_in_one_line(tmp_path, capsys):
    data = write_dataset(tmp_path / 'data', make_records(1, str))
    arguments = ['--data_dir', str(data), '--prefix', 'generated/', '--output', str(tmp_path)]
    assert make_bank.main(arguments) == 1
    expected = f'data_prep.make_bank: --prefix generated/: no record of {data} begins so\n'
    assert capsys.readouterr().err == expected
