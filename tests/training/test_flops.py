"""FLOP of programs that can be counted by hand."""

import jax
import jax.numpy as jnp
import pytest

from apgan_jax.training.flops import program_flops


def flops(function, *arguments):
    return program_flops(jax.make_jaxpr(function)(*arguments).jaxpr)


def test_flops_of_a_matrix_product_its_gradients_and_a_loop():
    a, b = jnp.ones((3, 5)), jnp.ones((5, 7))
    once = 2 * 3 * 5 * 7
    assert flops(jnp.matmul, a, b) == once
    # Two products back; the forward one is not needed for the gradient of a sum.
    assert flops(jax.grad(lambda a, b: jnp.sum((a @ b) ** 2), (0, 1)), a, b) == 3 * once
    assert flops(lambda a, b: jax.lax.scan(lambda c, _: (c, c @ b), a, length=6), a, b) == 6 * once
    assert flops(lambda a, b: a + b[0, 0], a, b) == 0


@pytest.mark.parametrize('stride', [1, 2])
def test_flops_of_a_convolution_and_of_its_gradients(stride):
    image, kernel = jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 4))

    def convolve(image, kernel):
        return jax.lax.conv_general_dilated(
            image, kernel, (stride, stride), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
        )

    once = 2 * 2 * (8 // stride) ** 2 * 4 * 9 * 3
    assert flops(convolve, image, kernel) == once
    both = jax.grad(lambda image, kernel: jnp.sum(convolve(image, kernel) ** 2), (0, 1))
    assert flops(both, image, kernel) == 3 * once


def test_the_default_form_counts_and_not_that_of_this_machine():
    def product(a):
        return jax.lax.platform_dependent(a, cpu=lambda a: a + 1, default=lambda a: a @ a)

    assert flops(product, jnp.ones((4, 4))) == 2 * 4**3


def test_xla_counts_the_same_where_nothing_is_padded():
    """A forward and a backward pass of layers without padding; XLA adds elementwise operations."""

    def layer(x, kernel, stride):
        numbers = ('NHWC', 'HWIO', 'NHWC')
        strides = (stride, stride)
        return jax.nn.relu(
            jax.lax.conv_general_dilated(x, kernel, strides, 'VALID', dimension_numbers=numbers)
        )

    def loss(kernels, x):
        *layers, matrix = kernels
        for kernel, stride in zip(layers, (1, 4, 1), strict=True):
            x = layer(x, kernel, stride)
        return jnp.sum(jnp.square(x.reshape(len(x), -1) @ matrix))

    shapes = [(3, 3, 16, 32), (4, 4, 32, 64), (1, 1, 64, 128), (4 * 4 * 128, 16)]
    arguments = [jnp.ones(shape) for shape in shapes], jnp.ones((4, 18, 18, 16))
    compiled = jax.jit(jax.grad(loss)).lower(*arguments).compile()
    assert flops(jax.grad(loss), *arguments) == pytest.approx(
        compiled.cost_analysis()['flops'], rel=0.01
    )
