"""The trend of a series by least squares."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from statistics import correlation, fmean, linear_regression

SECONDS_AN_HOUR = 3600.0


@dataclass(frozen=True)
class Trend:
    """Per hour, as % of the mean; `low` to `high` is the 95 % confidence interval of `slope`."""

    mean: float
    slope: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.slope:+.2f} % per hour (95 % interval {self.low:+.2f} to {self.high:+.2f})"


def trend(seconds: Sequence[float], values: Sequence[float]) -> Trend:
    """The trend of at least four values at rising times.

    The interval is of the normal distribution, with as many independent values as the residuals' correlation from one
    to the next leaves, n (1 - r) / (1 + r): memory wanders, and neighbouring samples say little more than one.
    """
    slope, intercept = linear_regression(seconds, values)
    mean, centre = fmean(values), fmean(seconds)
    residuals = [value - intercept - slope * at for at, value in zip(seconds, values, strict=True)]
    squares = sum(residual**2 for residual in residuals)
    spread = sum((at - centre) ** 2 for at in seconds)
    error = sqrt(squares / (len(values) - 2) / spread / _share_independent(residuals))
    scale = 100 * SECONDS_AN_HOUR / mean
    return Trend(mean, slope * scale, (slope - 1.96 * error) * scale, (slope + 1.96 * error) * scale)


def _share_independent(residuals: Sequence[float]) -> float:
    if len({*residuals}) < 2:
        return 1.0
    neighbours = list(pairwise(residuals))
    r = max(0.0, correlation([first for first, _ in neighbours], [second for _, second in neighbours]))
    return (1 - r) / (1 + r)
