"""`fraudctl container …`: what docker-compose.yaml calls. People call docker compose."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from fraudstream.errors import FraudstreamError
from fraudstream.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fraudstream.local.steps import Step

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="For docker-compose.yaml: run one part.")

#: Main class of each process of a standalone cluster.
SPARK_MAINS = {"master": "org.apache.spark.deploy.master.Master", "worker": "org.apache.spark.deploy.worker.Worker"}


class ContainerError(FraudstreamError):
    """A container was told to run what isn't there."""


@app.command("check-secrets")
def check_secrets() -> None:
    """Refuse secrets that are missing, examples or easy to guess, before anything starts with them."""
    from fraudstream.containers.secrets import GIVEN, check

    check(GIVEN)
    typer.echo("Every secret is set, long, random and different.")


@app.command()
def init() -> None:
    """Create roles, databases, topics, schema, static data and the first model. What is there stays."""
    from fraudstream.containers.steps import prepare

    _run_steps(prepare(_enter()))


@app.command("airflow-init")
def airflow_init() -> None:
    """Migrate Airflow's database, and add missing connections."""
    from fraudstream.local.parts import airflow

    airflow.prepare(_enter())
    typer.echo("Airflow's database is up to date.")


@app.command()
def run(name: Annotated[str, typer.Argument(help="A part, such as airflow-scheduler or superset.")]) -> None:
    """Become one of the platform's parts."""
    from fraudstream.local.parts import airflow, superset
    from fraudstream.local.parts.all import parts

    settings = _enter()
    part = {found.name: found for found in parts(settings)}.get(name)
    if part is None:
        raise ContainerError(f"no part {name!r}: choose one of {', '.join(sorted(airflow.PARTS))}, superset")
    if name == superset.NAME:
        superset.prepare(settings)
    else:
        airflow.configure(settings)
    if name == airflow.API_SERVER:
        airflow.write_passwords(settings)
    os.chdir(part.directory)
    os.execvpe(part.command[0], part.command, os.environ | part.environment)  # noqa: S606 - no shell is wanted


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def spark(context: typer.Context, part: Annotated[str, typer.Argument(help="master or worker.")]) -> None:
    """Become Spark's master or a worker, which know each other by a secret. Other arguments go to it."""
    from fraudstream.containers.secrets import spark_properties_file

    if part not in SPARK_MAINS:
        raise ContainerError(f"Spark has no part {part!r}: choose one of {', '.join(SPARK_MAINS)}")
    program = f"{os.environ['SPARK_HOME']}/bin/spark-class"
    properties = spark_properties_file(_enter())
    os.execv(program, [program, SPARK_MAINS[part], "--properties-file", str(properties), *context.args])  # noqa: S606 - no shell is wanted


@app.command()
def start() -> None:
    """Start the Dags that keep data flowing, and wait until scored transactions are on the dashboards."""
    from fraudstream.containers.steps import start as starting

    settings = _enter()
    _run_steps(starting(settings))
    typer.echo(f"Fraudstream is up: dashboards at {settings.superset_url}, Airflow at {settings.airflow_url}")


@app.command("stream-health")
def stream_health() -> None:
    """Exit with status 1 unless the streaming job works or waits for data."""
    from fraudstream.jobs.jobs import jobs
    from fraudstream.local.status import WORKING

    settings = load_settings()
    found = jobs(settings)["stream"].state(settings)
    typer.echo(f"{found.state} {found.problem}".rstrip())
    raise typer.Exit(0 if found.state in WORKING else 1)


def _enter() -> Settings:
    """The settings, with the container's secrets where the platform looks for them."""
    from fraudstream.containers import secrets

    settings = load_settings()
    secrets.install(settings, secrets.GIVEN)
    return settings


def _run_steps(steps: "Sequence[Step]") -> None:
    from rich.console import Console

    from fraudstream.local import steps as running

    with running.Display(Console()) as display:
        running.run(steps, display)
