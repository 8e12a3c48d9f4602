"""VGG16 in both layouts: known answers with simple weights, and PyTorch's."""

import importlib
import sys
import types

import cv2
import numpy as np
import pytest
from safetensors.numpy import save_file

from apgan_jax.errors import UserError
from apgan_jax.face.model_files import files_in_package
from apgan_jax.files.torch_files import load_state_dict
from apgan_jax.networks import vgg
from support.arcface_files import torch_file
from support.faces import head

# Torchvision's numbers of the convolutions in `features`; those of stlpips-pytorch and their slice.
NUMBERS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
SLICED = ('1.0', '1.2', '2.6', '2.8', '3.12', '3.14', '3.16')
SLICED += ('4.20', '4.22', '4.24', '5.28', '5.30', '5.32')
WIDTHS = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def named(layers, prefixes):
    """A state dict of layers [(weight, bias)]."""
    pairs = zip(prefixes, layers, strict=True)
    return {
        f'{prefix}.{kind}': array
        for prefix, layer in pairs
        for kind, array in zip(('weight', 'bias'), layer, strict=True)
    }


def torchvision(layers):
    return named(layers, [f'features.{number}' for number in NUMBERS])


def shift_tolerant(layers):
    return named(layers, [f'net.slice{number}' for number in SLICED])


def layers_of(kernel):
    """Layers whose weights `kernel(shape)` makes; biases 0."""
    shapes = zip(WIDTHS, (3, *WIDTHS[:-1]), strict=True)
    return [
        (kernel((width, before, 3, 3)), np.zeros(width, np.float32)) for width, before in shapes
    ]


def passing(shape):
    """A kernel that hands the first three channels on, once with either sign on the way in."""
    kernel = np.zeros(shape, np.float32)
    for channel in range(6 if shape[1] > 3 else 3):
        kernel[channel, channel, 1, 1] = 1.0
    if shape[1] == 3:
        kernel[3:6] = -kernel[:3]
    return kernel


@pytest.fixture(scope='module')
def passing_files(tmp_path_factory):
    """Both layouts, with weights that hand the picture on to conv5, negated in channels 3-5."""
    folder, layers = tmp_path_factory.mktemp('vgg'), layers_of(passing)
    layers[-1][1][6] = -2.0
    # A classifier and fixed filters lie in the same files.
    plain = torchvision(layers) | {'classifier.0.weight': np.ones((2, 2), np.float32)}
    blurred = shift_tolerant(layers) | {'net.slice2.5.filt': np.ones((64, 1, 3, 3), np.float32)}
    torch_file(folder / 'plain.pth', plain)
    save_file(blurred, folder / 'blurred.safetensors')
    return folder / 'plain.pth', folder / 'blurred.safetensors'


def picture(colour, size=64):
    return np.broadcast_to(np.array(colour, np.uint8), (1, size, size, 3)).copy()


@pytest.mark.parametrize(('which', 'positions'), [(0, 4), (1, 5)])
def test_a_plain_colour_arrives_normalised(which, positions, passing_files):
    network = vgg.Vgg16(passing_files[which])
    colour = np.array([204, 0, 128])
    features = network.conv5(picture(colour))
    assert features.shape == (1, positions, positions, 512) and features.dtype == np.float32
    expected = (colour / 255.0 - MEAN) / DEVIATION
    # A ReLU lets one of the two signs through; the last bias comes after all of them.
    positive = np.concatenate([expected, -expected]).clip(0.0)
    np.testing.assert_allclose(features[0, 1, 1, :6], positive, rtol=1e-5)
    assert np.all(features[..., 6] == -2.0) and not features[..., 7:].any()
    pooled = network.features(picture(colour))
    assert pooled.shape == (1, 512)
    np.testing.assert_allclose(pooled[0, :6], positive, rtol=1e-5)
    assert pooled[0, 6] == 0.0


def test_poolings_take_the_maximum_of_16_by_16(passing_files):
    network = vgg.Vgg16(passing_files[0])
    assert network.info.name == vgg.TORCHVISION and network.info.file_name == 'plain.pth'
    crop = picture((0, 0, 0))
    crop[0, 31, 47, 0] = 255
    red = network.conv5(crop)[0, :, :, 0]
    expected = np.zeros((4, 4))
    expected[1, 2] = (1.0 - MEAN[0]) / DEVIATION[0]
    np.testing.assert_allclose(red, expected, rtol=1e-6)


def test_a_blurred_pooling():
    # Along one axis: maxima [0 8 8 0 4], reflected by two [8 8 0 8 8 0 4 0 8], halved.
    row = np.array([0.0, 0.0, 8.0, 0.0, 0.0, 4.0], np.float32)
    x = np.broadcast_to(row, (1, 6, 6))[..., None]
    expected = [[(8 + 16 + 0) / 4, (0 + 16 + 8) / 4, (8 + 0 + 4) / 4, (4 + 0 + 8) / 4]] * 4
    np.testing.assert_allclose(vgg._blurred_maximum(x)[0, :, :, 0], expected)


