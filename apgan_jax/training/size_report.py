"""How large the networks are: parameters, multiply-adds and activation memory, by stage.

Everything is read off the traced computation; no weights are made and nothing is computed. Where
the code has special forms for a platform (`jax.lax.platform_dependent`), the default one counts, so
the figures are the same on every machine.

- Multiply-adds are those of convolutions and dense layers for one picture. Padding counts: a 3x3
  convolution has 9 products a channel at the border too. Resizing is no layer and does not count,
  although JAX writes it as matrix products.
- Activation memory is what `jax.vjp` keeps of a batch for the backward pass, before XLA drops or
  recomputes any of it: an upper bound. An array belongs to the stage that computes it; what is
  computed between two stages (activation, resizing, concatenation) belongs to the first. Inputs and
  parameters are not activations.
- The check is XLA's cost analysis of the unoptimised forward pass. It counts two operations a
  multiply-add, leaves out the products with padding, and adds elementwise operations and resizing.
  `expected_flops` counts by these rules what the multiply-adds are counted from.
- A train step's operations are counted from its own trace (see `flops`), as those in the log of a
  run are: both passes of every network, the landmark reader, resizing and Gram matrices. Its memory
  follows from that of the networks and from the shapes and shardings of the state. Not counted:
  kernels and gradients while a step uses them (up to two more copies of the parameters), and what
  XLA sets aside for itself.
"""

import dataclasses
import functools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jax.extend import core
from jax.sharding import AbstractMesh

from apgan_jax.bundle import load_bundle
from apgan_jax.models.generator import Generator
from apgan_jax.models.identity import IdentityEncoder
from apgan_jax.models.images import ARCFACE_SIZE
from apgan_jax.training import sharding
from apgan_jax.training.flops import multiply_adds, program_flops
from apgan_jax.training.train_step import (
    TrainingModel,
    create_train_state,
    face_maps,
    jit_train_step,
)

# What is computed before the first stage.
_INPUT = '(input)'
# The greatest relative difference of our count from XLA's.
XLA_TOLERANCE = 0.01

_PRODUCTS = {'conv_general_dilated', 'dot_general'}
# Pictures of a pair whose activations a step keeps: the discriminator sees target and swapped.
_KEPT = {'generator': 1, 'discriminator': 2, 'identity_encoder': 1}

# XLA lists these apart from its flops.
_TRANSCENDENTAL = {'exp', 'log', 'log1p', 'logistic', 'pow', 'rsqrt', 'sqrt', 'tanh'}
_MOVES = {
    *('broadcast_in_dim', 'concatenate', 'copy', 'expand_dims', 'gather', 'iota', 'pad'),
    *('platform_index', 'reshape', 'rev', 'slice', 'split', 'squeeze', 'transpose'),
}


@dataclasses.dataclass(frozen=True)
class StageSize:
    """One stage of a network.

    Attributes:
      name: of the submodule.
      parameters: numbers.
      multiply_adds: for one picture.
      activation_bytes: for the batch.
    """

    name: str
    parameters: int
    multiply_adds: int
    activation_bytes: int


@dataclasses.dataclass(frozen=True)
class NetworkSize:
    """A network's stages in the order of computation, and the compiler's number.

    Attributes:
      name: of the network.
      stages: their sizes.
      expected_flops: operations of the forward pass of one picture by XLA's rules, counted here.
      xla_flops: the same from XLA's cost analysis of the unoptimised program.
    """

    name: str
    stages: tuple[StageSize, ...]
    expected_flops: int
    xla_flops: int

    @property
    def total(self) -> StageSize:
        """The sums over the stages."""
        columns = zip(*(dataclasses.astuple(stage)[1:] for stage in self.stages), strict=True)
        return StageSize('total', *map(sum, columns))

    @property
    def agrees_with_xla(self) -> bool:
        """Whether both counts of operations are equal within `XLA_TOLERANCE`."""
        return math.isclose(self.expected_flops, self.xla_flops, rel_tol=XLA_TOLERANCE)


