"""Charts as SVG, for pages that load nothing."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

Series = Mapping[int, float]

_WIDTH, _HEIGHT = 440, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 10, 24
_MOST_POINTS = 600
# Okabe and Ito's, which colour-blind readers tell apart.
_COLOURS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7')


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round numbers in [low, high]."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    distance = next(step * power for step in (1, 2, 5, 10) if step * power >= rough * 0.999)
    first = math.ceil(low / distance - 1e-9)
    return [number * distance for number in range(first, math.floor(high / distance + 1e-9) + 1)]


def thin(series: Series, most: int = _MOST_POINTS) -> list[tuple[float, float]]:
    """Finite points by step, means of neighbours where there are more than `most`."""
    points = [(step, value) for step, value in sorted(series.items()) if math.isfinite(value)]
    size = -(-len(points) // most) or 1
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x) / len(x), sum(y) / len(y)) for x, y in (zip(*g, strict=True) for g in groups)]


@dataclasses.dataclass(frozen=True)
class _Axes:
    """From numbers to SVG's user units, with some room above and below."""

    left: float
    right: float
    low: float
    high: float

    def x(self, value: float) -> float:
        """Of a step or a cosine."""
        part = (value - self.left) / (self.right - self.left)
        return _LEFT + part * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        """Of a number."""
        part = (value - self.low) / (self.high - self.low)
        return _HEIGHT - _BOTTOM - part * (_HEIGHT - _TOP - _BOTTOM)

    def svg(self) -> Iterator[str]:
        """Grid lines and numbers."""
        for value in ticks(self.low, self.high):
            y = self.y(value)
            yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>'
            yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.6g}</text>'
        for value in ticks(self.left, self.right):
            x = self.x(value)
            yield f'<path class="grid" d="M{x:.1f} {_HEIGHT - _BOTTOM}v4"/>'
            yield (
                f'<text x="{x:.1f}" y="{_HEIGHT - 6}" text-anchor="middle">{_short(value)}</text>'
            )


def curves_svg(lines: Mapping[str, Series]) -> str:
    """A chart of one or more lines over the steps."""
    points = {name: thin(series) for name, series in lines.items()}
    steps = [x for line in points.values() for x, _ in line]
    values = [y for line in points.values() for _, y in line]
    axes = _Axes(*_spread(min(steps), max(steps), 0.0), *_spread(min(values), max(values), 0.08))
    drawn = [
        _line_svg([(axes.x(x), axes.y(y)) for x, y in line], colour)
        for line, colour in zip(points.values(), colours(len(points)), strict=True)
    ]
    return _svg([*axes.svg(), *drawn])


def histogram_svg(bars: Mapping[str, tuple[list[float], list[float]]]) -> str:
    """Outlines of histograms over cosines, [-1, 1]."""
    tallest = max(max(counts) for _, counts in bars.values())
    axes = _Axes(-1.0, 1.0, 0.0, 1.05 * tallest)
    drawn = [
        _line_svg([(axes.x(x), axes.y(y)) for x, y in _outline(*each)], colour)
        for each, colour in zip(bars.values(), colours(len(bars)), strict=True)
    ]
    return _svg([*axes.svg(), *drawn])


def _outline(edges: list[float], counts: list[float]) -> Iterator[tuple[float, float]]:
    yield edges[0], 0.0
    for left, right, count in zip(edges, edges[1:], counts, strict=False):
        yield left, count
        yield right, count
    yield edges[-1], 0.0


def _line_svg(points: Sequence[tuple[float, float]], colour: str) -> str:
    if len(points) == 1:
        ((x, y),) = points
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
    path = ' '.join(f'{x:.1f},{y:.1f}' for x, y in points)
    return f'<polyline points="{path}" stroke="{colour}"/>'


def _svg(parts: Iterable[str]) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{"".join(parts)}</svg>'


def _spread(low: float, high: float, room: float) -> tuple[float, float]:
    span = (high - low) or abs(high) or 1.0
    return (low - room * span, high + room * span) if high > low else (low - span, high + span)


def colours(count: int) -> list[str]:
    """Of the first lines of a chart, as CSS has them."""
    return [_COLOURS[number % len(_COLOURS)] for number in range(count)]


def _short(value: float) -> str:
    return f'{value / 1000:g}k' if abs(value) >= 1000 else f'{value:g}'
