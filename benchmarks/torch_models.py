"""The networks, losses and train step of `apgan_jax` in PyTorch: the speed comparison's opponent.

Tensors are NCHW in shape, in either memory format. Modules carry the names of the Flax modules, so
`load_parameters` needs one rule for all weights. Nothing here is used for training.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apgan_jax.errors import UserError
from apgan_jax.face.alignment import ARCFACE_WINDOWS, Window

_ARCFACE_SIZE = 112
_FEATURE_CHANNELS = {'56': 128, '28': 256, '14': 512, '7': 512}
_VECTOR_CHANNELS = 192

Flat = Mapping[str, np.ndarray]


class Identity(NamedTuple):
    """An `IdentityEmbedding`: vector (n, 192) and pooled features (n, c) by stage."""

    vector: Tensor
    features: dict[str, Tensor]


def load_parameters(module: nn.Module, flat: Flat) -> None:
    """Copies a Flax parameter tree, flattened with '/', into the module of the same names."""
    state = module.state_dict()
    tensors = {path.replace('/', '.').replace('kernel', 'weight'): a for path, a in flat.items()}
    if tensors.keys() != state.keys():
        raise ValueError(f'parameters differ: {sorted(tensors.keys() ^ state.keys())}')
    module.load_state_dict(
        {name: to_torch(array).reshape(state[name].shape) for name, array in tensors.items()}
    )


def to_torch(array: np.ndarray) -> Tensor:
    """HWIO kernels to OIHW, (in, out) matrices to (out, in), vectors as they are."""
    axes = {4: (3, 2, 0, 1), 2: (1, 0)}.get(array.ndim, range(array.ndim))
    return torch.from_numpy(array.transpose(*axes).copy())


# --- generator ---


def _normalisation(x: Tensor, rho: Tensor | float) -> tuple[Tensor, Tensor]:
    """Eqs. 1-3 as (scale, offset), each (n, c, 1, 1): rho * IN(x) + (1 - rho) * LN(x)."""
    variance, mean = torch.var_mean(x, dim=(2, 3), correction=0, keepdim=True)
    layer_mean = mean.mean(1, keepdim=True)
    layer_variance = (variance + (mean - layer_mean).square()).mean(1, keepdim=True)
    instance_scale = rho * torch.rsqrt(variance + 1e-5)
    layer_scale = (1.0 - rho) * torch.rsqrt(layer_variance + 1e-5)
    offset = -(instance_scale * mean + layer_scale * layer_mean)
    return instance_scale + layer_scale, offset


class AdaLIN(nn.Module):
    def __init__(self, channels: int, use_layer_norm: bool) -> None:
        super().__init__()
        self.rho = nn.Parameter(torch.full((channels,), 0.9)) if use_layer_norm else None

    def forward(self, x: Tensor, gamma_minus_one: Tensor, beta: Tensor) -> Tensor:
        scale, offset = _normalisation(x, 1.0 if self.rho is None else self.rho[:, None, None])
        if gamma_minus_one.shape[2:] == (1, 1):
            # One gamma a channel: the modulation joins the normalisation's one pass over x.
            gamma = 1.0 + gamma_minus_one
            return torch.addcmul(offset * gamma + beta, x, scale * gamma)
        normalised = torch.addcmul(offset, x, scale)
        return torch.addcmul(normalised + beta, normalised, gamma_minus_one)


class IdentityModulation(nn.Module):
    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.head = nn.Linear(embedding, 2 * channels)

    def forward(self, embedding: Tensor) -> tuple[Tensor, ...]:
        return self.head(embedding)[:, :, None, None].chunk(2, dim=1)


class BoundaryModulation(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.shared = nn.Conv2d(3, hidden, 3, padding=1)
        self.head = nn.Conv2d(hidden, 2 * channels, 3, padding=1)

    def forward(self, boundary_map: Tensor) -> tuple[Tensor, ...]:
        return self.head(F.relu_(self.shared(boundary_map))).chunk(2, dim=1)


class ModulatedResidual(nn.Module):
    """(AdaLIN → LeakyReLU → 3×3 conv), once for each of `modulations`, and a shortcut."""

    def __init__(
        self, channels: int, features: int, modulations: Sequence[nn.Module], use_layer_norm: bool
    ) -> None:
        super().__init__()
        self.depth = len(modulations)
        self.shortcut = (
            nn.Conv2d(channels, features, 1, bias=False) if channels != features else None
        )
        for number, modulation in enumerate(modulations):
            inner = features if number else channels
            self.add_module(f'modulation_{number}', modulation)
            self.add_module(f'norm_{number}', AdaLIN(inner, use_layer_norm))
            self.add_module(f'conv_{number}', nn.Conv2d(inner, features, 3, padding=1))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shortcut = x if self.shortcut is None else self.shortcut(x)
        for number in range(self.depth):
            modulation = getattr(self, f'modulation_{number}')(condition)
            x = getattr(self, f'norm_{number}')(x, *modulation)
            x = getattr(self, f'conv_{number}')(F.leaky_relu_(x, 0.2))
        return x + shortcut


class IdentityCondition(nn.Module):
    def __init__(self, features: int, resolution: int) -> None:
        super().__init__()
        self.stage = min(_FEATURE_CHANNELS, key=lambda name: abs(math.log2(int(name) / resolution)))
        self.dense = nn.Linear(_FEATURE_CHANNELS[self.stage], features) if features else None

    def forward(self, identity: Identity) -> Tensor:
        vector = _unit_rms(identity.vector)
        if self.dense is None:
            return vector
        pooled = _unit_rms(identity.features[self.stage])
        return torch.cat([vector, self.dense(pooled)], dim=1)


def _unit_rms(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class Generator(nn.Module):
    """Fields as `apgan_jax.models.generator.Generator`."""

    def __init__(
        self,
        *,
        size: int,
        widths: Sequence[int],
        id_resolutions: Sequence[int],
        pe_resolutions: Sequence[int],
        skip_resolutions: Sequence[int],
        pe_hidden: int,
        id_features: int,
        use_layer_norm: bool,
    ) -> None:
        super().__init__()
        self.resolutions = [size >> depth for depth in range(len(widths))]
        self.id_resolutions, self.pe_resolutions = id_resolutions, pe_resolutions
        self.skip_resolutions = skip_resolutions
        embedding = _VECTOR_CHANNELS + id_features

        channels = 3
        for resolution, width in zip(self.resolutions, widths, strict=True):
            stride = 1 if resolution == size else 2
            self.add_module(f'down_{resolution}', nn.Conv2d(channels, width, 3, stride, 1))
            channels = width
        for resolution, width in zip(self.resolutions[::-1], widths[::-1], strict=True):
            if resolution != self.resolutions[-1]:
                self.add_module(f'up_{resolution}', nn.Conv2d(channels, width, 3, padding=1))
                channels = width * (2 if resolution in skip_resolutions else 1)
            if resolution in id_resolutions:
                self.add_module(
                    f'identity_{resolution}', IdentityCondition(id_features, resolution)
                )
                heads = [IdentityModulation(inner, embedding) for inner in (channels, width)]
                block = ModulatedResidual(channels, width, heads, use_layer_norm)
                self.add_module(f'id_{resolution}', block)
                channels = width
            if resolution in pe_resolutions:
                head = BoundaryModulation(channels, pe_hidden)
                block = ModulatedResidual(channels, width, [head], use_layer_norm)
                self.add_module(f'pe_{resolution}', block)
                channels = width
        self.to_rgb = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, target: Tensor, boundary_map: Tensor, identity: Identity) -> Tensor:
        skips = self._encode(target)
        x = skips[self.resolutions[-1]]
        for resolution in self.resolutions[::-1]:
            if resolution != self.resolutions[-1]:
                x = F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)
                x = getattr(self, f'up_{resolution}')(x)
                if resolution in self.skip_resolutions:
                    x = torch.cat([x, skips[resolution]], dim=1)
            x = self._modulate(x, resolution, boundary_map, identity)
        return torch.tanh(self.to_rgb(F.leaky_relu(x, 0.2)))

    def _encode(self, target: Tensor) -> dict[int, Tensor]:
        first, *others = self.resolutions
        skips = {first: getattr(self, f'down_{first}')(target)}
        for resolution in others:
            x = F.leaky_relu(skips[2 * resolution], 0.2)
            skips[resolution] = getattr(self, f'down_{resolution}')(x)
        return skips

    def _modulate(
        self, x: Tensor, resolution: int, boundary_map: Tensor, identity: Identity
    ) -> Tensor:
        if resolution in self.id_resolutions:
            embedding = getattr(self, f'identity_{resolution}')(identity)
            x = getattr(self, f'id_{resolution}')(x, embedding)
        if resolution in self.pe_resolutions:
            factor = self.resolutions[0] // resolution
            small = F.avg_pool2d(boundary_map, factor) if factor > 1 else boundary_map
            x = getattr(self, f'pe_{resolution}')(x, small)
        return x


# --- discriminator ---


class PatchDiscriminator(nn.Module):
    def __init__(self, channels: int, width: int, depth: int, activation_gain: float) -> None:
        super().__init__()
        self.depth, self.activation_gain = depth, activation_gain
        for stage in range(depth):
            features = width << stage
            # TensorFlow's SAME pads a stride of 2 evenly, a stride of 1 more at the end.
            how = {'stride': 2, 'padding': 1} if stage < depth - 1 else {'padding': 'same'}
            self.add_module(f'conv_{stage}', nn.Conv2d(channels, features, 4, **how))
            channels = features
        self.logits = nn.Conv2d(channels, 1, 4, padding='same')

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        features = []
        for stage in range(self.depth):
            x = getattr(self, f'conv_{stage}')(x)
            # gain * leaky_relu(x), both in place.
            x = F.leaky_relu_(x.mul_(self.activation_gain), 0.2)
            features.append(x)
        return self.logits(x), features


class MultiScaleDiscriminator(nn.Module):
    """Fields as `apgan_jax.models.discriminator.MultiScaleDiscriminator`."""

    def __init__(
        self,
        *,
        width: int,
        depth: int,
        num_scales: int,
        activation_gain: float,
        use_boundary_map: bool,
    ) -> None:
        super().__init__()
        self.num_scales, self.use_boundary_map = num_scales, use_boundary_map
        for scale in range(num_scales):
            channels = 6 if use_boundary_map else 3
            judge = PatchDiscriminator(channels, width, depth, activation_gain)
            self.add_module(f'scale_{scale}', judge)

    def forward(
        self, image: Tensor, boundary_map: Tensor
    ) -> tuple[list[Tensor], list[list[Tensor]]]:
        x = torch.cat([image, boundary_map], dim=1) if self.use_boundary_map else image
        logits, features = [], []
        for scale in range(self.num_scales):
            scale_logits, scale_features = getattr(self, f'scale_{scale}')(x)
            logits.append(scale_logits)
            features.append(scale_features)
            if scale < self.num_scales - 1:
                x = F.avg_pool2d(x, 2)
        return logits, features


# --- identity encoder ---


class ConvPReLU(nn.Conv2d):
    """Convolution, then PReLU where `prelu`; a stride of 2 pads at the end only."""

    def __init__(
        self, channels: int, features: int, size: int = 1, stride: int = 1, *,
        groups: int = 1, prelu: bool = True,
    ) -> None:  # fmt: skip
        padding = 1 if size == 3 and stride == 1 else 0
        super().__init__(channels, features, size, stride, padding, groups=groups)
        self.slope = nn.Parameter(torch.full((features,), 0.25)) if prelu else None

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(F.pad(x, (0, 1, 0, 1)) if self.stride[0] == 2 else x)
        return x if self.slope is None else F.prelu(x, self.slope)


class Bottleneck(nn.Module):
    def __init__(self, channels: int, expansion: int, features: int, stride: int) -> None:
        super().__init__()
        self.residual = stride == 1
        self.expand = ConvPReLU(channels, expansion)
        self.depthwise = ConvPReLU(expansion, expansion, 3, stride, groups=expansion)
        self.project = ConvPReLU(expansion, features, prelu=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        expanded = self.expand(x)
        y = self.project(self.depthwise(expanded))
        return (x + y if self.residual else y), expanded


_BLOCKS = (
    ('stage28_block0', 128, 64, 2),
    *((f'stage28_block{i}', 128, 64, 1) for i in range(1, 5)),
    ('stage14_block0', 256, 128, 2),
    *((f'stage14_block{i}', 256, 128, 1) for i in range(1, 7)),
    ('stage7_block0', 512, 128, 2),
    *((f'stage7_block{i}', 256, 128, 1) for i in range(1, 3)),
)


class MobileFaceNet(nn.Module):
    """See `apgan_jax.models.identity.mobilefacenet`."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvPReLU(3, 64, 3, 2)
        self.stage56_depthwise = ConvPReLU(64, 64, 3, groups=64)
        self.stage56_project = ConvPReLU(64, 64, prelu=False)
        channels = 64
        for name, expansion, features, stride in _BLOCKS:
            self.add_module(name, Bottleneck(channels, expansion, features, stride))
            channels = features
        self.stage7_expand = ConvPReLU(channels, 512)
        self.global_depthwise = ConvPReLU(512, 512, 7, groups=512, prelu=False)
        self.dense = ConvPReLU(512, 512, prelu=False)
        self.embedding = ConvPReLU(512, _VECTOR_CHANNELS, prelu=False)

    def forward(self, images: Tensor, with_features: bool = True) -> Identity:
        """(n, 3, 112, 112) in [-1, 1] → embedding; without the features where nobody needs them."""
        features = {}
        x = self.stage56_project(self.stage56_depthwise(self.stem(images * (127.5 / 128))))
        for name, *_, stride in _BLOCKS:
            size = x.shape[2]
            x, expanded = getattr(self, name)(x)
            if stride == 2 and with_features:
                features[str(size)] = expanded.mean((2, 3))
        x = self.stage7_expand(x)
        if with_features:
            features[str(x.shape[2])] = x.mean((2, 3))
        vector = self.embedding(self.dense(self.global_depthwise(x))).flatten(1)
        norm = torch.rsqrt(vector.square().sum(1, keepdim=True) + 1e-12)
        return Identity(vector * norm, features)


