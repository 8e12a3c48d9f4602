"""Each equation of the paper's section III, from its print, and what training makes of them.

Every tolerance is relative to the largest value compared, and 1e-5 where nothing else is said.
Where the code departs from the print by a constant, the test applies the constant and says why.
"""

import dataclasses
import functools
import math
from typing import NamedTuple

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util
from jax.flatten_util import ravel_pytree

from apgan_jax.bundle import load_bundle
from apgan_jax.face import blending
from apgan_jax.face.alignment import CropSpec
from apgan_jax.models import adalin, spectral_norm
from apgan_jax.models.discriminator import MultiScaleDiscriminator
from apgan_jax.models.generator import Generator, generate
from apgan_jax.models.identity import IdentityEmbedding
from apgan_jax.models.images import arcface_window
from apgan_jax.training import checkpointing, experiment, export, losses, optimizers
from apgan_jax.training.losses import LossWeights
from apgan_jax.training.train_step import train_step
from configs import tiny
from support import oracle
from support.faces import random_state

SEEDS = [0, 1, 2]


def assert_close(actual, expected, tolerance=1e-5):
    expected = np.asarray(expected, np.float64)
    scale = max(np.abs(expected).max(), 1e-30)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)


def normal(*shape, seed):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def float64(tree):
    return jax.tree.map(lambda x: np.asarray(x, np.float64), tree)


