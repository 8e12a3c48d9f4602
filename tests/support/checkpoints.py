"""Checkpoints of small states."""

import jax
import numpy as np

from apgan_jax.data.pipeline import PairOptions, open_dataset, training_batches
from apgan_jax.face.alignment import CropSpec
from apgan_jax.training import checkpointing
from support.faces import make_records, write_dataset

INPUTS = checkpointing.RunInputs(records=8, record_bytes=1_000, identity_encoder='abc')


def batches_of(folder, *, batch_size=2, shard=(0, 1)):
    if not folder.exists():
        write_dataset(folder, make_records(8, str))
    return training_batches(
        open_dataset(folder), batch_size=batch_size, seed=0, options=PairOptions(), shard=shard
    )


def small_state():
    return {
        'kernel': np.arange(64 * 512, dtype=np.float32).reshape(64, 512),
        'step': np.array(4, np.int32),
    }


def save_once(workdir, state, config, *, step=4):
    """A run's folder with one checkpoint."""
    manager = checkpointing.open_manager(workdir, most_steps_lost=2, max_to_keep=3)
    checkpointing.save(
        manager,
        step,
        state=jax.device_put(state),
        batches=batches_of(workdir / 'data'),
        crop_spec=CropSpec(size=config.size),
        config=config.to_dict(),
        inputs=INPUTS,
    )
    manager.wait_until_finished()
    manager.close()