def test_many_pictures_in_batches(passing_files):
    network = vgg.Vgg16(passing_files[1])
    assert network.info.name == vgg.SHIFT_TOLERANT
    crops = np.concatenate([picture((value, 0, 0), size=32) for value in range(140, 151)])
    features = network.features(crops)
    assert features.shape == (11, 512)
    expected = (np.arange(140, 151) / 255.0 - MEAN[0]) / DEVIATION[0]
    np.testing.assert_allclose(features[:, 0], expected, rtol=1e-4)
    assert network.features(crops[:0]).shape == (0, 512)


def test_crops_that_are_too_small_are_refused(passing_files):
    with pytest.raises(UserError, match=r'a crop of 16 px: VGG16 needs 32 or more'):
        vgg.Vgg16(passing_files[0]).conv5(picture((0, 0, 0), size=16))


def test_other_files_are_refused(tmp_path):
    state = torchvision(layers_of(passing))
    state['features.1.weight'] = np.ones(64, np.float32)
    for name, other in (('bn', state), ('resnet', {'conv1.weight': np.ones((2, 2), np.float32)})):
        save_file(other, tmp_path / f'{name}.safetensors')
        with pytest.raises(UserError, match=rf'{name}\.safetensors: holds no VGG16'):
            vgg.Vgg16(tmp_path / f'{name}.safetensors')
    (tmp_path / 'a.safetensors').write_bytes(b'nothing')
    for name in ('a.safetensors', 'missing.safetensors', 'missing.pth'):
        with pytest.raises(UserError, match=name):
            vgg.Vgg16(tmp_path / name)


def test_where_weights_are_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv('APGAN_DATA', str(tmp_path))
    assert vgg.find_vgg16(tmp_path / 'mine.pth') == tmp_path / 'mine.pth'
    in_package = files_in_package('stlpips_pytorch', 'vgg_shift_tolerant.pth')
    if in_package:
        assert vgg.find_vgg16() == in_package[0]
    (tmp_path / 'weights').mkdir()
    for name in ('vgg16_mine.safetensors', 'vgg16-397923af.pth'):
        (tmp_path / 'weights' / name).touch()
        assert vgg.find_vgg16().name == name
    monkeypatch.delenv('APGAN_DATA')
    monkeypatch.setattr(sys, 'path', [])
    monkeypatch.delitem(sys.modules, 'stlpips_pytorch', raising=False)
    importlib.invalidate_caches()
    with pytest.raises(UserError, match=r'no weights found; .*apgan-jax\[eval\].*vgg16-397923af'):
        vgg.find_vgg16()


def planes(crops, torch):
    """As torchvision's networks take pictures."""
    scaled = (crops / 255.0 - MEAN) / DEVIATION
    return torch.tensor(scaled.transpose(0, 3, 1, 2), dtype=torch.float32)


def assert_same(ours, theirs):
    theirs = theirs.numpy().transpose(0, 2, 3, 1)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


def random_crops(size):
    return np.random.default_rng(1).integers(0, 256, (2, size, size, 3), dtype=np.uint8)


@pytest.mark.parametrize('old_format', [False, True])
def test_as_pytorch_in_torchvisions_layout(old_format, tmp_path):
    torch = pytest.importorskip('torch')
    torch.manual_seed(0)
    modules, before = [], 3
    for number, width in zip(NUMBERS, WIDTHS, strict=True):
        if number > len(modules):
            modules.append(torch.nn.MaxPool2d(2))
        modules += [torch.nn.Conv2d(before, width, 3, padding=1), torch.nn.ReLU()]
        before = width
    network = torch.nn.Sequential(*modules)
    state = {f'features.{name}': tensor for name, tensor in network.state_dict().items()}
    zipped = not old_format
    torch.save(state, tmp_path / 'a.pth', _use_new_zipfile_serialization=zipped)
    crops = random_crops(64)
    with torch.no_grad():
        theirs = network[:-1](planes(crops, torch))
    assert_same(vgg.Vgg16(tmp_path / 'a.pth').conv5(crops), theirs)


@pytest.mark.parametrize('size', [64, 97])
def test_as_the_shift_tolerant_networks_own_code(size, monkeypatch):
    torch = pytest.importorskip('torch')
    files = files_in_package('stlpips_pytorch', 'vgg_shift_tolerant.pth')
    if not files:
        pytest.skip('stlpips-pytorch is not installed: pip install apgan-jax[eval]')
    # It imports a debugger that it does not call and does not require.
    monkeypatch.setitem(sys.modules, 'IPython', types.SimpleNamespace(embed=None))
    from stlpips_pytorch.models_lpf.vgg import vgg16

    network = vgg16(filter_size=3, pad_more=True, init_weights=False).features[:-2]
    state = torch.load(files[0], map_location='cpu', weights_only=True)
    sliced = {name.split('.', 2)[2]: x for name, x in state.items() if name.startswith('net.')}
    network.load_state_dict(sliced)
    crops = random_crops(size)
    with torch.no_grad():
        theirs = network[:-1](planes(crops, torch))
    assert_same(vgg.Vgg16(files[0]).conv5(crops), theirs)


