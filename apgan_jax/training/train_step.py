"""One step of both networks: a pure function of state and batch."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping
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
from apgan_jax.models.generator import Generator, Painting, compose, generate, paint
from apgan_jax.models.identity import IdentityEmbedding, IdentityEncoder
from apgan_jax.models.images import (
    ARCFACE_SIZE,
    arcface_window,
    hide_hair,
    move_pictures,
    near_features,
    normalise_boundary_map,
    normalise_image,
    to_uint8,
)
from apgan_jax.models.landmark_reader import LandmarkReader, feature_weights
from apgan_jax.training import losses, optimizers, sharding
from apgan_jax.training.losses import LossWeights

Batch = dict[str, Any]
# Where a batch has what `embed_sources` makes of its sources, if somebody kept it.
SOURCE_EMBEDDINGS = 'source_embeddings'
# Of a batch, one in so many is swapped again a few pixels farther, for the shift loss.
_ONE_IN = 4


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
      courses: of the weights that change on the way, see `losses.weights_at`.
      identity_margin: where the identity loss ends, see `losses.identity_loss`.
      identity_view: rows above and columns at each side that the identity loss does not see, see
        `images.hide_hair`; (0, 0): it sees all.
      feature_weight: how much more eyes, nose bridge and mouth count in the truth loss.
      eyes_and_lips_weight: what their landmarks count in the landmark loss, others 1.
      most_shift: pixels of a batch's `offsets`, each way.
      arcface_window: of the crops, which the identity encoder sees.
      bfloat16_products: whether convolutions of the two networks multiply bfloat16 on a CPU that
        can, see `models.convolutions`.
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
    courses: Mapping[str, losses.Course] = dataclasses.field(default_factory=dict)
    identity_margin: float = 1.0
    identity_view: tuple[int, int] = (0, 0)
    feature_weight: float = 0.0
    eyes_and_lips_weight: float = 1.0
    most_shift: int = 0
    arcface_window: Window = HEAD_V1_WINDOW
    bfloat16_products: bool = False


class Swap(NamedTuple):
    """What the generator made of a batch.

    Attributes:
      picture: composed, (n, size, size, 3) in [-1, 1].
      mask: (n, size, size, 1) in [0, 1].
      of_moved: composed, of the first targets, moved; None without the shift loss.
    """

    picture: jax.Array
    mask: jax.Array
    of_moved: jax.Array | None


class SourceEmbeddings(NamedTuple):
    """What the identity encoder makes of a batch's sources.

    Attributes:
      identity: what the generator gets.
      seen_vector: of what the identity loss sees, float32 (n, d).
    """

    identity: IdentityEmbedding
    seen_vector: jax.Array


class Inputs(NamedTuple):
    """A batch as the networks and losses take it; shapes as in `Swap`.

    Attributes:
      source: in [-1, 1].
      target: the same.
      boundary_map: in [0, 1].
      same_image: bool (n,).
      truth: what the swapped picture should be where there is one; what is real to the
        discriminators: the target, but for targets that were swapped before.
      has_truth: bool (n,); None in a batch without truths.
      mask: what the mask should be; None in a batch without truths.
      offsets: int (n, 2), pixels, for the shift loss; None without.
    """

    source: jax.Array
    target: jax.Array
    boundary_map: jax.Array
    same_image: jax.Array
    truth: jax.Array
    has_truth: jax.Array | None
    mask: jax.Array | None
    offsets: jax.Array | None


class Judgement(NamedTuple):
    """What the discriminators of all scales say of real and of swapped pictures."""

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
    encoder = model.identity_encoder
    face = jax.ShapeDtypeStruct((1, ARCFACE_SIZE, ARCFACE_SIZE, 3), jnp.float32)
    identity = _zeros_like_those_of(encoder.embed, encoder.params, face)
    generator = model.generator.init(generator_rng, picture, picture, identity)['params']
    maps = _zeros_like_those_of(functools.partial(face_maps, model), encoder.params, picture)
    discriminator = model.discriminator.init(discriminator_rng, picture, picture, maps)['params']
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


def _zeros_like_those_of(function: Callable[..., Any], *arguments: Any) -> Any:
    """Zeros in the shapes of what a function returns, which is not computed."""
    shapes = jax.eval_shape(function, *arguments)
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
      batch: uint8 (n, size, size, 3) `source`, `target`, `boundary_map` and bool (n,) `same_image`;
        where the data has truths, what else `data.pipeline` tells of; and where the sources were
        embedded before, `SOURCE_EMBEDDINGS`.
      gather: brings the normalised kernels to every device.

    Returns:
      (next state, metrics of this step).
    """
    weights = losses.weights_at(model.weights, model.courses, state.step)
    model = dataclasses.replace(model, weights=weights)
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
    inputs = inputs_of(batch)
    sources = batch.get(SOURCE_EMBEDDINGS) or embed_sources(model, encoder_params, batch['source'])

    def judge(params: Any, swapped: jax.Array) -> Judgement:
        return judge_pictures(model, params, encoder_params, inputs, swapped)

    def compare(swap: Swap) -> tuple[jax.Array, dict[str, jax.Array]]:
        return content_terms(model, swap, inputs, encoder_params, sources)

    swap, pull_generator = jax.vjp(
        lambda params: swap_batch(model, params, inputs, sources.identity), generator_params
    )
    judgement, pull_judgement = jax.vjp(judge, discriminator_params, swap.picture)
    discriminator_loss, to_discriminator = jax.value_and_grad(
        functools.partial(_discriminator_loss, model)
    )(judgement)
    (adversarial_sum, terms), to_generator = jax.value_and_grad(
        functools.partial(adversarial_terms, model), has_aux=True
    )(judgement)
    discriminator_gradient, _ = pull_judgement(to_discriminator)
    _, from_judgement = pull_judgement(to_generator)
    (content_sum, compared), from_content = jax.value_and_grad(compare, has_aux=True)(swap)
    to_swap = from_content._replace(picture=from_judgement + from_content.picture)
    (generator_gradient,) = pull_generator(to_swap)
    values = {
        'generator': adversarial_sum + content_sum,
        'discriminator': discriminator_loss,
        **terms,
        **compared,
    }
    return generator_gradient, discriminator_gradient, values


