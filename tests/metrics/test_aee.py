"""End-point error of flows."""

import numpy as np
import pytest

from apgan_jax.metrics.aee import endpoint_error


def test_of_a_flow_with_itself_is_zero():
    flow = np.random.default_rng(0).normal(size=(7, 5, 2)).astype(np.float32)
    assert endpoint_error(flow, flow) == 0


def test_is_the_length_of_a_constant_difference():
    flow = np.random.default_rng(0).normal(size=(7, 5, 2))
    assert endpoint_error(flow, flow + np.array([3, 4])) == pytest.approx(5)


def test_is_the_mean_over_pixels_of_the_formula():
    a, b = np.random.default_rng(0).normal(size=(2, 6, 9, 2)).astype(np.float32)
    expected = np.mean(np.sqrt((a[..., 0] - b[..., 0]) ** 2 + (a[..., 1] - b[..., 1]) ** 2))
    assert endpoint_error(a, b) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize('shapes', [((4, 4, 2), (4, 5, 2)), ((0, 4, 2), (0, 4, 2))])
def test_flows_of_two_sizes_or_without_pixels_are_refused(shapes):
    with pytest.raises(ValueError, match='one size'):
        endpoint_error(*(np.zeros(shape, np.float32) for shape in shapes))
