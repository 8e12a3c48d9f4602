"""Average end-point error (paper IV-C): whether the swapped face moves as the original does."""

import numpy as np


def endpoint_error(flow: np.ndarray, other: np.ndarray) -> float:
    """Mean Euclidean distance of two flows (h, w, 2), pixels.

    The paper's AEE of a video is the mean of this over adjacent frames t - 1 and t, with the flow
    of the original and the flow of the swapped sequence; every pixel of the area counts. Its unit
    is the pixel of the video, so that it grows with the face's size, of which the paper says
    nothing: two FaceForensics++ clips have 0.16 (91 px wide) and 0.57 (224 px) as they are, 1.7 and
    1.6 when the area is enlarged to 512 px; the paper's Table III has 1.5 to 2.0.

    Raises:
      ValueError: the flows differ in size or have no pixel.
    """
    if flow.shape != other.shape or not flow.size:
        raise ValueError(f'flows {flow.shape} and {other.shape} must be of one size, not empty')
    return float(np.linalg.norm(flow - other, axis=2).mean(dtype=np.float64))
