"""The command that applies retention, as the Dag `apply_retention` and `./fraudctl retention` run it."""

from typing import Annotated

import typer

from fraudstream.errors import told_in_one_line
from fraudstream.retention.apply import apply
from fraudstream.settings import load_settings


def main(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would go")] = False,
) -> None:
    """Delete what is older than the settings say, and keep its sums.

    Examples:
      python -m fraudstream.retention --dry-run

      python -m fraudstream.retention
    """
    for retired in apply(load_settings(), dry_run=dry_run):
        typer.echo(f"{retired.table}: {retired.rows}{' would go' if dry_run else ''}")


if __name__ == "__main__":
    with told_in_one_line():
        typer.run(main)