@pytest.fixture(scope='module')
def passing_lpips(tmp_path_factory):
    """Features are the normalised picture; each stage weighs its first channels by its number."""
    state = shift_tolerant(layers_of(passing))
    for number, width in enumerate((64, 128, 256, 512, 512)):
        weight = np.zeros((1, width, 1, 1), np.float32)
        weight[0, :6] = number + 1
        state[f'lin{number}.model.1.weight'] = weight
    path = tmp_path_factory.mktemp('lpips') / 'lpips.safetensors'
    save_file(state, path)
    return path


def unit_features(colour):
    values = (np.array(colour) / 255.0 - MEAN) / DEVIATION
    positive = np.concatenate([values, -values]).clip(0.0)
    return positive / np.linalg.norm(positive)


def test_lpips_of_plain_colours(passing_lpips):
    network = vgg.Lpips(passing_lpips)
    colours = [(204, 0, 128), (10, 250, 128), (204, 0, 128)]
    pictures = np.concatenate([picture(colour) for colour in colours])
    # Poolings hand a plain colour on: the five stages differ in their weights, 1 to 5.
    expected = [
        15 * ((unit_features(colour) - unit_features(colours[0])) ** 2).sum() for colour in colours
    ]
    distances = network.distance(pictures[:1], pictures)
    assert distances.shape == (3,) and distances.dtype == np.float32
    np.testing.assert_allclose(distances, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(network.distance(pictures, pictures[:1]), expected, atol=1e-4)
    with pytest.raises(UserError, match='VGG16 needs 32'):
        network.distance(pictures[:, :16, :16], pictures[:, :16, :16])


def test_files_without_linear_layers_are_no_lpips(passing_files):
    for path in passing_files:
        with pytest.raises(UserError, match='no linear layers of LPIPS'):
            vgg.Lpips(path)


def test_real_lpips_rises_with_blur():
    if not files_in_package('stlpips_pytorch', 'vgg_shift_tolerant.pth'):
        pytest.skip('stlpips-pytorch is not installed: pip install apgan-jax[eval]')
    network = vgg.Lpips(vgg.find_lpips())
    photo = cv2.resize(head(), (64, 64), interpolation=cv2.INTER_AREA)
    blurred = np.stack([photo, *(cv2.GaussianBlur(photo, (0, 0), s) for s in (0.7, 1.5))])
    none, little, more = network.distance(photo[None], blurred)
    assert none == pytest.approx(0.0, abs=1e-6) and 1e-3 < little < more < 1.0
    by_hand = lpips_by_hand(vgg.find_lpips(), network, photo, blurred[2])
    assert more == pytest.approx(by_hand, rel=1e-4)


def lpips_by_hand(path, network, picture, other):
    """The formula in NumPy, of the network's own convolutions."""
    state = load_state_dict(path)
    total = 0.0
    crops = np.stack([picture, other])
    ends = vgg._stage_ends(network._stages, crops, shift_tolerant=True)
    for number, end in enumerate(ends):
        features = np.maximum(np.asarray(end, np.float64), 0.0)
        features /= np.sqrt((features**2).sum(axis=3, keepdims=True)) + 1e-10
        weight = state[f'lin{number}.model.1.weight'].ravel()
        total += ((features[0] - features[1]) ** 2 * weight).sum(axis=2).mean()
    return total


def test_as_stlpips_own_code(monkeypatch):
    torch = pytest.importorskip('torch')
    pytest.importorskip('torchvision')
    monkeypatch.setitem(sys.modules, 'IPython', types.SimpleNamespace(embed=None))
    monkeypatch.setitem(sys.modules, 'torchsummary', types.SimpleNamespace(summary=None))
    stlpips = pytest.importorskip('stlpips_pytorch.stlpips')
    theirs = stlpips.LPIPS(net='vgg', variant='shift_tolerant', verbose=False)
    crops = random_crops(64)
    scaled = torch.tensor(crops.transpose(0, 3, 1, 2) / 127.5 - 1, dtype=torch.float32)
    with torch.no_grad():
        expected = theirs(scaled[:1], scaled[1:]).numpy().ravel()
    ours = vgg.Lpips(vgg.find_lpips()).distance(crops[:1], crops[1:])
    np.testing.assert_allclose(ours, expected, rtol=1e-4)
