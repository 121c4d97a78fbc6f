"""The long form: random kills of everything, over so many messages, with nothing lost, nothing twice, and a record.

./fraudctl test faults --long --kills 200 --events 1000000 --seed 7 --record faults.json
"""

import json
import os
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.faults.arena import Arena, arena
from tests.faults.invariants import Found, assert_all_hold, inspect
from tests.faults.targets import TARGETS, kill_at_random

#: Within this time transactions are scored again after 95 of 100 kills.
RECOVERY_P95_SECONDS = 60.0
#: So often all is checked meanwhile.
KILLS_A_CHECK = 25


@dataclass(frozen=True)
class Plan:
    """What the long form was asked for. `rate` is in messages per second."""

    kills: int
    events: int
    seed: int
    rate: float
    record: Path


@pytest.fixture(scope="module")
def plan(pytestconfig: pytest.Config) -> Plan:
    option = pytestconfig.getoption
    return Plan(option("--kills"), option("--events"), option("--seed"), option("--rate"), option("--record"))


@pytest.fixture(scope="module")
def field(plan: Plan) -> Iterator[Arena]:
    """An arena of its own, faster than the short form's."""
    with arena(rate=plan.rate, seed=plan.seed) as made:
        made.stream.start()
        made.shop.start()
        made.until(lambda: made.read() > 0, "the first micro-batch")
        yield made


@pytest.fixture
def tell(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Writes a line to the terminal at once, past pytest's capture."""
    capture, reporter = map(pytestconfig.pluginmanager.getplugin, ("capturemanager", "terminalreporter"))
    assert capture is not None and reporter is not None

    def write(line: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.write_line(line)
            reporter.flush()

    return write


@pytest.mark.long
def test_random_kills_lose_nothing_and_repeat_nothing(field: Arena, plan: Plan, tell: Callable[[str], None]) -> None:
    begun = time.time()
    seconds = kill_again_and_again(field, plan, tell)
    while (read := field.read()) < plan.events:
        tell(f"{read} of {plan.events} messages accounted for")
        time.sleep(min(30.0, 1 + (plan.events - read) / plan.rate))
    field.drain()
    found = inspect(field.settings, field.acknowledged(), drained=True)
    recorded = summary(plan, seconds, found, len(field.acknowledged()), time.time() - begun)
    plan.record.write_text(json.dumps(recorded, indent=2) + "\n")
    tell(f"{json.dumps(recorded, indent=2)}\nwritten to {plan.record}")
    assert not found.violations, "\n".join(found.violations)
    assert (found.lost, found.duplicates) == (0, 0)
    assert recorded["recovery_seconds"]["p95"] <= RECOVERY_P95_SECONDS


def kill_again_and_again(field: Arena, plan: Plan, tell: Callable[[str], None]) -> dict[str, list[float]]:
    """Kills one target after the other, each when the last one is recovered from. Returns the seconds by target."""
    chance = random.Random(plan.seed)
    seconds: dict[str, list[float]] = defaultdict(list)
    for number in range(1, plan.kills + 1):
        target = chance.choice([name for name, find in TARGETS.items() if find(field)])
        moment = kill_at_random(field, target, chance)
        seconds[target].append(field.recover(moment))
        checked = ""
        if number % KILLS_A_CHECK == 0:
            found = assert_all_hold(field.settings, field.acknowledged())
            checked = f"; checked {found.transactions} transactions: lost {found.lost}, duplicates {found.duplicates}"
        tell(
            f"kill {number} of {plan.kills}, {target}: scored again after {seconds[target][-1]:.1f} s; "
            f"{field.read()} messages accounted for{checked}"
        )
    return seconds


def summary(
    plan: Plan, seconds: dict[str, list[float]], found: Found, acknowledged: int, lasted: float
) -> dict[str, Any]:
    """The record, in plain values; times in seconds."""
    return {
        "seed": plan.seed,
        "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "lasted_seconds": round(lasted),
        "cores": os.cpu_count(),
        "messages": found.messages,
        "transactions": found.transactions,
        "acknowledged_transactions": acknowledged,
        "lost": found.lost,
        "duplicates": found.duplicates,
        "violations": found.violations,
        "kills": sum(map(len, seconds.values())),
        "recovery_seconds": percentiles([each for times in seconds.values() for each in times]),
        "by_target": {target: {"kills": len(times)} | percentiles(times) for target, times in sorted(seconds.items())},
    }


def percentiles(seconds: list[float]) -> dict[str, float]:
    names = {"p50": 50, "p95": 95, "p99": 99, "max": 100}
    return {name: round(float(np.percentile(seconds, share)), 1) for name, share in names.items()}
