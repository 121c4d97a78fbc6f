"""The archive's commands, as the Dags `archive_transactions` and `apply_retention` run them."""

from typing import Annotated

import psycopg
import typer

from fraudstream import failpoints
from fraudstream.archive import archiving, upkeep
from fraudstream.archive.lake import ArchiveError
from fraudstream.errors import told_in_one_line
from fraudstream.settings import load_settings
from fraudstream.storage.connect import PostgresUnavailableError, first_line

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def append() -> None:
    """Archive what came since the last run. Exit status 1 when it differs from the ledger.

    Example:
      python -m fraudstream.archive append
    """
    settings = load_settings()
    failpoints.arm(settings.stream.failpoints)
    try:
        report = archiving.archive(settings)
    except PostgresUnavailableError:
        raise
    except psycopg.Error as error:
        raise ArchiveError(f"Postgres doesn't serve the archive ({first_line(error)}); the next run goes on") from error
    counts = ", ".join(f"{rows} {table}" for table, rows in report.appended.items())
    typer.echo(
        f"{counts} appended; batches compared up to {report.compared} further; {report.compacted_days} days compacted, "
        f"{report.deleted_files} replaced files deleted"
    )
    for difference in report.found:
        typer.echo(f"difference: {difference.text}")
    if report.found:
        raise ArchiveError(
            f"the archive differs from the ledger in {len(report.found)} places: ./fraudctl acknowledge lists them, "
            "and closes them with a reason"
        )


@app.command()
def retire(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would go")] = False,
) -> None:
    """Delete days that are older than the settings say.

    Example:
      python -m fraudstream.archive retire --dry-run
    """
    for table, rows in upkeep.retire(load_settings(), dry_run=dry_run):
        typer.echo(f"archive {table}: {rows}{' would go' if dry_run else ''}")


if __name__ == "__main__":
    with told_in_one_line():
        app()
