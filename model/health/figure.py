"""A figure of a model's health, and intervals of what it counts."""

from dataclasses import dataclass

from scipy.stats import chi2, norm

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Figure:
    """A row of fraud.model_health; `told` says for people what it was made of. None: nothing could be said."""

    figure: str
    subject: str
    value: float | None
    sample: int
    told: str
    low: float | None = None
    high: float | None = None
    breached: bool = False


def share_interval(count: int, of: int) -> tuple[float, float]:
    """Wilson's interval of a share (E. B. Wilson, 1927); 0 to 1 of nothing."""
    if not of:
        return 0.0, 1.0
    z = float(norm.ppf((1 + CONFIDENCE) / 2))
    share, total = count / of, of + z * z
    middle = (count + z * z / 2) / total
    spread = z * ((share * (1 - share) * of + z * z / 4) ** 0.5) / total
    return max(0.0, middle - spread), min(1.0, middle + spread)


def count_interval(count: int) -> tuple[float, float]:
    """The exact interval of a Poisson count's mean (F. Garwood, 1936)."""
    tail = (1 - CONFIDENCE) / 2
    low = float(chi2.ppf(tail, 2 * count) / 2) if count else 0.0
    return low, float(chi2.ppf(1 - tail, 2 * count + 2) / 2)
