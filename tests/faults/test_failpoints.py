"""The job dies at every named point around its commit steps, and goes on by itself with nothing lost or repeated."""

from collections.abc import Sequence

import pytest

from fraudstream.failpoints import (
    IN_ARCHIVE,
    IN_ERASURE,
    IN_EXPORT,
    IN_IMPORT,
    IN_POLICY,
    IN_RESCORE,
    IN_VERDICTS,
    ON_WORKERS,
    Failpoint,
)
from tests.faults.arena import Arena
from tests.faults.invariants import assert_all_hold
from tests.faults.targets import kill

#: Passed once a start; the others at each micro-batch (or message), the third of which no start repeats.
AT_START = (Failpoint.BEFORE_FENCING, Failpoint.AFTER_FENCING)
ELSEWHERE = ON_WORKERS | IN_ARCHIVE | IN_RESCORE | IN_ERASURE | IN_IMPORT | IN_EXPORT | IN_VERDICTS | IN_POLICY
IN_BATCHES = tuple(name for name in Failpoint if name not in ELSEWHERE and name not in AT_START)
#: In the short form: a death inside Postgres' commit, after it, and inside Kafka's; each costs a start of the job.
KILLS = (Failpoint.BEFORE_COMMIT, Failpoint.AFTER_COMMIT, Failpoint.DURING_PUBLISH)


def die_at_each(stage: Arena, names: Sequence[Failpoint], action: str) -> None:
    """Lets one life of the job after the other end at a failpoint; each next life must score again by itself."""
    stage.stream.arm(*(f"{name}={action}@{1 if name in AT_START else 3}" for name in names))
    ended, said = len(stage.stream.endings), len(stage.stream.log())
    kill(stage, "whole job")
    for number, name in enumerate(names, start=1):
        stage.until(lambda due=ended + number: len(stage.stream.endings) > due, f"the end at {name}", endings=99)
        assert f"failpoint {name} fires" in stage.stream.log()[said:]
        ending = stage.stream.endings[ended + number]
        assert ending.how != "exit status 0"
        if name not in AT_START[:-1]:  # the next life ends while it starts
            stage.record(f"{action} at {name}", stage.recover(ending.at))
        assert_all_hold(stage.settings, stage.acknowledged())


def test_a_kill_at_any_step_is_recovered_from(stage: Arena, long_form: bool) -> None:
    die_at_each(stage, (*IN_BATCHES, *AT_START) if long_form else KILLS, "kill")


@pytest.mark.long
def test_an_error_at_any_step_is_recovered_from(stage: Arena) -> None:
    """An error takes another way out than a death does."""
    die_at_each(stage, (*IN_BATCHES, *AT_START), "error")


@pytest.mark.long
@pytest.mark.parametrize("action", ["kill", "error"])
def test_a_worker_that_dies_inside_state_or_scoring_is_recovered_from(stage: Arena, action: str) -> None:
    """Spark repeats the task: neither the state that was half updated counts, nor a score."""
    names = sorted(ON_WORKERS)
    # A worker passes a bucket a time in its state, and a batch a time in scoring.
    passings = {Failpoint.IN_STATE_UPDATE: 100, Failpoint.IN_SCORING: 3}
    stage.stream.arm(*(f"{name}={action}@{passings[name]}" for name in names))
    kill(stage, "whole job")
    for name in names:
        said = len(stage.stream.log())
        stage.until(lambda name=name, said=said: f"failpoint {name} fires" in stage.stream.log()[said:], f"{name}")
        moment = kill(stage, "whole job")  # its next workers would die there, too
    stage.record(f"{action} in the workers", stage.recover(moment))
    assert_all_hold(stage.settings, stage.acknowledged())
