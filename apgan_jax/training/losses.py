"""The paper's losses (section III-C), one pure function a term, float32 before any mean.

Terms over several discriminators take one entry a scale. Means over the batch stand for the
expectations; everything else follows the equations. Not the paper's are `landmark_loss`,
`truth_loss`, `mask_loss`, `mask_cost_loss`, `shift_loss`, and the end of `identity_loss`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

ADVERSARIAL_KINDS = ('bce', 'hinge', 'lsgan')


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LossWeights:
    """Eq. 11's weights and eq. 7's lambda_1, with the paper's values; the last four are not its."""

    adversarial: float = 2.0
    identity: float = 10.0
    reconstruction: float = 10.0
    occlusion: float = 1.0
    style: float = 3.0
    different_reconstruction: float = 0.1
    landmarks: float = 0.0
    truth: float = 0.0
    mask_error: float = 0.0
    mask_cost: float = 0.0
    shift: float = 0.0


# Step and value, in rising order, of a weight that changes on the way.
Course = Sequence[tuple[float, float]]


def weights_at(weights: LossWeights, courses: Mapping[str, Course], step: jax.Array) -> LossWeights:
    """The weights of a step.

    Args:
      weights: of all terms.
      courses: of those that change, by name; linear between the steps that are given, constant
        before the first and after the last.
      step: number of it.
    """
    values: dict[str, Any] = {
        name: jnp.interp(step, *map(jnp.array, zip(*course, strict=True)))
        for name, course in courses.items()
    }
    return dataclasses.replace(weights, **values)


def discriminator_loss(
    *, real_logits: Sequence[jax.Array], fake_logits: Sequence[jax.Array], kind: str = 'bce'
) -> jax.Array:
    """Eqs. 4-5 for the discriminators, negated: summed over scales, mean over patches and batch.

    Args:
      real_logits: (n, h, w, 1) a scale, of the target.
      fake_logits: the same of the swapped picture.
      kind: 'bce' (the paper's), 'hinge' or 'lsgan'.

    Returns:
      A number.

    Raises:
      ValueError: unknown kind.
    """
    real, fake = _discriminator_terms(kind)
    scales = [
        jnp.mean(real(_float32(r))) + jnp.mean(fake(_float32(f)))
        for r, f in zip(real_logits, fake_logits, strict=True)
    ]
    return jnp.sum(jnp.stack(scales))


def adversarial_loss(*, fake_logits: Sequence[jax.Array], kind: str = 'bce') -> jax.Array:
    """Eqs. 4-5 for the generator, in the non-saturating form -log D(Y, B).

    The arguments are those of `discriminator_loss`.
    """
    _discriminator_terms(kind)
    terms = {
        'bce': lambda logits: jax.nn.softplus(-logits),
        'hinge': lambda logits: -logits,
        'lsgan': lambda logits: jnp.square(logits - 1.0),
    }
    return jnp.sum(jnp.stack([jnp.mean(terms[kind](_float32(x))) for x in fake_logits]))


def _discriminator_terms(kind: str):
    if kind not in ADVERSARIAL_KINDS:
        raise ValueError(
            f'adversarial loss {kind!r}: must be one of {", ".join(ADVERSARIAL_KINDS)}'
        )
    return {
        'bce': (lambda real: jax.nn.softplus(-real), jax.nn.softplus),
        'hinge': (lambda real: jax.nn.relu(1.0 - real), lambda fake: jax.nn.relu(1.0 + fake)),
        'lsgan': (lambda real: jnp.square(real - 1.0), jnp.square),
    }[kind]


def cosine_similarity(a: jax.Array, b: jax.Array) -> jax.Array:
    """Cosine of the rows of (n, d) and (n, d): float32 (n,)."""
    a, b = _float32(a), _float32(b)
    norms = jnp.linalg.norm(a, axis=-1) * jnp.linalg.norm(b, axis=-1)
    return jnp.sum(a * b, axis=-1) / jnp.maximum(norms, 1e-8)


def identity_loss(
    *, swapped_vector: jax.Array, source_vector: jax.Array, margin: float = 1.0
) -> jax.Array:
    """Eq. 6: 1 - cos of the identity vectors (n, d), mean over the batch.

    With a margin below 1 it ends there: max(0, margin - cos). Two photos of one person have about
    0.67; what a generator does to get more pleases the encoder alone, and shows.
    """
    cosine = cosine_similarity(swapped_vector, source_vector)
    return jnp.mean(jnp.maximum(0.0, margin - cosine))


def reconstruction_loss(
    *, swapped: jax.Array, target: jax.Array, same_image: jax.Array, different_weight: float = 0.1
) -> jax.Array:
    """Eq. 7, mean over pixels and channels instead of their sum, the case decided per example.

    Args:
      swapped: (n, h, w, 3) in [-1, 1].
      target: the same shape.
      same_image: bool (n,), whether source and target are one picture; another photo of the same
        person counts as different.
      different_weight: lambda_1.

    Returns:
      A number.
    """
    error = jnp.square(_float32(swapped) - _float32(target)).mean(axis=(1, 2, 3))
    return jnp.mean(error * jnp.where(same_image, 1.0, different_weight))


