"""A whole platform for benchmarks, in a folder and on ports of its own: servers, Airflow, Superset and the jobs."""

import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from benchmarks.measuring.stream import BenchmarkError, Stream
from fraudstream.local.down import down
from fraudstream.local.install.environments import RUNTIMES
from fraudstream.local.parts import airflow
from fraudstream.local.steps import Tell
from fraudstream.local.supervisor import Supervisor
from fraudstream.local.up import Up, prepare_machine
from fraudstream.settings import ENV_PREFIX, Settings
from testbed.isolation import isolated_settings


@contextmanager
def whole_platform(rate: float, customers: int) -> Iterator[Settings]:
    """A platform that scores what its simulated shop sends, with all its Dags at work; gone with the context.

    Environments must be there; jars are fetched. Raises FraudstreamError when it doesn't come up.
    """
    with _platform({"PRODUCER__EVENTS_PER_SECOND": str(rate), "PRODUCER__CUSTOMERS": str(customers)}, _nothing) as made:
        yield made


@contextmanager
def platform_without_shop(variables: Mapping[str, str], begin: Callable[[Settings], None]) -> Iterator[Settings]:
    """As `whole_platform`, to which the benchmark itself sends; with settings, by their names in the environment.

    `begin` fills it before the stream's first start.
    """
    with _platform({**variables, "PRODUCER__ENABLED": "false"}, begin) as settings:
        yield settings


@contextmanager
def _platform(variables: Mapping[str, str], begin: Callable[[Settings], None]) -> Iterator[Settings]:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM"))  # so that clean-ups run
    with isolated_settings({ENV_PREFIX + name: value for name, value in variables.items()}) as settings:
        if lacking := [name for name in RUNTIMES if not settings.paths.python(name).exists()]:
            raise BenchmarkError(f"the environments of {', '.join(lacking)} are missing: run ./fraudctl up first")
        try:
            _bring_up(settings, begin)
            yield settings
        finally:
            down(settings, print)


def _nothing(_: Settings) -> None:
    """Nothing is to be there before the stream's first start."""


def _bring_up(settings: Settings, begin: Callable[[Settings], None]) -> None:
    for line in prepare_machine(settings):
        print(line, flush=True)
    run = Up(settings)
    _take(run.postgres, run.kafka, run.connector, run.schema, run.static_data)
    begin(settings)
    _take(run.model, run.airflow, run.superset, run.dag_processor, run.dags, run.scored, run.dashboards)


def _take(*steps: Callable[[Tell], None]) -> None:
    for step in steps:
        print(f"{step.__name__} …", flush=True)
        step(lambda _: None)


def stop_airflow(settings: Settings) -> None:
    """Stops what would start an ended job again."""
    Supervisor(settings).stop(*(part.name for part in airflow.parts(settings)))


def stream_of(settings: Settings) -> Stream:
    """The platform's stream, of which a benchmark starts nothing itself."""
    return Stream(settings, ExitStack())
