"""One step of both networks: a pure function of state and batch."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from clu import metrics
from flax import struct
from jax.sharding import AbstractMesh, Mesh

from apgan_jax.face.alignment import HEAD_V1_WINDOW, Window
from apgan_jax.models import spectral_norm
from apgan_jax.models.discriminator import MultiScaleDiscriminator, ScaleOutput
from apgan_jax.models.generator import Generator, generate
from apgan_jax.models.identity import IdentityEmbedding, IdentityEncoder
from apgan_jax.models.images import (
    ARCFACE_SIZE,
    arcface_window,
    normalise_boundary_map,
    normalise_image,
    to_uint8,
)
from apgan_jax.models.landmark_reader import LandmarkReader
from apgan_jax.training import losses, optimizers, sharding
from apgan_jax.training.losses import LossWeights

Batch = dict[str, jax.Array]


class TrainState(struct.PyTreeNode):
    """All that a step changes. Raw (not spectrally normalised) parameters throughout."""

    step: jax.Array
    generator_params: Any
    generator_ema_params: Any
    generator_spectral: spectral_norm.State
    generator_optimizer: optax.OptState
    discriminator_params: Any
    discriminator_spectral: spectral_norm.State
    discriminator_optimizer: optax.OptState


@dataclasses.dataclass(frozen=True)
class TrainingModel:
    """All that a step does not change.

    Attributes:
      generator: module.
      discriminator: module.
      identity_encoder: frozen; its parameters go through the step as an argument.
      generator_tx: optimizer.
      discriminator_tx: optimizer.
      weights: of the losses.
      adversarial_kind: see `losses.discriminator_loss`.
      ema_decay: of the generator.
      accumulation_steps: parts that a batch goes through the networks in; a part needs its share of
        the activations' memory, and gradients and losses are means over the whole batch.
      landmark_reader: frozen, for the landmark loss; None: without that loss.
      arcface_window: of the crops, which the identity encoder sees.
    """

    generator: Generator
    discriminator: MultiScaleDiscriminator
    identity_encoder: IdentityEncoder
    generator_tx: optax.GradientTransformation
    discriminator_tx: optax.GradientTransformation
    weights: LossWeights
    adversarial_kind: str = 'bce'
    ema_decay: float = 0.999
    accumulation_steps: int = 1
    landmark_reader: LandmarkReader | None = None
    arcface_window: Window = HEAD_V1_WINDOW


class Judgement(NamedTuple):
    """What the discriminators of all scales say of the targets and of the swapped pictures."""

    real: list[ScaleOutput]
    fake: list[ScaleOutput]


@functools.cache
def _collection(names: tuple[str, ...]) -> type[metrics.Collection]:
    """One class for the same names, or the metrics of two steps could not be merged."""
    return metrics.Collection.create(**{name: metrics.Average.from_output(name) for name in names})


def train_metrics(losses_by_name: dict[str, jax.Array]) -> metrics.Collection:
    """Sums and counts of what a step reports, divided once."""
    return _collection(tuple(sorted(losses_by_name))).single_from_model_output(**losses_by_name)


def create_train_state(model: TrainingModel, rng: jax.Array) -> TrainState:
    """Initialises both networks and their optimizers."""
    generator_rng, discriminator_rng, *spectral_rngs = jax.random.split(rng, 4)
    size = model.generator.size
    picture = jnp.zeros((1, size, size, 3))
    identity = _empty_embedding(model.identity_encoder)
    generator = model.generator.init(generator_rng, picture, picture, identity)['params']
    discriminator = model.discriminator.init(discriminator_rng, picture, picture)['params']
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        generator_params=generator,
        # A copy: the step gives its buffers away, and the same one must not be given twice.
        generator_ema_params=jax.tree.map(jnp.copy, generator),
        generator_spectral=spectral_norm.init(generator, spectral_rngs[0]),
        generator_optimizer=model.generator_tx.init(generator),
        discriminator_params=discriminator,
        discriminator_spectral=spectral_norm.init(discriminator, spectral_rngs[1]),
        discriminator_optimizer=model.discriminator_tx.init(discriminator),
    )


def _empty_embedding(encoder: IdentityEncoder) -> IdentityEmbedding:
    """Zeros in the shapes that the encoder gives for one picture."""
    face = jax.ShapeDtypeStruct((1, ARCFACE_SIZE, ARCFACE_SIZE, 3), jnp.float32)
    shapes = jax.eval_shape(encoder.embed, encoder.params, face)
    return jax.tree.map(lambda array: jnp.zeros(array.shape, array.dtype), shapes)


def jit_train_step(model: TrainingModel, mesh: Mesh | AbstractMesh, shardings: TrainState) -> Any:
    """`train_step` of a model for a mesh; it gives the old state's memory to the next state.

    The next state lies as the old one did: XLA left to itself would choose for every array, and a
    second program would be compiled for what it chose. Normalised kernels are gathered whole before
    they are used: left to itself, XLA would rather split the work by channels and send activations.

    Args:
      model: fixed parts.
      mesh: from `sharding.create_mesh`; of an abstract one the step can be traced only.
      shardings: of the state, from `sharding.state_shardings`.

    Returns:
      What `jax.jit` makes of (state, encoder_params, batch) → (next state, metrics).
    """
    whole = sharding.replicated(mesh)
    gather = functools.partial(jax.lax.with_sharding_constraint, shardings=whole)
    return jax.jit(
        functools.partial(train_step, model, gather=gather),
        in_shardings=(shardings, whole, sharding.batch_sharding(mesh)),
        out_shardings=(shardings, whole),
        donate_argnums=0,
    )


def train_step(
    model: TrainingModel,
    state: TrainState,
    encoder_params: Any,
    batch: Batch,
    *,
    gather: Callable[[Any], Any] = lambda params: params,
) -> tuple[TrainState, metrics.Collection]:
    """Updates generator and discriminator from one batch.

    The kernels are normalised once, the parts of the batch go through the networks one after the
    other, and the mean of their gradients goes back through the normalisation. So a step moves the
    singular vectors, the average and the schedules once, however many parts its batch has;
    `optax.MultiSteps` would see a step in every part, and move all but the parameters each time.

    Args:
      model: fixed parts.
      state: changed parts.
      encoder_params: of the identity encoder.
      batch: uint8 (n, size, size, 3) `source`, `target`, `boundary_map` and bool (n,) `same_image`.
      gather: brings the normalised kernels to every device.

    Returns:
      (next state, metrics of this step).
    """
    generator_params, pull_generator, generator_spectral = jax.vjp(
        lambda params: spectral_norm.normalise(params, state.generator_spectral),
        state.generator_params,
        has_aux=True,
    )
    discriminator_params, pull_discriminator, discriminator_spectral = jax.vjp(
        lambda params: spectral_norm.normalise(params, state.discriminator_spectral),
        state.discriminator_params,
        has_aux=True,
    )
    gradients = functools.partial(
        _gradients, model, gather(generator_params), gather(discriminator_params), encoder_params
    )
    generator_gradient, discriminator_gradient, values = _mean_over_parts(
        gradients, batch, model.accumulation_steps
    )
    next_state = _apply_gradients(
        model,
        state,
        *pull_generator(generator_gradient),
        *pull_discriminator(discriminator_gradient),
    )
    return next_state.replace(
        generator_spectral=generator_spectral, discriminator_spectral=discriminator_spectral
    ), train_metrics(values)


def _gradients(
    model: TrainingModel,
    generator_params: Any,
    discriminator_params: Any,
    encoder_params: Any,
    batch: Batch,
) -> tuple[Any, Any, dict[str, jax.Array]]:
    """Gradients by the normalised parameters of generator and discriminator, and the losses.

    One forward pass of each network serves both updates: what the discriminators say is pulled back
    once with the gradient of their own loss and once with that of the generator's terms.
    """
    source, target = normalise_image(batch['source']), normalise_image(batch['target'])
    boundary_map = normalise_boundary_map(batch['boundary_map'])
    embed = model.identity_encoder.embed
    source_identity = embed(encoder_params, arcface_window(source, model.arcface_window))

    def swap(params: Any) -> jax.Array:
        return generate(model.generator, params, target, boundary_map, source_identity)

    def judge(params: Any, swapped: jax.Array) -> Judgement:
        def discriminate(image: jax.Array) -> Any:
            return model.discriminator.apply({'params': params}, image, boundary_map)

        return Judgement(discriminate(target), discriminate(swapped))

    def compare(swapped: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        vector = embed(encoder_params, arcface_window(swapped, model.arcface_window)).vector
        return content_terms(model, swapped, target, vector, source_identity, batch['same_image'])

    swapped, pull_generator = jax.vjp(swap, generator_params)
    judgement, pull_judgement = jax.vjp(judge, discriminator_params, swapped)
    discriminator_loss, to_discriminator = jax.value_and_grad(
        functools.partial(_discriminator_loss, model)
    )(judgement)
    (adversarial_sum, terms), to_generator = jax.value_and_grad(
        functools.partial(adversarial_terms, model), has_aux=True
    )(judgement)
    discriminator_gradient, _ = pull_judgement(to_discriminator)
    _, from_judgement = pull_judgement(to_generator)
    (content_sum, compared), from_content = jax.value_and_grad(compare, has_aux=True)(swapped)
    (generator_gradient,) = pull_generator(from_judgement + from_content)
    values = {
        'generator': adversarial_sum + content_sum,
        'discriminator': discriminator_loss,
        **terms,
        **compared,
    }
    return generator_gradient, discriminator_gradient, values


def _mean_over_parts(function: Callable[[Batch], Any], batch: Batch, parts: int) -> Any:
    """The mean of what `function` gives for equal parts of a batch, one after the other.

    Every parts-th example makes a part: each device has its share of each, and none moves.
    """
    if parts == 1:
        return function(batch)
    split = jax.tree.map(lambda x: x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1), batch)

    def add(total: Any, part: Batch) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, function(part)), None

    first = jax.tree.map(lambda x: x[0], split)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(function, first))
    total, _ = jax.lax.scan(add, zeros, split)
    return jax.tree.map(lambda x: x / parts, total)


def eval_step(
    model: TrainingModel, state: TrainState, encoder_params: Any, batch: Batch
) -> dict[str, jax.Array]:
    """Whose face the averaged generator shows, by the training encoder, on different pictures.

    A generator that copies the target, the failure that users of face swappers report most, shows
    up here in the first thousand steps.

    Args:
      model: fixed parts.
      state: its moving average is judged.
      encoder_params: of the identity encoder.
      batch: as in `train_step`.

    Returns:
      The means of `cos_source` and `cos_target`; NaN where all pairs are of one picture.
    """
    compared = swap_pairs(
        model, state.generator_ema_params, state.generator_spectral, encoder_params, batch
    )
    return {
        f'cos_{name}': jnp.mean(compared[f'encoder_{name}'], where=~batch['same_image'])
        for name in ('source', 'target')
    }


def swap_pairs(
    model: TrainingModel,
    ema_params: Any,
    spectral: spectral_norm.State,
    encoder_params: Any,
    batch: dict[str, jax.Array],
) -> dict[str, jax.Array]:
    """Swaps a batch and compares identities by the training encoder.

    Args:
      model: fixed parts.
      ema_params: the generator's averaged raw parameters.
      spectral: its spectral-norm state.
      encoder_params: of the identity encoder.
      batch: uint8 (n, size, size, 3) `source`, `target` and `boundary_map`.

    Returns:
      `swapped` uint8 (n, size, size, 3), `encoder_source` and `encoder_target` float32 (n,).
    """
    embed = functools.partial(model.identity_encoder.embed, encoder_params)
    target = normalise_image(batch['target'])
    face_of = functools.partial(arcface_window, window=model.arcface_window)
    identity = embed(face_of(normalise_image(batch['source'])))
    # The average's singular vectors are close to the raw kernels': two iterations find them.
    params, _ = spectral_norm.normalise(ema_params, spectral, steps=2)
    boundary_map = normalise_boundary_map(batch['boundary_map'])
    swapped = generate(model.generator, params, target, boundary_map, identity)
    vector = embed(face_of(swapped)).vector
    target_vector = embed(face_of(target)).vector
    return {
        'swapped': to_uint8(swapped),
        'encoder_source': losses.cosine_similarity(vector, identity.vector),
        'encoder_target': losses.cosine_similarity(vector, target_vector),
    }


def _discriminator_loss(model: TrainingModel, judgement: Judgement) -> jax.Array:
    """Eqs. 4-5 for the discriminators."""
    return losses.discriminator_loss(
        real_logits=[output.logits for output in judgement.real],
        fake_logits=[output.logits for output in judgement.fake],
        kind=model.adversarial_kind,
    )


def adversarial_terms(
    model: TrainingModel, judgement: Judgement
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Eqs. 4-5 for the generator, and eqs. 8-9.

    Args:
      model: its weights and kind.
      judgement: of the targets and of the swapped pictures.

    Returns:
      Their weighted sum, and each without its weight.
    """
    fake_logits = [output.logits for output in judgement.fake]
    features = {
        'target_features': [output.features for output in judgement.real],
        'swapped_features': [output.features for output in judgement.fake],
    }
    terms = {
        'adversarial': losses.adversarial_loss(
            fake_logits=fake_logits, kind=model.adversarial_kind
        ),
        'occlusion': losses.occlusion_perceptual_loss(**features),
        'style': losses.style_perceptual_loss(**features),
    }
    return _weighted_sum(model.weights, terms), terms