def random_params(module, *inputs, seed):
    """Weights that leave nothing near 0, biases too."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)['params']
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: (
            rng.uniform(size=leaf.shape)
            if path[-1].key == 'rho'
            else 0.1 * rng.normal(size=leaf.shape)
        ).astype(np.float32),
        shapes,
    )


# --- Equations 1 to 3: AdaLIN ---------------------------------------------------------------------

layer_instance_norm = jax.jit(adalin.layer_instance_norm)
SHAPES = [(1, 4, 4, 3), (3, 6, 5, 4), (2, 3, 8, 1), (2, 16, 16, 6)]


def features(shape, seed):
    """Channels and examples of different place and spread."""
    rng = np.random.default_rng(seed)
    place, spread = rng.normal(size=shape[-1]), rng.uniform(0.5, 3, size=(shape[0], 1, 1, shape[3]))
    return (spread * rng.normal(size=shape) + 2 * place).astype(np.float32)


def expected_statistics(example):
    mu_in, sigma_in, mu_ln, sigma_ln = oracle.equation_2(example)
    # The code adds epsilon to the variances, or flat features would divide by 0.
    sigma_in, sigma_ln = (np.sqrt(sigma**2 + adalin.EPSILON) for sigma in (sigma_in, sigma_ln))
    return oracle.Statistics(mu_in, sigma_in, mu_ln, sigma_ln)


def expected_adalin(x, rho, gamma_minus_one, beta):
    # The code's heads give gamma - 1, so that a block starts near plain normalisation.
    gamma = 1 + gamma_minus_one
    examples = zip(x, gamma, beta, strict=True)
    return np.stack(
        [
            oracle.equation_3(*oracle.equation_1(m, expected_statistics(m)), rho, g, b)
            for m, g, b in examples
        ]
    )


@pytest.mark.parametrize('seed', SEEDS)
@pytest.mark.parametrize('shape', SHAPES)
def test_equation_1(shape, seed):
    x = features(shape, seed)
    both = [oracle.equation_1(m, expected_statistics(m)) for m in float64(x)]
    # rho = 1 leaves M_IN alone, rho = 0 M_LN.
    for rho, expected in zip((1.0, 0.0), zip(*both, strict=True), strict=True):
        assert_close(layer_instance_norm(x, rho), expected)


@pytest.mark.parametrize('seed', SEEDS)
@pytest.mark.parametrize('shape', SHAPES)
def test_equation_2(shape, seed):
    """mu and sigma are read off what the code does to the smallest and the largest of a map.

    That (x - mu) / sigma has one mu and sigma over just these values is equation 1's test.
    """
    x = features(shape, seed)
    pixels = x.reshape(shape[0], -1, shape[-1])

    places = [np.expand_dims(find(pixels, axis=1), 1) for find in (np.argmin, np.argmax)]

    def read_off(rho):
        y = np.asarray(layer_instance_norm(x, rho)).reshape(pixels.shape)
        (low_x, low_y), (high_x, high_y) = (
            float64([np.take_along_axis(values, place, 1)[:, 0] for values in (pixels, y)])
            for place in places
        )
        sigma = (high_x - low_x) / (high_y - low_y)
        return low_x - sigma * low_y, sigma

    statistics = [expected_statistics(m) for m in float64(x)]
    assert_close(read_off(1.0), np.moveaxis([(s.mu_in, s.sigma_in) for s in statistics], 1, 0))
    # One mean and deviation of an example, whichever channel they are read from.
    layer = np.array([(s.mu_ln, s.sigma_ln) for s in statistics])
    expected = np.broadcast_to(layer.T[:, :, None], (2, shape[0], shape[3]))
    assert_close(read_off(0.0), expected)


def adalin_inputs(shape, seed, *, spatial):
    rng = np.random.default_rng(seed + 100)
    modulation = shape if spatial else (shape[0], 1, 1, shape[3])
    return (
        features(shape, seed),
        rng.uniform(size=shape[-1]).astype(np.float32),
        *rng.normal(size=(2, *modulation)).astype(np.float32),
    )


def apply_adalin(x, rho, gamma_minus_one, beta):
    return adalin.AdaLIN().apply({'params': {'rho': rho}}, x, (gamma_minus_one, beta))


@pytest.mark.parametrize('spatial', [False, True], ids=['id_block', 'pe_block'])
@pytest.mark.parametrize('seed', SEEDS)
@pytest.mark.parametrize('shape', SHAPES)
def test_equation_3(shape, seed, spatial):
    inputs = adalin_inputs(shape, seed, spatial=spatial)
    assert_close(apply_adalin(*inputs), expected_adalin(*float64(inputs)))


# --- Equations 4 and 5: the adversarial loss ------------------------------------------------------

# Beside the paper's binary cross-entropy: (of real, of fake, of fake for the generator).
OTHER_KINDS = {
    'hinge': (lambda x: np.maximum(0, 1 - x), lambda x: np.maximum(0, 1 + x), lambda x: -x),
    'lsgan': (lambda x: (x - 1) ** 2, lambda x: x**2, lambda x: (x - 1) ** 2),
}
KINDS = ['bce', *OTHER_KINDS]


def logits(num_scales, seed):
    return [normal(3, 4 >> i, 4 >> i, 1, seed=seed + 10 * i) * 3 for i in range(num_scales)]


def expected_discriminator_loss(real, fake, kind='bce'):
    if kind == 'bce':
        # The discriminators maximise what the code minimises. An expectation is the mean over
        # batch and patches.
        probabilities = ([oracle.sigmoid(x) for x in logits] for logits in (real, fake))
        return -oracle.equation_4(*probabilities)
    of_real, of_fake, _ = OTHER_KINDS[kind]
    return sum(of_real(r).mean() + of_fake(f).mean() for r, f in zip(real, fake, strict=True))


def expected_adversarial_loss(fake, kind='bce'):
    if kind == 'bce':
        # Non-saturating: log(1 - D), flat where the discriminator is sure, becomes -log D. That is
        # equation 5's first term, of the fake and negated; a fake 0 makes the second vanish.
        probabilities = [oracle.sigmoid(x) for x in fake]
        return -oracle.equation_4(probabilities, [np.zeros(1)] * len(fake))
    return sum(OTHER_KINDS[kind][2](f).mean() for f in fake)


@pytest.mark.parametrize('seed', SEEDS)
@pytest.mark.parametrize('num_scales', [1, 2, 3])
def test_equation_4(num_scales, seed):
    real, fake = logits(num_scales, seed), logits(num_scales, seed + 50)
    assert_close(
        losses.discriminator_loss(real_logits=real, fake_logits=fake),
        expected_discriminator_loss(real, fake),
    )
    assert_close(losses.adversarial_loss(fake_logits=fake), expected_adversarial_loss(fake))


@pytest.mark.parametrize('shape', [(1, 1, 1, 1), (4, 3, 5, 1)])
@pytest.mark.parametrize('seed', SEEDS)
def test_equation_5(seed, shape):
    real, fake = normal(*shape, seed=seed), normal(*shape, seed=seed + 50)
    # One discriminator; it minimises the negative.
    expected = -oracle.equation_5(oracle.sigmoid(real), oracle.sigmoid(fake))
    assert_close(losses.discriminator_loss(real_logits=[real], fake_logits=[fake]), expected)


def expected_logits(params, x, num_scales):
    """III-B: equal PatchGANs (4x4 convolutions, the last two at stride 1) on a pyramid."""
    outputs = []
    for scale in range(num_scales):
        layers, y = params[f'scale_{scale}'], x
        stages = sorted(name for name in layers if name.startswith('conv_'))
        for name in stages:
            y = oracle.convolution(y, **layers[name], strides=1 if name == stages[-1] else 2)
            # LeakyReLU; the code doubles it, or five layers of norm 1 whisper (docs).
            y = 2.0 * np.where(y > 0, y, 0.2 * y)
        outputs.append(oracle.convolution(y, **layers['logits'], strides=1))
        x = oracle.halved(x)
    return outputs


@pytest.mark.parametrize('num_scales', [1, 3])
def test_equations_4_and_5_of_the_multi_scale_discriminator(num_scales):
    module = MultiScaleDiscriminator(width=3, depth=3, num_scales=num_scales)
    rng = np.random.default_rng(num_scales)
    target, swapped = rng.uniform(-1, 1, (2, 2, 16, 16, 3)).astype(np.float32)
    boundary_map = rng.uniform(size=(2, 16, 16, 3)).astype(np.float32)
    params = random_params(module, target, boundary_map, seed=num_scales + 10)
    judge = jax.jit(functools.partial(module.apply, {'params': params}))
    real, fake = (
        [output.logits for output in judge(image, boundary_map)] for image in (target, swapped)
    )
    expected_real, expected_fake = (
        expected_logits(*float64((params, np.concatenate([x, boundary_map], -1))), num_scales)
        for x in (target, swapped)
    )
    assert len(real) == num_scales
    assert_close(
        losses.discriminator_loss(real_logits=real, fake_logits=fake),
        expected_discriminator_loss(expected_real, expected_fake),
    )
    assert_close(
        losses.adversarial_loss(fake_logits=fake), expected_adversarial_loss(expected_fake)
    )


# --- Equations 6 and 7: identity and reconstruction -----------------------------------------------


def expected_identity_loss(swapped, source):
    # The paper writes it for one pair; a batch gives the mean.
    return np.mean([oracle.equation_6(a, b) for a, b in zip(swapped, source, strict=True)])


def expected_reconstruction_loss(swapped, target, same_image, lambda_1):
    values = [
        # The mean over pixels and channels: the sum would tie the weights to the picture's size.
        oracle.equation_7(t, s, same_image=same, lambda_1=lambda_1) / t.size
        for s, t, same in zip(swapped, target, same_image, strict=True)
    ]
    return np.mean(values)


@pytest.mark.parametrize('seed', SEEDS)
@pytest.mark.parametrize('shape', [(1, 5), (4, 192)])
def test_equation_6(shape, seed):
    swapped, source = 3 * normal(*shape, seed=seed), normal(*shape, seed=seed + 50)
    loss = losses.identity_loss(swapped_vector=swapped, source_vector=source)
    assert_close(loss, expected_identity_loss(*float64((swapped, source))))


@pytest.mark.parametrize('seed', SEEDS)
@pytest.mark.parametrize('same_image', [(True,), (False,), (True, False, False, True)])
def test_equation_7(same_image, seed):
    shape = (len(same_image), 6, 5, 3)
    swapped, target = normal(*shape, seed=seed), normal(*shape, seed=seed + 50)
    for lambda_1 in (0.1, 0.37):
        loss = losses.reconstruction_loss(
            swapped=swapped,
            target=target,
            same_image=np.array(same_image),
            different_weight=lambda_1,
        )
        expected = expected_reconstruction_loss(*float64((swapped, target)), same_image, lambda_1)
        assert_close(loss, expected)


# --- Equations 8 to 10: the perceptual loss -------------------------------------------------------

PERCEPTUAL = {
    'occlusion': (jax.jit(losses.occlusion_perceptual_loss), oracle.equation_8),
    'style': (jax.jit(losses.style_perceptual_loss), oracle.equation_9),
}


def stage_features(num_scales, seed, count=2):
    """[scale][stage] of (count, h, w, c)."""
    sizes = ((4, 6, 2), (4, 4, 3), (2, 2, 5))
    return [
        [
            normal(count, h >> scale, w >> scale, c, seed=seed + 10 * scale + stage)
            for stage, (h, w, c) in enumerate(sizes)
        ]
        for scale in range(num_scales)
    ]


def expected_perceptual_loss(equation, target, swapped):
    values = [
        equation([f[example] for f in target_stages], [y[example] for y in swapped_stages])
        for target_stages, swapped_stages in zip(target, swapped, strict=True)
        for example in range(len(target_stages[0]))
    ]
    # The paper has one discriminator and one example here: the mean over both.
    return np.mean(values)


def assert_perceptual_loss(term, num_scales, count, seed):
    function, equation = PERCEPTUAL[term]
    target, swapped = (stage_features(num_scales, s, count) for s in (seed, seed + 50))
    loss = function(target_features=target, swapped_features=swapped)
    assert_close(loss, expected_perceptual_loss(equation, *float64((target, swapped))))


@pytest.mark.parametrize('seed', SEEDS)
@pytest.mark.parametrize('num_scales, count', [(1, 1), (2, 3)])
def test_equation_8(num_scales, count, seed):
    assert_perceptual_loss('occlusion', num_scales, count, seed)


@pytest.mark.parametrize('seed', SEEDS)
@pytest.mark.parametrize('num_scales, count', [(1, 1), (2, 3)])
def test_equation_9(num_scales, count, seed):
    assert_perceptual_loss('style', num_scales, count, seed)


@pytest.mark.parametrize('seed', SEEDS)
@pytest.mark.parametrize('shape', [(1, 1, 1, 3), (2, 4, 3, 5), (3, 8, 8, 2)])
def test_equation_10(shape, seed):
    x = normal(*shape, seed=seed)
    # Equation 9's 1 / (CHW)² is taken inside its square, where float32 loses less.
    chw = math.prod(shape[1:])
    assert_close(chw * losses.gram_matrix(x), [oracle.equation_10(f) for f in float64(x)])


# --- Equations 12 and 13: blending ----------------------------------------------------------------

PAPER_ALPHA, PAPER_GAMMA = 0.08, 0.7


def expected_mask(size):
    # alpha is a slope per pixel of the paper's 256; other sizes get the same picture, scaled.
    alpha = PAPER_ALPHA * 256 / size
    # The paper leaves open where a pixel's x is. At its centre the mask is symmetric about mid.
    places = np.arange(size) + 0.5
    mask = functools.partial(oracle.equation_12, mid=size / 2, alpha=alpha, gamma=PAPER_GAMMA)
    return np.array([[mask(x, y) for x in places] for y in places])


@pytest.mark.parametrize('size', [64, 127, 128, 256])
def test_equation_12(size):
    mask = expected_mask(size)
    assert_close(blending.mirrored_sigmoid_mask(size), mask)
    # What is pasted ends at exactly 0 and 1: the printed mask leaves a faint square at its edge.
    ramp = (mask - mask[0, 0]) / (mask[size // 2, size // 2] - mask[0, 0])
    assert_close(blending.blending_mask(size), ramp)


def bilinear(picture, x, y, *, outside):
    """A picture (h, w, …) between its pixels; 0 outside, or its nearest edge."""
    height, width = picture.shape[:2]
    result = np.zeros(picture.shape[2:])
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            inside = 0 <= row < height and 0 <= column < width
            if inside or outside == 'edge':
                value = picture[min(max(row, 0), height - 1), min(max(column, 0), width - 1)]
                result += (1 - abs(y - row)) * (1 - abs(x - column)) * value
    return result


@pytest.mark.parametrize('seed', SEEDS)
@pytest.mark.parametrize('left, top', [(0, 0), (13, 5)])
def test_equation_13(left, top, seed):
    rng = np.random.default_rng(seed)
    frame = rng.integers(0, 256, (80, 90, 3), dtype=np.uint8)
    crop = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    part = np.s_[top : top + 64, left : left + 64]
    mask = blending.blending_mask(64).astype(np.float64)
    expected = oracle.equation_13(mask, *float64((crop, frame[part])))
    crop_from_frame = np.array([[1.0, 0, -left], [0, 1.0, -top]])
    blending.paste(frame, blending.face_patch(crop, crop_from_frame))
    # Frames are uint8: half a level of rounding, and 1e-5 of their range.
    assert np.abs(frame[part] - expected).max() <= 0.5 + 255 * 1e-5


def test_equation_13_under_rotation():
    """Mask and crop are warped and blended in the frame, each by its own bilinear weights."""
    rows, columns = np.mgrid[:64, :64]
    crop = np.stack([rows * 3, columns * 3, 255 - rows - columns], -1).astype(np.uint8)
    frame = np.full((90, 100, 3), 40, np.uint8)
    angle, scale = 0.4, 1.1
    linear = scale * np.array(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    )
    crop_from_frame = np.hstack([linear, (31.5 - linear @ [50, 45])[:, None]])
    mask = blending.blending_mask(64).astype(np.float64)
    expected = np.zeros(frame.shape)
    for y in range(90):
        for x in range(100):
            place = crop_from_frame @ [x, y, 1]
            weight = bilinear(mask, *place, outside='zero')
            face = bilinear(crop.astype(np.float64), *place, outside='edge')
            expected[y, x] = weight * face + (1 - weight) * frame[y, x]
    blending.paste(frame, blending.face_patch(crop, crop_from_frame))
    # The warped crop is rounded to uint8 before it is blended, the result again.
    assert np.abs(frame - expected).max() <= 1.1


# --- Gradients of each term against finite differences of the oracles -----------------------------


def assert_gradient(function, expected_function, tree, tolerance=1e-5):
    """Compares the gradients at a tree of arrays, entry by entry."""
    flat, unravel = ravel_pytree(tree)
    gradient = jax.jit(jax.grad(lambda x: function(unravel(x))))(flat)

    def expected_at(x):
        # In NumPy: `unravel` would bring float64 back to float32.
        shapes = [leaf.shape for leaf in jax.tree.leaves(tree)]
        cuts = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
        parts = [p.reshape(s) for p, s in zip(np.split(x, cuts), shapes, strict=True)]
        return expected_function(jax.tree.unflatten(jax.tree.structure(tree), parts))

    assert_close(gradient, oracle.finite_differences(expected_at, flat), tolerance)


@pytest.mark.parametrize('spatial', [False, True], ids=['id_block', 'pe_block'])
def test_gradients_of_adalin(spatial):
    """Equations 1 to 3, by features, rho, gamma and beta."""
    inputs = adalin_inputs((2, 3, 4, 3), 0, spatial=spatial)
    weights = normal(2, 3, 4, 3, seed=7)
    assert_gradient(
        lambda tree: jnp.sum(weights * apply_adalin(*tree)),
        lambda tree: np.sum(weights * expected_adalin(*tree)),
        inputs,
    )


@pytest.mark.parametrize('kind', KINDS)
def test_gradient_of_the_discriminator_loss(kind):
    assert_gradient(
        lambda tree: losses.discriminator_loss(real_logits=tree[0], fake_logits=tree[1], kind=kind),
        lambda tree: expected_discriminator_loss(*tree, kind),
        (logits(3, 0), logits(3, 50)),
    )


@pytest.mark.parametrize('kind', KINDS)
def test_gradient_of_the_adversarial_loss(kind):
    assert_gradient(
        lambda fake: losses.adversarial_loss(fake_logits=fake, kind=kind),
        lambda fake: expected_adversarial_loss(fake, kind),
        logits(3, 0),
    )


def test_gradient_of_the_identity_loss():
    source = normal(3, 20, seed=1)
    assert_gradient(
        lambda swapped: losses.identity_loss(swapped_vector=swapped, source_vector=source),
        lambda swapped: expected_identity_loss(swapped, float64(source)),
        normal(3, 20, seed=0),
    )


def test_gradient_of_the_reconstruction_loss():
    target, same_image = normal(3, 4, 5, 3, seed=1), np.array([True, False, True])
    assert_gradient(
        lambda swapped: losses.reconstruction_loss(
            swapped=swapped, target=target, same_image=same_image, different_weight=0.1
        ),
        lambda swapped: expected_reconstruction_loss(swapped, float64(target), same_image, 0.1),
        normal(3, 4, 5, 3, seed=0),
    )


@pytest.mark.parametrize('term', PERCEPTUAL)
def test_gradient_of_the_perceptual_losses(term):
    function, equation = PERCEPTUAL[term]
    target = stage_features(2, 50)
    assert_gradient(
        lambda swapped: function(target_features=target, swapped_features=swapped),
        lambda swapped: expected_perceptual_loss(equation, float64(target), swapped),
        stage_features(2, 0),
    )


# --- Adam: the paper's beta2 of 0, and the default ------------------------------------------------


@pytest.mark.parametrize('beta1', [0.0, 0.9])
@pytest.mark.parametrize('beta2', [0.0, 0.999])
def test_adam(beta1, beta2):
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(3, 50)) * 10.0 ** rng.integers(-9, 4, 50)
    rates = [1e-3, 2e-3, 5e-4]
    with jax.enable_x64():
        tx = optimizers.adam(lambda count: jnp.array(rates)[count], beta1=beta1, beta2=beta2)
        state, updates = tx.init(jnp.zeros(50, jnp.float64)), []
        for gradient in gradients:
            update, state = tx.update(jnp.asarray(gradient), state)
            updates.append(np.asarray(update))
    for update, expected in zip(
        updates, oracle.adam(gradients, rates, beta1=beta1, beta2=beta2), strict=True
    ):
        np.testing.assert_allclose(update, expected, rtol=1e-5)


@pytest.mark.parametrize('beta2', [0.0, 0.999])
def test_adam_of_a_config(beta2):
    """In float32, as training runs it: 1 - 0.999² alone is off by nearly 1e-5 there."""
    config = small_config()
    config.optimizer.beta2 = beta2
    model = experiment.build_model(config)
    gradients = normal(3, 50, seed=0)
    for tx, rate in (
        (model.generator_tx, config.optimizer.generator_learning_rate),
        (model.discriminator_tx, config.optimizer.discriminator_learning_rate),
    ):
        state = tx.init(gradients[0])
        for gradient, expected in zip(
            gradients, oracle.adam(gradients, [rate] * 3, beta1=0, beta2=beta2), strict=True
        ):
            update, state = tx.update(gradient, state)
            np.testing.assert_allclose(update, expected, rtol=2e-5)


def test_the_papers_literal_adam_is_the_sign_of_the_gradient():
    rng = np.random.default_rng(0)
    gradients = rng.choice([-1, 1], (3, 50)) * 10 ** rng.uniform(-3, 3, (3, 50))
    gradients = gradients.astype(np.float32)
    tx = optimizers.adam(optax.constant_schedule(0.25), beta1=0.0, beta2=0.0)
    state = tx.init(gradients[0])
    for gradient in gradients:
        update, state = tx.update(gradient, state)
        # Up to epsilon: 1e-8 beside a gradient of 1e-3 is 1e-5.
        np.testing.assert_allclose(update, -0.25 * np.sign(gradient), rtol=1.1e-5)


# --- A very small model, trained -----------------------------------------------------------------

# Level 0 halves the time of compiling and leaves the program as it is.
compiled = functools.partial(jax.jit, compiler_options={'xla_backend_optimization_level': 0})

BATCH = 2
SMALL_RATE, LARGE_RATE = 1e-4, 0.05
CALM_STEPS, WILD_STEPS = 12, 3
# All different, so that none can stand in another's place; the paper's are pinned in test_losses.
WEIGHTS = LossWeights(2.0, 10.0, 7.0, 1.0, 3.0, different_reconstruction=0.2)


def small_config():
    """8 px: an ID block, a skip and a PE block; two discriminators of two stages."""
    config = tiny.get_config()
    config.size = 8
    config.generator.widths = (8, 12)
    config.generator.id_resolutions = (4,)
    config.generator.pe_resolutions = (8,)
    config.generator.skip_resolutions = (8,)
    config.generator.pe_hidden = 4
    config.generator.id_features = 6
    config.discriminator.width = 4
    config.discriminator.depth = 2
    return config


class Run(NamedTuple):
    """Steps of one training; states[k] went into step k, which reported reported[k]."""

    model: object
    step: object
    batch: dict
    states: list
    reported: list


def with_rho_near_its_bounds(params):
    """0.01, 0.99, 0.01, …: a large step drives half of them out."""

    def change(path, value):
        near = np.resize(np.array([0.01, 0.99], np.float32), value.shape)
        return near if path[-1].key == 'rho' else value

    return jax.tree_util.tree_map_with_path(change, params)


@pytest.fixture(scope='module')
def run():
    """Calm steps at the paper's rate, then wild ones; one compilation."""
    schedule = optax.piecewise_constant_schedule(SMALL_RATE, {CALM_STEPS: LARGE_RATE / SMALL_RATE})
    model = dataclasses.replace(
        experiment.build_model(small_config()),
        generator_tx=optimizers.adam(schedule, beta1=0.0, beta2=0.999),
        weights=WEIGHTS,
    )
    rng = np.random.default_rng(0)
    batch = {
        name: rng.integers(0, 256, (BATCH, 8, 8, 3), dtype=np.uint8)
        for name in ('source', 'target', 'boundary_map')
    }
    batch['same_image'] = np.array([True, False])
    state = random_state(model)
    state = state.replace(generator_params=with_rho_near_its_bounds(state.generator_params))
    step = compiled(functools.partial(train_step, model))
    states, reported = [state], []
    for _ in range(CALM_STEPS + WILD_STEPS):
        state, step_metrics = step(state, model.identity_encoder.params, batch)
        states.append(jax.device_get(state))
        reported.append({name: float(value) for name, value in step_metrics.compute().items()})
    return Run(model, step, batch, states, reported)


