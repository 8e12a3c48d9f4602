"""The size report against counts by hand, and against XLA's cost analysis."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from apgan_jax.errors import UserError
from apgan_jax.models.convolutions import Conv, depthwise_conv
from apgan_jax.models.images import bilinear_upsample
from apgan_jax.training import experiment
from apgan_jax.training.size_report import (
    bundle_sizes,
    model_sizes,
    network_size,
    step_size,
    step_table,
    table,
    totals,
)
from configs import lite64, lite64_grow, lite128, lite256, paper256, tiny, tpu_v4


class Depthwise(nn.Module):
    """The encoders' depthwise convolution."""

    @nn.compact
    def __call__(self, x):
        kernel = self.param('kernel', nn.initializers.lecun_normal(), (3, 3, 1, x.shape[-1]))
        return depthwise_conv(x, kernel)


class Around(nn.Module):
    """A network of one layer, so that the layer is a stage."""

    layer: nn.Module
    before: object = staticmethod(lambda x: x)

    @nn.compact
    def __call__(self, x):
        return jnp.exp(self.layer(self.before(x)))


def config_sizes(config, batch):
    return model_sizes(experiment.build_model(config), batch=batch)


def config_step(config, sizes, batch, devices=None):
    return step_size(
        experiment.build_model(config),
        sizes,
        batch=batch,
        batch_size=config.batch_size,
        **config.mesh.to_dict(),
        devices=devices,
    )


def size_of(module, shape, batch=1):
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    params = jax.eval_shape(module.init, jax.random.key(0), x)['params']
    return network_size(
        'network', lambda p, x: module.apply({'params': p}, x), params, (x,), batch=batch
    )


@pytest.mark.parametrize(
    'layer, shape, parameters, multiply_adds, flops',
    [
        # XLA's flops: a 3x3 kernel on 8 px has 3 * 8 - 2 taps inside an axis; then the bias.
        (nn.Conv(5, (3, 3)), (8, 8, 4), 185, 64 * 9 * 4 * 5, 2 * 22**2 * 20 + 64 * 5),
        # At stride 2 `SAME` pads an even size only at the end: 3 * 4 - 1 taps inside.
        (nn.Conv(5, (3, 3), 2), (8, 8, 4), 185, 16 * 9 * 4 * 5, 2 * 11**2 * 20 + 16 * 5),
        (nn.Conv(6, (3, 3), feature_group_count=6), (8, 8, 6), 60, 64 * 9 * 6, 2 * 22**2 * 6 + 384),
        (
            nn.Conv(6, (3, 3), feature_group_count=2),
            (8, 8, 4),
            114,
            64 * 9 * 12,
            2 * 22**2 * 12 + 384,
        ),
        (nn.Dense(7), (10,), 77, 70, 2 * 70 + 7),
        (nn.Dense(7, use_bias=False), (4, 4, 10), 70, 16 * 70, 2 * 16 * 70),
        # These are sums of products on a CPU, where small.
        (Conv(5), (4, 4, 4), 185, 16 * 9 * 4 * 5, 2 * 10**2 * 20 + 16 * 5),
        (Depthwise(), (8, 8, 6), 54, 64 * 9 * 6, 2 * 22**2 * 6),
    ],
)
def test_a_layer_by_hand(layer, shape, parameters, multiply_adds, flops):
    size = size_of(Around(layer), shape)
    (stage,) = size.stages
    assert stage.name == 'layer'
    assert stage.parameters == parameters
    assert stage.multiply_adds == multiply_adds
    assert size.expected_flops == size.xla_flops == flops


def test_resizing_is_no_layer():
    size = size_of(Around(nn.Dense(7), before=bilinear_upsample), (4, 4, 10))
    assert size.total.multiply_adds == 8 * 8 * 70
    assert size.agrees_with_xla


def test_activations_are_what_the_backward_pass_needs():
    """The gradient of exp(x W + b) needs x, an input, and the value of exp."""
    assert size_of(Around(nn.Dense(7)), (10,), batch=1).total.activation_bytes == 7 * 4
    assert size_of(Around(nn.Dense(7)), (10,), batch=16).total.activation_bytes == 16 * 7 * 4


def test_small_convolutions_keep_the_activations_of_one_form_only():
    """Of two layers the second needs its input: what the first gives."""
    size = size_of(nn.Sequential([Conv(5), Conv(6)]), (4, 4, 4), batch=2)
    assert {stage.name: stage.activation_bytes for stage in size.stages} == {
        'layers_0': 2 * 16 * 5 * 4,
        'layers_1': 0,
    }


def generator_multiply_adds(config):
    """The generator's architecture written as a sum."""
    fields, size = config.generator, config.size
    pooled = {4: 512, 8: 512, 16: 512, 32: 256, 64: 128, 128: 128}

    def conv(pixels, channels, features):
        return 9 * pixels**2 * channels * features

    widths, full, size = fields.widths, size, size // fields.shuffle
    count = conv(size, 3 * fields.shuffle**2, widths[0])
    count += sum(conv(size >> d, widths[d - 1], widths[d]) for d in range(1, len(widths)))
    channels = widths[-1]
    for depth in reversed(range(len(widths))):
        pixels, width = size >> depth, widths[depth]
        if depth < len(widths) - 1:
            count += conv(pixels, channels, width)
            channels = 2 * width if pixels in fields.skip_resolutions else width
        for block in ('id', 'pe'):
            if pixels not in fields[f'{block}_resolutions']:
                continue
            if channels != width:
                count += pixels**2 * channels * width
            count += conv(pixels, channels, width)
            if block == 'id':
                count += pooled[pixels] * fields.id_features + conv(pixels, width, width)
                count += (192 + fields.id_features) * 2 * (channels + width)
            else:
                count += conv(pixels, 3, fields.pe_hidden)
                count += conv(pixels, fields.pe_hidden, 2 * channels)
            channels = width
    outputs = 3 + fields.mask
    count += conv(size, channels, outputs * fields.shuffle**2)
    # Picture, target and boundary map are seen.
    refined = fields.refine_channels
    return count + conv(full, 9 + refined + outputs, refined)


