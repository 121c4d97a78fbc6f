"""The whole platform, for the suites that need it: brought up once, by the README's command, and stopped at the end."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as examples

from fraudstream.settings import Settings, load_settings
from testbed import quick_spark
from testbed.isolation import free_port, isolated_settings
from tests.commands import fraudctl
from tests.hooks import taken_hooks
from tests.planted import planted_secrets

NOTIFY_URLS = "FRAUDSTREAM_NOTIFY__URLS"
SPARK_UI_PORT = "FRAUDSTREAM_STREAM__SPARK_UI_PORT"
#: A micro-batch costs much the same however small it is, at the default one follows the other on a machine that is
#: shared, and no test of the whole platform is about latency, nor about load: a third of the default's events, but as
#: many frauds.
QUIET_SHOP = {
    "FRAUDSTREAM_STREAM__TRIGGER_SECONDS": "3",
    "FRAUDSTREAM_PRODUCER__EVENTS_PER_SECOND": "50",
    "FRAUDSTREAM_PRODUCER__FRAUD_RATE": "0.03",
}
#: No test changes a Dag's file. At Airflow's default, all of them are parsed again every 30 s.
RARELY_PARSED = {"AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600"}
#: What the simulated shop did before is in no message, and would be in what tests count.
WITHOUT_A_PAST = {"FRAUDSTREAM_PRODUCER__PAST_DAYS": "0"}
# A busy machine is no failure.
examples.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
examples.load_profile("unhurried")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of tests that can be made longer."""
    parser.addoption("--fuzz-messages", type=int, default=4000, help="messages of tests/integration/test_fuzz.py")
    parser.addoption("--fuzz-seed", type=int, default=1, help="the same seed makes the same messages")


@pytest.fixture(scope="session")
def mapped_classes() -> Iterator[None]:
    """Spark's classes mapped, not loaded, by the drivers of tests and of the platform."""
    with pytest.MonkeyPatch.context() as patch, quick_spark.variables(load_settings()) as variables:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def platform(mapped_classes: None) -> Iterator[Settings]:
    """A running platform in a folder and on ports of its own; fails with what `up` and the logs say.

    Every secret setting is set, and Spark's UI is on, for tests/e2e/test_canary.py. What it tells people is taken.
    """
    secrets, others = planted_secrets(), RARELY_PARSED | QUIET_SHOP | WITHOUT_A_PAST
    others |= {SPARK_UI_PORT: str(free_port())}
    with taken_hooks() as hooks, ExitStack() as running:
        secrets[NOTIFY_URLS] = f"json://127.0.0.1:{hooks.server_port}/{secrets[NOTIFY_URLS]}"
        settings = running.enter_context(isolated_settings(secrets | others))
        try:
            fraudctl("up").check_returncode()
            yield settings
        except subprocess.CalledProcessError as error:
            for log in sorted(settings.paths.logs.glob("*.log")):
                sys.stderr.write(f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}\n")
            pytest.fail(f"{error}\n{error.stdout}\n{error.stderr}")
        finally:
            fraudctl("reset", "--yes").check_returncode()