class ArcFaceWindow(nn.Module):
    """The window of a crop that the encoder sees, at 112 px: two matrix products."""

    def __init__(self, size: int, window: Window) -> None:
        super().__init__()
        left, top, right, bottom = window
        self.register_buffer('rows', _resize_matrix(size, top, bottom))
        self.register_buffer('columns', _resize_matrix(size, left, right))

    def forward(self, crop: Tensor) -> Tensor:
        return torch.matmul(torch.matmul(self.rows, crop), self.columns.T)


def _resize_matrix(size: int, start: float, stop: float) -> Tensor:
    """Antialiased linear interpolation of [start, stop] of `size` samples, (112, size)."""
    step = (stop - start) * size / _ARCFACE_SIZE
    centres = start * size + (torch.arange(_ARCFACE_SIZE, dtype=torch.float64) + 0.5) * step
    samples = torch.arange(size, dtype=torch.float64) + 0.5
    weights = F.relu(1.0 - (centres[:, None] - samples).abs() / max(1.0, step))
    return (weights / weights.sum(1, keepdim=True)).float()


# --- losses ---


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    norms = torch.linalg.vector_norm(a, dim=1) * torch.linalg.vector_norm(b, dim=1)
    return (a * b).sum(1) / norms.clamp(min=1e-8)


