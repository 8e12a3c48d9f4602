"""A picture that shows at a glance what a swap did: frames of the target above the swapped ones."""

from pathlib import Path

import av
import cv2
import numpy as np

from apgan_jax.image_files import is_image, read_image, write_image
from apgan_jax.images import image_grid
from apgan_jax.inference import provenance, video
from apgan_jax.inference.swapper import Swapper

_WIDTH = 320


def write_contact_sheet(
    target: Path, swapped: Path, output: Path, *, swapper: Swapper, columns: int = 6
) -> None:
    """Writes and marks a contact sheet.

    Args:
      target: photo or video.
      swapped: what became of it.
      output: PNG or JPEG; one that exists is replaced.
      swapper: the model that was used.
      columns: evenly spaced frames.
    """
    rows = [sample_frames(path, columns) for path in (target, swapped)]
    sheet = image_grid([np.stack([_thumbnail(frame) for frame in row]) for row in rows])
    bundle = swapper.bundle
    with provenance.marked_output(
        output, parent=swapped, model_name=bundle.name, bundle_sha256=bundle.sha256
    ) as unsigned:
        write_image(unsigned, sheet)


def sample_frames(path: Path, count: int) -> list[np.ndarray]:
    """At most `count` evenly spaced frames of a video, RGB uint8; a photo is one frame.

    Raises:
      UserError: the file cannot be read.
    """
    if is_image(path):
        return [read_image(path)]
    video.probe(path)
    with av.open(str(path)) as container:
        total = sum(1 for _ in container.decode(video=0))
    wanted = set(np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist())
    with av.open(str(path)) as container:
        frames = enumerate(container.decode(video=0))
        return [frame.to_ndarray(format='rgb24') for number, frame in frames if number in wanted]


def _thumbnail(frame: np.ndarray) -> np.ndarray:
    height = round(frame.shape[0] * _WIDTH / frame.shape[1])
    return cv2.resize(np.ascontiguousarray(frame), (_WIDTH, height), interpolation=cv2.INTER_AREA)
