"""The stack, built and brought up once for `fraudctl test compose`; its log is kept."""

import os
from collections.abc import Iterator

import pytest

from fraudstream.containers import secrets
from fraudstream.settings import ENV_PREFIX, Settings, load_settings
from testbed.isolation import free_port, isolated_settings
from tests.compose.engine import Stack, use_standins

LOG = "compose-test.log"
PORTS = ("AIRFLOW__PORT", "SUPERSET__PORT", "KAFKA__PORT", "POSTGRES__PORT")
CLUSTER = {"COMPOSE_PROFILES": "cluster", "AIRFLOW_CONN_SPARK_DEFAULT": "spark://spark-master:7077"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """How the stack is made."""
    parser.addoption("--standin", action="store_true", help="make and use deploy/standin's base images")
    parser.addoption("--cluster", action="store_true", help="the stream on the Spark master and two workers")


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack, up and scoring."""
    paths = load_settings().paths
    made = Stack(tmp_path_factory.mktemp("compose"), paths.logs / LOG)
    made.log.unlink(missing_ok=True)
    if request.config.getoption("--standin"):
        use_standins(paths.jars / "kafka", made.folder)
    ports = {ENV_PREFIX + name: free_port() for name in PORTS}
    made.prepare(ports, CLUSTER if request.config.getoption("--cluster") else {})
    try:
        made.build()
        made.up()
        yield made
    finally:
        made.down("--volumes")


@pytest.fixture(scope="session")
def platform(stack: Stack) -> Iterator[Settings]:
    """Settings with which this machine reaches the stack, as those of any other Kafka and PostgreSQL."""
    variables = stack.variables
    given = stack.folder / "given"
    given.mkdir(mode=0o700)
    for name in secrets.NAMES:
        (given / name).write_text(variables[secrets.variable(name)])
    with isolated_settings() as isolated:
        os.environ.update({name: value for name, value in variables.items() if name.startswith(ENV_PREFIX)})
        os.environ[f"{ENV_PREFIX}KAFKA__BOOTSTRAP_SERVERS"] = f"127.0.0.1:{variables[f'{ENV_PREFIX}KAFKA__PORT']}"
        os.environ[f"{ENV_PREFIX}POSTGRES__HOST"] = "127.0.0.1"
        settings = load_settings()
        assert settings.paths.var == isolated.paths.var
        secrets.install(settings, given)
        yield settings
