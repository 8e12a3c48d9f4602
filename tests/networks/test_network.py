import pytest

from apgan_jax.errors import UserError
from apgan_jax.networks import network


def test_missing_data_folder_is_named(monkeypatch):
    monkeypatch.delenv('APGAN_DATA', raising=False)
    with pytest.raises(UserError, match='APGAN_DATA'):
        network.data_folder()


def test_missing_network_is_named(tmp_path):
    pytest.importorskip('onnxruntime')
    with pytest.raises(UserError, match=r'absent\.onnx'):
        network.OnnxNetwork(tmp_path / 'absent.onnx')