@pytest.mark.parametrize(
    'module, parameters, most_gmac',
    [
        (tiny, 337_835, 0.06),
        (lite64, 3_614_291, 0.3),
        (lite64_grow, 7.18e6, 1.0),
        (lite128, 7.2e6, 1.3),
        (lite256, 7.2e6, 1.8),
        (paper256, 39e6, 32),
    ],
)
def test_configs(module, parameters, most_gmac):
    config = module.get_config()
    sizes = config_sizes(config, batch=2)
    assert [size.name for size in sizes] == ['generator', 'discriminator', 'identity_encoder']
    generator = sizes[0].total
    assert generator.multiply_adds == generator_multiply_adds(config)
    assert generator.multiply_adds <= most_gmac * 1e9
    assert math.isclose(generator.parameters, parameters, rel_tol=0.01)
    assert all(size.agrees_with_xla for size in sizes)


def test_a_bundle_has_no_discriminator(tiny_bundle_file):
    sizes = bundle_sizes(tiny_bundle_file)
    expected = config_sizes(tiny.get_config(), batch=1)
    assert sizes == [expected[0], expected[2]]


def test_stages_are_in_the_order_of_computation_and_sum_up():
    generator, discriminator, _ = config_sizes(tiny.get_config(), batch=1)
    names = [stage.name for stage in generator.stages]
    assert names[:3] == ['down_64', 'down_32', 'down_16']
    assert names[-3:] == ['up_64', 'pe_64', 'to_rgb']
    assert 'scale_1/conv_2' in {stage.name for stage in discriminator.stages}
    assert sum(stage.parameters for stage in generator.stages) == generator.total.parameters


def test_the_table_has_every_stage_and_the_totals_agree():
    sizes = config_sizes(tiny.get_config(), batch=4)
    text = table(sizes, 4)
    assert text.count('agrees within 1%') == 3
    assert 'MB of batch 4' in text
    assert all(stage.name in text for size in sizes for stage in size.stages)
    generator = totals(sizes)['generator']
    assert generator['parameters'] == 337_835
    assert generator['gmac'] == round(generator_multiply_adds(tiny.get_config()) / 1e9, 4)


def test_the_train_step_of_a_tpu_slice():
    config = tpu_v4.get_config()
    sizes = config_sizes(paper256.get_config(), batch=1)
    step = config_step(config, sizes, batch=1)
    assert step.mesh == {'data': 4, 'fsdp': 4}
    assert step.pairs == 16
    generator, discriminator, encoder = (size.total for size in sizes)
    # In forward passes: 3 of the generator, 7 of the discriminator (two pictures forward, both
    # gradients of both, and the swapped one's by itself), 3 of the encoder; resizing is what is
    # left, and with its gradient as much as a seventh.
    networks = 2 * (
        3 * generator.multiply_adds + 7 * discriminator.multiply_adds + 3 * encoder.multiply_adds
    )
    assert networks < step.flops < 1.2 * networks
    assert f'{step.flops / 1e9:.1f} GFLOP' in tpu_v4.__doc__
    # Parameters, two moments and, of the generator, the average: almost all of it is split by 4.
    numbers = 4 * generator.parameters + 3 * discriminator.parameters
    assert step.state_bytes == pytest.approx(4 * numbers / 4, rel=0.01)
    assert step.activation_bytes == 16 * (
        generator.activation_bytes + 2 * discriminator.activation_bytes + encoder.activation_bytes
    )
    config.accumulation_steps = 4
    in_parts = config_step(config, sizes, batch=1)
    assert in_parts.activation_bytes == step.activation_bytes // 4
    assert in_parts.flops == pytest.approx(step.flops, rel=1e-3)


@pytest.mark.parametrize('module, flops', [(lite128, 16.06e9), (lite256, 35.85e9)])
def test_lite_models_cost_what_their_docstrings_say(module, flops):
    """The landmark reader, resizing and Gram matrices are a sixth of lite128's."""
    config = module.get_config()
    sizes = config_sizes(config, batch=1)
    step = config_step(config, sizes, batch=1)
    assert step.flops == pytest.approx(flops, rel=1e-3)
    assert f'{step.flops / 1e9:.1f} GFLOP' in module.__doc__
    assert f'{sizes[0].total.multiply_adds / 1e9:.2f} GMAC a face' in module.__doc__


def test_a_mesh_of_unknown_size_is_one_device_or_what_is_asked_for():
    config = tiny.get_config()
    sizes = config_sizes(config, batch=8)
    assert config_step(config, sizes, batch=8).mesh == {'data': 1, 'fsdp': 1}
    step = config_step(config, sizes, batch=8, devices=4)
    assert step.mesh == {'data': 4, 'fsdp': 1}
    assert '4 devices (data=4, fsdp=1)' in step_table(step)
    with pytest.raises(UserError, match='must multiply to the 3 devices'):
        config_step(tpu_v4.get_config(), sizes, batch=8, devices=3)
