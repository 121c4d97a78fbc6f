"""The pace of micro-batches."""

import threading
import time

import pytest

from spark_jobs.pace import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Pace


def waited(pace: Pace) -> float:
    begun = time.monotonic()
    assert pace.take_turn()
    return time.monotonic() - begun


def test_a_micro_batch_begins_a_floor_after_the_one_before_that_took_less() -> None:
    pace = Pace(0.3, threading.Event())
    assert waited(pace) < 0.1
    pace.planned(messages=True, more=False)
    time.sleep(0.1)
    assert 0.15 < waited(pace) < 0.3


def test_a_micro_batch_that_took_longer_is_followed_at_once() -> None:
    pace = Pace(0.1, threading.Event())
    pace.planned(messages=True, more=False)
    time.sleep(0.12)
    assert waited(pace) < 0.05


def test_a_backlog_waits_for_no_floor() -> None:
    pace = Pace(10, threading.Event())
    pace.planned(messages=True, more=True)
    assert waited(pace) < 0.1


def test_while_nothing_comes_kafka_is_asked_ever_less_often() -> None:
    pace = Pace(0, threading.Event())
    pauses = []
    for _ in range(7):
        pace.planned(messages=False, more=False)
        assert pace.is_idle
        pauses.append(waited(pace))
    assert pauses[0] == pytest.approx(FIRST_PAUSE_SECONDS, abs=0.05)
    assert pauses[-1] == pytest.approx(LONGEST_PAUSE_SECONDS, abs=0.05)
    pace.planned(messages=True, more=False)
    assert not pace.is_idle
    assert waited(pace) < 0.05


def test_a_stop_ends_the_waiting_and_what_follows() -> None:
    stop = threading.Event()
    pace = Pace(10, stop)
    pace.planned(messages=True, more=False)
    threading.Timer(0.05, stop.set).start()
    begun = time.monotonic()
    assert not pace.take_turn()
    assert time.monotonic() - begun < 5
    assert not pace.take_turn()
