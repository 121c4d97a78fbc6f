"""How good decisions were, as far as labels tell by now.

Labels come late, so that every figure is of labels of one **age**: of transactions that are at least so old, with the
labels that had come when they were so old. A transaction without one counts as legitimate. The share of frauds that
labels of an age have found, of all that older ones will, is the **completeness**; young labels find few. It takes a
flagged fraud's label to be as late as another's: where analysts label what was flagged first, young recall is too high.
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from model.health.figure import Figure, count_interval, share_interval

AGES = tuple(timedelta(hours=hours) for hours in (1, 24, 7 * 24, 30 * 24, 90 * 24))
#: Expected frauds may be wrong by this factor before it is a breach.
CALIBRATION_FACTOR = 1.5
#: Alerts an expected fraud may exceed what the team can review by this factor.
ALERT_FACTOR = 1.5
#: Fewer alerts, or frauds, than this are no breach.
LEAST = 30


@dataclass(frozen=True)
class Outcomes:
    """Transactions of an age, arrays of equal length: scores, decisions, and whether a label of the age says fraud.

    `completeness` is the share of the frauds that labels of the age know of, None where nobody knows.
    """

    age: timedelta
    scores: np.ndarray
    flagged: np.ndarray
    fraud: np.ndarray
    completeness: float | None = None

    @property
    def name(self) -> str:
        """The age, for people."""
        hours = round(self.age.total_seconds() / 3600)
        return f"labels within {hours} h" if hours < 24 else f"labels within {hours // 24} d"


def figures(of: Outcomes, capacity: float) -> list[Figure]:
    """All figures of one age; `capacity` is how many alerts a fraud the team can review."""
    return [precision(of), recall(of), calibration(of), promised_precision(of), alerts(of, capacity)]


def precision(of: Outcomes, part: str = "") -> Figure:
    """Share of frauds among the flagged; `part` names what of all it is."""
    flagged, caught = int(of.flagged.sum()), int((of.flagged & of.fraud).sum())
    known = "unknown how complete" if of.completeness is None else f"{of.completeness:.0%} of frauds known by then"
    told = f"{caught} of {flagged} flagged are fraud by {of.name}, {known}"
    return Figure(
        "precision", _subject(of, part), _share(caught, flagged), flagged, told, *share_interval(caught, flagged)
    )


def recall(of: Outcomes) -> Figure:
    """Share of the known frauds that were flagged."""
    frauds, caught = int(of.fraud.sum()), int((of.flagged & of.fraud).sum())
    told = f"{caught} of {frauds} frauds known by {of.name} were flagged"
    return Figure("recall", of.name, _share(caught, frauds), frauds, told, *share_interval(caught, frauds))


def calibration(of: Outcomes) -> Figure:
    """Frauds that there were for each that the scores promised; corrected for those that labels don't know yet."""
    expected, frauds = float(of.scores.sum()), int(of.fraud.sum())
    if not expected or not of.completeness:
        return Figure("calibration", of.name, None, len(of.scores), f"nobody knows how complete {of.name} are")
    promised = expected * of.completeness
    low, high = (bound / promised for bound in count_interval(frauds))
    breached = frauds >= LEAST and (low > CALIBRATION_FACTOR or high < 1 / CALIBRATION_FACTOR)
    told = f"{frauds} frauds known by {of.name}, and the scores promise {promised:.0f} of these"
    return Figure("calibration", of.name, frauds / promised, len(of.scores), told, low, high, breached)


def promised_precision(of: Outcomes) -> Figure:
    """The precision that the scores themselves promise of the flagged: known before any label."""
    flagged = of.scores[of.flagged]
    value = float(flagged.mean()) if len(flagged) else None
    return Figure("promised_precision", of.name, value, len(flagged), "mean score of the flagged, as a probability")


def alerts(of: Outcomes, capacity: float) -> Figure:
    """Alerts for each fraud that the scores promise, against what the team can review."""
    flagged, expected = int(of.flagged.sum()), float(of.scores.sum())
    value = flagged / expected if expected else None
    breached = value is not None and flagged >= LEAST and value > capacity * ALERT_FACTOR
    told = f"{flagged} alerts for {expected:.0f} expected frauds, and {capacity:g} a fraud can be reviewed"
    return Figure("alerts_a_fraud", of.name, value, len(of.scores), told, None, capacity, breached)


def completeness(delays: np.ndarray, age: timedelta) -> float | None:
    """Share of frauds whose label came within `age`; `delays` are seconds of labelled frauds old enough to be known."""
    return float((delays <= age.total_seconds()).mean()) if len(delays) >= LEAST else None


def _subject(of: Outcomes, part: str) -> str:
    return f"{part}, {of.name}" if part else of.name


def _share(count: int, of: int) -> float | None:
    return count / of if of else None