@dataclasses.dataclass(frozen=True)
class StepSize:
    """What a train step needs.

    Attributes:
      mesh: sizes of the axes.
      pairs: that a device has in its memory at a time.
      flops: of a pair, both networks' updates included.
      state_bytes: that a device holds: parameters, their average, both optimizers' states.
      activation_bytes: of the pairs of one device, kept for the backward pass.
    """

    mesh: dict[str, int]
    pairs: int
    flops: float
    state_bytes: int
    activation_bytes: int


def model_sizes(model: TrainingModel, *, batch: int) -> list[NetworkSize]:
    """Sizes of the generator, discriminator and identity encoder of a model in training.

    Args:
      model: fixed parts of training.
      batch: pictures that the activation memory is for.
    """
    picture = _picture(model.generator.size)
    encoder = model.identity_encoder
    maps = jax.eval_shape(functools.partial(face_maps, model), encoder.params, picture)
    params = _abstract_params(model.discriminator, picture, picture, maps)
    discriminator = network_size(
        'discriminator',
        lambda params, *inputs: model.discriminator.apply({'params': params}, *inputs),
        params,
        (picture, picture, maps),
        batch=batch,
        depth=2,
        with_respect_to=(0, 1),
    )
    return [
        _generator_size(model.generator, encoder, batch),
        discriminator,
        _encoder_size(encoder, batch),
    ]


def step_size(
    model: TrainingModel,
    sizes: Sequence[NetworkSize],
    *,
    batch: int,
    batch_size: int,
    data: int = -1,
    fsdp: int = 1,
    devices: int | None = None,
) -> StepSize:
    """The train step of a model, on a mesh that need not exist.

    Args:
      model: fixed parts of training.
      sizes: from `model_sizes`.
      batch: what they were made for.
      batch_size: pairs of the step, over all devices.
      data: size of the mesh's axis of this name; -1: what is left of the devices.
      fsdp: the same of the other axis.
      devices: of the mesh; by default as many as the two sizes say, or 1 a size of -1.

    Raises:
      UserError: the mesh does not have this many devices.
    """
    devices = devices or abs(data * fsdp)
    axes = sharding.mesh_sizes(devices, data=data, fsdp=fsdp)
    mesh = AbstractMesh(tuple(axes.values()), tuple(axes))
    state = jax.eval_shape(functools.partial(create_train_state, model), jax.random.key(0))
    pairs = math.ceil(batch_size / (devices * model.accumulation_steps))
    kept = sum(_KEPT[size.name] * size.total.activation_bytes for size in sizes)
    return StepSize(
        axes,
        pairs,
        flops=_pair_flops(model, mesh, state, pairs * devices * model.accumulation_steps),
        state_bytes=sharding.bytes_per_device(state, sharding.state_shardings(mesh, state)),
        activation_bytes=kept * pairs // batch,
    )


def _pair_flops(model: TrainingModel, mesh: AbstractMesh, state: Any, batch_size: int) -> float:
    """FLOP of the traced step by its pairs: those of the kernels' norms are shared by all pairs."""
    size = model.generator.size
    picture = jax.ShapeDtypeStruct((batch_size, size, size, 3), jnp.uint8)
    batch = dict.fromkeys(('source', 'target', 'boundary_map'), picture)
    batch['same_image'] = jax.ShapeDtypeStruct((batch_size,), jnp.bool_)
    step = jit_train_step(model, mesh, sharding.state_shardings(mesh, state))
    traced = step.trace(state, _abstract(model.identity_encoder.params), batch)
    return program_flops(traced.jaxpr.jaxpr) / batch_size


def bundle_sizes(path: Path, *, batch: int = 1) -> list[NetworkSize]:
    """Sizes of a bundle's generator and identity encoder; arguments as in `model_sizes`.

    Raises:
      UserError: the file is no bundle.
    """
    bundle = load_bundle(path)
    encoder = bundle.identity_encoder
    return [_generator_size(bundle.generator, encoder, batch), _encoder_size(encoder, batch)]