def identity_loss(vector: Tensor, source_vector: Tensor) -> Tensor:
    """Eq. 6."""
    return (1.0 - _cosine(vector, source_vector)).mean()


def _gram(features: Tensor) -> Tensor:
    flat = features.flatten(2)
    return torch.bmm(flat, flat.transpose(1, 2)) / flat[0].numel()


def _style_distance(target: Tensor, swapped: Tensor) -> Tensor:
    return (_gram(target) - _gram(swapped)).square().sum((1, 2)).mean()


def _perceptual_losses(
    target: list[list[Tensor]], swapped: list[list[Tensor]]
) -> tuple[Tensor, Tensor]:
    """Eqs. 8 and 9."""
    pairs = [(t.detach(), s) for ts, ss in zip(target, swapped, strict=True)
             for t, s in zip(ts, ss, strict=True)]  # fmt: skip
    occlusion = sum(F.mse_loss(s, t) for t, s in pairs)
    style = sum(_style_distance(t, s) for t, s in pairs)
    return occlusion / len(target), style / len(target)


def _reconstruction_loss(
    swapped: Tensor, target: Tensor, same_image: Tensor, different_weight: float
) -> Tensor:
    """Eq. 7."""
    error = (swapped - target).square().mean((1, 2, 3))
    return (error * torch.where(same_image, 1.0, different_weight)).mean()


