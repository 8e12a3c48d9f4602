import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from apgan_jax.models import spectral_norm

NORMALISED = {'down_8/kernel', 'pe_8/conv_0/kernel', 'pe_8/shortcut/kernel'}
EXEMPT = {
    'down_8/bias',
    'pe_8/modulation_0/shared/kernel',
    'pe_8/modulation_0/head/kernel',
    'pe_8/norm_0/rho',
    'identity_8/dense/kernel',
    'to_rgb/kernel',
}


def parameters():
    rng = np.random.default_rng(0)
    shapes = {
        'down_8/kernel': (3, 3, 4, 6),
        'down_8/bias': (6,),
        'pe_8/conv_0/kernel': (3, 3, 6, 6),
        'pe_8/shortcut/kernel': (8, 6),
        'pe_8/modulation_0/shared/kernel': (3, 3, 3, 5),
        'pe_8/modulation_0/head/kernel': (3, 3, 5, 12),
        'pe_8/norm_0/rho': (6,),
        'identity_8/dense/kernel': (10, 7),
        'to_rgb/kernel': (3, 3, 6, 3),
    }
    flat = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return traverse_util.unflatten_dict(flat, sep='/')


def flatten(params):
    return traverse_util.flatten_dict(params, sep='/')


def largest_singular_value(kernel):
    return np.linalg.norm(np.asarray(kernel, np.float64).reshape(-1, kernel.shape[-1]), ord=2)


def converged_state(params):
    state = spectral_norm.init(params, jax.random.key(0))
    return spectral_norm.normalise(params, state, steps=200)[1]


def test_the_state_has_a_unit_vector_a_normalised_kernel():
    state = spectral_norm.init(parameters(), jax.random.key(0))
    assert state.keys() == NORMALISED
    for path, vector in state.items():
        assert vector.shape == flatten(parameters())[path].shape[-1:]
        assert float(jnp.linalg.norm(vector)) == pytest.approx(1, abs=1e-5)


def test_many_steps_bring_the_largest_singular_value_to_1():
    params = parameters()
    state = spectral_norm.init(params, jax.random.key(0))
    step = jax.jit(spectral_norm.normalise)
    for _ in range(100):
        normalised, state = step(params, state)
    for path in NORMALISED:
        value = largest_singular_value(flatten(normalised)[path])
        assert value == pytest.approx(1, abs=1e-3), path


def test_exempt_parameters_are_untouched():
    params = parameters()
    normalised, _ = spectral_norm.normalise(params, converged_state(params))
    for path in EXEMPT:
        np.testing.assert_array_equal(flatten(normalised)[path], flatten(params)[path])
        np.testing.assert_array_equal(
            flatten(spectral_norm.fold(params))[path], flatten(params)[path]
        )
    assert flatten(params).keys() == NORMALISED | EXEMPT


def test_fold_is_what_normalise_converges_to():
    params = parameters()
    normalised, _ = spectral_norm.normalise(params, converged_state(params))
    folded = flatten(spectral_norm.fold(params))
    for path, value in flatten(normalised).items():
        np.testing.assert_allclose(folded[path], value, rtol=1e-4, atol=1e-5)
    for path in NORMALISED:
        assert largest_singular_value(folded[path]) == pytest.approx(1, abs=1e-5)


def test_the_scale_of_a_kernel_does_not_matter():
    params = parameters()
    larger = jax.tree.map(lambda x: 5 * x, params)
    folded, same = flatten(spectral_norm.fold(params)), flatten(spectral_norm.fold(larger))
    for path in NORMALISED:
        np.testing.assert_allclose(folded[path], same[path], rtol=1e-5, atol=1e-6)


def test_the_gradient_is_that_of_dividing_by_the_singular_value():
    params = parameters()
    state = converged_state(params)
    path = 'pe_8/conv_0/kernel'
    kernel = np.asarray(flatten(params)[path], np.float64)
    rng = np.random.default_rng(1)
    weights, direction = rng.normal(size=(2, *kernel.shape))

    def loss(params):
        return jnp.sum(flatten(spectral_norm.normalise(params, state)[0])[path] * weights)

    def exact(kernel):
        return np.sum(kernel / largest_singular_value(kernel) * weights)

    gradient = np.asarray(flatten(jax.grad(loss)(params))[path], np.float64)
    step = 1e-6
    slope = (exact(kernel + step * direction) - exact(kernel - step * direction)) / (2 * step)
    assert np.vdot(gradient, direction) == pytest.approx(slope, rel=1e-3)
    # Along the kernel itself nothing changes.
    assert abs(np.vdot(gradient, kernel)) < 1e-3 * np.linalg.norm(gradient)


def test_the_tiny_networks(tiny_state):
    """Every convolution of both but to_rgb and those that make gamma and beta."""
    generator = flatten(tiny_state.generator_params)
    expected = {
        path
        for path, value in generator.items()
        if path.endswith('kernel')
        and (value.ndim == 4 or 'shortcut' in path)
        and 'modulation' not in path
        and 'to_rgb' not in path
    }
    assert tiny_state.generator_spectral.keys() == expected
    assert {'down_64/kernel', 'up_8/kernel', 'id_4/conv_1/kernel'} <= expected
    kernels = {path for path in flatten(tiny_state.discriminator_params) if 'kernel' in path}
    assert tiny_state.discriminator_spectral.keys() == kernels
    assert len(kernels) == 2 * 5
