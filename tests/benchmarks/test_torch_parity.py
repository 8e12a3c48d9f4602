"""The PyTorch opponent of the speed comparison computes what our networks compute."""

import functools

import jax
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from apgan_jax.models import spectral_norm
from apgan_jax.models.generator import generate
from apgan_jax.models.images import arcface_window, normalise_boundary_map, normalise_image
from apgan_jax.training.losses import identity_loss
from apgan_jax.training.train_step import train_step
from configs import tiny

torch = pytest.importorskip('torch')
torch_models = pytest.importorskip('benchmarks.torch_models')

LAYOUTS = (torch.contiguous_format, torch.channels_last)
layouts = pytest.mark.parametrize('layout', LAYOUTS, ids=('nchw', 'channels_last'))


def flat(tree) -> dict[str, np.ndarray]:
    return {path: np.asarray(leaf) for path, leaf in flatten_dict(tree, sep='/').items()}


def nchw(array, layout):
    return torch.from_numpy(np.array(array)).permute(0, 3, 1, 2).contiguous(memory_format=layout)


def nhwc(tensor) -> np.ndarray:
    return tensor.detach().permute(0, 2, 3, 1).numpy()


@pytest.fixture(scope='module')
def state(tiny_state):
    """Every parameter away from its initial value, so that none can be mixed up unnoticed."""
    rng = np.random.default_rng(1)

    def move(path, leaf):
        name = path[-1].key
        if name == 'rho':
            return rng.uniform(0.1, 0.9, leaf.shape).astype(np.float32)
        noise = 0.01 * rng.normal(size=leaf.shape) if name == 'bias' else 0.0
        return (leaf + noise).astype(np.float32)

    moved = {
        name: jax.tree_util.tree_map_with_path(move, getattr(tiny_state, name))
        for name in ('generator_params', 'discriminator_params')
    }
    average = jax.tree.map(np.copy, moved['generator_params'])
    return tiny_state.replace(**moved, generator_ema_params=average)


@pytest.fixture(scope='module')
def tensors(tiny_model, state):
    return {
        'generator': flat(state.generator_params),
        'generator_spectral': state.generator_spectral,
        'discriminator': flat(state.discriminator_params),
        'discriminator_spectral': state.discriminator_spectral,
        'encoder': flat(tiny_model.identity_encoder.params),
    }


@pytest.fixture(scope='module')
def batch():
    rng = np.random.default_rng(2)
    pictures = {
        # Smooth: the encoder has never seen noise.
        name: np.kron(rng.integers(0, 256, (2, 8, 8, 3)), np.ones((1, 8, 8, 1))).astype(np.uint8)
        for name in ('source', 'target', 'boundary_map')
    }
    return pictures | {'same_image': np.array([True, False])}


@pytest.fixture(scope='module')
def identity(tiny_model, batch):
    encoder = tiny_model.identity_encoder
    window = arcface_window(normalise_image(batch['source']), tiny_model.arcface_window)
    return window, jax.jit(encoder.embed)(encoder.params, window)


@layouts
def test_generator(tiny_model, state, batch, identity, layout):
    params = spectral_norm.fold(state.generator_params)
    target, boundary_map = (
        normalise_image(batch['target']),
        normalise_boundary_map(batch['boundary_map']),
    )
    expected = jax.jit(functools.partial(generate, tiny_model.generator))(
        params, target, boundary_map, identity[1]
    )
    generator = torch_models.build_generator(
        tiny.get_config().to_dict(), flat(params), memory_format=layout
    )
    their_identity = torch_models.Identity(
        torch.from_numpy(np.array(identity[1].vector)),
        {name: torch.from_numpy(np.array(x)) for name, x in identity[1].features.items()},
    )
    actual = generator(nchw(target, layout), nchw(boundary_map, layout), their_identity)
    np.testing.assert_allclose(nhwc(actual), expected, atol=1e-4)
    assert np.std(expected) > 0.1


@layouts
def test_window_and_encoder(tiny_model, batch, identity, layout):
    window, expected = identity
    pictures = nchw(normalise_image(batch['source']), layout)
    their_window = torch_models.ArcFaceWindow(64, tiny_model.arcface_window)(pictures)
    np.testing.assert_allclose(nhwc(their_window), window, atol=1e-5)
    encoder = torch_models.build_encoder(
        flat(tiny_model.identity_encoder.params), memory_format=layout
    )
    actual = encoder(their_window)
    np.testing.assert_allclose(actual.vector, expected.vector, atol=1e-4)
    assert actual.features.keys() == expected.features.keys()
    for name, feature in expected.features.items():
        np.testing.assert_allclose(actual.features[name], feature, rtol=1e-3, atol=1e-4)