@pytest.fixture(scope='module')
def networks(run):
    """The run's networks, compiled: generate(params, …), judge(params, …), embed(pictures)."""
    model = run.model
    embed = compiled(model.identity_encoder.embed)
    return (
        compiled(functools.partial(generate, model.generator)),
        compiled(lambda params, *inputs: model.discriminator.apply({'params': params}, *inputs)),
        lambda pictures: embed(
            model.identity_encoder.params, arcface_window(pictures, model.arcface_window)
        ),
    )


def inputs(batch):
    """Source, target and boundary map as the networks take them."""
    source, target = (batch[name].astype(np.float32) / 127.5 - 1 for name in ('source', 'target'))
    return source, target, batch['boundary_map'].astype(np.float32) / 255


normalise = compiled(spectral_norm.normalise)


def converged(params, state):
    """What many power iterations make of the parameters, and their singular vectors."""
    for _ in range(100):
        normalised, state = normalise(params, state)
    return normalised, state


def test_equation_11(run, networks):
    """A real step's report: each term from the networks' outputs, and the sum that it follows."""
    generate, judge, embed = networks
    state, reported = run.states[CALM_STEPS - 1], run.reported[CALM_STEPS - 1]
    source, target, boundary_map = inputs(run.batch)
    generator_params, _ = normalise(state.generator_params, state.generator_spectral)
    discriminator_params, _ = normalise(state.discriminator_params, state.discriminator_spectral)
    identity = embed(source)
    swapped = generate(generator_params, target, boundary_map, identity)
    of_swapped = embed(swapped).vector
    real, fake = (judge(discriminator_params, image, boundary_map) for image in (target, swapped))
    outputs = float64(([o.features for o in real], [o.features for o in fake]))
    fake_logits = float64([o.logits for o in fake])
    terms = {
        'adversarial': expected_adversarial_loss(fake_logits),
        'identity': expected_identity_loss(*float64((of_swapped, identity.vector))),
        'reconstruction': expected_reconstruction_loss(
            *float64((swapped, target)), run.batch['same_image'], WEIGHTS.different_reconstruction
        ),
        'occlusion': expected_perceptual_loss(oracle.equation_8, *outputs),
        'style': expected_perceptual_loss(oracle.equation_9, *outputs),
    }
    for name, value in terms.items():
        assert reported[name] == pytest.approx(value, rel=1e-5), name
    weights = {name: getattr(WEIGHTS, name) for name in terms}
    assert_close(reported['generator'], oracle.equation_11(terms, weights))
    assert_close(reported['generator'], oracle.equation_11(reported, weights), 1e-6)
    real_logits = float64([o.logits for o in real])
    assert_close(reported['discriminator'], expected_discriminator_loss(real_logits, fake_logits))