# --- train step ---


class NormalisedNetwork:
    """A network whose module holds spectrally normalised kernels, with its optimizer.

    The module's kernels are leaves of the graph, so autograd knows nothing of the normalisation;
    `update` carries their gradients through it by hand, in two passes over each.
    """

    def __init__(self, module: nn.Module, vectors: Flat, learning_rate: float, betas: Any) -> None:
        self.module = module
        self.parameters = list(module.parameters())
        names = {
            path.replace('/', '.').replace('kernel', 'weight'): v for path, v in vectors.items()
        }
        self.names = [name for name, _ in module.named_parameters()]
        self._indices = [i for i, name in enumerate(self.names) if name in names]
        self._rights = [torch.from_numpy(names[self.names[i]].copy()) for i in self._indices]
        self._normalised = [self.parameters[i] for i in self._indices]
        self.raw = [p.detach() for p in self.parameters]
        for i in self._indices:
            self.raw[i] = self.raw[i].clone()
        self.optimizer = torch.optim.Adam(self.raw, lr=learning_rate, betas=betas, fused=True)

    @torch.no_grad()
    def normalise(self) -> None:
        """One power iteration; writes the normalised kernels into the module."""
        raws = [self.raw[i] for i in self._indices]
        matrices = [_matrix(raw) for raw in raws]
        self._lefts = [
            torch.mv(m.T, right) for m, right in zip(matrices, self._rights, strict=True)
        ]
        torch._foreach_div_(self._lefts, torch._foreach_norm(self._lefts))
        self._rights = [torch.mv(m, left) for m, left in zip(matrices, self._lefts, strict=True)]
        self._sigmas = torch._foreach_norm(self._rights)
        torch._foreach_div_(self._rights, self._sigmas)
        for raw, sigma, kernel in zip(raws, self._sigmas, self._normalised, strict=True):
            torch.div(raw, sigma, out=kernel)

    @torch.no_grad()
    def update(self, gradients: Sequence[Tensor]) -> None:
        """One step of Adam from the gradients of the module's (normalised) parameters."""
        parts = zip(
            self._indices, self._normalised, self._lefts, self._rights, self._sigmas, strict=True
        )
        for i, kernel, left, right, sigma in parts:
            gradient = _matrix(gradients[i])
            inner = torch.dot(gradient.reshape(-1), _matrix(kernel).reshape(-1))
            gradient.sub_(torch.outer(right * inner, left)).div_(sigma)
        for raw, gradient in zip(self.raw, gradients, strict=True):
            raw.grad = gradient
        self.optimizer.step()


