"""The commands of `./fraudctl` that save the platform's data, and that get a stream going again."""

import getpass
from pathlib import Path
from typing import Annotated

import typer

from fraudstream.cli.shell import PASS_THROUGH, spark_python
from fraudstream.errors import UsageError
from fraudstream.settings import load_settings

app = typer.Typer()


@app.command()
def rebuild(
    yes: Annotated[bool, typer.Option("--yes", help="Do it; else only say what would be done.")] = False,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Go on without messages that Kafka no longer holds.")
    ] = False,
    from_kafka: Annotated[
        bool, typer.Option("--from-kafka", help="Make profiles of what Kafka holds alone, without a snapshot.")
    ] = False,
) -> None:
    """Start the stream's state anew: profiles from the newest snapshot and Kafka, scoring from where the ledger stands.

    For a lost or damaged checkpoint, a restored database, or topics that lost messages. Nothing is counted twice.

    Example: ./fraudctl rebuild --yes
    """
    from fraudstream.local.rebuild import run_rebuild

    run_rebuild(load_settings(), yes=yes, accept_loss=accept_loss, from_kafka=from_kafka, tell=typer.echo)


@app.command()
def retry() -> None:
    """Let the stream try a micro-batch again that it gave up since its drivers died of it.

    Example: ./fraudctl retry
    """
    from fraudstream.local.rebuild import run_retry

    run_retry(load_settings())
    typer.echo("The batch is tried again at the stream's next start, within a minute.")


@app.command()
def retention(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Delete rows and logs that are older than the settings say, in small steps, and keep their sums.

    The Dag apply_retention does it every hour.

    Example: ./fraudctl retention --dry-run
    """
    from fraudstream.retention.apply import apply

    for retired in apply(load_settings(), dry_run=dry_run):
        typer.echo(f"{retired.table}: {retired.rows}{' would go' if dry_run else ''}")


@app.command(context_settings=PASS_THROUGH)
def erase(context: typer.Context) -> None:
    """Erase a customer for good (GDPR, article 17), or show certificates. Arguments go to it (--help lists them).

    Example: ./fraudctl erase c-1042 --reason "request 2026-118, identity checked"
    """
    spark_python("-m", "fraudstream.erasure", *context.args)


@app.command()
def acknowledge(
    numbers: Annotated[list[int] | None, typer.Argument(help="Numbers of open differences; none: list them.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why they may stay, or how they were mended.")] = "",
    every: Annotated[bool, typer.Option("--all", help="All that are open.")] = False,
) -> None:
    """Close differences of the books, which stay open until then; without a number, list the open ones.

    A difference that grows or shrinks later is a new one.

    Examples:
      ./fraudctl acknowledge

      ./fraudctl acknowledge 12 13 --reason "rows deleted by hand on Monday, restored from the backup"

      ./fraudctl acknowledge --all --reason "the database was restored from the backup of 2026-11-23"
    """
    from fraudstream.ledger import differences
    from fraudstream.storage.connect import session

    settings = load_settings()
    with session(settings, settings.postgres.writer, name="fraudctl acknowledge") as connection:
        found = differences.open_differences(connection)
        chosen = [difference.difference_id for difference in found] if every else numbers or []
        if chosen:
            differences.acknowledge(connection, chosen, getpass.getuser(), reason)
            found = [difference for difference in found if difference.difference_id not in chosen]
    for difference in found:
        typer.echo(f"{difference.difference_id}  since {difference.found_at:%Y-%m-%d %H:%M}  {difference.text}")
    typer.echo(f"{len(chosen)} acknowledged, {len(found)} open")


@app.command()
def incidents(
    numbers: Annotated[list[int] | None, typer.Argument(help="Numbers that you look after; none: list them.")] = None,
) -> None:
    """List what is wrong now, as the Dag watch_platform found it, or say that you look after it.

    An incident closes by itself once its fault has passed.

    Examples:
      ./fraudctl incidents

      ./fraudctl incidents 7
    """
    from fraudstream.storage.connect import session
    from fraudstream.watch import incidents as kept

    settings = load_settings()
    with session(settings, settings.postgres.writer, name="fraudctl incidents") as connection:
        kept.acknowledge(connection, numbers or [], getpass.getuser())
        found = kept.open_incidents(connection)
    for incident in found:
        by = f", {incident.acknowledged_by} looks after it" if incident.acknowledged_by else ""
        since = f"{incident.opened_at:%Y-%m-%d %H:%M}"
        typer.echo(f"{incident.incident_id}  {incident.severity}  since {since}{by}  {incident}")
    typer.echo(f"{len(found)} open")


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="A new folder, which then holds customers' data.")],
) -> None:
    """Back up the schema `fraud` of PostgreSQL, models, snapshots of profiles, and the archive. The platform may run.

    Example: ./fraudctl backup /backups/2026-11-23
    """
    from fraudstream.local.backup import back_up

    back_up(load_settings(), folder, lambda line: typer.echo(f"backing up {line}"))
    typer.echo(f"The backup is in {folder}.")


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="What `backup` made.")],
    yes: Annotated[bool, typer.Option("--yes", help="Really replace what the database holds.")] = False,
) -> None:
    """Put a backup in the place of the schema `fraud` and of the archive. The platform must be down.

    The ledger is older then than Kafka and the checkpoint: after `up`, which says so, run `./fraudctl rebuild --yes`.

    Example: ./fraudctl down && ./fraudctl restore /backups/2026-11-23 --yes
    """
    from fraudstream.local.backup import run_restore
    from fraudstream.local.lock import exclusive

    settings = load_settings()
    if not yes:
        raise UsageError("restore replaces all tables of the schema fraud: say --yes if you mean it")
    with exclusive(settings, "restore"):
        run_restore(settings, folder, lambda line: typer.echo(f"restoring: {line}"))
    typer.echo("Restored. Next: ./fraudctl up; when the stream refuses to go on: ./fraudctl rebuild --yes.")
