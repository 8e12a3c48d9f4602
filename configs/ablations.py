"""The paper's ablations: a model without some of its components.

NAME is a row of table IV, each of which adds one component to the row before,

    base | pe_block | pe_discriminator | adalin | occlusion | style

where style is the full model, or one of the full model without one component:

    no_pe_block | no_pe_discriminator | no_adalin | no_occlusion | no_style

After a comma, the model to ablate: paper256 (the default), lite128, lite64 or tiny.

    python -m apgan_jax.main --config=configs/ablations.py:adalin,lite64 --config.data_dir=DIR \
        --workdir=runs/adalin
"""

from typing import Any

from ml_collections import ConfigDict

from apgan_jax.errors import UserError
from configs import lite64, lite128, paper256, tiny

# What a model without the component has in its place, in the order of table IV.
WITHOUT: dict[str, dict[str, Any]] = {
    'pe_block': {'generator.pe_resolutions': ()},
    'pe_discriminator': {'discriminator.use_boundary_map': False},
    'adalin': {'generator.use_layer_norm': False},
    'occlusion': {'loss.occlusion_weight': 0.0},
    'style': {'loss.style_weight': 0.0},
}
_COMPONENTS = tuple(WITHOUT)
# Name of an ablation -> the components that it lacks.
LACKING: dict[str, tuple[str, ...]] = {
    'base': _COMPONENTS,
    **{name: _COMPONENTS[row:] for row, name in enumerate(_COMPONENTS, start=1)},
    **{f'no_{name}': (name,) for name in _COMPONENTS},
}
_MODELS = {'paper256': paper256, 'lite128': lite128, 'lite64': lite64, 'tiny': tiny}


def get_config(argument: str = 'style') -> ConfigDict:
    """The ablation `NAME` or `NAME,MODEL`.

    Raises:
      UserError: there is no such ablation or model.
    """
    name, _, model = argument.partition(',')
    model = model or 'paper256'
    if name not in LACKING:
        raise UserError(f'ablation {name!r}: must be one of {", ".join(LACKING)}')
    if model not in _MODELS:
        raise UserError(f'model {model!r} to ablate: must be one of {", ".join(_MODELS)}')
    config = _MODELS[model].get_config()
    for component in LACKING[name]:
        config.update_from_flattened_dict(WITHOUT[component])
    return config
