"""Why the score of a transaction differs from that of a consumer that reads all topics by time. Pure: no IO.

A consumer that reads topics independently may meet a purchase before the browsing that came before it, or after some
that came later. Which of them it was is told by where it stood in the browsing topic then.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Cause(StrEnum):
    """Causes of a difference, in the order in which they are looked for."""

    MISSED = "scored before browsing that had come earlier"
    FORESAW = "scored after browsing that came later"
    SAME_MILLISECOND = "browsing came within the same millisecond"
    FOLLOWS = "after such a one of the same customer"
    UNKNOWN = "for another reason"


class Browsing(NamedTuple):
    """A browse event in Kafka."""

    at_ms: int
    offset: int


@dataclass(frozen=True)
class Scored:
    """A transaction's row. `batch_id` is the peer's own, `at_ms` when Kafka appended it."""

    transaction_id: str
    customer_id: str
    partition: int
    at_ms: int
    batch_id: int
    score: float
    is_fraud: bool


class Stands(NamedTuple):
    """The next offset of the browsing topic's partition, before a batch and after it."""

    before: int
    after: int


_NOWHERE = Stands(0, 0)


def causes(
    differing: Iterable[Scored],
    browsing: Mapping[str, Iterable[Browsing]],
    stands: Mapping[tuple[int, int], Stands],
) -> Counter[Cause]:
    """Counts of the causes.

    Args:
        differing: the rows whose scores differ.
        browsing: each customer's browse events.
        stands: where each batch began and ended in a partition of the browsing topic, by (batch, partition); else at 0.
    """
    found: Counter[Cause] = Counter()
    touched: set[str] = set()
    for row in sorted(differing, key=lambda each: (each.at_ms, each.batch_id)):
        stood = stands.get((row.batch_id, row.partition), _NOWHERE)
        cause = _direct(row, browsing.get(row.customer_id, ()), stood)
        if cause is Cause.UNKNOWN and row.customer_id in touched:
            cause = Cause.FOLLOWS
        touched.add(row.customer_id)
        found[cause] += 1
    return found


def _direct(row: Scored, events: Iterable[Browsing], stands: Stands) -> Cause:
    of_customer = list(events)
    if any(event.at_ms < row.at_ms and event.offset >= stands.after for event in of_customer):
        return Cause.MISSED
    if any(event.at_ms > row.at_ms and event.offset < stands.before for event in of_customer):
        return Cause.FORESAW
    if any(event.at_ms == row.at_ms for event in of_customer):
        return Cause.SAME_MILLISECOND
    return Cause.UNKNOWN
