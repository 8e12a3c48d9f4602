"""All that is not the paper's, switched on at once."""

from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from apgan_jax.training import experiment

# Of a config, without `data.reverse_dir`. The courses end within a test's few steps.
DEPARTURES: dict[str, Any] = {
    'generator.mask': True,
    'discriminator.projected_width': 8,
    'loss.landmark_weight': 2.0,
    'loss.eyes_and_lips_weight': 3.0,
    'loss.identity_margin': 0.78,
    'loss.identity_view': (30, 10),
    'loss.truth_weight': 100.0,
    'loss.feature_weight': 2.0,
    'loss.mask_weight': 60.0,
    'loss.mask_cost_weight': 0.5,
    'loss.shift_weight': 7.0,
    'course.truth_weight': ((0, 100.0), (4, 100.0), (10, 800.0)),
    'course.mask_cost_weight': ((0, 0.0), (8, 0.5)),
    'course.generator_learning_rate': ((0, 4e-4), (12, 1e-4)),
    'data.same_identity_share': 0.2,
    'data.reverse_share': 0.3,
    'data.turned_share': 0.2,
    'data.occluder_share': 0.4,
    'data.cached_sources': 32,
}


def with_departures(config: ConfigDict) -> ConfigDict:
    """The same config, changed."""
    config.update_from_flattened_dict(DEPARTURES)
    return config


def abstract_batch(config: ConfigDict) -> dict[str, jax.ShapeDtypeStruct]:
    """What `data.pipeline` yields for a config with all departures, without values."""
    options = experiment.pair_options(config)
    assert options.truths and options.most_shift
    count, size = config.batch_size, config.size
    pictures = ('source', 'target', 'boundary_map', 'truth')
    shapes = dict.fromkeys(pictures, ((count, size, size, 3), np.uint8)) | {
        'mask': ((count, size, size), np.uint8),
        'same_image': ((count,), np.bool_),
        'has_truth': ((count,), np.bool_),
        'offsets': ((count, 2), np.int32),
    }
    return {name: jax.ShapeDtypeStruct(*each) for name, each in shapes.items()}
