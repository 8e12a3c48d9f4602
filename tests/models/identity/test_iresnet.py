"""IResNet against onnxruntime, with random weights: no ArcFace weights of it can be had here."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from apgan_jax.errors import UserError
from apgan_jax.models.identity import load_identity_encoder
from apgan_jax.models.identity.iresnet import DEPTHS
from apgan_jax.training import experiment
from apgan_jax.training.train_step import create_train_state, train_step
from configs import tiny

# Skipped where the extra data_prep is not installed.
port_arcface = pytest.importorskip('data_prep.port_arcface', exc_type=ImportError)
onnx = pytest.importorskip('onnx')
arcface_files = pytest.importorskip('support.arcface_files', exc_type=ImportError)

STAGES = {'56': 'stage1', '28': 'stage2', '14': 'stage3', '7': 'stage4'}


def port(source, kind='iresnet18'):
    output = source.with_name(f'{source.name}.ported.safetensors')
    assert port_arcface.main([str(source), '--kind', kind, '--output', str(output)]) == 0
    return output


def check_parity(kind, fused, folder):
    """Builds a network, ports it and compares it with onnxruntime."""
    state = arcface_files.random_state(DEPTHS[kind])
    model = arcface_files.iresnet_onnx(DEPTHS[kind], state, fused)
    onnx.save(model, folder / 'network.onnx')
    encoder = load_identity_encoder(kind, port(folder / 'network.onnx', kind))
    images = port_arcface.probe_images()[1:3]
    planes = images.transpose(0, 3, 1, 2)
    *maps, vectors = arcface_files.run_onnx(model, list(STAGES.values()), planes)
    ours = jax.jit(encoder.embed)(encoder.params, images)
    arcface_files.assert_embeds_as(ours, vectors, dict(zip(STAGES, maps, strict=True)))
    # Unlike images must have unlike vectors, or agreement would say little.
    assert float(ours.vector[0] @ ours.vector[1]) < 0.95


@pytest.mark.parametrize('fused', [False, True])
def test_vector_and_stage_features_equal_onnxruntime(fused, tmp_path):
    check_parity('iresnet18', fused, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('kind', 'fused'), [('iresnet34', False), ('iresnet50', True), ('iresnet100', True)]
)
def test_the_deeper_ones_equal_onnxruntime(kind, fused, tmp_path):
    check_parity(kind, fused, tmp_path)


@pytest.fixture(scope='module')
def state():
    return arcface_files.random_state(DEPTHS['iresnet18'])


@pytest.fixture(scope='module')
def ported(state, tmp_path_factory):
    """The port of the state dict as safetensors."""
    source = tmp_path_factory.mktemp('iresnet') / 'state.safetensors'
    save_file(state, source)
    return port(source)


@pytest.fixture(scope='module')
def tensors(ported):
    return load_file(ported)


def assert_same(ported, tensors, rtol=0.0):
    theirs = load_file(ported)
    assert theirs.keys() == tensors.keys()
    for name, array in tensors.items():
        np.testing.assert_allclose(theirs[name], array, rtol=rtol, err_msg=name)


def test_the_port_of_onnx_is_that_of_the_state_dict(state, tensors, tmp_path):
    model = arcface_files.iresnet_onnx(DEPTHS['iresnet18'], state, fused=False)
    onnx.save(model, tmp_path / 'network.onnx')
    # Its epsilon is a float32.
    assert_same(port(tmp_path / 'network.onnx'), tensors, rtol=1e-6)


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_the_port_of_a_pickled_state_dict_is_the_same(state, tensors, prefix, tmp_path, capsys):
    arcface_files.torch_file(
        tmp_path / 'state.pth', {f'{prefix}{name}': array for name, array in state.items()}
    )
    assert_same(port(tmp_path / 'state.pth'), tensors)
    assert 'not checked: no runtime runs a state dict' in capsys.readouterr().out


def test_the_port_of_what_pytorch_saves_is_the_same(state, tensors, tmp_path):
    torch = pytest.importorskip('torch')
    torch.save({k: torch.from_numpy(v) for k, v in state.items()}, tmp_path / 'state.pt')
    assert_same(port(tmp_path / 'state.pt'), tensors)


def test_shapes_and_unit_norm(ported):
    encoder = load_identity_encoder('iresnet18', ported)
    embedding = jax.jit(encoder.embed)(encoder.params, port_arcface.probe_images()[:2])
    assert embedding.vector.shape == (2, 512)
    shapes = {stage: feature.shape for stage, feature in embedding.features.items()}
    assert shapes == {'56': (2, 64), '28': (2, 128), '14': (2, 256), '7': (2, 512)}
    np.testing.assert_allclose(jnp.linalg.norm(embedding.vector, axis=-1), 1, atol=1e-6)


def test_a_file_of_another_depth_is_refused(ported):
    with pytest.raises(UserError, match=r'missing layer1_block2/.*port it again'):
        load_identity_encoder('iresnet34', ported)


def test_a_training_step_takes_its_shapes(ported):
    config = tiny.get_config()
    config.identity_encoder, config.identity_encoder_path = 'iresnet18', str(ported)
    model = experiment.build_model(config)
    state = jax.eval_shape(functools.partial(create_train_state, model), jax.random.key(0))
    dense = {
        name: parameters['dense']['kernel'].shape[0]
        for name, parameters in state.generator_params.items()
        if name.startswith('identity_')
    }
    assert dense == {'identity_4': 512, 'identity_8': 512, 'identity_16': 256, 'identity_32': 128}
    picture = jax.ShapeDtypeStruct((2, 64, 64, 3), jnp.uint8)
    batch = dict.fromkeys(('source', 'target', 'boundary_map'), picture)
    batch['same_image'] = jax.ShapeDtypeStruct((2,), bool)
    step = functools.partial(train_step, model)
    after, _ = jax.eval_shape(step, state, model.identity_encoder.params, batch)
    assert jax.tree.map(lambda x: x.shape, after) == jax.tree.map(lambda x: x.shape, state)
