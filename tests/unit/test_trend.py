"""The least-squares trend that benchmarks report."""

from random import Random

import pytest

from benchmarks.measuring.trend import trend

HOUR = [float(second) for second in range(0, 3600, 10)]


def test_a_straight_line_has_its_slope_and_no_doubt() -> None:
    found = trend(HOUR, [1000 + 0.1 * second for second in HOUR])
    assert found.slope == pytest.approx(100 * 360 / found.mean)
    assert (found.low, found.high) == pytest.approx((found.slope, found.slope))


def test_a_level_has_none() -> None:
    found = trend(HOUR, [1000.0] * len(HOUR))
    assert (found.slope, found.low, found.high) == (0, 0, 0)


def test_the_interval_holds_the_slope_of_values_that_wander() -> None:
    """Each value keeps 0.9 of the last one's deviation: an interval for independent values would miss in most runs."""
    missed = 0
    for seed in range(200):
        noise, values = Random(seed), []
        deviation = 0.0
        for second in HOUR:
            deviation = 0.9 * deviation + noise.gauss(0, 10)
            values.append(1000 + 0.01 * second + deviation)
        found = trend(HOUR, values)
        missed += not found.low <= 100 * 36 / found.mean <= found.high
    assert missed <= 20
