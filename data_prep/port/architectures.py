"""The layers of SFace and IResNet in execution order, with the PyTorch names of the latter."""

from collections.abc import Iterator, Sequence

from apgan_jax.models.identity import iresnet, sface
from apgan_jax.models.images import ARCFACE_SIZE
from data_prep.port.layers import ADD, CONV, DENSE, NORM, ExpectedLayer, Signature


def sface_layers() -> list[ExpectedLayer]:
    """Of the original ONNX file, which scales its input first."""
    layers = [
        ExpectedLayer('input', Signature('Sub 127.5')),
        ExpectedLayer('input', Signature('Mul 0.0078125')),
        ExpectedLayer('stem', _conv(3, sface.STEM_WIDTH, 3, prelu=True)),
    ]
    width = sface.STEM_WIDTH
    for name, features, strides in sface.BLOCKS:
        depthwise = _conv(width, width, 3, strides, groups=width, prelu=True)
        layers.append(ExpectedLayer(f'{name}_depthwise', depthwise))
        layers.append(ExpectedLayer(name, _conv(width, features, 1, prelu=True)))
        width = features
    return [*layers, *_head(width, sface.VECTOR_SIZE)]


def iresnet_layers(depths: Sequence[int]) -> list[ExpectedLayer]:
    """Of `arcface_torch`'s IResNet with so many blocks in each stage."""
    stem = _conv(3, iresnet.STEM_WIDTH, 3, prelu=True)
    layers = [ExpectedLayer('stem', stem, 'conv1', 'bn1', 'prelu')]
    width = iresnet.STEM_WIDTH
    for stage, (depth, features) in enumerate(zip(depths, iresnet.WIDTHS, strict=True), start=1):
        for block in range(depth):
            layers += _iresnet_block(stage, block, width, features)
            width = features
    return [*layers, *_head(width, iresnet.VECTOR_SIZE)]


def _iresnet_block(stage: int, block: int, width: int, features: int) -> Iterator[ExpectedLayer]:
    """The first block of a stage halves the resolution."""
    name, torch = f'layer{stage}_block{block}', f'layer{stage}.{block}'
    strides = 1 if block else 2
    conv1 = _conv(width, features, 3, prelu=True)
    conv2 = _conv(features, features, 3, strides)
    yield ExpectedLayer(f'{name}/norm', Signature(NORM, (width,)), f'{torch}.bn1')
    yield ExpectedLayer(f'{name}/conv1', conv1, f'{torch}.conv1', f'{torch}.bn2', f'{torch}.prelu')
    yield ExpectedLayer(f'{name}/conv2', conv2, f'{torch}.conv2', f'{torch}.bn3')
    if not block:
        short = _conv(width, features, 1, strides)
        torch_names = (f'{torch}.downsample.0', f'{torch}.downsample.1')
        yield ExpectedLayer(f'{name}/downsample', short, *torch_names)
    yield ExpectedLayer(f'{name}/add', Signature(ADD))


def _head(width: int, vector_size: int) -> list[ExpectedLayer]:
    """From the last map, a sixteenth of the input's resolution, to the embedding."""
    positions = (ARCFACE_SIZE // 16) ** 2
    dense = Signature(DENSE, (vector_size, width * positions))
    return [
        ExpectedLayer('embedding/norm', Signature(NORM, (width,)), 'bn2'),
        ExpectedLayer('embedding', dense, 'fc', 'features'),
    ]


def _conv(
    width: int, features: int, size: int, strides: int = 1, groups: int = 1, prelu: bool = False
) -> Signature:
    shape = (features, width // groups, size, size)
    return Signature(CONV, shape, (strides,) * 2, (size // 2,) * 4, groups, prelu)
