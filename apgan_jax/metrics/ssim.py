"""Structural similarity (paper IV-C)."""

import numpy as np
from skimage.metrics import structural_similarity

from apgan_jax.face.alignment import Window
from apgan_jax.face.face_pair import FacePair
from apgan_jax.metrics.metric import Metric

# Wang et al.'s definition: Gaussian window of sigma 1.5, biased statistics, range 255.
_DEFINITION = {
    'channel_axis': 2,
    'data_range': 255,
    'gaussian_weights': True,
    'sigma': 1.5,
    'use_sample_covariance': False,
}


def ssim(image: np.ndarray, other: np.ndarray) -> float:
    """SSIM of two RGB uint8 pictures (h, w, 3), mean over pixels and channels."""
    return float(structural_similarity(image, other, **_DEFINITION))


def ssim_within(image: np.ndarray, other: np.ndarray, mask: np.ndarray) -> float | None:
    """SSIM of two RGB uint8 pictures (h, w, 3), mean over the pixels of a mask and channels.

    Windows about the mask's edge reach beyond it. None where the mask, bool (h, w), is empty.
    """
    if not mask.any():
        return None
    _, similarity = structural_similarity(image, other, full=True, **_DEFINITION)
    return float(similarity[mask].mean())


def ssim_metrics() -> list[Metric]:
    """SSIM of a target's crop and the same pixels of the swapped picture.

    The paper does not say which pixels. On the whole crop, which its generator makes, much is
    background that a swap leaves alone; on the face, ArcFace's window, nothing is.
    """
    definition = 'Gaussian window of sigma 1.5, range 255, mean over channels'
    return [
        Metric(
            key='ssim',
            title='SSIM',
            definition=f'{definition}, whole crop',
            better='higher',
            measure=lambda pair: ssim(pair.target.crop, pair.in_place),
        ),
        Metric(
            key='ssim_face',
            title='SSIM of the face',
            definition=f"{definition}, ArcFace's window of the crop",
            better='higher',
            measure=_face_ssim,
        ),
    ]


def _face_ssim(pair: FacePair) -> float:
    window = pair.target.arcface_window
    return ssim(_face(pair.target.crop, window), _face(pair.in_place, window))


def _face(crop: np.ndarray, window: Window) -> np.ndarray:
    left, top, right, bottom = (round(crop.shape[0] * edge) for edge in window)
    return crop[top:bottom, left:right]
