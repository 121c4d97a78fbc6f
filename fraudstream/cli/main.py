"""The command line, `./fraudctl`. Commands only parse, call and print; each imports what it needs when it runs."""

import sys
import traceback
from types import TracebackType

import typer

from fraudstream.cli import checks, containers, decisions, models, platform, recovery
from fraudstream.errors import FraudstreamError, tell
from fraudstream.settings import load_settings

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Runs Fraudstream here: Kafka, PostgreSQL, Airflow, Spark and Superset. Start with `./fraudctl up`.",
)
for group in (platform, models, decisions, checks, recovery):
    app.add_typer(group.app)
app.add_typer(containers.app, name="container", hidden=True)


def main() -> None:
    """The entry point: a failure is one line and exit status 1; a defect of ours leaves its traceback in a log."""
    sys.excepthook = _report
    # Not app(): Typer would put its own hook in the place of ours.
    typer.main.get_command(app)(prog_name="fraudctl")


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, FraudstreamError):
        tell(error)
        return
    log = load_settings().paths.logs / "fraudctl.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        traceback.print_exception(kind, error, trace, file=file)
    tell(FraudstreamError(f"unexpected {kind.__name__}: {error}; the traceback is in {log}"))