def content_terms(
    model: TrainingModel,
    swapped: jax.Array,
    target: jax.Array,
    swapped_vector: jax.Array,
    source_identity: IdentityEmbedding,
    same_image: jax.Array,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Eqs. 6 and 7, and the landmark loss where it is asked for.

    Args:
      model: its weights, and its landmark reader if it has one.
      swapped: (n, size, size, 3) in [-1, 1].
      target: the same shape and range.
      swapped_vector: (n, d), the identity of `swapped` by the training encoder.
      source_identity: of the sources.
      same_image: bool (n,), whether source and target are one picture.

    Returns:
      Their weighted sum, and each without its weight.
    """
    weights = model.weights
    identity = losses.identity_loss(
        swapped_vector=swapped_vector, source_vector=source_identity.vector
    )
    reconstruction = losses.reconstruction_loss(
        swapped=swapped,
        target=target,
        same_image=same_image,
        different_weight=weights.different_reconstruction,
    )
    terms = {'identity': identity, 'reconstruction': reconstruction}
    if model.landmark_reader is not None:
        terms['landmarks'] = losses.landmark_loss(
            swapped_landmarks=model.landmark_reader.read(swapped, model.arcface_window),
            target_landmarks=model.landmark_reader.read(target, model.arcface_window),
        )
    return _weighted_sum(weights, terms), terms


def _weighted_sum(weights: LossWeights, terms: dict[str, jax.Array]) -> jax.Array:
    return sum((getattr(weights, name) * value for name, value in terms.items()), jnp.zeros(()))


def _apply_gradients(
    model: TrainingModel, state: TrainState, generator_gradient: Any, discriminator_gradient: Any
) -> TrainState:
    generator_updates, generator_optimizer = model.generator_tx.update(
        generator_gradient, state.generator_optimizer, state.generator_params
    )
    discriminator_updates, discriminator_optimizer = model.discriminator_tx.update(
        discriminator_gradient, state.discriminator_optimizer, state.discriminator_params
    )
    generator_params = optimizers.clip_rho(
        optax.apply_updates(state.generator_params, generator_updates)
    )
    return state.replace(
        step=state.step + 1,
        generator_params=generator_params,
        generator_ema_params=optimizers.update_ema(
            state.generator_ema_params, generator_params, step=state.step, decay=model.ema_decay
        ),
        generator_optimizer=generator_optimizer,
        discriminator_params=optax.apply_updates(state.discriminator_params, discriminator_updates),
        discriminator_optimizer=discriminator_optimizer,
    )
