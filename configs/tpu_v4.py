"""paper256 on a TPU v4-32 slice: 16 chips, which JAX sees as 16 devices, on 4 hosts.

    gcloud compute tpus tpu-vm ssh NAME --zone=ZONE --worker=all --command='python -m \
        apgan_jax.main --config=configs/tpu_v4.py --config.data_dir=DIR --workdir=SHARED_DIR'

The same command runs on every host; Cloud TPU's environment tells it of the others. All hosts need
the data set, and one work folder that all of them see. On another slice `--config.mesh.data=-1`
takes the chips there are: a multiple of the four of fsdp, which divides the batch of 256. Which
four share the state is JAX's choice by the slice's shape; where they are not of one host the result
is the same, the step perhaps slower.

Steps: 100,000 of 256 pairs, 25.6 million pairs, 16 on a chip at a time.
Memory of a chip, of 32 GB: `apgan info --config=configs/tpu_v4.py` says 4.6 GB of activations,
before XLA drops or recomputes any, and 0.18 GB of state; without fsdp it would be 0.73 GB. Kernels
and gradients in use add up to 0.4 GB.
Time: hours = pairs × FLOP a pair / (devices × peak × utilisation) / 3600
    = 25.6e6 × 275.6e9 / (16 × 275e12 × 0.15) / 3600 = 3.0.
275.6 GFLOP is what the same command counts in the train step; 275 TFLOP/s is a v4 chip's bfloat16
peak. The utilisation of 15 % is assumed, not measured: normalisation, modulation and resizing at
128 and 256 px wait for memory. The hosts have to read 2,400 pairs/s between them. Compiled here for
virtual devices (tests/training/test_sharding.py), not trained.
"""

from ml_collections import ConfigDict

from configs import paper256


def get_config() -> ConfigDict:
    """paper256 for 16 devices."""
    config = paper256.get_config()
    config.batch_size = 256
    config.dtype = 'bfloat16'
    # State is split over four neighbours: on a v4-32 (2×2×4 chips) the four chips of a host.
    config.mesh.data = 4
    config.mesh.fsdp = 4
    config.data.num_threads = 32
    config.data.prefetch = 512
    config.checkpoint_every = 1_000
    return config