def singular_vectors(params, state):
    flat = traverse_util.flatten_dict(params, sep='/')
    return {path: oracle.first_singular(flat[path])[1].astype(np.float32) for path in state}


def gradient_of(optimizer_state):
    """With beta1 = 0 Adam's first moment is the gradient of the last step."""
    return optax.tree_utils.tree_get(optimizer_state, 'mu')


@pytest.mark.parametrize('network', ['generator', 'discriminator'])
def test_a_steps_gradient_is_that_of_the_loss_it_reports(run, network):
    """Its slope along a random half of the gradient.

    LeakyReLU's kinks and float32 leave 1 % of doubt. Only with converged singular vectors is the
    gradient of the norm exact.
    """
    state, rng = run.states[CALM_STEPS], np.random.default_rng(0)
    for name in ('generator', 'discriminator'):
        params, spectral = (getattr(state, f'{name}_{part}') for part in ('params', 'spectral'))
        state = state.replace(**{f'{name}_spectral': singular_vectors(params, spectral)})
    params = getattr(state, f'{network}_params')

    def step(params):
        changed = state.replace(**{f'{network}_params': params})
        next_state, reported = run.step(changed, run.model.identity_encoder.params, run.batch)
        return next_state, float(reported.compute()[network])

    gradient = jax.device_get(gradient_of(getattr(step(params)[0], f'{network}_optimizer')))
    half = jax.tree.map(lambda g: g * rng.integers(0, 2, g.shape, np.int8), gradient)
    length = math.sqrt(sum(np.vdot(g, g) for g in jax.tree.leaves(half)))
    distance = 0.003 / length
    above, below = (
        step(
            jax.tree.map(
                lambda p, d, s=sign: p + np.float32(s * distance / length) * d, params, half
            )
        )[1]
        for sign in (1, -1)
    )
    assert (above - below) / (2 * distance) == pytest.approx(length, rel=0.02)
    # The size of a normalised kernel is of no consequence: its gradient is perpendicular to it.
    gradients, kernels = (traverse_util.flatten_dict(x, sep='/') for x in (gradient, params))
    for path in getattr(state, f'{network}_spectral'):
        g, kernel = gradients[path], kernels[path]
        assert abs(np.vdot(g, kernel)) < 1e-4 * np.linalg.norm(g) * np.linalg.norm(kernel), path


def rhos(params):
    flat = jax.tree_util.tree_leaves_with_path(params)
    return np.concatenate([value for path, value in flat if path[-1].key == 'rho'])


def test_rho_is_the_clipped_update_and_stays_in_its_range(run):
    gradients = [rhos(gradient_of(state.generator_optimizer)) for state in run.states[1:]]
    rates = [SMALL_RATE] * CALM_STEPS + [LARGE_RATE] * WILD_STEPS
    updates = oracle.adam(gradients, rates, beta1=0, beta2=0.999)
    wanted = []
    for before, after, update in zip(run.states[:-1], run.states[1:], updates, strict=True):
        unclipped = rhos(before.generator_params).astype(np.float64) + update
        after = rhos(after.generator_params)
        np.testing.assert_allclose(after, np.clip(unclipped, 0, 1), rtol=0, atol=1e-5)
        assert after.min() >= 0
        assert after.max() <= 1
        wanted.append(unclipped)
    # The wild steps would have left the range on both sides.
    assert np.min(wanted) < -0.01
    assert np.max(wanted) > 1.01
    assert np.mean((after == 0) | (after == 1)) > 0.1


def test_nothing_but_rho_is_clipped(run):
    before, after = run.states[-2:]
    moved = jax.tree.map(
        lambda a, b: np.mean(a != b), before.generator_params, after.generator_params
    )
    outside = [
        np.any((leaf < 0) | (leaf > 1))
        for path, leaf in jax.tree_util.tree_leaves_with_path(after.generator_params)
        if path[-1].key == 'kernel'
    ]
    assert all(outside)
    assert np.mean(jax.tree.leaves(moved)) > 0.5


