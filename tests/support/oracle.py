"""What the tests compare with: the paper's equations (section III), Adam, finite differences.

float64 NumPy, written from the print with its sums; nothing of apgan_jax is imported. Each function
takes one example, one real and one fake picture, one place of the mask: what the paper writes an
equation for. Features M are (h, w, c). Means over a batch and other constants are the tests'.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

Stages = Sequence[np.ndarray]


class Statistics(NamedTuple):
    """Eq. 2: mean and deviation a channel (c,) for IN, two numbers for LN."""

    mu_in: np.ndarray
    sigma_in: np.ndarray
    mu_ln: float
    sigma_ln: float


def equation_1(features: np.ndarray, statistics: Statistics) -> tuple[np.ndarray, np.ndarray]:
    """M_IN and M_LN, (h, w, c) each."""
    m_in = np.zeros(features.shape)
    for c in range(features.shape[-1]):
        m_in[:, :, c] = (features[:, :, c] - statistics.mu_in[c]) / statistics.sigma_in[c]
    return m_in, (features - statistics.mu_ln) / statistics.sigma_ln


def equation_2(features: np.ndarray) -> Statistics:
    """The statistics of M; the paper prints M_IN and M_LN under its sums, which are yet to come."""
    height, width, channels = features.shape
    mu_in, sigma_in = np.zeros(channels), np.zeros(channels)
    for c in range(channels):
        mu_in[c] = np.sum(features[:, :, c]) / (height * width)
        square = np.sum(features[:, :, c] ** 2) / (height * width)
        sigma_in[c] = math.sqrt(square - mu_in[c] ** 2)
    mu_ln = np.sum(features) / (channels * height * width)
    square = np.sum(features**2) / (channels * height * width)
    return Statistics(mu_in, sigma_in, mu_ln, math.sqrt(square - mu_ln**2))


def equation_3(
    m_in: np.ndarray, m_ln: np.ndarray, rho: np.ndarray, gamma: np.ndarray, beta: np.ndarray
) -> np.ndarray:
    """The modulated features; rho (c,), gamma and beta (1, 1, c) or (h, w, c)."""
    return gamma * (rho * m_in + (1 - rho) * m_ln) + beta


def equation_4(real: Stages, fake: Stages) -> float:
    """The game's value: eq. 5 summed over the discriminators; arguments one entry each."""
    return sum(equation_5(r, f) for r, f in zip(real, fake, strict=True))


def equation_5(real: np.ndarray, fake: np.ndarray) -> float:
    """L_adv of one discriminator's probabilities D(F_t, B_t) and D(Y, B_t), over all samples."""
    return np.mean(np.log(real)) + np.mean(np.log(1 - fake))


def equation_6(swapped: np.ndarray, source: np.ndarray) -> float:
    """L_id of two identity vectors (d,)."""
    product = sum(a * b for a, b in zip(swapped, source, strict=True))
    lengths = [math.sqrt(sum(a * a for a in vector)) for vector in (swapped, source)]
    return 1 - product / (lengths[0] * lengths[1])


def equation_7(
    target: np.ndarray, swapped: np.ndarray, *, same_image: bool, lambda_1: float
) -> float:
    """L_rec of two pictures (h, w, 3)."""
    squared_distance = np.sum((target - swapped) ** 2)
    return squared_distance if same_image else lambda_1 * squared_distance


def equation_8(target: Stages, swapped: Stages) -> float:
    """L_op of one discriminator's features, (h, w, c) a stage."""
    return sum(np.sum((f - y) ** 2) / f.size for f, y in zip(target, swapped, strict=True))


def equation_9(target: Stages, swapped: Stages) -> float:
    """L_sp of one discriminator's features, (h, w, c) a stage."""
    return sum(
        np.sum((equation_10(f) - equation_10(y)) ** 2) / f.size**2
        for f, y in zip(target, swapped, strict=True)
    )


def equation_10(features: np.ndarray) -> np.ndarray:
    """The Gram matrix (c, c) of features (h, w, c)."""
    channels = features.shape[-1]
    gram = np.zeros((channels, channels))
    for i in range(channels):
        for j in range(channels):
            gram[i, j] = np.sum(features[:, :, i] * features[:, :, j])
    return gram


def equation_11(terms: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """The overall loss."""
    return sum(weights[name] * terms[name] for name in weights)


def equation_12(x: float, y: float, *, mid: float, alpha: float, gamma: float) -> float:
    """The mirrored-sigmoid mask at a place."""
    return 1 / (1 + math.exp(alpha * (max(abs(x - mid), abs(y - mid)) - gamma * mid)))


def equation_13(mask: np.ndarray, swapped: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The blended picture; mask (h, w), pictures (h, w, 3)."""
    return mask[:, :, None] * swapped + (1 - mask[:, :, None]) * target


# --- Beside the equations -------------------------------------------------------------------------


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def halved(x: np.ndarray) -> np.ndarray:
    """The next scale of the pyramid of III-B, (n, h, w, c): means of 2x2 pixels."""
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def convolution(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, *, strides: int) -> np.ndarray:
    """(n, h, w, in) by (k, k, in, out), zeros around as TensorFlow's SAME puts them."""
    taps = kernel.shape[0]
    out = [-(-size // strides) for size in x.shape[1:3]]
    pads = [max((o - 1) * strides + taps - s, 0) for o, s in zip(out, x.shape[1:3], strict=True)]
    x = np.pad(x, ((0, 0), *((pad // 2, pad - pad // 2) for pad in pads), (0, 0)))
    result = np.zeros((x.shape[0], *out, kernel.shape[-1])) + bias
    for row in range(out[0]):
        for column in range(out[1]):
            top, left = row * strides, column * strides
            window = x[:, top : top + taps, left : left + taps]
            result[:, row, column] += np.tensordot(window, kernel, 3)
    return result


def first_singular(kernel: np.ndarray) -> tuple[float, np.ndarray]:
    """The largest singular value of a kernel (…, out) as a matrix of that width; its (out,)."""
    matrix = np.asarray(kernel, np.float64).reshape(-1, kernel.shape[-1])
    _, values, right = np.linalg.svd(matrix, full_matrices=False)
    return values[0], right[0]


def adam(
    gradients: Sequence[np.ndarray],
    rates: Sequence[float],
    *,
    beta1: float,
    beta2: float,
    epsilon: float = 1e-8,
) -> list[np.ndarray]:
    """What algorithm 1 of Kingma and Ba [42] adds to the parameters, one array a step."""
    m = v = np.zeros(gradients[0].shape)
    updates = []
    for step, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        g = np.asarray(gradient, np.float64)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
        updates.append(-rate * m_hat / (np.sqrt(v_hat) + epsilon))
    return updates


def finite_differences(
    function: Callable[[np.ndarray], float], x: np.ndarray, *, step: float = 1e-5
) -> np.ndarray:
    """The gradient at x, an entry at a time, by central differences."""
    x = np.array(x, np.float64)
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        value = x[index]
        x[index] = value + step
        above = function(x)
        x[index] = value - step
        gradient[index] = (above - function(x)) / (2 * step)
        x[index] = value
    return gradient
