"""Our side of `benchmarks.model_speed`: the functions that users get, jitted as the loop does."""

import functools
import importlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from apgan_jax.models import spectral_norm
from apgan_jax.models.generator import generate
from apgan_jax.models.images import arcface_window, normalise_boundary_map, normalise_image
from apgan_jax.runtime import use_compilation_cache
from apgan_jax.training import experiment
from apgan_jax.training.losses import identity_loss
from apgan_jax.training.train_step import create_train_state, train_step
from benchmarks.timing import seconds_a_call

# What the batches have no truth for, and what PyTorch's step does not have.
_PAPER = {
    'generator.mask': False,
    'loss.landmark_weight': 0.0,
    'loss.identity_margin': 1.0,
    'loss.identity_view': (0, 0),
}


class Side:
    """Networks, a state and inputs; the other side gets copies of them from `tensors`."""

    def __init__(self, config_name: str) -> None:
        use_compilation_cache()
        config = importlib.import_module(f'configs.{config_name}').get_config()
        config.update_from_flattened_dict(_PAPER)
        self._config = config.to_dict()
        self._model = experiment.build_model(config)
        create = jax.jit(functools.partial(create_train_state, self._model))
        self._initial = jax.device_get(create(jax.random.key(0, impl='rbg')))
        self._folded = jax.jit(spectral_norm.fold)(self._initial.generator_params)
        self._encoder_params = jax.device_put(self._model.identity_encoder.params)
        self._generate = jax.jit(functools.partial(generate, self._model.generator))
        self._embed = jax.jit(self._model.identity_encoder.embed)
        self._pull = jax.jit(self._vector_and_gradient)
        self._train = jax.jit(functools.partial(train_step, self._model), donate_argnums=0)
        self._calls: dict[tuple[str, int], Callable[[], Any]] = {}

    def config(self) -> dict[str, Any]:
        """Every field."""
        return self._config

    def tensors(self) -> dict[str, dict[str, np.ndarray]]:
        """All weights, flat."""
        state = self._initial
        return {
            'folded_generator': _flat(self._folded),
            'generator': _flat(state.generator_params),
            'generator_spectral': state.generator_spectral,
            'discriminator': _flat(state.discriminator_params),
            'discriminator_spectral': state.discriminator_spectral,
            'encoder': _flat(self._encoder_params),
        }

    def identity(self, source: np.ndarray) -> dict[str, Any]:
        """The embedding of uint8 pictures: the generator's input."""
        embedding = self._embed(self._encoder_params, self._face_of(source))
        return {'vector': np.asarray(embedding.vector), 'features': _flat(embedding.features)}

    def outputs(self, name: str, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
        """What a measurement computes; for the step, the losses of the first and the second."""
        run = self._make(name, inputs)
        self._calls[name, _batch_size(inputs)] = run
        if name == 'generator_forward':
            return {'picture': np.asarray(run())}
        if name == 'identity_forward_backward':
            vector, gradient = run()
            return {'vector': np.asarray(vector), 'gradient': np.asarray(gradient)}
        return {
            f'{term}, step {number}': np.asarray(value)
            for number in (1, 2)
            for term, value in run().compute().items()
        }

    def seconds(self, name: str, inputs: dict[str, Any], calls: int) -> float:
        """Median time of a call; `outputs` has compiled it."""
        run = self._calls[name, _batch_size(inputs)]
        return seconds_a_call(lambda: jax.block_until_ready(run()), calls)

    def _make(self, name: str, inputs: dict[str, Any]) -> Callable[[], Any]:
        make = {
            'generator_forward': self._generator_call,
            'identity_forward_backward': self._identity_call,
            'train_step': self._step_call,
        }[name]
        return make(inputs)

    def _generator_call(self, inputs: dict[str, Any]) -> Callable[[], jax.Array]:
        identity = self._embed(self._encoder_params, self._face_of(inputs['source']))
        target = normalise_image(inputs['target'])
        boundary_map = normalise_boundary_map(inputs['boundary_map'])
        return lambda: self._generate(self._folded, target, boundary_map, identity)

    def _face_of(self, crops: np.ndarray) -> jax.Array:
        return arcface_window(normalise_image(crops), self._model.arcface_window)

    def _identity_call(self, inputs: dict[str, Any]) -> Callable[[], Any]:
        images, vector = jax.device_put((inputs['images'], inputs['vector']))
        return lambda: self._pull(self._encoder_params, images, vector)

    def _vector_and_gradient(
        self, params: Any, images: jax.Array, source_vector: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        def loss(images: jax.Array) -> tuple[jax.Array, jax.Array]:
            vector = self._model.identity_encoder.embed(params, images).vector
            return identity_loss(swapped_vector=vector, source_vector=source_vector), vector

        gradient, vector = jax.grad(loss, has_aux=True)(images)
        return vector, gradient

    def _step_call(self, inputs: dict[str, Any]) -> Callable[[], Any]:
        state, batch = jax.tree.map(jnp.array, (self._initial, inputs))

        def run() -> Any:
            nonlocal state
            state, metrics = self._train(state, self._encoder_params, batch)
            # The whole of the next state, not only the losses.
            jax.block_until_ready(state)
            return metrics

        return run


def _batch_size(inputs: dict[str, Any]) -> int:
    return len(next(iter(inputs.values())))


def _flat(tree: Any) -> dict[str, np.ndarray]:
    return {path: np.asarray(leaf) for path, leaf in flatten_dict(tree, sep='/').items()}