# --- Spectral normalisation after training --------------------------------------------------------


def singular_values(params, state):
    flat = traverse_util.flatten_dict(params, sep='/')
    return {path: oracle.first_singular(flat[path])[0] for path in state}


@pytest.mark.parametrize('network, kernels', [('generator', 7), ('discriminator', 6)])
def test_normalised_kernels_have_a_norm_of_1_after_training(run, network, kernels):
    """What the next step would use: one power iteration a step, so never below 1 and soon there."""
    state = run.states[CALM_STEPS]
    params, spectral = (getattr(state, f'{network}_{part}') for part in ('params', 'spectral'))
    values = singular_values(normalise(params, spectral)[0], spectral)
    assert len(values) == kernels
    assert min(values.values()) > 1 - 1e-5
    assert max(values.values()) < 1.1, values
    assert np.median(list(values.values())) < 1.01, values
    # The raw kernels are elsewhere.
    assert max(abs(v - 1) for v in singular_values(params, spectral).values()) > 0.2
    values = singular_values(converged(params, spectral)[0], spectral)
    np.testing.assert_allclose(list(values.values()), 1, rtol=0, atol=1e-4)


def test_an_exported_bundle_generates_what_power_iteration_converges_to(run, networks, tmp_path):
    state, config = run.states[CALM_STEPS], small_config()
    manager = checkpointing.open_manager(tmp_path, most_steps_lost=1, max_to_keep=1)
    checkpointing.save(
        manager,
        CALM_STEPS,
        state=state,
        batches=iter(grain.MapDataset.range(1).to_iter_dataset()),
        crop_spec=CropSpec(size=8),
        config=config.to_dict(),
        inputs=checkpointing.RunInputs(1, 1, 'none'),
    )
    manager.close()
    export.export(tmp_path, tmp_path / 'small.safetensors')
    bundle = load_bundle(tmp_path / 'small.safetensors')
    assert bundle.generator == run.model.generator
    values = singular_values(bundle.generator_params, state.generator_spectral)
    np.testing.assert_allclose(list(values.values()), 1, rtol=0, atol=1e-5)
    generate, _, embed = networks
    source, target, boundary_map = inputs(run.batch)
    arguments = (target, boundary_map, embed(source))
    params, _ = converged(state.generator_ema_params, state.generator_spectral)
    expected = generate(params, *arguments)
    np.testing.assert_allclose(
        generate(bundle.generator_params, *arguments), expected, rtol=0, atol=1e-4
    )
    # Training has moved the kernels away from where it began.
    first = spectral_norm.fold(run.states[0].generator_ema_params)
    assert np.abs(generate(first, *arguments) - expected).max() > 1e-3


