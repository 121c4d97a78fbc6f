"""The compressed month: what is sent at once keeps each customer's order, and what counts as a recovery."""

from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random

import pytest

from benchmarks.measuring.month_figures import Counts, Month
from benchmarks.measuring.month_figures import count as counted
from benchmarks.measuring.simulated_days import waves
from fraudstream.messages.contracts import Topic
from fraudstream.simulator.messages import Message

DAY = timedelta(days=1)
BEGIN = datetime(2026, 10, 1, tzinfo=UTC)
DRIFT = BEGIN + 14 * DAY


def test_waves_keep_each_customers_order_whatever_the_order_of_topics_within_a_wave() -> None:
    random, numbers = Random(3), count()
    topics = [Topic.BROWSE_EVENTS, Topic.BROWSE_EVENTS, Topic.TRANSACTIONS]
    sent = [
        Message(next(numbers), random.choice(topics), random.choice([b"ann", b"bob", b"cem"]), b"") for _ in range(300)
    ]
    arrived = []
    for wave in waves(sent):
        for topic in sorted({message.topic for message in wave}, reverse=True):
            arrived += [message for message in wave if message.topic == topic]
    for customer in {message.key for message in sent}:
        assert [each for each in arrived if each.key == customer] == [each for each in sent if each.key == customer]


def test_customers_do_not_wait_for_each_other() -> None:
    sent = [Message(number, Topic.TRANSACTIONS, b"%d" % number, b"") for number in range(50)]
    assert len(waves(sent)) == 1


def test_rows_count_by_model_and_truth() -> None:
    rows = [("a", "m-1", True), ("b", "m-1", True), ("c", "m-1", False), ("d", "m-2", False)]
    assert counted(rows, {"a", "c", "d"}) == {"m-1": Counts(3, 2, 2, 1), "m-2": Counts(1, 1, 0, 0)}


def a_month(after: Counts, seen: timedelta | None = DAY) -> Month:
    """A month whose precision fell from 0.6 to 0.3, and whose second model decided as `after` says."""
    month = Month(DRIFT, promoted_at=DRIFT + 5 * DAY)
    month.days = {BEGIN: {"m-1": Counts(5_000, 200, 250, 150)}, DRIFT: {"m-1": Counts(5_000, 200, 250, 75)}}
    month.days[DRIFT + 5 * DAY] = {"m-2": after}
    month.look(DRIFT - DAY, [("psi", "amount")])
    month.look(DRIFT + DAY / 2, [("psi", "amount")])
    if seen:
        month.look(DRIFT + seen, [("psi", "amount"), ("psi", "new_device")])
    return month


def test_a_month_that_recovers_has_no_failure() -> None:
    month = a_month(Counts(5_000, 200, 250, 125))
    assert month.seen_at == DRIFT + DAY
    assert list(month.failures()) == []


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (Counts(5_000, 200, 250, 100), "precision didn't recover"),
        (Counts(500, 200, 10, 5), "by chance alone"),
        (Counts(5_000, 200, 80, 50), "bought with recall"),
    ],
)
def test_a_recovery_is_large_beyond_chance_and_not_bought_with_recall(after: Counts, told: str) -> None:
    assert any(told in failure for failure in a_month(after).failures())


@pytest.mark.parametrize("seen", [None, 2 * DAY])
def test_a_figure_that_was_out_of_bounds_before_shows_no_drift(seen: timedelta | None) -> None:
    (failure,) = a_month(Counts(5_000, 200, 250, 125), seen).failures()
    assert "wasn't seen within 1 day" in failure
