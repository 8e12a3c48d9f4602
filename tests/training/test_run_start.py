"""What a run says first. tests/training/test_train.py has a whole run."""

import numpy as np
import pytest

from apgan_jax.training.run_start import compiling_line, write_parameters


def test_parameters_go_to_a_file_and_their_number_to_a_line(tmp_path):
    networks = {
        'generator': {'head': {'kernel': np.zeros((1000, 1200), np.float32)}},
        'discriminator': {'bias': np.zeros(90_000, np.float32)},
    }
    file = tmp_path / 'run' / 'parameters.txt'
    assert write_parameters(tmp_path / 'run', networks) == (
        f'generator 1.20 M, discriminator 0.09 M parameters: {file}'
    )
    text = file.read_text()
    assert text.startswith('generator\n')
    assert '| head/kernel | (1000, 1200) | float32 | 1,200,000 |' in text
    assert 'Total: 90,000 -- 360,000 bytes' in text


@pytest.mark.parametrize('backend, expected', [('cpu', 'about 36 s'), ('gpu', 'a minute or more')])
def test_the_wait_is_told(backend, expected, monkeypatch):
    monkeypatch.setattr('jax.default_backend', lambda: backend)
    assert compiling_line(4.0) == (
        f'compiling, {expected}; a few seconds where this machine has compiled it before'
    )
