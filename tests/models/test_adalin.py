import jax
import jax.numpy as jnp
import numpy as np
import pytest

from apgan_jax.models import adalin
from apgan_jax.models.adalin import AdaLIN, layer_instance_norm

EPSILON = 1e-5


def instance_norm(x):
    return (x - x.mean((1, 2), keepdims=True)) / np.sqrt(x.var((1, 2), keepdims=True) + EPSILON)


def layer_norm(x):
    mean, variance = x.mean((1, 2, 3), keepdims=True), x.var((1, 2, 3), keepdims=True)
    return (x - mean) / np.sqrt(variance + EPSILON)


def oracle(x, rho):
    """Eqs. 1-3 without gamma and beta, float64."""
    x = np.asarray(x, np.float64)
    return rho * instance_norm(x) + (1 - rho) * layer_norm(x)


def features(mean=0.0, seed=0):
    """(2, 6, 5, 4) with channels of different spread and place."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, 6, 5, 4)) * [0.5, 1, 2, 3] + [0, 1, -2, 3]
    return (x + mean).astype(np.float32)


# At 1000 neighbouring float32 numbers are 6e-5 apart, and the mean is one of them.
@pytest.mark.parametrize('mean, tolerance', [(0.0, 1e-5), (1000.0, 1e-4)])
def test_equations_1_to_3(mean, tolerance):
    x, rho = features(mean), np.array([0.0, 0.3, 0.9, 1.0])
    normalised = jax.jit(layer_instance_norm)(x, rho)
    np.testing.assert_allclose(normalised, oracle(x, rho), rtol=0, atol=tolerance)


def test_rho_0_is_layer_norm_and_rho_1_is_instance_norm():
    x = features()
    np.testing.assert_allclose(layer_instance_norm(x, 0.0), layer_norm(x), atol=1e-5)
    np.testing.assert_allclose(layer_instance_norm(x, 1.0), instance_norm(x), atol=1e-5)


@pytest.mark.parametrize('shape', [(2, 1, 1, 4), (2, 6, 5, 4)])
def test_modulation(shape):
    rng = np.random.default_rng(1)
    gamma_minus_one, beta = rng.normal(size=(2, *shape)).astype(np.float32)
    variables = AdaLIN().init(jax.random.key(0), features(), (gamma_minus_one, beta))
    np.testing.assert_array_equal(variables['params']['rho'], np.full(4, 0.9, np.float32))
    y = AdaLIN().apply(variables, features(), (gamma_minus_one, beta))
    expected = (1 + gamma_minus_one) * oracle(features(), 0.9) + beta
    np.testing.assert_allclose(y, expected, atol=2e-5)


def test_adain_has_no_rho_and_is_instance_norm():
    nothing = (jnp.zeros(()), jnp.zeros(()))
    module = AdaLIN(use_layer_norm=False)
    variables = module.init(jax.random.key(0), features(), nothing)
    assert not variables
    y = module.apply(variables, features(), nothing)
    np.testing.assert_allclose(y, instance_norm(features()), atol=1e-5)


@pytest.mark.parametrize('value', [0.0, 7.0])
def test_constant_input_has_a_finite_gradient(value):
    def loss(x, rho):
        return jnp.sum(jnp.sin(layer_instance_norm(x, rho) + 1.0) * jnp.arange(4.0))

    x = jnp.full((1, 4, 4, 4), value)
    gradients = jax.grad(loss, argnums=(0, 1))(x, jnp.full(4, 0.9))
    assert all(bool(jnp.isfinite(gradient).all()) for gradient in gradients)


def test_statistics_are_float32_where_the_features_are_not():
    x = jnp.asarray(features(mean=30.0), jnp.bfloat16)
    normalised = layer_instance_norm(x, 0.9)
    assert normalised.dtype == jnp.bfloat16
    expected = oracle(np.asarray(x, np.float64), 0.9)
    np.testing.assert_allclose(normalised.astype(jnp.float32), expected, rtol=2**-8, atol=1e-3)


def test_modulations_start_near_nothing_and_have_their_shapes():
    embedding, boundary_map = jnp.ones((2, 10)), jnp.ones((2, 8, 8, 3))
    identity = adalin.IdentityModulation(5)
    variables = identity.init(jax.random.key(0), embedding)
    for part in identity.apply(variables, embedding):
        assert part.shape == (2, 1, 1, 5)
        assert float(jnp.abs(part).max()) < 0.5
    spatial = adalin.BoundaryModulation(5, hidden=3)
    variables = spatial.init(jax.random.key(0), boundary_map)
    assert variables['params']['shared']['kernel'].shape == (3, 3, 3, 3)
    for part in spatial.apply(variables, boundary_map):
        assert part.shape == (2, 8, 8, 5)


@pytest.mark.parametrize('channels, has_shortcut', [(6, False), (4, True)])
def test_a_residual_block_has_a_shortcut_where_the_width_changes(channels, has_shortcut):
    block = adalin.ModulatedResidual(6, adalin.IdentityModulation, depth=2)
    x, embedding = jnp.ones((1, 4, 4, channels)), jnp.ones((1, 10))
    params = block.init(jax.random.key(0), x, embedding)['params']
    assert ('shortcut' in params) == has_shortcut
    assert params['norm_0']['rho'].shape == (channels,)
    assert params['norm_1']['rho'].shape == (6,)
    assert block.apply({'params': params}, x, embedding).shape == (1, 4, 4, 6)


def test_a_residual_block_by_its_parts():
    """With its convolution at zero it is its shortcut; else conv(LeakyReLU(norm)) is added."""
    block = adalin.ModulatedResidual(4, adalin.IdentityModulation, depth=1)
    x, embedding = jnp.asarray(features()), jnp.ones((2, 10))
    params = jax.tree.map(jnp.zeros_like, block.init(jax.random.key(0), x, embedding)['params'])
    np.testing.assert_array_equal(block.apply({'params': params}, x, embedding), x)
    # A convolution that hands its middle pixel on.
    kernel = jnp.zeros((3, 3, 4, 4)).at[1, 1].set(jnp.eye(4))
    params['conv_0']['kernel'] = kernel
    normalised = layer_norm(np.asarray(x, np.float64))
    expected = x + np.where(normalised > 0, normalised, 0.2 * normalised)
    np.testing.assert_allclose(
        block.apply({'params': params}, x, embedding), expected, rtol=1e-4, atol=1e-4
    )
