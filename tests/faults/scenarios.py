"""Faults that a test of the code and the proof of the suite share; each raises when a promise is broken."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

from fraudstream.failpoints import Failpoint
from fraudstream.messages.contracts import Topic, iso_milliseconds
from model.features.profile import MAX_RECENT
from tests.faults.arena import STREAM, WAIT_SECONDS, Arena
from tests.faults.invariants import assert_all_hold
from tests.faults.targets import kill
from tests.messages import as_bytes, transaction
from tests.polling import poll
from tests.streaming import Shop


def die_after_a_commit(stage: Arena) -> None:
    """Spark then runs the batch again that Postgres has."""
    stage.stream.arm(f"{Failpoint.AFTER_COMMIT}=kill@2")
    ended = len(stage.stream.endings)
    kill(stage, "whole job")
    stage.until(lambda: len(stage.stream.endings) > ended + 1, "the end after a commit")
    stage.record("kill after a commit", stage.recover(stage.stream.endings[ended + 1].at, endings=2))
    assert_all_hold(stage.settings, stage.acknowledged())


def start_a_second_driver(stage: Arena) -> None:
    """Somebody starts a driver by hand, past the lock that Airflow's has. The kept one then takes over again."""
    older = stage.stream.running
    assert older is not None
    epoch, said = stage.value("SELECT epoch FROM fraud.stream_queries"), len(stage.stream.log())
    environment = os.environ | stage.stream.launch.environment
    command = [sys.executable, "-m", *STREAM]
    with (stage.settings.paths.logs / "second.log").open("ab") as log:
        second = subprocess.Popen(
            command,
            cwd=stage.stream.launch.directory,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        poll(lambda: second.poll() is not None or not older.alive, WAIT_SECONDS, "the end of one of two drivers")
        assert not older.alive, "the newer driver ended, not the older"
        stage.until(lambda: any(end.identity == older for end in stage.stream.endings), "the older's exit status")
        ended = next(end for end in stage.stream.endings if end.identity == older)
        assert ended.how == "exit status 1"
        named = rf"\(epoch {epoch}\), was replaced by \S+:{second.pid} \(epoch {epoch + 1}\)"
        assert re.search(named, stage.stream.log()[said:]), "the older driver doesn't name the newer"
        # The kept job starts anew, and now the second driver is the older one.
        poll(lambda: second.poll() is not None, WAIT_SECONDS, "the second driver's end")
        assert second.returncode == 1
    finally:
        if second.poll() is None:
            os.killpg(second.pid, signal.SIGKILL)
            second.wait()
    stage.record("second driver by hand", stage.recover(ended.at))
    assert_all_hold(stage.settings, stage.acknowledged())


def repeat_a_forgotten_transaction(stage: Arena) -> None:
    """The same message again, after so many others that the customer's profile has forgotten it."""
    shop = Shop(stage.settings)
    name = f"again-{time.time_ns()}"
    fields = {"customer_id": name, "session_id": name, "event_time": iso_milliseconds(datetime.now(UTC))}
    first = as_bytes(transaction(transaction_id=name, **fields))
    shop.send(Topic.TRANSACTIONS, name.encode(), first)
    for number in range(2 * MAX_RECENT):
        value = as_bytes(transaction(transaction_id=f"{name}-{number}", **fields))
        shop.send(Topic.TRANSACTIONS, name.encode(), value)
    shop.flush()
    last = f"{name}-{2 * MAX_RECENT - 1}"
    stored = "SELECT count(*) FROM fraud.scored_transactions WHERE transaction_id = %s"
    stage.until(lambda: stage.value(stored, last), "what lies between a message and its repeat")
    duplicates = "SELECT sum(duplicates) FROM fraud.stream_offsets"
    shop.send(Topic.TRANSACTIONS, name.encode(), first)
    shop.send(Topic.TRANSACTIONS, name.encode(), as_bytes(transaction(transaction_id=f"{name}-end", **fields)))
    shop.flush()
    stage.until(lambda: stage.value(stored, f"{name}-end"), "what follows the repeat")
    assert_all_hold(stage.settings, stage.acknowledged())
    assert stage.value(duplicates) > 0


def move_the_checkpoint_ahead(stage: Arena) -> None:
    """A checkpoint of another time: its newest micro-batch claims messages that nobody has read."""
    stage.stream.stop()
    offsets = stage.checkpoint() / "offsets"
    newest = max((file for file in offsets.iterdir() if file.name.isdigit()), key=lambda file: int(file.name))
    right = newest.read_text()
    *head, by_topic = right.splitlines()
    moved = json.loads(by_topic)
    moved[Topic.BROWSE_EVENTS]["0"] += 5
    newest.with_name(f".{newest.name}.crc").unlink(missing_ok=True)
    newest.write_text("\n".join([*head, json.dumps(moved)]))
    said, ended = len(stage.stream.log()), len(stage.stream.endings)
    stage.stream.start()
    try:
        stage.until(lambda: len(stage.stream.endings) > ended, "a refusal")
        refusal = rf"{Topic.BROWSE_EVENTS}/0 at offset \d+, but the ledger is at \d+"
        assert re.search(refusal, stage.stream.log()[said:]), "the refusal doesn't name partition and offsets"
    finally:
        stage.stream.stop()
        for later in offsets.iterdir():
            if later.name.isdigit() and int(later.name) > int(newest.name):
                later.unlink()
        newest.write_text(right)
        stage.stream.start()
    stage.recover(time.time())
    assert_all_hold(stage.settings, stage.acknowledged())
