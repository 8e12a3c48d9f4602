"""Domain-invariant perceptual distance: are attributes and content kept? (paper IV-C, [46])"""

import numpy as np

from apgan_jax.face.face_pair import FacePair
from apgan_jax.metrics.metric import Metric
from apgan_jax.networks.vgg import Vgg16

_EPSILON = 1e-5


def dipd_metric(network: Vgg16) -> Metric:
    """DIPD between a target's crop and the same pixels of the swapped picture.

    The paper: the "Euclidean distance between the normalized features of the target face and the
    synthetic face", features "from the conv5 layer of VGGNet", then instance normalisation. Left
    open are the layer, the average and the crop. Here:

    - The mean of squared differences, as in the code of MUNIT [46], which the paper cites. A mean
      of roots (RMS) would make the paper's 1.33 for DeepFakes almost the 1.41 of unrelated
      features.
    - conv5_3 of VGG16 before its ReLU; MUNIT takes it behind. On aligned faces 82 % of the
      channels of the shift-tolerant VGG16 are 0 everywhere behind it, and such a channel counts as
      no difference: the mean would say more about the network than about the faces. On 60 frames
      each of one FaceForensics++ pair of DeepFakes and one of FaceSwap the distance before the
      ReLU is 0.39 and 0.26, behind it 0.07 and 0.09; the paper's means are 1.33 and 0.78.
    - The head crop at its own size. Around the face alone the same frames give 0.53 and 0.42.

    So the paper's order is met and its scale is not: photos of different people, aligned, differ by
    1.19 here, so that its 1.33 must come from another network, layer or crop. Compare values of one
    network only.

    Args:
      network: what the features are from.

    Returns:
      The metric; it never leaves a pair out.
    """

    def measure(pair: FacePair) -> float:
        target, in_place = network.conv5(np.stack([pair.target.crop, pair.in_place]))
        return dipd(target, in_place)

    return Metric(
        key='dipd',
        title='DIPD',
        definition='mean squared difference of conv5_3 before its ReLU, instance normalised',
        better='lower',
        measure=measure,
        # Half a second a pair on two cores, more than all other metrics together.
        every=3,
        network=network.info,
    )


def dipd(features: np.ndarray, other: np.ndarray) -> float:
    """Mean squared difference of two feature maps after instance normalisation.

    With a mean over positions and channels it is 2 (1 - r), r being the mean over channels of the
    correlation over positions: 0 for the same features, 2 for unrelated ones, at most 4. A channel
    that is constant in both counts as no difference.

    Args:
      features: (h, w, c), floating point.
      other: (h, w, c).

    Returns:
      The distance.
    """
    return float(np.mean((instance_normalise(features) - instance_normalise(other)) ** 2))


def instance_normalise(features: np.ndarray) -> np.ndarray:
    """Each channel of (h, w, c) with mean 0 and variance 1 over its positions, float64.

    The biased variance, to which 1e-5 is added, and no scale or offset: as MUNIT's.
    """
    features = np.asarray(features, np.float64)
    variance = features.var(axis=(0, 1))
    return (features - features.mean(axis=(0, 1))) / np.sqrt(variance + _EPSILON)