def network_size(
    name: str,
    apply: Callable[..., Any],
    params: Any,
    inputs: Sequence[Any],
    *,
    batch: int,
    depth: int = 1,
    with_respect_to: tuple[int, ...] = (0,),
) -> NetworkSize:
    """Counts one network.

    Args:
      name: to report it by.
      apply: (params, *inputs) → outputs.
      params: tree of abstract arrays.
      inputs: trees of abstract arrays with a leading axis of 1.
      batch: pictures that the activation memory is for.
      depth: levels of submodules that make a stage.
      with_respect_to: the arguments of `apply` that gradients are taken of.
    """
    plain = _with_default_branches(apply)
    jaxpr = jax.make_jaxpr(plain)(params, *inputs).jaxpr
    cost: Any = jax.jit(plain).lower(params, *inputs).cost_analysis()
    many = jax.tree.map(lambda x: jax.ShapeDtypeStruct((batch, *x.shape[1:]), x.dtype), inputs)
    parameters = _parameters(params, depth)
    stages = _Stages(frozenset(parameters), depth)
    multiply_adds = _multiply_adds(jaxpr, stages)
    activations = _activation_bytes(plain, (params, *many), with_respect_to, stages)
    # In the order of computation, which parameters do not have.
    names = dict.fromkeys([*activations, *multiply_adds, *parameters])
    return NetworkSize(
        name,
        tuple(
            StageSize(stage, parameters[stage], multiply_adds[stage], activations[stage])
            for stage in names
            if stage in parameters or activations[stage]
        ),
        expected_flops=sum(_xla_flops(equation) for _, equation in _equations(jaxpr)),
        xla_flops=int(cost['flops']),
    )


def table(sizes: Sequence[NetworkSize], batch: int) -> str:
    """The report as text; `batch` is what the sizes were made for."""
    lines = []
    for size in sizes:
        lines += [
            f'{size.name:<24}{"parameters":>14}{"MMAC":>12}{f"MB of batch {batch}":>18}',
            *(_row(stage) for stage in (*size.stages, size.total)),
            f'  XLA: {size.xla_flops / 1e6:,.1f} MFLOP forward; '
            f'counted by its rules: {size.expected_flops / 1e6:,.1f} '
            f'({"agrees" if size.agrees_with_xla else "DIFFERS"} within {XLA_TOLERANCE:.0%})',
            '',
        ]
    return '\n'.join(lines[:-1])


def totals(sizes: Sequence[NetworkSize]) -> dict[str, dict[str, float]]:
    """Totals by network: `parameters`, `gmac` of a picture, `activation_mb` of the batch."""
    return {
        size.name: {
            'parameters': size.total.parameters,
            'gmac': round(size.total.multiply_adds / 1e9, 4),
            'activation_mb': round(size.total.activation_bytes / 1e6, 1),
        }
        for size in sizes
    }


def step_table(step: StepSize) -> str:
    """A train step's needs as text."""
    axes = ', '.join(f'{name}={size}' for name, size in step.mesh.items())
    return (
        f'\ntrain step on {math.prod(step.mesh.values())} devices ({axes})\n'
        f'  a pair                {step.flops / 1e9:>14,.1f} GFLOP\n'
        f'  state on a device     {step.state_bytes / 1e6:>14,.1f} MB\n'
        f'  activations of {step.pairs:<7}{step.activation_bytes / 1e6:>14,.1f} MB'
    )


def step_totals(step: StepSize) -> dict[str, Any]:
    """The same for the JSON line."""
    return {
        'mesh': step.mesh,
        'pairs_per_device': step.pairs,
        'gflop_per_pair': round(step.flops / 1e9, 2),
        'state_mb_per_device': round(step.state_bytes / 1e6, 1),
        'activation_mb_per_device': round(step.activation_bytes / 1e6, 1),
    }


