"""`kill -9` of each process, a second driver, a locked table: the stream scores again without a person's help."""

import os
import random
import signal
import subprocess
import sys
import time

import psycopg
import pytest

from fraudstream.settings import PROJECT_DIR
from tests.faults.arena import STREAM, Arena
from tests.faults.invariants import assert_all_hold
from tests.faults.targets import TARGETS, kill, kill_at_random
from tests.polling import poll


@pytest.mark.parametrize("target", TARGETS)
def test_a_killed_process_is_recovered_from(stage: Arena, target: str, seed: int) -> None:
    moment = kill_at_random(stage, target, random.Random(f"{seed} {target}"))
    stage.record(f"kill -9 of {target}", stage.recover(moment))
    assert_all_hold(stage.settings, stage.acknowledged())


def test_of_two_drivers_the_older_loses_and_names_the_newer(stage: Arena) -> None:
    """Somebody starts a driver by hand, past the lock that Airflow's has; the kept one then takes over again."""
    older = stage.stream.running
    assert older is not None
    epoch = stage.value("SELECT epoch FROM fraud.stream_queries")
    with (stage.settings.paths.logs / "second.log").open("ab") as log:
        second = subprocess.Popen(
            [sys.executable, "-m", *STREAM],
            cwd=PROJECT_DIR,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        ended = stage.until(lambda: [end for end in stage.stream.endings if end.identity == older], "the older's end")
        assert ended[0].how == "exit status 1"
        said = stage.stream.log()
        replaced = f"(epoch {epoch}), was replaced by "
        assert replaced in said
        assert f":{second.pid} (epoch {epoch + 1})" in said[said.rindex(replaced) :]
        # The kept job starts anew, and now the second one is the older.
        assert poll(lambda: second.poll() is not None, 180, "the second driver's end")
        assert second.returncode == 1
    finally:
        if second.poll() is None:
            os.killpg(second.pid, signal.SIGKILL)
    stage.record("second driver by hand", stage.recover(ended[0].at))
    assert_all_hold(stage.settings, stage.acknowledged())


def test_a_locked_table_is_waited_for(stage: Arena, long_form: bool) -> None:
    """A migration or a VACUUM FULL by hand: the batch waits, and nothing is restarted for less than a minute of it."""
    before = stage.stream.running
    with psycopg.connect(stage.settings.dsn(stage.settings.postgres.admin)) as other:
        other.execute("LOCK TABLE fraud.scored_transactions IN ACCESS EXCLUSIVE MODE")
        time.sleep(65 if long_form else 20)  # this long is the fault
        other.rollback()
    moment = time.time()
    stage.record("table locked, after its release", stage.recover(moment))
    assert stage.stream.running == before
    assert_all_hold(stage.settings, stage.acknowledged())


def test_all_that_was_acknowledged_is_stored_at_the_end(stage: Arena) -> None:
    kill(stage, "producer")
    stage.drain()
    found = assert_all_hold(stage.settings, stage.acknowledged(), drained=True)
    assert found.transactions >= len(stage.acknowledged()) > 100
