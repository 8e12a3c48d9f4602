"""Structural similarity (paper IV-C)."""

import numpy as np
from skimage.metrics import structural_similarity


def ssim(image: np.ndarray, other: np.ndarray) -> float:
    """SSIM of two RGB uint8 pictures (h, w, 3), mean over pixels and channels.

    Wang et al.'s definition: Gaussian window of sigma 1.5, biased statistics, range 255.
    """
    return float(
        structural_similarity(
            image,
            other,
            channel_axis=2,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )
