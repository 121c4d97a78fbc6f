"""Steps: order, concurrency, and the end at the first failure."""

import io
import threading
import time

import pytest
from rich.console import Console

from fraudstream.local.steps import Display, Step, Tell, run


def show(steps: list[Step]) -> str:
    output = io.StringIO()
    with Display(Console(file=output, width=200)) as display:
        run(steps, display)
    return output.getvalue()


def test_a_step_waits_for_those_that_it_names() -> None:
    done: list[str] = []
    steps = [
        Step("last", lambda _: done.append("last"), after=("first", "second")),
        Step("second", lambda _: done.append("second"), after=("first",)),
        Step("first", lambda _: done.append("first")),
    ]
    show(steps)
    assert done == ["first", "second", "last"]


def test_independent_steps_run_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=60)

    def meet(_: object) -> None:
        meeting.wait()

    show([Step("a", meet), Step("b", meet)])


def test_a_failure_is_raised_and_nothing_after_it_runs() -> None:
    def fail(_: object) -> None:
        raise ValueError("broken")

    done: list[str] = []
    with pytest.raises(ValueError, match="broken"):
        show([Step("bad", fail), Step("next", lambda _: done.append("next"), after=("bad",))])
    assert done == []


def test_a_failure_does_not_wait_for_a_step_that_hangs() -> None:
    def fail(_: object) -> None:
        raise ValueError("broken")

    def hang(_: object) -> None:
        threading.Event().wait(60)

    began = time.monotonic()
    with pytest.raises(ValueError, match="broken"):
        show([Step("hangs", hang), Step("bad", fail)])
    assert time.monotonic() - began < 30


def test_each_step_shows_a_line_with_its_seconds_and_repeats_nothing() -> None:
    def wait(tell: Tell) -> None:
        for _ in range(3):
            tell("waiting")

    shown = show([Step("Kafka", wait)])
    assert shown.count("Kafka: waiting") == 1
    assert "✓ Kafka (0.0 s)" in shown