def _row(stage: StageSize) -> str:
    return (
        f'  {stage.name:<22}{stage.parameters:>14,}{stage.multiply_adds / 1e6:>12,.2f}'
        f'{stage.activation_bytes / 1e6:>18,.1f}'
    )


def _generator_size(generator: Generator, encoder: IdentityEncoder, batch: int) -> NetworkSize:
    picture = _picture(generator.size)
    identity = jax.eval_shape(encoder.embed, encoder.params, _picture(ARCFACE_SIZE))
    inputs = (picture, picture, identity)
    params = _abstract_params(generator, *inputs)
    return network_size(
        'generator',
        lambda params, *inputs: generator.apply({'params': params}, *inputs),
        params,
        inputs,
        batch=batch,
    )


def _encoder_size(encoder: IdentityEncoder, batch: int) -> NetworkSize:
    """The encoder is frozen: only its picture gets a gradient."""
    params = _abstract(encoder.params)
    inputs = (_picture(ARCFACE_SIZE),)
    return network_size(
        'identity_encoder', encoder.embed, params, inputs, batch=batch, with_respect_to=(1,)
    )


def _picture(size: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)


def _abstract(arrays: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), arrays)


def _abstract_params(module: Any, *inputs: Any) -> Any:
    return jax.eval_shape(module.init, jax.random.key(0), *inputs)['params']


def _parameters(params: Any, depth: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    for path, leaf in traverse_util.flatten_dict(params).items():
        counts['/'.join(path[:-1][:depth])] += leaf.size
    return counts


@dataclasses.dataclass(frozen=True)
class _Stages:
    """The submodules that have parameters, `depth` levels down."""

    names: frozenset[str]
    depth: int

    def find(self, scope: str) -> str | None:
        """'jvp(Generator)/Generator._modulate/id_4/conv_0' → 'id_4' where `depth` is 1.

        Flax puts the module's class first, then names of submodules, and methods with a dot.
        """
        parts = re.sub(r'\w+\(|\)', '', scope).split('/')
        path = [part for part in parts[1:] if part and '.' not in part]
        name = '/'.join(path[: self.depth])
        return name if name in self.names else None


def _multiply_adds(jaxpr: core.Jaxpr, stages: _Stages) -> Counter[str]:
    counts: Counter[str] = Counter()
    for scope, equation in _equations(jaxpr):
        stage = stages.find(scope)
        if stage:
            counts[stage] += multiply_adds(equation)
    return counts


def _activation_bytes(
    apply: Callable[..., Any],
    arguments: Sequence[Any],
    with_respect_to: Sequence[int],
    stages: _Stages,
) -> Counter[str]:
    """Bytes that the backward pass needs, by the stage that computes them."""

    def forward(*arguments: Any) -> Any:
        def of(*changing: Any) -> Any:
            merged = dict(enumerate(arguments)) | dict(zip(with_respect_to, changing, strict=True))
            return apply(*merged.values())

        # A vjp function is a tree whose leaves are the arrays that it keeps.
        return jax.vjp(of, *(arguments[number] for number in with_respect_to))[1]

    jaxpr = jax.make_jaxpr(forward)(*arguments).jaxpr
    kept = {variable for variable in jaxpr.outvars if isinstance(variable, core.Var)}
    counts: Counter[str] = Counter()
    stage = _INPUT
    for equation in jaxpr.eqns:
        stage = stages.find(str(equation.source_info.name_stack)) or stage
        arrays = [variable.aval for variable in equation.outvars if variable in kept]
        counts[stage] += sum(array.size * array.dtype.itemsize for array in arrays)
    return counts


def _with_default_branches(apply: Callable[..., Any]) -> Callable[..., Any]:
    """`apply` without the forms that it has for single platforms."""

    def plain(*arguments: Any) -> Any:
        closed, shapes = jax.make_jaxpr(apply, return_shape=True)(*arguments)
        outputs = _evaluate(closed, jax.tree.leaves(arguments))
        return jax.tree.unflatten(jax.tree.structure(shapes), outputs)

    return plain


def _evaluate(closed: core.ClosedJaxpr, inputs: Sequence[Any]) -> list[Any]:
    """Runs a jaxpr; calls of compiled functions and choices of the platform are run in place."""
    jaxpr = closed.jaxpr
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*closed.consts, *inputs], strict=True))

    def value(atom: Any) -> Any:
        return atom.val if isinstance(atom, core.Literal) else values[atom]

    for equation in jaxpr.eqns:
        operands = [value(atom) for atom in equation.invars]
        with jax.named_scope(str(equation.source_info.name_stack)):
            if 'branches_platforms' in equation.params:
                # The first operand says which platform it is; None stands for all others.
                default = equation.params['branches_platforms'].index(None)
                outputs = _evaluate(equation.params['branches'][default], operands[1:])
            elif equation.primitive.name == 'jit':
                outputs = _evaluate(equation.params['jaxpr'], operands)
            else:
                params = equation.primitive.get_bind_params(equation.params)
                result = equation.primitive.bind(*operands, **params)
                outputs = result if equation.primitive.multiple_results else [result]
        values.update(zip(equation.outvars, outputs, strict=True))
    return [value(atom) for atom in jaxpr.outvars]


