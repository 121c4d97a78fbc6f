"""Slices of a backlog, of any log: bounded, one after the other in time, and no partition waits for ever."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from fraudstream.messages.contracts import Topic
from model.durations import DAY_MS
from spark_jobs.bucket import Message
from spark_jobs.slices import FirstSlice, Slicer
from tests.unit.backlog import HORIZON_MS, Log

NOW_MS = HORIZON_MS - DAY_MS
TOPICS = (Topic.BROWSE_EVENTS, Topic.TRANSACTIONS)


def log_of(*partitions: list[int]) -> Log:
    """Partitions with messages of these times, ms after now: in turn of browse events and transactions."""
    places = [(TOPICS[n % 2].value, n // 2) for n in range(len(partitions))]
    return Log(
        {
            place: [Message(*place, offset, NOW_MS + at, b"", b"") for offset, at in enumerate(times)]
            for place, times in zip(places, partitions, strict=True)
        }
    )


def slices(log: Log, limit: int) -> list[list[Message]]:
    slicer, start, found = Slicer(lambda _: limit, log.appended_since), log.beginning, []
    while start != log.end:
        end = slicer.cut(start, log.end, HORIZON_MS)
        assert all(start[place] <= end[place] <= log.end[place] for place in log.partitions)
        found.append(log.read(start, end))
        assert found[-1], "a slice moves on"
        start = end
    return found


ordered = st.lists(st.integers(-3_600_000, 0), max_size=60).map(sorted)
crowded = st.lists(st.integers(-5, 0), max_size=60).map(sorted)
logs = st.lists(st.one_of(ordered, crowded), min_size=1, max_size=6)


@given(logs, st.integers(1, 100))
def test_slices_are_bounded_and_follow_each_other_in_time(partitions: list[list[int]], limit: int) -> None:
    found = slices(log_of(*partitions), limit)
    assert all(len(messages) <= limit for messages in found)
    for one, later in pairwise(found):
        assert max(message.ingest_ms for message in one) <= min(message.ingest_ms for message in later)


@given(logs, st.integers(1, 100))
def test_within_a_millisecond_browsing_comes_first(partitions: list[list[int]], limit: int) -> None:
    found = slices(log_of(*partitions), limit)
    browsed = {m.ingest_ms: number for number, of in enumerate(found) for m in of if m.topic == Topic.BROWSE_EVENTS}
    bought = [(m.ingest_ms, number) for number, of in enumerate(found) for m in of if m.topic == Topic.TRANSACTIONS]
    assert all(browsed.get(at, 0) <= number for at, number in bought)


def test_what_can_be_read_at_once_is_not_cut_and_costs_no_question() -> None:
    log = log_of([-500, -10], [-3])
    assert slices(log, 3) == [log.read(log.beginning, log.end)]
    assert log.asked == 0


def test_a_long_backlog_costs_few_questions() -> None:
    log = log_of(list(range(-3_600_000, 0, 200)), list(range(-3_600_000, 0, 2_000)))
    assert len(slices(log, 1_000)) < 25
    assert log.asked < 75


@given(st.lists(st.integers(-3_600_000, HORIZON_MS), max_size=60), ordered, st.integers(1, 100))
def test_a_clock_that_jumped_stops_no_partition(jumping: list[int], right: list[int], limit: int) -> None:
    """With a broker's time far ahead in between, or going back: all is read, in slices that are hardly larger."""
    found = slices(log_of(jumping, right), limit)
    assert sum(map(len, found)) == len(jumping) + len(right)
    assert all(len(messages) <= limit + 1 for messages in found)


def test_a_partition_behind_a_time_far_ahead_gets_its_share() -> None:
    """It would be read last, and in an overload that lasts, never."""
    far = [-3_000, 400 * DAY_MS, *range(-2_000, 0)]
    found = slices(log_of(far, list(range(-2_000, 0))), 400)
    of_far = [sum(message.topic == Topic.BROWSE_EVENTS for message in messages) for messages in found]
    assert min(of_far[1:-1]) > 100


def test_a_partition_that_is_ahead_of_the_others_waits_for_them() -> None:
    """As after a micro-batch that was cut by shares, by the release before this one."""
    log = log_of(list(range(-2_000, 0)), list(range(-2_000, 0)))
    slicer, (browsed, bought) = Slicer(lambda _: 400, log.appended_since), log.partitions
    end = slicer.cut({browsed: 100, bought: 700}, log.end, HORIZON_MS)
    assert end[bought] == 700
    assert 400 < end[browsed] <= 500


@given(logs, st.integers(1, 100))
def test_a_query_of_one_slice_reads_the_same_one_and_nothing_after_it(partitions: list[list[int]], limit: int) -> None:
    log = log_of(*partitions)
    new = {(TOPICS[0].value, 99): 0}
    cutter = FirstSlice(lambda _: limit, log.appended_since)
    assert cutter.cut(log.beginning, log.beginning, HORIZON_MS) == log.beginning, "it waits for a first message"
    end = cutter.cut(log.beginning, log.end, HORIZON_MS)
    assert end == Slicer(lambda _: limit, log.appended_since).cut(log.beginning, log.end, HORIZON_MS)
    if end != log.beginning:
        assert cutter.cut(end, log.end, HORIZON_MS) == end
        assert cutter.cut(end | new, log.end | new, HORIZON_MS) == end | new
