"""A new run that starts from the weights of a bundle, and of a discriminator saved beside it.

The rule: a block is loaded whole, where the names and shapes of all its tensors are equal, or not
at all. A block is what works at one resolution (`down_64`, `up_32`, `id_16`), or a discriminator's
layer. So a 128-px model takes over what a 64-px one learned at 64 px and below, on condition that
both have equal widths and blocks there. lite64 and lite128 count theirs from full resolution down,
so that only the widths at 4 px are equal: they share 18 tensors, 1.74 of lite128's 7.2 M
parameters. lite64_grow, lite128 and lite256 are made for it: each has all of the trunk of the one
before, and starts only what reads or writes pixels and the stage above anew.
The last layers, `to_rgb`, `to_mask` and what refines them, work at full resolution whatever that
is, and are loaded only where sizes are equal. If the identity encoder is another one, the layers
that read its output start anew, alone of their blocks. Optimizers and step start anew always;
`optimizer.warmup_steps` keeps their first steps small.

A bundle's kernels are divided by their spectral norm already. As raw kernels they are as good as
those they came from, with a norm of 1; with their exact singular vectors, the first step's
generator is the bundle's.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax import traverse_util

from apgan_jax.bundle import Bundle, discriminator_file_of, load_bundle, load_discriminator
from apgan_jax.errors import UserError
from apgan_jax.face.alignment import CropSpec
from apgan_jax.files.tensors import flatten
from apgan_jax.models import spectral_norm
from apgan_jax.models.identity import IdentityEncoder
from apgan_jax.training import sharding
from apgan_jax.training.train_step import TrainState

NO_FILE = 'none'
# Blocks that are not named by a resolution.
_AT_FULL_SIZE = ('to_rgb', 'to_mask', 'refine_', 'to_fine')


class Match(NamedTuple):
    """How a file's tensors fit a network.

    Attributes:
      loaded: name -> value.
      missed: name -> why it was not loaded.
    """

    loaded: dict[str, np.ndarray]
    missed: dict[str, str]


def warm_start(
    state: TrainState,
    *,
    bundle_file: Path,
    discriminator_file: str,
    identity_encoder: IdentityEncoder,
    crop_spec: CropSpec,
) -> tuple[TrainState, list[str]]:
    """Puts saved weights into a new state.

    Args:
      state: from `create_train_state`, on any mesh.
      bundle_file: an exported model.
      discriminator_file: what was exported with it; '' looks beside the bundle, `NO_FILE` starts
        the discriminator anew.
      identity_encoder: of the new run.
      crop_spec: of the new run; the bundle's may have another size, and show more or less of the
        head.

    Returns:
      (the state, lines that list what was loaded and what was not).

    Raises:
      UserError: no such file, one of another kind, crops drawn in another way, or nothing in it
        fits.
    """
    bundle = load_bundle(bundle_file)
    crop_lines = _compare_crops(bundle.crop_spec, crop_spec, bundle_file)
    generator = _match_generator(bundle, state.generator_params, identity_encoder, crop_spec.size)
    _require_any(generator, bundle_file)
    replaced = {
        'generator_params': generator.loaded,
        'generator_ema_params': generator.loaded,
        'generator_spectral': _singular_vectors(generator.loaded),
    }
    report = crop_lines + _report('generator', bundle_file, generator)
    path = _discriminator_path(bundle_file, discriminator_file)
    if path:
        params, spectral = load_discriminator(path)
        discriminator = match(params, flatten(state.discriminator_params), depth=2)
        _require_any(discriminator, path)
        replaced['discriminator_params'] = discriminator.loaded
        replaced['discriminator_spectral'] = {
            name: vector for name, vector in spectral.items() if name in discriminator.loaded
        }
        report += _report('discriminator', path, discriminator)
    else:
        report.append('warm start of the discriminator: none saved, it starts anew')
    return _replace(state, replaced), report


def _compare_crops(found: CropSpec, wanted: CropSpec, path: Path) -> list[str]:
    """A line if a bundle's crops show another part of the head; other differences are refused."""
    same_part = dataclasses.replace(
        found,
        size=wanted.size,
        name=wanted.name,
        template=wanted.template,
        arcface_window=wanted.arcface_window,
    )
    same_part.require_equal(wanted, here=str(path), there='the data set')
    if found.name == wanted.name:
        return []
    return [
        f'warm start from another crop: {path} learned faces of {found.name}, this run has '
        f'those of {wanted.name}'
    ]


