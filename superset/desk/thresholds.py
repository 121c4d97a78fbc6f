"""What thresholds over the score would have meant: alerts, precision, recall and cost, from past transactions."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from fraudstream.settings.settings import CostSettings
from fraudstream.storage.connect import Postgres

#: The thresholds that are compared: two decimals, as people type them.
STEPS: tuple[float, ...] = tuple(number / 100 for number in range(1, 100))
#: Only purchases that are older are judged, and count as honest without a label (`fraudstream.policy.backtest`).
MATURE_DAYS = 30
PERIODS = (7, 30, 90)

#: For each part of the score between two steps: what fell into it. `width_bucket` counts the steps up to a score.
_PARTS = """
WITH newest AS (SELECT max(event_time) AS at FROM fraud.scored_transactions),
labels AS (
    SELECT DISTINCT ON (transaction_id) transaction_id, is_fraud FROM fraud.transaction_labels
    ORDER BY transaction_id, labelled_at DESC, label_id DESC
)
SELECT width_bucket(t.fraud_score, %(steps)s::float8[]), count(*), sum(t.fraud_score),
    coalesce(sum((t.amount * t.exchange_rate)::float8), 0),
    coalesce(sum(t.fraud_score * (t.amount * t.exchange_rate)::float8), 0),
    count(*) FILTER (WHERE l.is_fraud),
    count(*) FILTER (WHERE t.event_time <= newest.at - make_interval(days => %(mature)s)),
    count(*) FILTER (WHERE l.is_fraud AND t.event_time <= newest.at - make_interval(days => %(mature)s)),
    coalesce(sum((t.amount * t.exchange_rate)::float8) FILTER (WHERE l.is_fraud), 0)
FROM newest JOIN fraud.scored_transactions t ON t.event_time > newest.at - make_interval(days => %(days)s)
LEFT JOIN labels l USING (transaction_id)
GROUP BY 1
"""
#: Over how many days, the threshold of the newest transaction's model, and after how many days frauds became known.
_PERIOD = """
WITH newest AS (SELECT max(event_time) AS at FROM fraud.scored_transactions),
period AS (
    SELECT transaction_id, event_time FROM fraud.scored_transactions, newest
    WHERE event_time > newest.at - make_interval(days => %(days)s)
)
SELECT greatest(extract(epoch FROM max(event_time) - min(event_time)) / 86400, 1 / 24.0)::float8,
    (SELECT threshold FROM fraud.scored_transactions ORDER BY event_time DESC LIMIT 1),
    (
        SELECT (percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM l.labelled_at - p.event_time)) / 86400)
        FROM fraud.transaction_labels l JOIN period p USING (transaction_id) WHERE l.is_fraud
    )::float8
FROM period
"""


@dataclass(frozen=True)
class Part:
    """Transactions with scores between two steps: money in the shop currency; `expected` is the sum of the scores."""

    number: int
    transactions: int
    expected: float
    money: float
    expected_money: float
    frauds: int
    judged: int
    judged_frauds: int
    fraud_money: float


@dataclass(frozen=True)
class Threshold:
    """What it means to act from a score on. Shares are None where nothing can be said; costs are a day's."""

    score: float
    alerts_per_day: float
    expected_precision: float | None
    precision: float | None
    judged_share: float | None
    recall: float | None
    fraud_money_per_day: float
    cost_of_review: float
    cost_of_block: float


@dataclass(frozen=True)
class Compared:
    """All thresholds over one period. `known_after` is the days after which half of the frauds were known."""

    days: float
    transactions: int
    frauds: int
    judged: int
    known_after: float | None
    models_own: float | None
    thresholds: list[Threshold]


def read(connection: Postgres, days: int, costs: CostSettings) -> Compared:
    """Compares the thresholds over the newest `days`."""
    asked = {"steps": list(STEPS), "mature": MATURE_DAYS, "days": days}
    parts = [Part(*row) for row in connection.execute(_PARTS, asked).fetchall()]
    over, models_own, known_after = connection.execute(_PERIOD, asked).fetchone() or (1.0, None, None)
    compared = compare(parts, over or 1.0, costs)
    return Compared(
        over or 1.0,
        sum(part.transactions for part in parts),
        sum(part.frauds for part in parts),
        sum(part.judged for part in parts),
        known_after,
        models_own,
        compared,
    )


def compare(parts: Sequence[Part], days: float, costs: CostSettings) -> list[Threshold]:
    """What each step would have meant. A part's number is how many steps its scores have reached."""
    by_number = {part.number: part for part in parts}
    filled = [by_number.get(number, Part(number, 0, 0, 0, 0, 0, 0, 0, 0)) for number in range(len(STEPS) + 1)]
    passed = list(accumulate(_passing(part, costs) for part in filled))
    all_frauds = sum(part.frauds for part in filled)
    return [_threshold(step, filled[step + 1 :], passed[step], all_frauds, days, costs) for step in range(len(STEPS))]


def _threshold(
    step: int, above: Sequence[Part], passed: float, all_frauds: int, days: float, costs: CostSettings
) -> Threshold:
    alerts, frauds = sum(part.transactions for part in above), sum(part.frauds for part in above)
    judged = sum(part.judged for part in above)
    honest_money = sum(part.money - part.expected_money for part in above)
    return Threshold(
        STEPS[step],
        alerts / days,
        _share(sum(part.expected for part in above), alerts),
        _share(sum(part.judged_frauds for part in above), judged),
        _share(judged, alerts),
        _share(frauds, all_frauds),
        sum(part.fraud_money for part in above) / days,
        (passed + alerts * costs.review) / days,
        (passed + honest_money * costs.blocked_honest) / days,
    )


def _passing(part: Part, costs: CostSettings) -> float:
    """What the frauds in a part are expected to cost when it passes."""
    return part.expected_money * costs.missed_fraud + part.expected * costs.chargeback


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
