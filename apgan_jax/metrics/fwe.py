"""Flow warping error (paper IV-C, eq. 14): whether a face keeps its colours while it moves.

Images are float32 (h, w, 3) in [0, 1], flows float32 (h, w, 2) as in `networks.flow`; `warp` is the
W of eq. 14.

The paper gives neither the range of Y nor the norm of eq. 14. Taken to the letter, the sum runs
over the H·W·C values of a picture, so the norm of one of them is its absolute value; the range
[0, 1] makes the error a share of full scale. On one FaceForensics++ clip each this gives an FWE of
0.041 (DeepFakes) and 0.054 (FaceSwap), where the paper's Table III has 0.27 and 0.28, means of
1,000 videos: compare figures of one definition only. Values in [-1, 1] and the channels' errors
added up instead of averaged, six times ours, would be of the paper's size: 0.24 and 0.32.
"""

import cv2
import numpy as np

from apgan_jax.networks.flow import flow_ends, warp


def visible(flow: np.ndarray, back: np.ndarray) -> np.ndarray:
    """M of eq. 14: which pixels of frame m can be seen in frame n.

    After Ruder et al. 2016 (the paper's [14]), with w the flow from m to n and v the flow from n to
    m at p + w(p), a pixel is hidden where the way there and back does not lead home,
    |w + v|² > 0.01 (|w|² + |v|²) + 0.5, and at a boundary of motion, where flow is not reliable,
    |∇w_x|² + |∇w_y|² > 0.01 |w|² + 0.002. The boundaries are those of w, which is also the flow
    that warps. Where p + w(p) is outside the area nothing can be said: hidden too.

    Args:
      flow: of the original, from frame m to frame n.
      back: of the original, from frame n to frame m.

    Returns:
      bool (h, w), True where visible.
    """
    returned = warp(back, flow)
    length = _squared(flow)
    consistent = _squared(flow + returned) <= 0.01 * (length + _squared(returned)) + 0.5
    smooth = _squared_gradient(flow) <= 0.01 * length + 0.002
    return consistent & smooth & _inside(flow)


def warping_error(
    image: np.ndarray, other: np.ndarray, flow: np.ndarray, mask: np.ndarray
) -> float | None:
    """E_warp(Y_m, Y_n) of eq. 14: mean of |Y_m - W(Y_n)| over visible pixels and channels.

    Args:
      image: Y_m.
      other: Y_n.
      flow: of the original, from frame m to frame n.
      mask: see `visible`.

    Returns:
      In [0, 1]; None where nothing is visible and the error is not defined.
    """
    if not mask.any():
        return None
    difference = cv2.absdiff(image, warp(other, flow))
    # A tenth of the time of NumPy's mean under a mask.
    red, green, blue, _ = cv2.mean(difference, mask.view(np.uint8))
    return (red + green + blue) / 3


def _inside(flow: np.ndarray) -> np.ndarray:
    height, width = flow.shape[:2]
    x, y = flow_ends(flow)
    return (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)


def _squared(flow: np.ndarray) -> np.ndarray:
    return flow[..., 0] ** 2 + flow[..., 1] ** 2


def _squared_gradient(flow: np.ndarray) -> np.ndarray:
    """Squared gradients of both components, summed: central differences, the border repeated."""
    return _squared(_slope(flow, 1, 0)) + _squared(_slope(flow, 0, 1))


def _slope(flow: np.ndarray, dx: int, dy: int) -> np.ndarray:
    border = cv2.BORDER_REPLICATE
    return cv2.Sobel(flow, cv2.CV_32F, dx, dy, ksize=1, scale=0.5, borderType=border)