def inputs_of(batch: Batch) -> Inputs:
    """A batch of `data.pipeline` as the networks take it."""
    target = normalise_image(batch['target'])
    has_truths = 'truth' in batch
    return Inputs(
        source=normalise_image(batch['source']),
        target=target,
        boundary_map=normalise_boundary_map(batch['boundary_map']),
        same_image=batch['same_image'],
        truth=normalise_image(batch['truth']) if has_truths else target,
        has_truth=batch.get('has_truth'),
        mask=normalise_boundary_map(batch['mask'])[..., None] if has_truths else None,
        offsets=batch.get('offsets'),
    )


def embed_sources(
    model: TrainingModel, encoder_params: Any, sources: jax.Array
) -> SourceEmbeddings:
    """Embeds sources, uint8 (n, size, size, 3)."""
    pictures = normalise_image(sources)
    identity = _embed(model, encoder_params, pictures)
    if model.identity_view == (0, 0):
        return SourceEmbeddings(identity, identity.vector)
    return SourceEmbeddings(identity, _seen_vector(model, encoder_params, pictures))


def _embed(model: TrainingModel, encoder_params: Any, pictures: jax.Array) -> IdentityEmbedding:
    faces = arcface_window(pictures, model.arcface_window)
    return model.identity_encoder.embed(encoder_params, faces)


def _seen_vector(model: TrainingModel, encoder_params: Any, pictures: jax.Array) -> jax.Array:
    """Identity vectors of what the identity loss sees."""
    faces = hide_hair(arcface_window(pictures, model.arcface_window), *model.identity_view)
    return model.identity_encoder.embed(encoder_params, faces).vector


def face_maps(
    model: TrainingModel, encoder_params: Any, pictures: jax.Array
) -> dict[str, jax.Array]:
    """What the projected discriminators see of pictures; nothing where there are none."""
    if not model.discriminator.projected_width:
        return {}
    faces = arcface_window(pictures, model.arcface_window)
    return model.identity_encoder.face_maps(encoder_params, faces)


def judge_pictures(
    model: TrainingModel, params: Any, encoder_params: Any, inputs: Inputs, swapped: jax.Array
) -> Judgement:
    """What the discriminators say of a batch.

    Args:
      model: fixed parts.
      params: of the discriminators, spectrally normalised.
      encoder_params: of the identity encoder.
      inputs: the batch, whose truths are what is real.
      swapped: pictures of its boundary maps, (n, size, size, 3) in [-1, 1].
    """

    def discriminate(image: jax.Array) -> Any:
        maps = face_maps(model, encoder_params, image)
        with _products(model):
            return model.discriminator.apply({'params': params}, image, inputs.boundary_map, maps)

    return Judgement(discriminate(inputs.truth), discriminate(swapped))