# --- The batch ------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def generator():
    """(compiled, arguments of eight examples): ID blocks with and without a shortcut, PE likewise.

    Without native code, convolutions at 16 px take another form than those at 8 and 4.
    """
    module = Generator(
        size=16,
        widths=(4, 8, 12),
        id_resolutions=(4, 8),
        pe_resolutions=(8, 16),
        skip_resolutions=(8, 16),
        pe_hidden=4,
        id_features=6,
    )
    rng = np.random.default_rng(1)
    target, boundary_map = rng.uniform(size=(2, 8, 16, 16, 3)).astype(np.float32)
    identity = IdentityEmbedding(
        normal(8, 10, seed=2), {'7': normal(8, 5, seed=3), '14': normal(8, 4, seed=4)}
    )
    examples = (2 * target - 1, boundary_map, identity)
    params = spectral_norm.fold(random_params(module, *examples, seed=5))
    shortcuts = {name for name, block in params.items() if 'shortcut' in block}
    assert shortcuts == {'id_8', 'pe_16'}
    return functools.partial(compiled(functools.partial(generate, module)), params), examples


@pytest.mark.parametrize(
    'batches',
    [
        [[i] for i in range(8)],
        [[0, 1, 2], [3, 4, 5], [6, 7, 0]],
        [[7, 2, 5], [2, 2, 7], [0, 7, 1]],
        [[3, 6, 1, 0, 7, 5, 2, 4]],
        [[4] * 7 + [0], [5, 0] * 4],
    ],
    ids=['alone', 'in_threes', 'other_threes', 'reordered', 'repeated'],
)
def test_an_example_does_not_depend_on_its_batch(generator, batches):
    apply, examples = generator
    pictures = np.asarray(apply(*examples))
    # They are eight different pictures, and not of tanh's ends.
    assert np.abs(pictures - np.roll(pictures, 1, axis=0)).max(axis=(1, 2, 3)).min() > 0.01
    assert np.mean(np.abs(pictures) < 0.9) > 0.5
    for members in batches:
        chosen = jax.tree.map(lambda x, members=members: x[np.array(members)], examples)
        np.testing.assert_allclose(apply(*chosen), pictures[members], rtol=0, atol=1e-5)
