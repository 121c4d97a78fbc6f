"""A whole platform for benchmarks, in a folder and on ports of its own: servers, Airflow, Superset and the jobs."""

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.measuring.stream import BenchmarkError, Stream
from fraudstream.local.down import down
from fraudstream.local.install.environments import RUNTIMES
from fraudstream.local.parts import airflow
from fraudstream.local.supervisor import Supervisor
from fraudstream.local.up import Up, prepare_machine
from fraudstream.settings import ENV_PREFIX, Settings
from testbed.isolation import isolated_settings


@contextmanager
def whole_platform(rate: float, customers: int) -> Iterator[Settings]:
    """A platform that scores what its simulated shop sends, with all its Dags at work; gone with the context.

    Environments must be there; jars are fetched. Raises FraudstreamError when it doesn't come up.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM"))  # so that clean-ups run
    shop = {"PRODUCER__EVENTS_PER_SECOND": str(rate), "PRODUCER__CUSTOMERS": str(customers)}
    with isolated_settings({ENV_PREFIX + name: value for name, value in shop.items()}) as settings:
        if lacking := [name for name in RUNTIMES if not settings.paths.python(name).exists()]:
            raise BenchmarkError(f"the environments of {', '.join(lacking)} are missing: run ./fraudctl up first")
        try:
            _bring_up(settings)
            yield settings
        finally:
            down(settings, print)


def _bring_up(settings: Settings) -> None:
    for line in prepare_machine(settings):
        print(line, flush=True)
    run = Up(settings)
    for step in (
        *(run.postgres, run.kafka, run.connector, run.schema, run.static_data, run.model),
        *(run.airflow, run.superset, run.dag_processor, run.dags, run.scored, run.dashboards),
    ):
        print(f"{step.__name__} …", flush=True)
        step(lambda _: None)


def stop_airflow(settings: Settings) -> None:
    """Stops what would start an ended job again."""
    Supervisor(settings).stop(*(part.name for part in airflow.parts(settings)))


def stream_of(settings: Settings) -> Stream:
    """The platform's stream, of which a benchmark starts nothing itself."""
    return Stream(settings, ExitStack())
