"""Whether the swapped face moves as the target does: blendshapes over the frames of a clip."""

from pathlib import Path

import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.face import landmarks
from apgan_jax.inference.video import VideoReader

BLENDSHAPES = ('jawOpen', 'eyeBlinkLeft', 'eyeBlinkRight')


def blendshape_correlation(target: Path, swapped: Path) -> dict[str, float | None]:
    """Pearson's correlation over frames of each blendshape of two videos, frame by frame.

    Frames in which either shows no face are left out.

    Args:
      target: the original.
      swapped: the same frames, swapped.

    Returns:
      `frames` compared and the correlation of each of `BLENDSHAPES`; None where one of the two
      never changes, for which the correlation is not defined.

    Raises:
      UserError: a video cannot be read, or they share no frames with a face.
    """
    pairs = [
        (a, b)
        for a, b in zip(_blendshapes(target), _blendshapes(swapped), strict=False)
        if a is not None and b is not None
    ]
    if len(pairs) < 2:
        raise UserError(f'{target}, {swapped}: fewer than two frames in which both show a face')
    values = np.array(pairs)
    row: dict[str, float | None] = {'frames': len(pairs)}
    for number, name in enumerate(BLENDSHAPES):
        row[name] = correlation(values[:, 0, number], values[:, 1, number])
    return row


def correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Pearson's correlation of two series (n,); None if one is constant."""
    if min(a.std(), b.std()) < 1e-9:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _blendshapes(path: Path):
    """For each frame the values of `BLENDSHAPES`, or None without a face."""
    # One face in video mode is smoothed: what is compared would be the filter's.
    with VideoReader(path) as frames, landmarks.FaceLandmarker(max_faces=4) as landmarker:
        for frame in frames:
            face = landmarks.largest(landmarker.detect(frame.rgb))
            yield None if face is None else [face.blendshapes[name] for name in BLENDSHAPES]
