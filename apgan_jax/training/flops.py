"""FLOP of a traced program."""

from typing import Any

import jax
import numpy as np
from jax.extend import core


def program_flops(jaxpr: core.Jaxpr) -> float:
    """FLOP of the convolutions and matrix products of a traced program, two a multiply-add.

    Counted from the trace: XLA's cost analysis sees neither into our native CPU convolutions nor
    more than one turn of a loop (gradient accumulation), and takes seconds. Of code that has a form
    for each platform the default one counts, so that the number is the model's, not the machine's.
    """
    return float(sum(_equation_flops(equation) for equation in jaxpr.eqns))


def _equation_flops(equation: core.JaxprEqn) -> float:
    name, params = equation.primitive.name, equation.params
    if name == 'dot_general':
        (contracted, _), _ = params['dimension_numbers']
        left, out = _shaped(equation.invars[0]), _shaped(equation.outvars[0])
        return 2.0 * out.size * np.prod([left.shape[axis] for axis in contracted])
    if name == 'conv_general_dilated':
        return _convolution_flops(equation)
    if 'branches' in params:
        branches = [program_flops(branch.jaxpr) for branch in params['branches']]
        platforms = params.get('branches_platforms')
        return branches[platforms.index(None)] if platforms else max(branches)
    turns = params.get('length', 1) if name == 'scan' else 1
    return turns * sum(program_flops(body) for body in core.jaxprs_in_params(params))


def _convolution_flops(equation: core.JaxprEqn) -> float:
    kernel, out = _shaped(equation.invars[1]), _shaped(equation.outvars[0])
    _, _, *taps = (kernel.shape[axis] for axis in equation.params['dimension_numbers'].rhs_spec)
    depth = kernel.shape[equation.params['dimension_numbers'].rhs_spec[1]]
    # The gradient of a strided convolution reads zeros that it has put between the pixels.
    zeros = np.prod(equation.params['lhs_dilation'])
    return 2.0 * out.size * depth * np.prod(taps) / zeros


def _shaped(atom: Any) -> jax.core.ShapedArray:
    return atom.aval
