"""FLOP of a traced program: the one count behind a run's log and `apgan info`.

Two a multiply-add of convolutions and matrix products, wherever they come from: layers, their
gradients, resizing and Gram matrices. Products with padding count, elementwise operations do not.

Counted from the trace: XLA's cost analysis sees neither into our native CPU convolutions nor more
than one turn of a loop (gradient accumulation), and takes seconds. Of code that has a form for each
platform the default one counts, so that the number is the model's, not the machine's.
"""

import math
from typing import Any

import jax
from jax.extend import core


def program_flops(jaxpr: core.Jaxpr) -> float:
    """FLOP of a traced program, all turns of its loops included.

    Args:
      jaxpr: of `jax.make_jaxpr(function)(*arguments)`, or of the trace of a jitted function.
    """
    return float(sum(_equation_flops(equation) for equation in jaxpr.eqns))


def multiply_adds(equation: core.JaxprEqn) -> int:
    """Of a convolution or matrix product; 0 of anything else.

    Args:
      equation: of a traced program. What is in the programs that it calls does not count.
    """
    if equation.primitive.name == 'dot_general':
        (contracted, _), _ = equation.params['dimension_numbers']
        left, out = _shaped(equation.invars[0]), _shaped(equation.outvars[0])
        return out.size * math.prod(left.shape[axis] for axis in contracted)
    if equation.primitive.name == 'conv_general_dilated':
        return _convolution_multiply_adds(equation)
    return 0


def _convolution_multiply_adds(equation: core.JaxprEqn) -> int:
    kernel, out = _shaped(equation.invars[1]), _shaped(equation.outvars[0])
    # Kernels are as deep as a group's inputs.
    _, *axes = equation.params['dimension_numbers'].rhs_spec
    depth_and_taps = math.prod(kernel.shape[axis] for axis in axes)
    # The gradient of a strided convolution reads zeros that it has put between the pixels.
    return out.size * depth_and_taps // math.prod(equation.params['lhs_dilation'])


def _equation_flops(equation: core.JaxprEqn) -> float:
    params = equation.params
    if 'branches' in params:
        branches = [program_flops(branch.jaxpr) for branch in params['branches']]
        platforms = params.get('branches_platforms')
        return branches[platforms.index(None)] if platforms else max(branches)
    turns = params.get('length', 1) if equation.primitive.name == 'scan' else 1
    inner = sum(program_flops(body) for body in core.jaxprs_in_params(params))
    return 2.0 * multiply_adds(equation) + turns * inner


def _shaped(atom: Any) -> jax.core.ShapedArray:
    return atom.aval
