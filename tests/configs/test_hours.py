"""The hours that the configs promise are what their own formulas give."""

import re

import pytest

from configs import gpu, lite128, lite256, paper256, tpu_v4

# FLOP a pair, devices times peak times utilisation, and the hours that follow.
FORMULA = re.compile(
    r'= (?P<pairs>[\d.e]+) × (?P<flop>[\d.e]+) / (?P<speed>[^=]+?) / 3600 = (?P<hours>\d+\.\d)'
)


@pytest.mark.parametrize('module', [gpu, lite128, lite256, paper256, tpu_v4])
def test_hours(module):
    found = FORMULA.search(module.__doc__)
    config = module.get_config()
    assert float(found['pairs']) == config.num_steps * config.batch_size
    assert f'{float(found["flop"]) / 1e9:.1f} GFLOP' in module.__doc__
    speed = 1.0
    for factor in found['speed'].strip('()').split(' × '):
        speed *= float(factor)
    hours = float(found['pairs']) * float(found['flop']) / speed / 3600
    assert f'{hours:.1f}' == found['hours']