def match(found: Mapping[str, Any], wanted: Mapping[str, Any], *, depth: int = 1) -> Match:
    """Sorts tensors by whether the names and shapes of their whole block are equal.

    Args:
      found: of the file, by name.
      wanted: arrays of the network, by name.
      depth: how many parts of a name ('a/b/kernel') are its block's.
    """

    def block(name: str) -> list[str]:
        return name.split('/')[:depth]

    missed = _misfits(found, wanted)
    broken = [block(name) for name in missed]
    loaded = {name: found[name] for name in sorted({*found} - {*missed})}
    for name in [name for name in loaded if block(name) in broken]:
        del loaded[name]
        missed[name] = 'fits, but not all of its block'
    return Match(loaded, missed)


def _misfits(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, str]:
    """Why a tensor has no equal, by name."""
    missed = {}
    for name in sorted({*found, *wanted}):
        if name not in found:
            missed[name] = 'not in the file'
        elif name not in wanted:
            missed[name] = 'not in this network'
        elif found[name].shape != wanted[name].shape:
            missed[name] = f'{found[name].shape} in the file, {wanted[name].shape} here'
    return missed


def _match_generator(bundle: Bundle, params: Any, encoder: IdentityEncoder, size: int) -> Match:
    found = match(flatten(bundle.generator_params), flatten(params))
    if bundle.generator.size != size:
        found = _without(
            found, lambda name: name.startswith(_AT_FULL_SIZE), 'works at another size'
        )
    if bundle.identity_encoder.sha256 != encoder.sha256:
        found = _without(found, _reads_identity, 'reads another identity encoder')
    return found


def _without(found: Match, is_unwanted: Callable[[str], bool], why: str) -> Match:
    unwanted = [name for name in found.loaded if is_unwanted(name)]
    return Match(
        {name: value for name, value in found.loaded.items() if name not in unwanted},
        found.missed | dict.fromkeys(unwanted, why),
    )


def _reads_identity(name: str) -> bool:
    block, layer = name.split('/')[:2]
    return block.startswith('identity_') or (
        block.startswith('id_') and layer.startswith('modulation_')
    )


def _singular_vectors(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What power iteration would converge to, by the kernel's name."""
    vectors = {}
    for name, value in tensors.items():
        if spectral_norm.is_normalised(name, value):
            matrix = value.reshape(-1, value.shape[-1])
            # The small Gram matrix has the same right singular vectors.
            vectors[name] = np.linalg.eigh(matrix.T.astype(np.float64) @ matrix)[1][:, -1]
    return vectors


def _discriminator_path(bundle_file: Path, choice: str) -> Path | None:
    if choice == NO_FILE:
        return None
    if choice:
        return Path(choice)
    beside = discriminator_file_of(bundle_file)
    return beside if beside.is_file() else None


def _require_any(found: Match, path: Path) -> None:
    if not found.loaded:
        raise UserError(
            f'{path}: none of its tensors fits this config; start without it, or use its widths'
        )


def _report(what: str, path: Path, found: Match) -> list[str]:
    total = len(found.loaded) + sum(why != 'not in this network' for why in found.missed.values())
    blocks = sorted({name.split('/')[0] for name in found.loaded})
    return [
        f'warm start of the {what} from {path}: {len(found.loaded)} of {total} tensors loaded, '
        f'in {", ".join(blocks)}',
        *(f'  not loaded: {name} ({why})' for name, why in sorted(found.missed.items())),
    ]


def _replace(state: TrainState, replaced: Mapping[str, Mapping[str, np.ndarray]]) -> TrainState:
    """Puts NumPy arrays where arrays of the state are, laid out as those."""
    return state.replace(
        **{
            field: _put(getattr(state, field), values, nested=field.endswith('params'))
            for field, values in replaced.items()
        }
    )


def _put(tree: Any, values: Mapping[str, np.ndarray], *, nested: bool) -> Any:
    flat = flatten(tree) if nested else dict(tree)
    for name, value in values.items():
        old = flat[name]
        # A copy: the step gives the buffers of its state away, and each only once.
        flat[name] = sharding.put_arrays(np.array(value, old.dtype), old.sharding)
    return traverse_util.unflatten_dict(flat, sep='/') if nested else flat