def test_identity_gradient(tiny_model):
    """Of the images; the median of four, because one PReLU at its kink changes 1e-6 to 5e-3."""
    encoder = tiny_model.identity_encoder
    rng = np.random.default_rng(3)
    images = rng.uniform(-1, 1, (4, 112, 112, 3)).astype(np.float32)
    vector = rng.normal(size=(1, 192)).astype(np.float32)

    def loss(images):
        embedding = encoder.embed(encoder.params, images)
        return identity_loss(swapped_vector=embedding.vector, source_vector=vector)

    expected = jax.jit(jax.grad(loss))(images)
    theirs = torch_models.build_encoder(flat(encoder.params), memory_format=torch.contiguous_format)
    inputs = nchw(images, torch.contiguous_format).requires_grad_()
    value = torch_models.identity_loss(
        theirs(inputs, with_features=False).vector, torch.from_numpy(vector)
    )
    assert float(value) == pytest.approx(float(loss(images)), abs=1e-5)
    difference = nhwc(torch.autograd.grad(value, inputs)[0]) - expected
    norms = [np.linalg.norm(np.asarray(x).reshape(4, -1), axis=1) for x in (difference, expected)]
    assert np.median(norms[0] / norms[1]) < 1e-3


@pytest.fixture(scope='module')
def our_steps(tiny_model, state, batch):
    """[(losses, gradients of generator, gradients of discriminator)] of two steps, last state."""
    step = jax.jit(functools.partial(train_step, tiny_model))
    results, next_state = [], state
    for _ in range(2):
        next_state, metrics = step(next_state, tiny_model.identity_encoder.params, batch)
        # With beta1 = 0 Adam's first moment is the gradient.
        moments = [
            flat(optax.tree_utils.tree_get(optimizer, 'mu'))
            for optimizer in (
                next_state.generator_optimizer,
                next_state.discriminator_optimizer,
            )
        ]
        results.append((metrics.compute(), *moments))
    return results, jax.device_get(next_state)


@layouts
def test_train_step(tensors, batch, our_steps, layout):
    step = torch_models.TrainStep(tiny.get_config().to_dict(), tensors, memory_format=layout)
    their_batch = {
        name: nchw(x, layout) if x.ndim == 4 else torch.from_numpy(x) for name, x in batch.items()
    }
    results, last_state = our_steps
    for number, (losses, *gradients) in enumerate(results):
        theirs = step(their_batch)
        assert theirs.keys() == losses.keys()
        for name, loss in losses.items():
            assert float(theirs[name]) == pytest.approx(float(loss), rel=1e-3), name
        if number:
            # Adam's first step is the gradient's sign: from here on, rounding shows in gradients.
            continue
        # Not 1e-3: in networks this small one LeakyReLU whose input rounds to the other side of 0
        # changes the gradient by 2 %, in float32 against float64 as well.
        for network, expected in zip((step.generator, step.discriminator), gradients, strict=True):
            check_tensors(network.names, [p.grad for p in network.raw], expected, 3e-2)
    pairs = (
        (step.generator.raw, last_state.generator_params),
        (step.ema, last_state.generator_ema_params),
    )
    for actual, expected in pairs:
        check_moved(step.generator.names, actual, flat(expected))


def check_moved(names, tensors, expected):
    """Equal but for the few whose gradient, about 0, has another sign: 2e-4 off a step."""
    differences = np.concatenate(
        [(theirs - ours).abs().reshape(-1) for theirs, ours in pair_up(names, tensors, expected)]
    )
    assert np.max(differences) < 1e-3
    assert np.mean(differences > 1e-5) < 0.02


def check_tensors(names, tensors, expected, tolerance):
    """Each within `tolerance` of its own norm, or of a thousandth of the largest."""
    floor = 1e-3 * max(np.linalg.norm(x) for x in expected.values())
    assert len(names) == len(expected)
    for theirs, ours in pair_up(names, tensors, expected):
        assert float((theirs - ours).norm()) <= tolerance * max(float(ours.norm()), floor)


def pair_up(names, tensors, expected):
    for path, ours in expected.items():
        theirs = tensors[names.index(path.replace('/', '.').replace('kernel', 'weight'))]
        yield theirs, torch_models.to_torch(ours).reshape(theirs.shape)
