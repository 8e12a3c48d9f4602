"""What every identity encoder returns."""

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp


@flax.struct.dataclass
class IdentityEmbedding:
    """The multi-scale identity embedding of n faces (paper III-A).

    Attributes:
      vector: (n, d) float32, L2-normalised.
      features: globally pooled stage outputs, (n, c) float32 each; the key is the stage's spatial
        size in pixels as a text ('56', …).
    """

    vector: jax.Array
    features: dict[str, jax.Array]


# The collection that an encoder's stages are kept in where a caller asks for them.
MAPS = 'maps'


def pool_stage(module: nn.Module, x: jax.Array) -> dict[str, jax.Array]:
    """A stage's entry in `features`; what was pooled is sown into `MAPS` under the same key.

    Args:
      module: the encoder.
      x: (n, h, w, c), the stage's last layer.
    """
    size = str(x.shape[1])
    module.sow(MAPS, size, x, reduce_fn=lambda _, new: new, init_fn=lambda: None)
    return {size: jnp.mean(x, axis=(1, 2))}


def unit_length(vector: jax.Array) -> jax.Array:
    """Scales the last axis to unit length; a zero vector stays zero and has a finite gradient."""
    return vector * jax.lax.rsqrt(jnp.sum(vector**2, axis=-1, keepdims=True) + 1e-12)


def mean_embedding(embeddings: IdentityEmbedding) -> IdentityEmbedding:
    """One embedding from k photos of a person (the k-shot paradigm).

    Args:
      embeddings: of k faces, along the leading axis.

    Returns:
      The mean vector, normalised again, and the mean features, with a leading axis of 1.
    """
    mean = jax.tree.map(lambda x: jnp.mean(x, axis=0, keepdims=True), embeddings)
    return mean.replace(vector=unit_length(mean.vector))
