"""A table of an evaluation with every kind of row."""

from apgan_jax.evaluation.table import Table, Value
from apgan_jax.metrics.metric import Description
from apgan_jax.networks.network import NetworkInfo

NETWORK = NetworkInfo('Net|A', 'a.onnx', 'ab' * 32)


POSE = Description('pose_x', 'pose distance', 'norm of angles', 'lower', 'degrees', NETWORK)


SSIM = Description('ssim', 'SSIM', 'window of sigma 1.5', 'higher')


GONE = Description('fid', 'FID', 'distance', 'lower', warning='left out: no network')


def table():
    columns = {
        'one': {'pose_x': Value(1.23456, 7), 'ssim': Value(0.5, 9, 'few pictures')},
        'two': {'ssim': Value(0.75, 9)},
    }
    return Table.of('clips', [POSE, SSIM, GONE], columns, ['crop: 256 px'])
