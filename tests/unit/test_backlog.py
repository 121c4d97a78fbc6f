"""A backlog scores as live: a recorded hour gives the same features wherever its micro-batches end.

Whatever the limit, with restarts, a repeated micro-batch, and a state that is made anew from the first message.
"""

from collections.abc import Iterable
from itertools import islice
from random import Random

import pytest

from fraudstream.kafka.offsets import Place
from spark_jobs.bucket_state import Kept, kept_in
from spark_jobs.change_log import encode_head
from tests.unit.backlog import (
    Cut,
    Log,
    State,
    by_time,
    fates,
    from_rows,
    micro_batches,
    recorded_hour,
    run_batch,
    spark_share,
)

LIMIT = 20_000


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    return recorded_hour(tmp_path_factory.mktemp("recording") / "history")


@pytest.fixture(scope="module")
def live(log: Log) -> tuple[State, dict[Place, str]]:
    """The hour, read about every six seconds."""
    return read(log, everything, plans(log, 600, Random(7)))


def plans(log: Log, number: int, random: Random) -> Iterable[dict[Place, int]]:
    """The partitions' ends at some moments, in their order."""
    moments = sorted(random.randint(*log.span_ms) for _ in range(number))
    return [log.visible_at(moment, random) for moment in moments]


def everything(_: dict[Place, int], end: dict[Place, int]) -> dict[Place, int]:
    """The cut of a micro-batch that isn't limited."""
    return end


def read(
    log: Log, cut: Cut, visible: Iterable[dict[Place, int]] = (), repeats: float = 0.0
) -> tuple[State, dict[Place, str]]:
    """The state in the end, and what became of each transaction. `repeats`: the share of repeated micro-batches."""
    state: State = {}
    found: dict[Place, str] = {}
    random = Random(3)
    for messages in micro_batches(log, cut, visible):
        before = state
        state, outcomes = run_batch(before, messages)
        if random.random() < repeats:
            again, repeated = run_batch(before, random.sample(messages, len(messages)))
            assert (again, fates(repeated)) == (state, fates(outcomes))
        found |= fates(outcomes)
    return state, found


def differing(one: dict[Place, str], other: dict[Place, str]) -> int:
    assert one.keys() == other.keys()
    return sum(one[place] != other[place] for place in one)


def profiles(state: State) -> dict[int, object]:
    """The buckets' customers, wherever their logs were put whole."""
    return {number: log.customers for number, log in state.items()}


def test_the_recording_is_one_that_could_show_a_difference(log: Log, live: tuple[State, dict[Place, str]]) -> None:
    """Cut by share, as Spark does by itself, many differ; and so it would show when nothing did."""
    assert sum(map(len, log.partitions.values())) >= 100_000
    _, found = read(log, spark_share(LIMIT))
    assert differing(found, live[1]) > len(found) * 0.03


def test_a_backlog_scores_as_live(log: Log, live: tuple[State, dict[Place, str]]) -> None:
    state, found = read(log, by_time(log, LIMIT), repeats=0.3)
    assert differing(found, live[1]) == 0
    assert profiles(state) == profiles(live[0])


def test_outages_and_restarts_at_any_moment_change_nothing(log: Log, live: tuple[State, dict[Place, str]]) -> None:
    """Live for a while, then nothing for minutes, then a backlog that is drained in slices of changing limits."""
    random = Random(11)

    def cut(start: dict[Place, int], end: dict[Place, int]) -> dict[Place, int]:
        return by_time(log, random.choice([300, 2_000, 9_000]))(start, end)

    _, found = read(log, cut, plans(log, 40, random), repeats=0.1)
    assert differing(found, live[1]) == 0


def test_a_snapshot_and_what_came_after_it_are_as_good_as_all(log: Log, live: tuple[State, dict[Place, str]]) -> None:
    """The state after a third of the hour, as a snapshot has it; and from there on a rebuild's slices."""
    state: State = {}
    reached = log.beginning
    for messages in islice(micro_batches(log, by_time(log, LIMIT), ()), 2):
        state, _ = run_batch(state, messages)
        reached |= {(message.topic, message.partition): message.offset + 1 for message in messages}
    assert log.beginning != reached != log.end
    state, found = from_rows(rows(state)), {}
    for messages in micro_batches(log, by_time(log, LIMIT // 3), (), reached):
        state, outcomes = run_batch(state, messages)
        found |= fates(outcomes)
    assert len(found) > 1_000
    assert differing(found, {place: live[1][place] for place in found}) == 0
    assert sorted(rows(state)) == sorted(rows(live[0])), "every profile, to the bit"


def rows(state: State) -> list[Kept]:
    """The state as rows of a snapshot."""
    return [row for log in state.values() for row in kept_in(encode_head(log.head), log.chunks)[1]]