def landmark_loss(
    *,
    swapped_landmarks: jax.Array,
    target_landmarks: jax.Array,
    point_weights: np.ndarray | None = None,
) -> jax.Array:
    """Mean squared distance of landmarks: pose and expression of the target, kept by measure.

    Args:
      swapped_landmarks: (n, points, 2), in parts of the crop's size.
      target_landmarks: the same of the target, read in the same way.
      point_weights: (points,), how much each counts; None: all alike.

    Returns:
      A number, in squares of one per cent of the crop's size.
    """
    distance = _float32(swapped_landmarks) - _float32(target_landmarks)
    squares = jnp.sum(jnp.square(distance), axis=-1)
    return 1e4 * (jnp.mean(squares) if point_weights is None else jnp.mean(squares * point_weights))


def truth_loss(
    *,
    swapped: jax.Array,
    truth: jax.Array,
    has_truth: jax.Array,
    emphasis: jax.Array | float = 1.0,
) -> jax.Array:
    """Mean squared error to a real photo of what is asked for, where there is one.

    Eq. 7 asks for the target; here a photo of the source's person in the target's pose is asked
    for, which is the target where both are of one person.

    Args:
      swapped: (n, h, w, 3) in [-1, 1].
      truth: the same shape and range.
      has_truth: bool (n,); the others count as 0.
      emphasis: (n, h, w, 1), how much each pixel counts; 1: all alike.

    Returns:
      A number: the mean over the batch.
    """
    squares = emphasis * jnp.square(_float32(swapped) - _float32(truth))
    return jnp.mean(squares.mean(axis=(1, 2, 3)) * has_truth)


def mask_loss(*, mask: jax.Array, truth: jax.Array) -> jax.Array:
    """Mean squared error of the generator's mask (n, h, w, 1), both in [0, 1].

    Left to itself the mask goes to 0 within some hundred steps: a target with nothing painted on it
    looks real always (docs/training-notes.md).
    """
    return jnp.mean(jnp.square(_float32(mask) - _float32(truth)))


def mask_cost_loss(*, mask: jax.Array) -> jax.Array:
    """Mean of the generator's mask: what it covers must earn it."""
    return jnp.mean(_float32(mask))


def shift_loss(*, moved_swap: jax.Array, swap_of_moved: jax.Array, seen: jax.Array) -> jax.Array:
    """Mean squared difference of two frames of one photo, which must swap alike.

    Args:
      moved_swap: (n, h, w, 3), the swapped picture moved; no gradient flows into it.
      swap_of_moved: the same shape, what the generator makes of the moved target.
      seen: (n, h, w, 1), 1 where the moved picture shows the photo.

    Returns:
      A number.
    """
    difference = _float32(swap_of_moved) - _float32(jax.lax.stop_gradient(moved_swap))
    return jnp.mean(seen * jnp.square(difference))


def occlusion_perceptual_loss(
    *,
    target_features: Sequence[Sequence[jax.Array]],
    swapped_features: Sequence[Sequence[jax.Array]],
) -> jax.Array:
    """Eq. 8: squared distance of discriminator features; sum over stages, mean over scales.

    Args:
      target_features: a sequence a scale of (n, h, w, c) a stage; no gradient flows into them.
      swapped_features: the same of the swapped picture.

    Returns:
      A number.
    """

    def distance(target: jax.Array, swapped: jax.Array) -> jax.Array:
        return jnp.mean(jnp.square(_float32(target) - _float32(swapped)))

    return _over_stages(distance, target_features, swapped_features)


def style_perceptual_loss(
    *,
    target_features: Sequence[Sequence[jax.Array]],
    swapped_features: Sequence[Sequence[jax.Array]],
) -> jax.Array:
    """Eq. 9: squared Frobenius distance of Gram matrices; arguments as eq. 8."""

    def distance(target: jax.Array, swapped: jax.Array) -> jax.Array:
        difference = gram_matrix(target) - gram_matrix(swapped)
        return jnp.mean(jnp.sum(jnp.square(difference), axis=(1, 2)))

    return _over_stages(distance, target_features, swapped_features)


# On a TPU or GPU a product of float32 matrices is rounded to fewer bits by default.
@jax.default_matmul_precision('float32')
def gram_matrix(features: jax.Array) -> jax.Array:
    """Eq. 10 divided by C*H*W (eq. 9's factor, taken inside): (n, h, w, c) → float32 (n, c, c)."""
    features = _float32(features)
    n, height, width, channels = features.shape
    flat = features.reshape(n, height * width, channels)
    return jnp.einsum('npi,npj->nij', flat, flat) / (channels * height * width)


def _over_stages(distance, target_features, swapped_features) -> jax.Array:
    scales = [
        sum(distance(jax.lax.stop_gradient(t), s) for t, s in zip(target, swapped, strict=True))
        for target, swapped in zip(target_features, swapped_features, strict=True)
    ]
    return jnp.mean(jnp.stack(scales))


def _float32(x: jax.Array) -> jax.Array:
    return x.astype(jnp.float32)
