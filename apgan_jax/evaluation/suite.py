"""Which networks an evaluation has, and the rows that they make; what is missing says why."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from apgan_jax.errors import UserError
from apgan_jax.evaluation.frechet_rows import describe, frechet_key
from apgan_jax.face.alignment import Window
from apgan_jax.metrics import dipd, expression, pose, ssim
from apgan_jax.metrics.frechet import FeatureNetwork
from apgan_jax.metrics.metric import Description, Metric
from apgan_jax.networks.adapters import AdaptedNetwork, Adapter
from apgan_jax.networks.dlib_resnet import DlibResNet
from apgan_jax.networks.flow import DisFlow, Flow, OnnxFlow
from apgan_jax.networks.inception import Inception, find_inception
from apgan_jax.networks.network import NetworkInfo, data_folder
from apgan_jax.networks.pose_estimator import WEIGHTS, PoseEstimator
from apgan_jax.networks.recognisers import (
    MobileFaceNetRecogniser,
    OnnxRecogniser,
    Recogniser,
    SFaceRecogniser,
)
from apgan_jax.networks.vgg import Vgg16, find_vgg16

BUILT_IN = {'dlib': DlibResNet}
T = TypeVar('T')


@dataclasses.dataclass(frozen=True)
class Suite:
    """Networks and what they measure.

    Attributes:
      recognisers: that identity rows are made of.
      metrics: of pairs of faces, those of identity apart.
      flow: optical flow.
      feature_networks: for Fréchet distances.
      motion: rows of how faces move.
      missing: rows that cannot be, the reason as their warning.
    """

    recognisers: tuple[Recogniser, ...]
    metrics: tuple[Metric, ...]
    flow: Flow
    feature_networks: tuple[FeatureNetwork, ...]
    motion: tuple[Description, ...]
    missing: tuple[Description, ...]

    def descriptions(self, *, temporal: bool = True) -> list[Description]:
        """All rows but those of identity, in the paper's order."""
        distances = [describe(network) for network in self.feature_networks]
        errors = [*_temporal(self.flow.info), *self.motion] if temporal else []
        return [*self.metrics, *errors, *distances, *self.missing]


def build_suite(networks: Sequence[str] = ()) -> Suite:
    """Everything that can be had, and what is given.

    Args:
      networks: TOML files of adapters (see `networks.adapters`), or names of `BUILT_IN`.

    Raises:
      UserError: one that was given cannot be had.
    """
    found = _Found()
    given = [_given(name) for name in networks]
    shipped = [
        found.take(Description('identity', 'identity', '', 'higher'), build)
        for build in (SFaceRecogniser, _mobilefacenet)
    ]
    recognisers = [each for each in (*shipped, *given) if isinstance(each, Recogniser)]
    metrics = [
        # First, as those that a user went to fetch: Hopenet above all, which is the paper's.
        *(each for each in given if isinstance(each, Metric)),
        *found.metrics(_row('dipd', 'DIPD'), lambda: [dipd.dipd_metric(_vgg16(find_vgg16()))]),
        *found.metrics(_row('pose_3ddfa', 'pose and expression distance'), _of_3ddfa),
        *found.metrics(
            _row('pose_mediapipe', 'pose and expression distance'),
            lambda: [pose.pose_mediapipe(), expression.expression_mediapipe()],
        ),
        *ssim.ssim_metrics(),
    ]
    features: list[Any] = [
        _Embedding(each) for each in recognisers if isinstance(each, SFaceRecogniser)
    ]
    inception = found.take(_row('fid', 'FID'), lambda: Inception(find_inception()))
    features += [*([inception] if inception else []), *filter(_has_features, given)]
    _check_keys([*(each.key for each in recognisers), *(each.key for each in metrics)], features)
    flows = [each for each in given if isinstance(each, OnnxFlow)]
    return Suite(
        recognisers=tuple(recognisers),
        metrics=tuple(_in_order(metrics)),
        flow=flows[-1] if flows else DisFlow(),
        feature_networks=tuple(features),
        motion=tuple(found.take(_row('motion', 'motion'), expression.motion_rows) or ()),
        missing=tuple(found.missing),
    )


# Reading and compiling them takes seconds: once a process, however many tables it makes.
_mobilefacenet = functools.cache(MobileFaceNetRecogniser)
_vgg16 = functools.cache(Vgg16)


