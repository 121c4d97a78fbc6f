"""The rule for a stalled job, at both sides of its limits."""

import pytest

from fraudstream.jobs.heartbeat import Heartbeat, Patience, State, is_stalled

PATIENCE = Patience(starting=180, working=60)


@pytest.mark.parametrize("state", [None, State.STARTING])
def test_a_job_that_has_not_begun_has_the_time_of_a_start(state: State | None) -> None:
    heartbeat = Heartbeat(0, state) if state else None
    assert not is_stalled(heartbeat, 180, PATIENCE)
    assert is_stalled(heartbeat, 180.1, PATIENCE)


@pytest.mark.parametrize("state", [state for state in State if state is not State.STARTING])
def test_a_job_at_work_has_less(state: State) -> None:
    assert not is_stalled(Heartbeat(0, state), 60, PATIENCE)
    assert is_stalled(Heartbeat(0, state), 60.1, PATIENCE)
