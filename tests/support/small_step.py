"""A model whose step compiles in seconds, and runs of it in processes with several devices.

As a program, `small_step.py JOB`, it does one JSON job on all devices there are and prints JSON.
"""

import json
import subprocess
import sys
from typing import Any

import jax
import numpy as np
import optax

from apgan_jax.errors import UserError
from apgan_jax.models.discriminator import MultiScaleDiscriminator
from apgan_jax.models.generator import Generator
from apgan_jax.models.identity import load_identity_encoder
from apgan_jax.training import experiment, sharding
from apgan_jax.training.losses import LossWeights
from apgan_jax.training.train_step import TrainingModel, create_train_state, jit_train_step
from configs import tpu_v4
from support.faces import random_state
from support.processes import environment


def small_model(
    *, accumulation_steps: int = 1, dtype: Any = None, bfloat16_products: bool = False
) -> TrainingModel:
    """Trained by SGD: Adam amplifies the rounding of near-zero gradients."""
    return TrainingModel(
        generator=Generator(
            size=16,
            widths=(8, 16, 64),
            id_resolutions=(4, 8),
            pe_resolutions=(8, 16),
            skip_resolutions=(4, 8, 16),
            pe_hidden=4,
            id_features=8,
            dtype=dtype,
        ),
        discriminator=MultiScaleDiscriminator(width=32, depth=2, num_scales=1, dtype=dtype),
        identity_encoder=load_identity_encoder(),
        generator_tx=optax.sgd(1e-4),
        discriminator_tx=optax.sgd(1e-4),
        weights=LossWeights(),
        accumulation_steps=accumulation_steps,
        bfloat16_products=bfloat16_products,
    )


def random_batch(count: int = 8) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    names = ('source', 'target', 'boundary_map')
    batch = {name: rng.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8) for name in names}
    return batch | {'same_image': np.arange(count) % 3 == 0}


def two_steps(*, data: int = 1, fsdp: int = 1, accumulation_steps: int = 1) -> dict[str, Any]:
    """Losses by step, and what became of the state's arrays."""
    mesh = sharding.create_mesh(data=data, fsdp=fsdp)
    model = small_model(accumulation_steps=accumulation_steps)
    first = random_state(model)
    shardings = sharding.state_shardings(mesh, first)
    state = first = sharding.put_arrays(first, shardings)
    encoder_params = sharding.put_arrays(model.identity_encoder.params, sharding.replicated(mesh))
    parts = {
        name: np.split(array, jax.process_count())[jax.process_index()]
        for name, array in random_batch().items()
    }
    batch = sharding.put_batch(parts, sharding.batch_sharding(mesh))
    step = jit_train_step(model, mesh, shardings)
    rows = []
    for _ in range(2):
        state, metrics = step(state, encoder_params, batch)
        rows.append({name: float(value) for name, value in metrics.compute().items()})
    leaves = jax.tree.leaves(state)
    return {
        'devices': jax.device_count(),
        'processes': jax.process_count(),
        'losses': rows,
        'split': sum(not leaf.sharding.is_fully_replicated for leaf in leaves),
        'bytes': sum(leaf.addressable_shards[0].data.nbytes for leaf in leaves),
        'expected_bytes': sharding.bytes_per_device(state, shardings),
        'kept_shardings': jax.tree.map(lambda x: x.sharding, state) == shardings,
        'given_away': all(leaf.is_deleted() for leaf in jax.tree.leaves(first)),
        'programs': step._cache_size(),
        'collectives': _collectives(step, state, encoder_params, batch),
        'refused': _refused(),
    }


def _refused() -> str:
    """What a process hears where the processes differ."""
    try:
        sharding.require_equal('number', jax.process_index())
    except UserError as error:
        return str(error)
    return ''


def _collectives(step: Any, *arguments: Any) -> dict[str, int]:
    return sharding.count_collectives(step.lower(*arguments).compile().as_text())


def compile_tpu_v4() -> dict[str, Any]:
    """The step of configs/tpu_v4.py: for a TPU as it is, and compiled here with fewer channels."""
    config = tpu_v4.get_config()
    batch = {
        name: jax.ShapeDtypeStruct((config.batch_size, config.size, config.size, 3), np.uint8)
        for name in ('source', 'target', 'boundary_map')
    } | {'same_image': jax.ShapeDtypeStruct((config.batch_size,), np.bool_)}
    mesh = sharding.create_mesh(data=config.mesh.data, fsdp=config.mesh.fsdp)

    def trace() -> Any:
        model = experiment.build_model(config)
        state = jax.eval_shape(lambda rng: create_train_state(model, rng), jax.random.key(0))
        step = jit_train_step(model, mesh, sharding.state_shardings(mesh, state))
        return step.trace(state, model.identity_encoder.params, batch)

    lowered = trace().lower(lowering_platforms=('tpu',)).as_text()
    config.generator.widths = (8, 8, 16, 32, 64, 64, 64)
    config.generator.pe_hidden = 8
    config.discriminator.width = 8
    compiled = trace().lower().compile()
    return {
        'bfloat16': 'xbf16>' in lowered,
        'whole_kernel': 'tensor<3x3x512x512xf32>' in lowered,
        'collectives': sharding.count_collectives(compiled.as_text()),
    }


def run(jobs: list[dict[str, Any]], *, devices: int, flags: str = '') -> list[dict[str, Any]]:
    """Does the jobs at the same time, each in a process with this many devices of its own."""
    variables = environment(
        XLA_FLAGS=f'--xla_force_host_platform_device_count={devices} {flags}', JAX_PLATFORMS='cpu'
    )
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, json.dumps(job)],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for job in jobs
    ]
    outputs = [process.communicate() for process in processes]
    for process, (_, errors) in zip(processes, outputs, strict=True):
        assert process.returncode == 0, errors
    return [json.loads(output.splitlines()[-1]) for output, _ in outputs]


def _main(job: dict[str, Any]) -> None:
    sharding.start_distributed(**job.pop('distributed', {}))
    print(json.dumps(compile_tpu_v4() if job.pop('tpu_v4', False) else two_steps(**job)))


if __name__ == '__main__':
    _main(json.loads(sys.argv[1]))
