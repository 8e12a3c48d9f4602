"""Clips to evaluate, and `apgan evaluate` run on them."""

import json
from fractions import Fraction

import av
import numpy as np

from apgan_jax import cli
from support.faces import portrait


def evaluate(*arguments):
    """Runs the command; returns its exit status."""
    return cli.main(['evaluate', *map(str, arguments)])


def moving(step):
    """The portrait, shifted by whole pixels, (320, 320, 3): its texture moves exactly."""
    return np.ascontiguousarray(portrait()[:320, 100 - step : 420 - step])


def write_video(path, pictures):
    """25 frames/s, H.264 4:4:4, nearly without loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=25, options={'crf': '4'})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.time_base = 'yuv444p', Fraction(1, 25)
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))
    return path


def last_json(capsys):
    """The table that the command printed last."""
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def values_of(table):
    """The rows' values by key."""
    return {row['key']: row['values'] for row in table['rows']}