class _Found:
    """Takes what can be had and keeps account of what cannot."""

    def __init__(self) -> None:
        self.missing: list[Description] = []

    def take(self, row: Description, build: Callable[[], T]) -> T | None:
        try:
            return build()
        except UserError as error:
            self.missing.append(dataclasses.replace(row, warning=f'left out: {error}'))
            return None

    def metrics(self, row: Description, build: Callable[[], list[Metric]]) -> list[Metric]:
        return self.take(row, build) or []


def _check_keys(keys: list[str], features: list[FeatureNetwork]) -> None:
    every = [*keys, *map(frechet_key, features)]
    twice = next((key for key in every if every.count(key) > 1), None)
    if twice:
        raise UserError(
            f'--network: two networks would both be called {twice!r}; give one another `name`'
        )


def _row(key: str, title: str) -> Description:
    return Description(key, title, '', 'lower')


def _of_3ddfa() -> list[Metric]:
    estimator = PoseEstimator(data_folder() / WEIGHTS)
    return [pose.pose_3ddfa(estimator), expression.expression_3ddfa(estimator)]


def _given(name: str) -> Any:
    if name in BUILT_IN:
        return BUILT_IN[name]()
    path = Path(name)
    if path.suffix != '.toml':
        raise UserError(
            f'--network {name}: must be the TOML file of an adapter (see docs/evaluation.md) or '
            f'one of {", ".join(BUILT_IN)}'
        )
    adapter = Adapter.read(path)
    if adapter.kind == 'flow':
        return _flow(adapter)
    if adapter.kind == 'identity':
        return OnnxRecogniser(adapter)
    network = AdaptedNetwork(adapter)
    if adapter.kind == 'pose':
        return pose.pose_hopenet(network)
    if adapter.kind == 'expression':
        return expression.expression_onnx(network)
    return _Features(network)


def _flow(adapter: Adapter) -> OnnxFlow:
    (mean, *means), (scale, *scales) = adapter.mean, adapter.scale
    if {mean} != {mean, *means} or {scale} != {scale, *scales} or adapter.layout != 'nchw':
        raise UserError(
            f'{adapter.file}: a network of flow takes one mean, one scale and the layout nchw; '
            'export it so'
        )
    return OnnxFlow(
        adapter.file,
        name=adapter.name,
        value_range=(-mean * scale, (255 - mean) * scale),
        channel_order='BGR' if adapter.channels == 'bgr' else 'RGB',
        multiple=adapter.multiple,
    )


def _has_features(network: Any) -> bool:
    return isinstance(network, _Features)


def _in_order(metrics: list[Metric]) -> list[Metric]:
    """DIPD, pose, expression, SSIM, as the paper's tables have them."""
    order = ('dipd', 'pose', 'expression', 'ssim')
    return sorted(metrics, key=lambda metric: order.index(metric.key.split('_')[0]))


class _Embedding:
    """A recogniser's vectors as features."""

    def __init__(self, recogniser: Recogniser) -> None:
        self.info = recogniser.info
        self.features = recogniser.embed


class _Features:
    """An adapter's output as features."""

    def __init__(self, network: AdaptedNetwork) -> None:
        self.info = network.info
        self._network = network

    def features(self, crops: np.ndarray, arcface_window: Window) -> np.ndarray:
        del arcface_window
        return np.asarray(self._network(crops)).reshape(len(crops), -1)


def _temporal(flow: NetworkInfo) -> list[Description]:
    area = "in the face box of the first frame, 1.2 times as large, until the face's IoU is < 0.25"
    warped = 'mean |Y_t - W(Y_s)| where visible, values in [0, 1], W by the flow of the original'
    rows = [
        ('aee', 'AEE', f'mean distance of the flows of target and swapped, {area}', 'px'),
        ('fwe', 'FWE', f'{warped}, s = t-1 and s = 1 added (eqs. 14, 15), {area}', ''),
        ('fwe_short', 'FWE, short-term', f'{warped}, s = t-1', ''),
        ('fwe_long', 'FWE, long-term', f'{warped}, s = 1', ''),
        ('fwe_target', 'FWE of the original', 'the same of the target itself: its own floor', ''),
    ]
    return [
        Description(
            key, title, definition, 'neither' if key == 'fwe_target' else 'lower', unit, flow
        )
        for key, title, definition, unit in rows
    ]
