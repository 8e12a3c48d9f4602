"""Files that others made, damaged in every way: one line for the user, or a sound result."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apgan_jax.assets import asset
from apgan_jax.bundle import (
    Bundle,
    load_bundle,
    load_discriminator,
    read_model_card,
    save_bundle,
    save_discriminator,
)
from apgan_jax.data.records import FaceRecord, RecordDataset
from apgan_jax.data.tfrecord import CorruptRecordError
from apgan_jax.errors import UserError
from apgan_jax.face.alignment import CropSpec
from apgan_jax.identity_file import SHIPPED_IDENTITY, load_identity
from apgan_jax.inference.casting import read_map
from apgan_jax.models.generator import Generator
from apgan_jax.models.identity import embedding_shapes, load_identity_encoder
from apgan_jax.networks.adapters import Adapter
from apgan_jax.video.segments import Segment, SegmentFolder
from data_prep.sources import read_labels
from support.faces import make_records, write_dataset
from support.mutations import damaged

JOB = {'target': {'bytes': 3, 'end': None}, 'job': {'faces': ['left', 2]}}
MAP = """# who becomes whom
[[person]]
like = "anna.jpg"
source = ["x.jpg", "y.jpg"]
[[person]]
like = "ben.jpg"
source = "who.safetensors"
"""
ADAPTER = """file = "net.onnx"
kind = "pose"
size = [224, 224]
mean = [123.675, 116.28, 103.53]
scale = 0.017
output = [0, 1, 2]
margin = 0.2
columns = [0, 66]
"""
CARD = {'name': 'mine', 'steps': 3, 'metrics': {'ssim': 0.8, 'k': [1, 2]}}
ENCODER = load_identity_encoder()


def write_bundle(folder: Path) -> None:
    generator = Generator(
        size=8,
        widths=(2, 2),
        id_resolutions=(4,),
        pe_resolutions=(8,),
        skip_resolutions=(8,),
        pe_hidden=2,
        id_features=2,
    )
    picture = np.zeros((1, 8, 8, 3), np.float32)
    identity = embedding_shapes(ENCODER.kind)
    shapes = jax.eval_shape(generator.init, jax.random.key(0), picture, picture, identity)
    params = jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), shapes['params'])
    bundle = Bundle(generator, params, ENCODER, CropSpec(size=8), CARD)
    save_bundle(folder / 'b.safetensors', bundle)


def write_job(folder: Path) -> None:
    job = SegmentFolder(folder, JOB, resume=False)
    numbers = np.arange(3, dtype=np.int64)
    sizes = np.full(3, 2, np.int64)
    notes = {'tracks': [{'points': np.zeros((2, 2), np.float32)}], 'next': 3}
    for _ in range(2):
        packets = np.zeros(6, np.uint8)
        job.save(Segment(numbers, numbers, sizes, numbers == 0, packets, 3, notes))


def write_discriminator(folder: Path) -> None:
    params = {'scale_0': {'kernel': np.ones((2, 2), np.float32)}}
    save_discriminator(folder / 'd.safetensors', params, {'scale_0/kernel': np.ones(2)})


def read_bundle(folder: Path) -> None:
    bundle = load_bundle(folder / 'b.safetensors')
    for tree in (bundle.generator_params, bundle.identity_encoder.params):
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))


def read_identity(folder: Path) -> None:
    identity = load_identity(folder / 'i.safetensors', ENCODER)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(identity))
    assert np.linalg.norm(identity.vector) > 0


def read_dataset(folder: Path) -> None:
    for data in RecordDataset(folder / 'set'):
        record = FaceRecord.parse(data)
        assert np.isfinite(record.landmarks).all()
        assert np.isfinite(record.crop_from_frame).all()
        assert record.decode_image().ndim == record.decode_boundary_map().ndim == 3
        assert isinstance(record.file_name + record.identity, str)


def read_job(folder: Path) -> None:
    for segment in SegmentFolder(folder, JOB, resume=True).load():
        assert len(list(segment.split())) == len(segment.pts)


class Kind(NamedTuple):
    """Writes good files to a folder, and reads what has become of them."""

    write: Callable[[Path], Any]
    read: Callable[[Path], Any]


def _text(name: str, content: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_text(content)


def _copy(name: str, origin: Path) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes(origin.read_bytes())


KINDS = {
    'bundle': Kind(write_bundle, read_bundle),
    'discriminator': Kind(
        write_discriminator, lambda folder: load_discriminator(folder / 'd.safetensors')
    ),
    'encoder': Kind(
        _copy('e.safetensors', asset('mobilefacenet_arcface.safetensors')),
        lambda folder: load_identity_encoder('mobilefacenet', folder / 'e.safetensors'),
    ),
    'identity': Kind(_copy('i.safetensors', SHIPPED_IDENTITY), read_identity),
    'data set': Kind(
        lambda folder: write_dataset(folder / 'set', make_records(3, str)), read_dataset
    ),
    'job': Kind(write_job, read_job),
    'map': Kind(_text('m.toml', MAP), lambda folder: read_map(folder / 'm.toml')),
    'adapter': Kind(_text('a.toml', ADAPTER), lambda folder: Adapter.read(folder / 'a.toml')),
    'labels': Kind(
        _text('l.tsv', 'file\tidentity\na.jpg\tann\nb.jpg\tben\n'),
        lambda folder: read_labels(folder / 'l.tsv'),
    ),
    'card': Kind(
        _text('c.json', json.dumps(CARD)), lambda folder: read_model_card(folder / 'c.json')
    ),
}


def assert_one_line_or_success(read: Callable[[Path], Any], folder: Path) -> None:
    try:
        read(folder)
    except UserError as error:
        message = str(error)
        assert message.isprintable()
        assert len(message) < 1500
    # Of single records, which are skipped and counted, see `CorruptRecords`.
    except CorruptRecordError:
        assert read is read_dataset


def damage_and_read(kind: Kind, folder: Path, examples: int, *, is_same: bool) -> None:
    """Damages one file at a time, so many times."""
    kind.write(folder)
    kind.read(folder)
    good = {path: path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=is_same,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def check(data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(sorted(good)))
        path.write_bytes(data.draw(damaged(path.name, good[path])))
        try:
            assert_one_line_or_success(kind.read, folder)
        finally:
            path.write_bytes(good[path])

    check()


@pytest.mark.parametrize('name', KINDS)
def test_damaged_files_end_in_one_line_or_a_sound_result(tmp_path, name):
    damage_and_read(KINDS[name], tmp_path, 100, is_same=True)


@pytest.mark.slow
@pytest.mark.parametrize('name', KINDS)
def test_thousands_of_damaged_files_end_in_one_line_or_a_sound_result(tmp_path, name):
    damage_and_read(KINDS[name], tmp_path, 2000, is_same=False)
