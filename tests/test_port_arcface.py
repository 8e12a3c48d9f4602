"""The port of the original ArcFace file."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from apgan_jax.models.identity import load_identity_encoder
from data_prep import port_arcface


@pytest.fixture
def tflite_file():
    if 'APGAN_DATA' not in os.environ:
        pytest.skip('APGAN_DATA is unset: it would hold weights/mobilefacenet_arcface.tflite')
    return Path(os.environ['APGAN_DATA']) / 'weights' / 'mobilefacenet_arcface.tflite'


def test_the_port_reproduces_the_shipped_file(tflite_file, tmp_path, capsys):
    output = tmp_path / 'ported.safetensors'
    assert port_arcface.main([str(tflite_file), '--output', str(output)]) == 0
    assert 'largest difference from LiteRT' in capsys.readouterr().out
    assert load_identity_encoder(path=output).sha256 == load_identity_encoder().sha256
    with safe_open(output, framework='numpy') as file:
        metadata = json.loads(file.metadata()['identity_encoder'])
    assert metadata['kind'] == 'mobilefacenet'
    assert metadata['licence'] == 'Apache-2.0'
    assert len(metadata['source_sha256']) == 64


def test_a_file_that_disagrees_with_litert_is_not_written(
    tflite_file, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(port_arcface, 'MAX_DIFFERENCE', 0.0)
    assert port_arcface.main([str(tflite_file), '--output', str(tmp_path / 'x')]) == 1
    assert 'differ by' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    'content', [None, b'', b'no flatbuffer at all, but long enough to look at']
)
def test_an_unreadable_file_is_a_one_line_error(content, tmp_path, capsys):
    source = tmp_path / 'source.tflite'
    if content is not None:
        source.write_bytes(content)
    assert port_arcface.main([str(source), '--output', str(tmp_path / 'x')]) == 1
    error = capsys.readouterr().err
    assert error.startswith('error: ') and 'source.tflite' in error
    assert error.count('\n') == 1
    assert not (tmp_path / 'x').exists()


def test_kernels_are_transposed_to_the_layout_of_flax():
    full = np.arange(2 * 3 * 3 * 4).reshape(2, 3, 3, 4)
    assert port_arcface._flax_kernel(full, depthwise=False)[1, 2, 3, 0] == full[0, 1, 2, 3]
    pointwise = np.arange(2 * 4).reshape(2, 1, 1, 4)
    assert port_arcface._flax_kernel(pointwise, depthwise=False)[3, 1] == pointwise[1, 0, 0, 3]
    depthwise = np.arange(9 * 4).reshape(1, 3, 3, 4)
    assert port_arcface._flax_kernel(depthwise, depthwise=True)[1, 2, 0, 3] == depthwise[0, 1, 2, 3]
