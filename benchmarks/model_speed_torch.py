"""PyTorch's side of `benchmarks.model_speed`: every variant of each measurement."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import torch_models
from benchmarks.timing import NUM_THREADS, seconds_a_call

_FORMATS = {'NCHW': torch.contiguous_format, 'channels_last': torch.channels_last}


class Side:
    """`benchmarks.model_speed_jax.Side` with the weights that it made.

    A variant is (mode, layout): 'eager' or 'compile', 'NCHW' or 'channels_last'.
    """

    def __init__(self, config: dict[str, Any], tensors: dict[str, Any]) -> None:
        torch.set_num_threads(NUM_THREADS)
        # Even kernels at stride 1 pad one side more, in TensorFlow's SAME and here alike.
        warnings.filterwarnings('ignore', "Using padding='same' with even kernel")
        self._config, self._tensors = config, tensors
        self._calls: dict[tuple[str, int, str, str], Callable[[], Any]] = {}

    def outputs(
        self, name: str, inputs: dict[str, Any], mode: str, layout: str
    ) -> dict[str, np.ndarray]:
        """As our side's."""
        run = self._make(name, inputs, mode, layout)
        # Kept for `seconds`: compiling takes minutes.
        self._calls[name, _batch_size(inputs), mode, layout] = run
        if name == 'generator_forward':
            return {'picture': _nhwc(run())}
        if name == 'identity_forward_backward':
            vector, gradient = run()
            return {'vector': vector.detach().numpy(), 'gradient': _nhwc(gradient)}
        return {
            f'{term}, step {number}': value.numpy()
            for number in (1, 2)
            for term, value in run().items()
        }

    def seconds(
        self, name: str, inputs: dict[str, Any], calls: int, mode: str, layout: str
    ) -> float:
        """Median time of a call; `outputs` has made the variant."""
        return seconds_a_call(self._calls[name, _batch_size(inputs), mode, layout], calls)

    def keep_only(self, name: str, batch_size: int, mode: str, layout: str) -> None:
        """Frees the losing variants of a measurement."""
        losers = [key for key in self._calls if key[:2] == (name, batch_size)]
        for key in losers:
            if key[2:] != (mode, layout):
                del self._calls[key]

    def _make(self, name: str, inputs: dict[str, Any], mode: str, layout: str) -> Any:
        make = {
            'generator_forward': self._generator_call,
            'identity_forward_backward': self._identity_call,
            'train_step': self._step_call,
        }[name]
        return make(inputs, mode == 'compile', _FORMATS[layout])

    def _generator_call(
        self, inputs: dict[str, Any], compiled: bool, layout: torch.memory_format
    ) -> Callable[[], Tensor]:
        weights = self._tensors['folded_generator']
        generator: Any = torch_models.build_generator(self._config, weights, memory_format=layout)
        if compiled:
            generator = torch.compile(generator, fullgraph=True, dynamic=False)
        identity = torch_models.Identity(
            torch.from_numpy(inputs['identity']['vector']),
            {name: torch.from_numpy(x) for name, x in inputs['identity']['features'].items()},
        )
        target = _nchw(inputs['target'], layout) / 127.5 - 1.0
        boundary_map = _nchw(inputs['boundary_map'], layout) / 255.0

        @torch.inference_mode()
        def run() -> Tensor:
            return generator(target, boundary_map, identity)

        return run

    def _identity_call(
        self, inputs: dict[str, Any], compiled: bool, layout: torch.memory_format
    ) -> Callable[[], tuple[Tensor, Tensor]]:
        encoder = torch_models.build_encoder(self._tensors['encoder'], memory_format=layout)
        images = _nchw(inputs['images'], layout).requires_grad_()
        source_vector = torch.from_numpy(inputs['vector'])

        def loss(images: Tensor) -> tuple[Tensor, Tensor]:
            vector = encoder(images, with_features=False).vector
            return torch_models.identity_loss(vector, source_vector), vector

        function = torch.compile(loss, fullgraph=True, dynamic=False) if compiled else loss

        def run() -> tuple[Tensor, Tensor]:
            value, vector = function(images)
            (gradient,) = torch.autograd.grad(value, images)
            return vector, gradient

        return run

    def _step_call(
        self, inputs: dict[str, Any], compiled: bool, layout: torch.memory_format
    ) -> Callable[[], dict[str, Tensor]]:
        step = torch_models.TrainStep(
            self._config, self._tensors, memory_format=layout, compiled=compiled
        )
        batch = {
            name: _nchw(x, layout) if x.ndim == 4 else torch.from_numpy(x)
            for name, x in inputs.items()
        }
        return lambda: step(batch)


def _batch_size(inputs: dict[str, Any]) -> int:
    return len(next(iter(inputs.values())))


def _nchw(array: np.ndarray, layout: torch.memory_format) -> Tensor:
    return torch.from_numpy(array).permute(0, 3, 1, 2).contiguous(memory_format=layout)


def _nhwc(tensor: Tensor) -> np.ndarray:
    return tensor.detach().permute(0, 2, 3, 1).numpy()
