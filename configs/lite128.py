"""The 128-px model for a machine without an accelerator: 7.2 M parameters, 1.27 GMAC a face.

The shipped bundle has the same trunk; it was trained before this recipe, in stages that
docs/training-notes.md has the fields of, with the whole head in the crop and without a mask. What
was tried with this recipe stands there too; to its end it was not run yet.
`apgan info --config=configs/lite128.py` prints its size, stage by stage.

    python -m apgan_jax.main --config=configs/lite128.py --config.data_dir=DIR --workdir=DIR

The data set is built with `--crop face-v1`.

Steps: 20,000 of 16 pairs. Memory: 0.14 GB of state and up to 0.73 GB of activations; the
process, with gradients, XLA's own and what is kept from being returned, 4.5 GB on a CPU.
Time: hours = pairs × FLOP a pair / FLOP/s / 3600 = 320e3 × 16.1e9 / 100e9 / 3600 = 14.3 on two CPU
cores. 16.1 GFLOP is what `apgan info` counts in the train step; 100 GFLOP/s is assumed, half of
what such cores reach in large convolutions.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """lite128."""
    config = default.get_config()
    config.size = 128
    config.num_steps = 20_000
    config.generator.widths = (16, 32, 64, 128, 256, 256)
    config.generator.id_resolutions = (4, 8, 16, 32, 64)
    config.generator.pe_resolutions = (64, 128)
    config.generator.skip_resolutions = (4, 8, 16, 32, 64, 128)
    config.generator.pe_hidden = 16
    # With 2, lite64's, they hardly tell real from swapped at this size.
    config.discriminator.activation_gain = 3.0
    # From here on departures from the paper, see docs/train.md: the face alone in the crop, a mask
    # of the generator's own, an end of the identity term, and pairs whose answer is known.
    config.crop = 'face-v1'
    config.generator.mask = True
    # Taught strongly until it is an outline; then glasses and fringes may be found.
    config.loss.mask_weight = 10.0
    config.course.mask_weight = ((0, 60.0), (2_000, 60.0), (4_000, 10.0))
    # With 40, the face alone in the crop, a swap is half the target; see docs/training-notes.md.
    config.loss.identity_weight = 80.0
    config.loss.identity_margin = 0.88
    config.loss.identity_view = (30, 10)
    config.loss.adversarial_weight = 3.0
    # The truth term stands for eq. 7. All at once, it is easier to be the target than the source.
    config.loss.reconstruction_weight = 0.0
    config.loss.truth_weight = 300.0
    config.course.truth_weight = ((0, 100.0), (3_000, 100.0), (6_000, 300.0))
    config.loss.feature_weight = 2.0
    # Takes care of the target's colours; the paper's 3 is not felt beside the other terms.
    config.loss.style_weight = 300.0
    # Holds pose and expression, which the identity term flattens.
    config.loss.landmark_weight = 2.0
    config.loss.eyes_and_lips_weight = 3.0
    config.data.same_image_share = 0.1
    config.data.same_identity_share = 0.2
    config.data.occluder_share = 0.3
    config.data.turned_share = 0.1
    # All of CelebA's that are used, mirrored too: a quarter of a gigabyte.
    config.data.cached_sources = 32_768
    # Twice lite64's: farthest in equally many steps.
    config.optimizer.generator_learning_rate = 6e-4
    config.optimizer.discriminator_learning_rate = 2e-4
    config.optimizer.decay_steps = 5_000
    return config