def _matrix(kernel: Tensor) -> Tensor:
    """(out, rest), a view in either memory format; the order of `rest` is the format's."""
    if kernel.is_contiguous():
        return kernel.flatten(1)
    return kernel.permute(0, 2, 3, 1).flatten(1)


class TrainStep:
    """`apgan_jax.training.train_step.train_step` of a config; changes its networks in place."""

    def __init__(
        self,
        config: Mapping[str, Any],
        tensors: Mapping[str, Flat],
        *,
        memory_format: torch.memory_format = torch.contiguous_format,
        compiled: bool = False,
    ) -> None:
        _check(config)
        self._loss = config['loss']
        self._ema_decay = config['optimizer']['ema_decay']
        self._step = 0
        build = {'memory_format': memory_format}
        generator = _build(_generator(config), tensors['generator'], **build)
        discriminator = _build(_discriminator(config), tensors['discriminator'], **build)
        self._encoder = build_encoder(tensors['encoder'], **build)
        self._window = ArcFaceWindow(config['size'], ARCFACE_WINDOWS[config['crop']])
        optimizer = config['optimizer']
        betas = (optimizer['beta1'], optimizer['beta2'])
        self.generator = NormalisedNetwork(
            generator, tensors['generator_spectral'], optimizer['generator_learning_rate'], betas
        )
        self.discriminator = NormalisedNetwork(
            discriminator,
            tensors['discriminator_spectral'],
            optimizer['discriminator_learning_rate'],
            betas,
        )
        self.ema = [raw.clone() for raw in self.generator.raw]
        named = zip(self.generator.names, self.generator.raw, strict=True)
        self._rhos = [raw for name, raw in named if name.endswith('rho')]
        self._gradients = compile_step(self._differentiate) if compiled else self._differentiate

    def __call__(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Updates both networks; `batch` holds uint8 NCHW pictures and bool `same_image`."""
        self.generator.normalise()
        self.discriminator.normalise()
        discriminator_gradients, generator_gradients, terms = self._gradients(batch)
        self.discriminator.update(discriminator_gradients)
        self.generator.update(generator_gradients)
        if self._rhos:
            torch._foreach_clamp_min_(self._rhos, 0.0)
            torch._foreach_clamp_max_(self._rhos, 1.0)
        rate = 1.0 - min(self._ema_decay, (1.0 + self._step) / (10.0 + self._step))
        torch._foreach_lerp_(self.ema, self.generator.raw, rate)
        self._step += 1
        return terms

    def _differentiate(
        self, batch: Mapping[str, Tensor]
    ) -> tuple[Sequence[Tensor], Sequence[Tensor], dict[str, Tensor]]:
        """Both gradients from one forward pass of each network, and the losses."""
        source, target = batch['source'] / 127.5 - 1.0, batch['target'] / 127.5 - 1.0
        boundary_map = batch['boundary_map'] / 255.0
        with torch.no_grad():
            identity = self._encoder(self._window(source))
        swapped = self.generator.module(target, boundary_map, identity)
        terms = self._judge(target, swapped, boundary_map)
        vector = self._encoder(self._window(swapped), with_features=False).vector
        terms['identity'] = identity_loss(vector, identity.vector)
        terms['reconstruction'] = _reconstruction_loss(
            swapped, target, batch['same_image'], self._loss['different_reconstruction_weight']
        )
        names = ('adversarial', 'occlusion', 'style', 'identity', 'reconstruction')
        terms['generator'] = sum(self._loss[f'{name}_weight'] * terms[name] for name in names)
        # Autograd prunes: neither pass computes what the other one is for.
        discriminator_gradients = torch.autograd.grad(
            terms['discriminator'], self.discriminator.parameters, retain_graph=True
        )
        generator_gradients = torch.autograd.grad(terms['generator'], self.generator.parameters)
        return (
            discriminator_gradients,
            generator_gradients,
            {name: term.detach() for name, term in terms.items()},
        )

    def _judge(self, target: Tensor, swapped: Tensor, boundary_map: Tensor) -> dict[str, Tensor]:
        """Eqs. 4, 5, 8 and 9."""
        real_logits, real_features = self.discriminator.module(target, boundary_map)
        fake_logits, fake_features = self.discriminator.module(swapped, boundary_map)
        occlusion, style = _perceptual_losses(real_features, fake_features)
        return {
            'discriminator': sum(F.softplus(-logits).mean() for logits in real_logits)
            + sum(F.softplus(logits).mean() for logits in fake_logits),
            'adversarial': sum(F.softplus(-logits).mean() for logits in fake_logits),
            'occlusion': occlusion,
            'style': style,
        }


def compile_step(function: Any) -> Any:
    """`torch.compile` of a function that calls `torch.autograd.grad`: one graph, pruned."""
    torch._dynamo.config.trace_autograd_ops = True
    # Reordered, 2.13's program reads a buffer that it has freed (UnboundLocalError, as in PyTorch's
    # issue 181006).
    options = {'reorder_for_peak_memory': False, 'allow_buffer_reuse': False}
    return torch.compile(function, fullgraph=True, dynamic=False, options=options)


def build_generator(
    config: Mapping[str, Any], flat: Flat, *, memory_format: torch.memory_format
) -> nn.Module:
    """The generator for inference, its kernels as given."""
    generator = _generator(config)
    return _build(generator, flat, memory_format=memory_format).requires_grad_(False)


def _generator(config: Mapping[str, Any]) -> nn.Module:
    """Raises `UserError` if it has what only ours has."""
    fields = dict(config['generator'])
    departures = {name: fields.pop(name) for name in ('mask', 'shuffle', 'refine_channels')}
    if departures != {'mask': False, 'shuffle': 1, 'refine_channels': 0}:
        raise UserError(
            f'config.generator has {departures}: the PyTorch opponent has the generator of the '
            'paper only; choose a config without them'
        )
    return Generator(size=config['size'], **fields)


def _discriminator(config: Mapping[str, Any]) -> nn.Module:
    """Raises `UserError` if it has what only ours has."""
    fields = dict(config['discriminator'])
    if width := fields.pop('projected_width'):
        raise UserError(
            f'config.discriminator.projected_width={width}: the PyTorch opponent has the '
            'discriminators of the paper only; choose a config with 0'
        )
    return MultiScaleDiscriminator(**fields)


def build_encoder(flat: Flat, *, memory_format: torch.memory_format) -> nn.Module:
    """The frozen identity encoder."""
    return _build(MobileFaceNet(), flat, memory_format=memory_format).requires_grad_(False)


def _build(module: nn.Module, flat: Flat, *, memory_format: torch.memory_format) -> nn.Module:
    load_parameters(module, flat)
    return module.to(memory_format=memory_format)


def _check(config: Mapping[str, Any]) -> None:
    kind, encoder = config['loss']['adversarial_kind'], config['identity_encoder']
    if (kind, encoder) != ('bce', 'mobilefacenet'):
        raise UserError(
            f'loss.adversarial_kind={kind!r} with identity_encoder={encoder!r}: the PyTorch '
            "opponent has 'bce' and 'mobilefacenet' only; choose a config with these"
        )
    if config['optimizer']['warmup_steps']:
        raise UserError(
            f'optimizer.warmup_steps={config["optimizer"]["warmup_steps"]}: the PyTorch opponent '
            'has a constant learning rate; set it to 0'
        )
