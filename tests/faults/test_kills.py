"""`kill -9` of each process, a second driver, a locked table: the stream scores again without a person's help."""

import os
import random
import time

import pytest

from fraudstream.failpoints import Failpoint
from fraudstream.local.rebuild import run_retry
from fraudstream.storage.connect import connect
from tests.faults import scenarios
from tests.faults.arena import Arena
from tests.faults.invariants import assert_all_hold
from tests.faults.targets import TARGETS, kill, kill_at_random


@pytest.mark.parametrize("target", TARGETS)
def test_a_killed_process_is_recovered_from(stage: Arena, target: str, seed: int) -> None:
    moment = kill_at_random(stage, target, random.Random(f"{seed} {target}"))
    stage.record(f"kill -9 of {target}", stage.recover(moment))
    assert_all_hold(stage.settings, stage.acknowledged())


@pytest.mark.long
def test_of_two_drivers_the_older_loses_and_names_the_newer(stage: Arena) -> None:
    scenarios.start_a_second_driver(stage)


def test_a_message_that_state_has_forgotten_is_not_scored_twice(stage: Arena) -> None:
    scenarios.repeat_a_forgotten_transaction(stage)


def test_a_checkpoint_of_another_time_is_refused_with_its_offsets(stage: Arena) -> None:
    scenarios.move_the_checkpoint_ahead(stage)


def test_a_locked_table_is_waited_for(stage: Arena, long_form: bool) -> None:
    """A migration or a VACUUM FULL by hand: the batch waits for longer than a heartbeat may take, and nothing ends."""
    stage.recover(time.time())
    before = stage.stream.running
    with connect(stage.settings, stage.settings.postgres.admin) as other:
        other.execute("LOCK TABLE fraud.scored_transactions IN ACCESS EXCLUSIVE MODE")
        stage.until(lambda: "lock timeout" in stage.stream.problem, "the job to say what it waits for")
        if long_form:
            time.sleep(65)  # longer than a heartbeat may take
        other.rollback()
    stage.record("table locked, after its release", stage.recover(time.time()))
    assert stage.stream.running == before
    assert_all_hold(stage.settings, stage.acknowledged())


@pytest.mark.long
def test_a_batch_that_ends_driver_after_driver_is_given_up_until_a_person_says_so(stage: Arena) -> None:
    repeats = stage.settings.stream.max_batch_repeats
    ended = len(stage.stream.endings)
    stage.stream.arm(*[f"{Failpoint.AFTER_PLAN}=kill"] * (repeats + 1))
    kill(stage, "whole job")
    refused = f"exit status {os.EX_CONFIG}"
    stage.until(lambda: refused in [end.how for end in stage.stream.endings[ended:]], "a refusal", endings=99)
    assert f"was left unfinished by {repeats + 1} drivers" in stage.stream.log()
    run_retry(stage.settings)
    stage.record("batch given up, after a retry", stage.recover(time.time()))
    assert_all_hold(stage.settings, stage.acknowledged())


def test_all_that_was_acknowledged_is_stored_at_the_end(stage: Arena) -> None:
    stage.drain()
    found = assert_all_hold(stage.settings, stage.acknowledged(), drained=True)
    assert found.transactions >= len(stage.acknowledged()) > 100
