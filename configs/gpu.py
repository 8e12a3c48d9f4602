"""paper256 on one host with 8 GPUs of 80 GB.

    python -m apgan_jax.main --config=configs/gpu.py --config.data_dir=DIR --workdir=DIR

One process drives all GPUs; any number of them that divides the batch will do. Under SLURM or Open
MPI, start one process a host (`srun --ntasks-per-node=1`), which drives all GPUs of its host, or
one a GPU, which drives its own. Where memory is short, `--config.accumulation_steps=2` halves the
activations and keeps the result of a step.

Steps: 200,000 of 128 pairs, 25.6 million pairs, 16 on a GPU at a time.
Memory of a GPU: `apgan info --config=configs/gpu.py --devices 8` says 4.6 GB of activations, before
XLA drops or recomputes any, and 0.73 GB of state, whole on every GPU. Kernels and gradients in
use add up to 0.4 GB.
Time: hours = pairs × FLOP a pair / (devices × peak × utilisation) / 3600
    = 25.6e6 × 275.6e9 / (8 × 312e12 × 0.15) / 3600 = 5.2 on A100s.
275.6 GFLOP is what the same command counts in the train step; 312 TFLOP/s is an A100's bfloat16
peak. The utilisation of 15 % is assumed, not measured: normalisation, modulation and resizing at
128 and 256 px wait for memory. The host has to read 1,360 pairs/s. Not trained here.
"""

from ml_collections import ConfigDict

from configs import paper256


def get_config() -> ConfigDict:
    """paper256 for one host of 8 GPUs."""
    config = paper256.get_config()
    config.batch_size = 128
    config.num_steps = 200_000
    config.dtype = 'bfloat16'
    config.data.num_threads = 32
    config.data.prefetch = 512
    config.checkpoint_every = 1_000
    return config