def swap_batch(
    model: TrainingModel, params: Any, inputs: Inputs, identity: IdentityEmbedding
) -> Swap:
    """What the generator makes of a batch.

    Args:
      model: fixed parts.
      params: of the generator, spectrally normalised.
      inputs: the batch.
      identity: of its sources.
    """

    def swap(target: jax.Array, boundary_map: jax.Array, identity: IdentityEmbedding) -> Painting:
        with _products(model):
            painting = paint(model.generator, params, target, boundary_map, identity)
        if not model.generator.mask:
            return painting
        return painting._replace(picture=compose(painting, target))

    picture, mask = swap(inputs.target, inputs.boundary_map, identity)
    if inputs.offsets is None:
        return Swap(picture, mask, None)
    target, boundary_map, _ = _moved(model, inputs.target, inputs)
    few = jax.tree.map(lambda value: value[: len(target)], identity)
    return Swap(picture, mask, swap(target, boundary_map, few).picture)


def _products(model: TrainingModel) -> contextlib.AbstractContextManager[None]:
    """In which networks are applied; their gradients are of what was applied."""
    if model.bfloat16_products:
        return jax.default_matmul_precision('bfloat16')
    return contextlib.nullcontext()


def _moved(
    model: TrainingModel, pictures: jax.Array, inputs: Inputs
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The first pictures and boundary maps, moved, and where that shows the pictures."""
    assert inputs.offsets is not None
    count = max(1, len(pictures) // _ONE_IN)
    both = jnp.concatenate([pictures, inputs.boundary_map], axis=-1)[:count]
    moved, seen = move_pictures(both, inputs.offsets[:count], model.most_shift)
    return moved[..., :3], moved[..., 3:], seen


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
    embed = functools.partial(_embed, model, encoder_params)
    target = normalise_image(batch['target'])
    identity = embed(normalise_image(batch['source']))
    # The average's singular vectors are close to the raw kernels': two iterations find them.
    params, _ = spectral_norm.normalise(ema_params, spectral, steps=2)
    boundary_map = normalise_boundary_map(batch['boundary_map'])
    swapped = generate(model.generator, params, target, boundary_map, identity)
    vector, target_vector = embed(swapped).vector, embed(target).vector
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
      judgement: of real and of swapped pictures.

    Returns:
      Their weighted sum, and each without its weight.
    """
    fake_logits = [output.logits for output in judgement.fake]
    features = {
        'target_features': [output.features for output in judgement.real if output.features],
        'swapped_features': [output.features for output in judgement.fake if output.features],
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
    swap: Swap,
    inputs: Inputs,
    encoder_params: Any,
    sources: SourceEmbeddings,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Eqs. 6 and 7, and the losses that are not the paper's where they are asked for.

    Args:
      model: its weights, and its landmark reader if it has one.
      swap: what the generator made.
      inputs: of what.
      encoder_params: of the identity encoder.
      sources: of the batch, embedded.

    Returns:
      Their weighted sum, and each without its weight.
    """
    terms = {
        'identity': losses.identity_loss(
            swapped_vector=_seen_vector(model, encoder_params, swap.picture),
            source_vector=sources.seen_vector,
            margin=model.identity_margin,
        ),
        'reconstruction': losses.reconstruction_loss(
            swapped=swap.picture,
            target=inputs.target,
            same_image=inputs.same_image,
            different_weight=model.weights.different_reconstruction,
        ),
        **_truth_terms(model, swap, inputs),
    }
    if model.landmark_reader is not None:
        read = functools.partial(model.landmark_reader.read, arcface_window=model.arcface_window)
        terms['landmarks'] = losses.landmark_loss(
            swapped_landmarks=read(swap.picture),
            target_landmarks=read(inputs.truth),
            point_weights=feature_weights(model.eyes_and_lips_weight),
        )
    return _weighted_sum(model.weights, terms), terms


def _truth_terms(model: TrainingModel, swap: Swap, inputs: Inputs) -> dict[str, jax.Array]:
    terms = {}
    emphasis: jax.Array | float = 1.0
    if model.feature_weight:
        emphasis = 1 + model.feature_weight * near_features(inputs.boundary_map)
    if inputs.has_truth is not None and inputs.mask is not None:
        terms['truth'] = losses.truth_loss(
            swapped=swap.picture,
            truth=inputs.truth,
            has_truth=inputs.has_truth,
            emphasis=emphasis,
        )
        if model.generator.mask:
            # clu takes 'mask' for which examples count.
            terms['mask_error'] = losses.mask_loss(mask=swap.mask, truth=inputs.mask)
            terms['mask_cost'] = losses.mask_cost_loss(mask=swap.mask)
    if swap.of_moved is not None:
        moved, _, seen = _moved(model, swap.picture, inputs)
        terms['shift'] = losses.shift_loss(moved_swap=moved, swap_of_moved=swap.of_moved, seen=seen)
    return terms


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
