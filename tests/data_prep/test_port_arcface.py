"""The port of the original ArcFace file."""

import json
import os
from pathlib import Path

import onnx
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from apgan_jax.models.identity import load_identity_encoder
from data_prep import port_arcface
from support.arcface_files import SMALL, iresnet_onnx


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


@pytest.mark.parametrize(
    ('kind', 'name', 'remedy'),
    [
        ('mobilefacenet', 'a.onnx', 'mobilefacenet is read from .tflite'),
        ('sface', 'a.pth', 'sface is read from .onnx'),
        ('iresnet50', 'a.tflite', 'iresnet50 is read from .onnx, .pth, .pt, .safetensors'),
        ('iresnet50', 'none.pth', 'none.pth does not exist'),
        ('iresnet50', 'a.onnx', 'a.onnx is not a readable ONNX file'),
        ('iresnet50', 'a.pth', 'a.pth is no zip archive'),
        ('iresnet50', 'a.safetensors', 'a.safetensors is not a safetensors file'),
    ],
)
def test_a_file_of_the_wrong_format_is_a_one_line_error(kind, name, remedy, tmp_path, capsys):
    if not name.startswith('none'):
        (tmp_path / name).write_bytes(b'nothing that any of them reads')
    arguments = [str(tmp_path / name), '--kind', kind, '--output', str(tmp_path / 'x')]
    assert port_arcface.main(arguments) == 1
    error = capsys.readouterr().err
    assert remedy in error and error.count('\n') == 1
    assert not (tmp_path / 'x').exists()


def test_an_onnx_file_that_differs_is_refused_with_the_list(state, tmp_path, capsys):
    onnx.save(iresnet_onnx(SMALL, state, fused=True), tmp_path / 'small.onnx')
    arguments = [str(tmp_path / 'small.onnx'), '--kind', 'iresnet18', '--output']
    assert port_arcface.main([*arguments, str(tmp_path / 'x')]) == 1
    error = capsys.readouterr().err
    assert error.count('missing') == 16 and error.count('\n') == 1  # four layers a block
    assert not (tmp_path / 'x').exists()


def test_a_state_dict_that_differs_is_refused_with_the_list(state, tmp_path, capsys):
    save_file(state, tmp_path / 'small.safetensors')
    arguments = [str(tmp_path / 'small.safetensors'), '--kind', 'iresnet18', '--output']
    assert port_arcface.main([*arguments, str(tmp_path / 'x')]) == 1
    error = capsys.readouterr().err
    assert 'missing layer1.1.conv2.weight' in error and error.count('\n') == 1
    assert not (tmp_path / 'x').exists()
