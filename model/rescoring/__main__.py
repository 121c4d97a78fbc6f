"""The command that scores a period again, as the Dag `rescore_history` runs it: `python -m model.rescoring`."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from fraudstream import failpoints
from fraudstream.archive.reading import Period
from fraudstream.errors import told_in_one_line
from fraudstream.failpoints import Failpoint, reach
from fraudstream.messages.contracts import TYPED_TIME_FORMATS
from fraudstream.policy import lists, versions
from fraudstream.policy.past_decisions import PastPolicy, compiled
from fraudstream.settings import Settings, load_settings
from fraudstream.storage.connect import Postgres, session
from model.policy.columns import COLUMNS
from model.policy.past import entries
from model.rescoring.keeping import Asked, keep
from model.rescoring.rescore import Rescorer
from model.rescoring.sums import Rescoring
from model.serving.registry import ModelVersion, RegistryError, champion, find
from model.serving.scorer import Scorer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
_NAME = "rescoring"


@app.command()
def main(
    since: Annotated[datetime, typer.Option(formats=TYPED_TIME_FORMATS, help="first event time, UTC")],
    until: Annotated[datetime, typer.Option(formats=TYPED_TIME_FORMATS, help="end of the event times, UTC")],
    request: Annotated[str, typer.Option(help="what asks for it; a repeat replaces the outcome")],
    model: Annotated[str, typer.Option(help="a registered version; empty: the champion")] = "",
    policy: Annotated[
        int | None, typer.Option(min=0, help="a policy version; none: the model's threshold alone decides")
    ] = None,
) -> None:
    """Score a period again, decide by a policy version, keep what would have been decided, and print sums as JSON.

    Example:
      python -m model.rescoring --since 2026-01-01 --until 2026-01-08 --policy 12 --request by-hand
    """
    with told_in_one_line():
        settings = load_settings()
        failpoints.arm(settings.stream.failpoints)
        period, known_at = Period(since.replace(tzinfo=UTC), until.replace(tzinfo=UTC)), datetime.now(UTC)
        with session(settings, settings.postgres.reader, name=_NAME) as connection:
            scorer = Scorer.load(_model(connection, model).artifact)
            past_policy = None if policy is None else _policy(connection, policy)
        made = Rescorer(scorer, past_policy, known_at).rescore(settings, period)
        asked = Asked(scorer.version, policy, scorer.threshold, period, known_at, request)
        typer.echo(json.dumps({"rescoring": _kept(settings, made, asked)} | _told(made)))


def _kept(settings: Settings, made: Rescoring, asked: Asked) -> int:
    with session(settings, settings.postgres.writer, name=_NAME) as connection, connection.transaction():
        number = keep(connection, made, asked)
    reach(Failpoint.AFTER_RESCORING_COMMIT)
    return number


def _told(made: Rescoring) -> dict[str, object]:
    return {"left_out": made.left_out, "failed_rules": made.failures} | vars(made.total)


def _model(connection: Postgres, version: str) -> ModelVersion:
    found = find(connection, version) if version else champion(connection)
    if found is None:
        raise RegistryError("there is no champion: give --model, or run ./fraudctl up, which registers one")
    return found


def _policy(connection: Postgres, number: int) -> PastPolicy:
    """The version with the entries of its lists. Raises PolicyError."""
    found = compiled(versions.version(connection, number), COLUMNS, lists.kinds(connection))
    return found.with_entries(entries(connection, found.lists))


if __name__ == "__main__":
    app()
