"""What earlier versions wrote is still read: files of before the modules moved to where they are.

`tests/old_formats/` holds them, made at commit 91ed040 of the photos of `support.faces`:

    support.faces.build_dataset(FOLDER)
    python -m apgan_jax.main --config=configs/tiny.py --config.data_dir=FOLDER/dataset \
        --workdir=tiny --config.num_steps=4 --config.batch_size=2 --config.checkpoint_every=2 \
        --config.keep_checkpoints=1 --config.log_every=2 --config.evaluation.every=0 \
        --config.generator.widths='(8,8,8,8,8)' --config.generator.pe_hidden=4 \
        --config.generator.id_features=4 --config.discriminator.width=4
"""

import tarfile
from pathlib import Path

import numpy as np
import pytest

from apgan_jax.bundle import load_bundle
from apgan_jax.data.pipeline import open_dataset
from apgan_jax.data.records import FaceRecord
from apgan_jax.face.alignment import CropSpec
from apgan_jax.identity_file import SHIPPED_IDENTITY, bank_files, load_identity
from apgan_jax.inference.swapper import Swapper
from apgan_jax.training.export import export
from apgan_jax.training.train import train_and_evaluate
from configs import tiny

ARCHIVES = Path(__file__).parent / 'old_formats'
SHIPPED_SHA256 = 'cf21c398f0a6'


def unpack(name, folder):
    with tarfile.open(ARCHIVES / f'{name}.tar.xz') as archive:
        archive.extractall(folder, filter='data')
    return folder / name


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    return unpack('dataset', tmp_path_factory.mktemp('old'))


@pytest.fixture
def run(tmp_path):
    return unpack('tiny', tmp_path)


def old_config(dataset):
    config = tiny.get_config()
    config.data_dir = str(dataset)
    config.batch_size = 2
    config.generator.widths = (8, 8, 8, 8, 8)
    config.generator.pe_hidden = config.generator.id_features = 4
    config.discriminator.width = 4
    config.evaluation.every = 0
    config.log_every = 1
    return config


def test_an_old_data_set(dataset):
    records = open_dataset(dataset)
    assert records.crop_spec == CropSpec(size=64)
    faces = [FaceRecord.parse(data) for data in records]
    assert sorted({face.identity for face in faces}) == ['ann', 'bob', 'cat', 'dan']
    for face in faces:
        picture, boundary_map = face.decode_image(), face.decode_boundary_map()
        assert picture.shape == boundary_map.shape == (64, 64, 3)
        # A portrait, with eyes and lips drawn where its landmarks are.
        assert picture.std() > 20
        assert boundary_map.any()
        assert face.landmarks.min() > 0
        assert face.landmarks.max() < 64
        assert face.photo_size is None


def test_an_old_checkpoint_is_exported(run, tmp_path):
    output = tmp_path / 'model.safetensors'
    export(run, output)
    bundle = load_bundle(output)
    assert bundle.model_card['steps'] == 4
    assert bundle.crop_spec == CropSpec(size=64)
    swapper = Swapper(bundle)
    crops = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
    painted = swapper.swap(crops, np.zeros_like(crops), swapper.embed(crops))
    assert painted.pictures.std() > 1
    assert painted.masks.min() == 255


@pytest.mark.slow
def test_an_old_run_goes_on(run, dataset):
    config = old_config(dataset)
    config.num_steps = 5
    state = train_and_evaluate(config, run)
    assert int(state.step) == 5
    assert (run / 'checkpoints' / '5').is_dir()


def test_the_shipped_bundle_and_identities():
    bundle = load_bundle(None)
    assert bundle.sha256.startswith(SHIPPED_SHA256)
    assert bundle.crop_spec == CropSpec(size=128)
    assert bundle.name == 'lite128'
    files = bank_files()
    assert len(files) == 32
    for path in (SHIPPED_IDENTITY, *files):
        identity = load_identity(path, bundle.identity_encoder)
        assert np.linalg.norm(np.asarray(identity.vector)) == pytest.approx(1, abs=1e-4)