def _equations(jaxpr: core.Jaxpr, scope: str = '') -> Iterator[tuple[str, core.JaxprEqn]]:
    """(scope, equation) of all that is computed, inside custom derivatives too."""
    for equation in jaxpr.eqns:
        inner = '/'.join(filter(None, [scope, str(equation.source_info.name_stack)]))
        bodies = list(core.jaxprs_in_params(equation.params))
        for body in bodies:
            yield from _equations(body, inner)
        if not bodies:
            yield inner, equation


def _multiply_adds_inside(equation: core.JaxprEqn) -> int:
    """Of a convolution or matrix product, without products with padding."""
    if equation.primitive.name == 'dot_general':
        return multiply_adds(equation)
    (_, kernel), out = _arrays(equation)
    numbers = equation.params['dimension_numbers']
    depth = kernel.shape[numbers.rhs_spec[1]]
    images_and_features = math.prod(out.shape[axis] for axis in numbers.out_spec[:2])
    return images_and_features * depth * math.prod(_taps_inside(equation))


def _taps_inside(equation: core.JaxprEqn) -> Iterator[int]:
    """Of each spatial axis of a convolution: how many taps lie inside, summed over all places."""
    (image, kernel), out = _arrays(equation)
    numbers, strides = equation.params['dimension_numbers'], equation.params['window_strides']
    axes = zip(numbers.lhs_spec[2:], numbers.rhs_spec[2:], numbers.out_spec[2:], strict=True)
    for (image_axis, kernel_axis, out_axis), stride, (before, _) in zip(
        axes, strides, equation.params['padding'], strict=True
    ):
        places = stride * np.arange(out.shape[out_axis]) - before
        taps = places[:, None] + np.arange(kernel.shape[kernel_axis])
        yield int(np.sum((taps >= 0) & (taps < image.shape[image_axis])))


def _xla_flops(equation: core.JaxprEqn) -> int:
    """What XLA's cost analysis calls flops."""
    name = equation.primitive.name
    if name in _PRODUCTS:
        return 2 * _multiply_adds_inside(equation)
    if name in _TRANSCENDENTAL | _MOVES:
        return 0
    operands, out = _arrays(equation)
    if name.startswith('reduce_'):
        return operands[0].size - out.size
    return out.size


def _arrays(equation: core.JaxprEqn) -> tuple[list[Any], Any]:
    """Shapes and dtypes of the operands and of the first result."""
    return [atom.aval for atom in equation.invars], equation.outvars[0].aval
