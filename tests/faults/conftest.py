"""One arena for the whole suite, and the options of its long form.

./fraudctl test faults --long --kills 200 --events 1000000 --seed 7 --record faults.json
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.arena import Arena, arena

Config = pytest.Config
RECOVERIES = pytest.StashKey[dict[str, float]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults", "the long form of the suite of faults")
    group.addoption("--long", action="store_true", help="also random kills, for an hour, and longer faults")
    group.addoption("--kills", type=int, default=200, help="with --long: random kills (200)")
    group.addoption("--events", type=int, default=1_000_000, help="with --long: messages that they must hit, at least")
    group.addoption("--seed", type=int, default=7, help="of the shop, and of what is killed when (7)")
    group.addoption(
        "--rate", type=float, default=400.0, help="with --long: messages a second that the shop sends (400)"
    )
    group.addoption("--record", type=Path, default=Path("faults.json"), help="with --long: JSON file with the results")


def pytest_configure(config: Config) -> None:
    config.addinivalue_line("markers", "long: takes long, and runs with --long only")


def pytest_collection_modifyitems(config: Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="the long form: --long"))


@pytest.fixture(scope="session")
def seed(pytestconfig: Config) -> int:
    return int(pytestconfig.getoption("--seed"))


@pytest.fixture(scope="session")
def long_form(pytestconfig: Config) -> bool:
    return bool(pytestconfig.getoption("--long"))


@pytest.fixture(scope="session")
def _arena(mapped_classes: None, seed: int, pytestconfig: Config) -> Iterator[Arena]:
    with arena(seed=seed) as made:
        pytestconfig.stash[RECOVERIES] = made.recoveries
        made.stream.start()
        yield made


@pytest.fixture
def stage(_arena: Arena) -> Arena:
    """An arena in which job and shop run; what a fault breaks recovers by itself before the next one."""
    if not _arena.shop.started:
        _arena.shop.start()
    _arena.until(lambda: _arena.read() > 0, "the first micro-batch")
    return _arena


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: Config) -> None:
    recoveries = config.stash.get(RECOVERIES, {})
    if recoveries:
        terminalreporter.section("seconds from a fault to the next scored commit")
        for fault, seconds in recoveries.items():
            terminalreporter.line(f"{seconds:6.1f}  {fault}")
