"""Charts are well-formed SVG with their points inside, whatever the numbers are."""

import math
import xml.etree.ElementTree as ElementTree

import pytest

from apgan_jax.reports import charts

WIDTH, HEIGHT = 440, 200


def marks(svg):
    """The chart's curves and points: lists of (x, y), and their colours."""
    found, colours = [], []
    for element in ElementTree.fromstring(svg):
        if element.tag == 'circle':
            found.append([(float(element.get('cx')), float(element.get('cy')))])
            colours.append(element.get('fill'))
        elif element.tag == 'polyline':
            pairs = element.get('points').split()
            found.append([tuple(map(float, pair.split(','))) for pair in pairs])
            colours.append(element.get('stroke'))
    return found, colours


@pytest.mark.parametrize(
    'series',
    [
        {1: 5.0},
        {1: 0.0, 2: 0.0},
        {0: 7.0, 1_000_000: 7.0},
        {1: -1e-9, 2: 1e-9},
        {1: 1e12, 2: -1e12, 3: math.nan},
    ],
    ids=['one', 'zeros', 'flat', 'tiny', 'huge'],
)
def test_every_series_is_drawn_inside_the_chart(series):
    ((points, *others), _) = marks(charts.curves_svg({'a': series}))
    assert not others
    assert len(points) == sum(map(math.isfinite, series.values()))
    for x, y in points:
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT


def test_lines_share_their_axes_and_have_colours_of_their_own():
    (low, high), colours = marks(charts.curves_svg({'a': {0: 1.0, 9: 1.0}, 'b': {0: 2.0, 9: 2.0}}))
    assert [x for x, _ in low] == [x for x, _ in high]
    # SVG counts from above.
    assert low[0][1] > high[0][1]
    assert colours == charts.colours(2)
    assert len(set(charts.colours(4))) == 4
    assert charts.colours(6)[4:] == charts.colours(2)


def test_a_histogram_has_its_counts_as_heights_between_its_edges():
    svg = charts.histogram_svg({'a': ([-1.0, 0.0, 0.5], [4, 2])})
    ((outline,), _) = marks(svg)
    xs, ys = zip(*outline, strict=True)
    floor = ys[0]
    heights = [floor - y for y in ys]
    assert heights[0] == heights[-1] == 0
    assert heights[1] == heights[2] == pytest.approx(2 * heights[3], abs=0.2)
    assert xs[3] - xs[0] == pytest.approx(2 * (xs[-1] - xs[3]), abs=0.2)


@pytest.mark.parametrize(('low', 'high'), [(1, 7), (-3e-7, 2e-7), (1e9, 1.02e9), (-250, 40_000)])
def test_ticks_are_few_equally_far_apart_and_multiples_of_their_distance(low, high):
    ticks = charts.ticks(low, high)
    assert 2 <= len(ticks) <= 6
    assert low <= ticks[0] < ticks[-1] <= high
    distance = ticks[1] - ticks[0]
    multiples = [tick / distance for tick in ticks]
    assert multiples == pytest.approx([round(multiples[0]) + n for n in range(len(ticks))])


def test_points_fewer_than_the_limit_stay_as_they_are():
    series = {3: 1.5, 1: 2.5, 2: math.inf}
    assert charts.thin(series) == [(1.0, 2.5), (3.0, 1.5)]
    assert charts.thin({}) == []


@pytest.mark.parametrize(
    'low, high, expected',
    [(0, 1, [0, 0.5, 1.0]), (0, 4, [0, 1, 2, 3, 4]), (-0.3, 0.5, [-0.2, 0.0, 0.2, 0.4])],
)
def test_ticks_are_round_and_inside(low, high, expected):
    assert charts.ticks(low, high) == pytest.approx(expected)


def test_many_points_become_means_and_infinite_ones_nothing():
    assert charts.thin({2: 4.0, 1: 2.0, 3: float('nan'), 4: 6.0, 5: 8.0}, most=2) == [
        (1.5, 3.0),
        (4.5, 7.0),
    ]
    assert len(charts.thin(dict.fromkeys(range(100_000), 0.0))) <= 600


def test_a_curve_goes_through_its_points():
    svg = ElementTree.fromstring(charts.curves_svg({'a': {0: 0.0, 10: 1.0, 20: 0.0}}))
    (line,) = (x for x in svg if x.tag == 'polyline')
    (x0, y0), (x1, y1), (x2, y2) = (map(float, p.split(',')) for p in line.get('points').split())
    assert x1 - x0 == pytest.approx(x2 - x1)
    assert y0 == y2 > y1
    assert min(x0, y1) >= 0
    assert max(x2, y0) <= 440
