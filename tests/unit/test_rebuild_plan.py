"""What a rebuild reads and what it can't, with a snapshot and without one. The ledger's side: test_fencing.py."""

from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from fraudstream.ledger.gaps import KafkaView, Position
from fraudstream.ledger.rebuild import Plan, reading_starts
from fraudstream.local.rebuild import _describe
from fraudstream.snapshots.folders import Skipped, Snapshot
from fraudstream.snapshots.manifest import Manifest, Moment, by_topic

PLACES = [("browse-events", 0), ("browse-events", 1), ("transactions", 0)]
IDS = {"browse-events": "b", "transactions": "t"}


def snapshot(offsets: dict[tuple[str, int], int], ids: dict[str, str] = IDS) -> Snapshot:
    moment = Moment(
        layout=2, made_by="batch 7", shop_currency="EUR", clock_ms=0, offsets=by_topic(offsets), topic_ids=ids
    )
    made_at = datetime(2026, 11, 27, 2, 41, tzinfo=UTC)
    return Snapshot(Path("/snapshots/s-1"), Manifest(made_at=made_at, moment=moment, customers=12, parts=()))


def positions(reached: dict[tuple[str, int], int], first: int = 0) -> list[Position]:
    return [Position(*place, first, offset, IDS[place[0]]) for place, offset in reached.items()]


def view(begins: dict[tuple[str, int], int], end: int = 100, ids: dict[str, str] = IDS) -> KafkaView:
    return KafkaView(begins, dict.fromkeys(begins, end), ids)


FORGETFUL = view(dict.fromkeys(PLACES, 40))
AT_50 = positions(dict.fromkeys(PLACES, 50))


def test_what_kafka_forgot_before_the_snapshot_is_not_missed() -> None:
    without = Plan(AT_50, [], FORGETFUL)
    assert (without.reread, without.forgotten, without.exact) == (30, 120, False)
    begun = Plan(AT_50, [], FORGETFUL, snapshot(dict.fromkeys(PLACES, 44)))
    assert (begun.reread, begun.forgotten, begun.exact) == (18, 0, True)
    assert reading_starts(FORGETFUL, begun.snapshot.manifest.moment) == dict.fromkeys(PLACES, 44)


def test_what_kafka_forgot_after_the_snapshot_is_told() -> None:
    begun = Plan(AT_50, [], FORGETFUL, snapshot(dict.fromkeys(PLACES, 37)))
    assert (begun.reread, begun.forgotten, begun.exact) == (30, 9, False)
    assert _describe(begun)[-1].startswith("9 messages after it have expired: ")


def test_a_snapshot_of_another_generation_is_not_exact() -> None:
    begun = Plan(AT_50, [], FORGETFUL, snapshot(dict.fromkeys(PLACES, 50)), continues=False)
    assert not begun.exact


def test_a_topic_that_was_made_anew_is_read_from_its_first_message() -> None:
    ids = {"browse-events": "another", "transactions": "t"}
    starts = reading_starts(
        view(dict.fromkeys(PLACES, 3), ids=ids), snapshot(dict.fromkeys(PLACES, 44)).manifest.moment
    )
    assert starts == {("browse-events", 0): 3, ("browse-events", 1): 3, ("transactions", 0): 44}


def test_a_topic_that_ends_before_the_snapshot_is_read_from_its_first_message() -> None:
    short = KafkaView(dict.fromkeys(PLACES, 0), {PLACES[0]: 10, PLACES[1]: 60, PLACES[2]: 60}, IDS)
    starts = reading_starts(short, snapshot(dict.fromkeys(PLACES, 44)).manifest.moment)
    assert list(starts.values()) == [0, 44, 44]


def test_a_partition_and_an_import_without_offsets_begin_with_kafkas_first_message() -> None:
    new = view(dict.fromkeys([*PLACES, ("transactions", 1)], 2))
    assert reading_starts(new, snapshot(dict.fromkeys(PLACES, 44)).manifest.moment)["transactions", 1] == 2
    assert set(reading_starts(new, snapshot({}, {}).manifest.moment).values()) == {2}


@given(st.lists(st.integers(0, 100), min_size=12, max_size=12))
def test_reread_and_forgotten_are_all_that_came_since_the_snapshot(numbers: list[int]) -> None:
    """Each message between the snapshot's offset and the ledger's is read again or missed, and none of them twice."""
    begins, taken, reached = {}, {}, {}
    for index, place in enumerate(PLACES):
        low, middle, high, _ = sorted(numbers[4 * index : 4 * index + 4])
        taken[place], reached[place] = low, high
        begins[place] = middle if numbers[4 * index] % 2 else min(low, numbers[4 * index])
    planned = Plan(positions(reached), [], view(begins), snapshot(taken))
    assert planned.reread + planned.forgotten == sum(reached.values()) - sum(taken.values())
    assert planned.exact == all(begins[place] <= taken[place] for place in PLACES)


def test_it_says_what_it_begins_with_and_why_not_with_a_newer_one() -> None:
    skipped = [Skipped("s-2", "is newer than the ledger")]
    assert _describe(Plan(AT_50, [], FORGETFUL, snapshot(dict.fromkeys(PLACES, 44)), skipped)) == [
        "The snapshot s-2 is newer than the ledger.",
        "Profiles begin with the snapshot s-1: 12 customers as of 2026-11-27 02:41 UTC (batch 7).",
        "18 messages in Kafka since then are read again for the customers' profiles, and not scored again.",
    ]


def test_it_says_that_the_profiles_lose_the_snapshot_they_began_with() -> None:
    whole = view(dict.fromkeys(PLACES, 0))
    planned = Plan(AT_50, [], whole, forsaken="s-1", continues=False)
    assert not planned.exact
    assert "began with the snapshot s-1, which isn't used" in _describe(planned)[-1]
