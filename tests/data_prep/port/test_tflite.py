"""MobileFaceNet's TensorFlow Lite file; its numbers are compared in tests of the encoder."""

import numpy as np
import pytest

from apgan_jax.errors import UserError
from apgan_jax.models.identity import load_identity_encoder
from data_prep.port import tflite


def test_kernels_are_transposed_to_the_layout_of_flax():
    full = np.arange(2 * 3 * 3 * 4).reshape(2, 3, 3, 4)
    assert tflite._flax_kernel(full, depthwise=False)[1, 2, 3, 0] == full[0, 1, 2, 3]
    pointwise = np.arange(2 * 4).reshape(2, 1, 1, 4)
    assert tflite._flax_kernel(pointwise, depthwise=False)[3, 1] == pointwise[1, 0, 0, 3]
    depthwise = np.arange(9 * 4).reshape(1, 3, 3, 4)
    assert tflite._flax_kernel(depthwise, depthwise=True)[1, 2, 0, 3] == depthwise[0, 1, 2, 3]


def test_layers_are_those_of_the_shipped_encoder():
    params = load_identity_encoder().params
    ours = {name.partition('/')[0] for name in tflite.layer_names()}
    assert ours == params.keys()
    assert len(set(tflite.layer_names())) == len(tflite.layer_names())


def test_a_file_that_litert_cannot_read_is_refused(tmp_path):
    with pytest.raises(UserError, match=r'none\.tflite does not exist: pass the \.tflite file'):
        tflite.open_interpreter(tmp_path / 'none.tflite')
    (tmp_path / 'text.tflite').write_bytes(b'no flatbuffer at all, but long enough to look at')
    with pytest.raises(UserError, match=r'text\.tflite is not a TensorFlow Lite file'):
        tflite.open_interpreter(tmp_path / 'text.tflite')
