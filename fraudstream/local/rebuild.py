"""`fraudctl rebuild` and `fraudctl retry`: a person's decision when the stream refuses to go on."""

from collections.abc import Callable

from fraudstream.ledger import gaps, rebuild
from fraudstream.ledger.rebuild import Plan, RebuildError
from fraudstream.messages.contracts import QUERY
from fraudstream.settings import Settings
from fraudstream.settings.kafka import Role
from fraudstream.storage.connect import connect


def run_rebuild(settings: Settings, *, yes: bool, accept_loss: bool, tell: Callable[[str], None]) -> None:
    """Says what a rebuild would do, and does it with `yes`. Raises RebuildError for a loss that isn't accepted."""
    with connect(settings, settings.postgres.writer, name="fraudctl rebuild", autocommit=True) as connection:
        planned = rebuild.plan(connection, gaps.look(settings.kafka.as_role(Role.READER)))
        for line in _describe(planned):
            tell(line)
        if planned.breaks and not accept_loss:
            raise RebuildError("messages are lost that were never read: say --accept-loss to go on without them")
        if not yes:
            raise RebuildError("nothing is changed yet: say --yes if you mean it")
        generation = rebuild.apply(connection, QUERY, planned)
    tell(f"The stream's next start, within a minute, makes its state anew (generation {generation}).")


def run_retry(settings: Settings) -> None:
    """Forgets that drivers died of the next batch."""
    with connect(settings, settings.postgres.writer, name="fraudctl retry", autocommit=True) as connection:
        rebuild.forget_crashes(connection, QUERY)


def _describe(planned: Plan) -> list[str]:
    if not planned.positions:
        return [f"The ledger is empty: all {planned.waiting} messages that Kafka holds are scored."]
    lines = [found.text for found in planned.breaks]
    lines.append(
        f"{planned.reread} messages in Kafka are read again for the customers' profiles, and not scored again."
    )
    if planned.forgotten:
        lines.append(
            f"{planned.forgotten} older ones have expired: what customers did then is missing in their profiles, so "
            "that scores differ until they have bought again."
        )
    return lines
