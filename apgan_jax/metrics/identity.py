"""Identity by a recogniser: cosines of what a network says of two faces (paper IV-C)."""

from functools import partial

import numpy as np

from apgan_jax.face.face_pair import FacePair, SeenFace
from apgan_jax.metrics.metric import Metric
from apgan_jax.networks.dlib_resnet import DlibResNet
from apgan_jax.networks.recognisers import Recogniser


def source_similarity(recogniser: Recogniser, source_vector: np.ndarray) -> Metric:
    """Cosine of the swapped face and the source, [-1, 1].

    Args:
      recogniser: of both.
      source_vector: the source's unit vector (d,); for several photos the mean of theirs, at unit
        length again.
    """
    return Metric(
        key=f'source_similarity_{recogniser.key}',
        title='similarity to the source',
        definition='cosine of the identity vectors of the swapped face and the source',
        better='higher',
        measure=partial(_cosine_to, recogniser, source_vector),
        network=recogniser.info,
    )


def target_similarity(recogniser: Recogniser) -> Metric:
    """Cosine of the swapped face and the target, [-1, 1]: high where the target was only copied."""

    def measure(pair: FacePair) -> float | None:
        return _cosine_to(recogniser, recogniser.vector(pair.target), pair)

    return Metric(
        key=f'target_similarity_{recogniser.key}',
        title='similarity to the target',
        definition='cosine of the identity vectors of the swapped face and the target',
        better='lower',
        measure=measure,
        network=recogniser.info,
    )


def dlib_distance(network: DlibResNet, source: SeenFace) -> Metric:
    """Euclidean distance of the swapped face and the source by dlib's own vectors.

    dlib takes two faces for one person below 0.6.

    Args:
      network: dlib's.
      source: its face.
    """

    def descriptor(face: SeenFace) -> np.ndarray:
        return network.descriptors(face.crop[None], face.arcface_window)[0]

    source_descriptor = descriptor(source)

    def measure(pair: FacePair) -> float | None:
        if pair.swapped is None:
            return None
        return float(np.linalg.norm(descriptor(pair.swapped) - source_descriptor))

    return Metric(
        key='dlib_distance',
        title="dlib's distance to the source",
        definition="Euclidean, of dlib's vectors of the swapped face and the source",
        better='lower',
        measure=measure,
        network=network.info,
    )


def mean_match_score(recogniser: Recogniser, source_vector: np.ndarray) -> Metric:
    """Mean match score, MMS (Table VI, after [56]).

    The paper gives neither formula nor recogniser, only the reference. By its name it is the mean
    of a recogniser's scores over matched pairs. Chosen here: the cosine of the swapped face and the
    source, not rescaled; the source, because after a swap it is the source's identity that should
    match. It is `source_similarity` under the name of the table. Scores of different recognisers
    are on different scales: the paper's 0.90 is no bar for another network.
    """
    return Metric(
        key=f'mean_match_score_{recogniser.key}',
        title='mean match score (MMS)',
        definition=(
            'cosine of the identity vectors of the swapped face and the source; a choice: the '
            'paper defines neither score nor recogniser'
        ),
        better='higher',
        measure=partial(_cosine_to, recogniser, source_vector),
        network=recogniser.info,
    )


def identity_discrepancy(recogniser: Recogniser, source_vector: np.ndarray) -> Metric:
    """Identity discrepancy, ID (Table VII, after [66]), [0, 2].

    The paper gives neither formula nor recogniser, only the reference, which edits a face and asks
    how far its identity moved. Chosen here: 1 - cosine, the usual distance of such vectors; it fits
    the paper's own two tables (0.08 there, a mean match score of 0.90). A swap should keep the
    source's identity, so the source stands for the face before.
    """

    def measure(pair: FacePair) -> float | None:
        similarity = _cosine_to(recogniser, source_vector, pair)
        return None if similarity is None else 1.0 - similarity

    return Metric(
        key=f'identity_discrepancy_{recogniser.key}',
        title='identity discrepancy (ID)',
        definition=(
            '1 - cosine of the identity vectors of the swapped face and the source; a choice: the '
            'paper defines neither distance nor recogniser'
        ),
        better='lower',
        measure=measure,
        network=recogniser.info,
    )


def _cosine_to(recogniser: Recogniser, vector: np.ndarray, pair: FacePair) -> float | None:
    if pair.swapped is None:
        return None
    return float(recogniser.vector(pair.swapped) @ vector)
