"""`fraudctl rebuild` and `fraudctl retry`: a person's decision when the stream refuses to go on."""

from collections.abc import Callable
from functools import partial

from fraudstream.ledger import gaps, rebuild
from fraudstream.ledger.rebuild import Plan, RebuildError
from fraudstream.messages.contracts import QUERY
from fraudstream.messages.mapping.sources import input_topics
from fraudstream.settings import Settings
from fraudstream.settings.kafka import Role
from fraudstream.snapshots.folders import Snapshot, newest_usable
from fraudstream.storage.connect import connect
from model.features.profile import PROFILE_LAYOUT


def run_rebuild(
    settings: Settings, *, yes: bool, accept_loss: bool, tell: Callable[[str], None], from_kafka: bool = False
) -> None:
    """Says what a rebuild would do, and does it with `yes`. Raises RebuildError for a loss that isn't accepted.

    `from_kafka`: without a snapshot.
    """
    find = partial(newest_usable, settings.paths.snapshots, PROFILE_LAYOUT, settings.shop.currency)
    with connect(settings, settings.postgres.writer, name="fraudctl rebuild", autocommit=True) as connection:
        view = gaps.look(settings.kafka.as_role(Role.READER), input_topics(settings))
        planned = rebuild.plan(connection, view, None if from_kafka else find)
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
    lines = [f"The snapshot {skipped}." for skipped in planned.skipped]
    if planned.snapshot:
        lines.append(_of_snapshot(planned.snapshot))
    if not planned.positions:
        return [*lines, f"The ledger is empty: all {planned.waiting} messages that Kafka holds are scored."]
    lines += [found.text for found in planned.breaks]
    since = " since then" if planned.snapshot else ""
    lines.append(
        f"{planned.reread} messages in Kafka{since} are read again for the customers' profiles, and not scored again."
    )
    if planned.forgotten:
        which = f"{planned.forgotten} messages after it" if planned.snapshot else f"{planned.forgotten} older ones"
        lines.append(
            f"{which} have expired: what customers did then is missing in their profiles, so "
            "that scores differ until they have bought again."
        )
    if planned.forsaken:
        lines.append(
            f"The profiles of now began with the snapshot {planned.forsaken}, which isn't used: what customers did "
            "before Kafka's first message is missing in the new ones."
        )
    return lines


def _of_snapshot(snapshot: Snapshot) -> str:
    manifest = snapshot.manifest
    return (
        f"Profiles begin with the snapshot {snapshot.name}: {manifest.customers} customers as of "
        f"{manifest.made_at:%Y-%m-%d %H:%M} UTC ({manifest.moment.made_by})."
    )
