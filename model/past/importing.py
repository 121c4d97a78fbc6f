"""The import of a history: all or nothing, and a repeat changes nothing.

Profiles are written beside the platform's snapshots first, as a draft. Then one Postgres transaction takes in what
entity risk and the rollups need, names the snapshot, and lets the stream begin a new checkpoint with it. The stream's
commits wait only for the end of that.
"""

from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from fraudstream.erasure.known import Version, newest
from fraudstream.failpoints import Failpoint, reach
from fraudstream.files import delete
from fraudstream.ledger import figures, gaps, rebuild
from fraudstream.ledger.gaps import KafkaView
from fraudstream.ledger.rebuild import Plan
from fraudstream.messages.contracts import QUERY, utc_time
from fraudstream.messages.mapping.sources import input_topics
from fraudstream.settings import Settings
from fraudstream.settings.kafka import Role
from fraudstream.snapshots import writing
from fraudstream.snapshots.folders import DRAFT, Snapshot
from fraudstream.snapshots.manifest import MANIFEST, Moment
from fraudstream.static_data import entity_risk
from fraudstream.static_data.currencies import CurrencyRates, told_unpriced
from fraudstream.static_data.entities import newest_refresh
from fraudstream.storage.connect import Postgres, PostgresUnavailableError, connect, first_line
from model.features.profile import PROFILE_LAYOUT
from model.past import folder as folders
from model.past import store
from model.past.erased import refuse_newer, without_erased
from model.past.folder import PastError, Span
from model.past.profiles import Rules, write_profiles
from model.past.progress import console, shown
from model.past.rows import Rows, read_rows
from model.past.store import Note
from model.training.history import HistoryFolder

#: Snapshots of imports have names that begin so.
SNAPSHOT = "history-"
_NAME_DIGITS = 12  # of the fingerprint, in the snapshot's name
_LOCK = 0x5061_7374  # any number, the same everywhere
_EXCLUDE_COMMITS = "SELECT FROM fraud.stream_queries WHERE query = %s FOR UPDATE"


@dataclass(frozen=True)
class Options:
    """What a person allows an import to do."""

    processes: int = 1
    replace: bool = False  # the profiles of a stream that has read messages, or another past
    accept_loss: bool = False  # of messages that are in the profiles, and that Kafka no longer holds


@dataclass(frozen=True)
class Past:
    """A history that may be imported."""

    folder: HistoryFolder
    fingerprint: str
    span: Span
    rates: CurrencyRates
    now: datetime

    @property
    def now_ms(self) -> int:
        """When it is imported, in milliseconds since the epoch."""
        return round(self.now.timestamp() * 1000)

    @property
    def snapshot(self) -> str:
        """Name of the snapshot that becomes of it."""
        return f"{SNAPSHOT}{self.fingerprint[:_NAME_DIGITS]}"


def import_history(settings: Settings, path: Path, options: Options, fingerprint: str | None = None) -> bool:
    """Imports the history in `path`. Returns False when the platform has it already.

    `fingerprint` is that of the files before an erasure took rows out of them; None: they are as they came.

    Raises HistoryError or PastError for what can't be imported, CurrencyRatesError, SnapshotError, RebuildError,
    KafkaUnavailableError, or PostgresUnavailableError.
    """
    with console.status(f"looking at {path}"):
        past = look_at(settings, path, datetime.now(UTC))
        if fingerprint:
            past = replace(past, fingerprint=fingerprint)
    try:
        with _connected(settings) as connection:
            if is_imported(connection, past, options):
                _delete_interrupted(settings.paths.snapshots, connection)
                return False
            # Refused here, before minutes of work; and again when that is done.
            _plan(connection, gaps.look(settings.kafka.as_role(Role.READER), input_topics(settings)), options, None)
            if _delete_interrupted(settings.paths.snapshots, connection):
                console.print(
                    "an import was interrupted before it counted: nothing of it is left, this one begins anew"
                )
            with without_erased(settings.paths.mapped, past.folder, past.fingerprint, newest(connection)) as cleaned:
                _import(settings, connection, replace(past, folder=cleaned.folder), options, cleaned.version)
            if cleaned.rows:
                console.print(cleaned.told)
    except PostgresUnavailableError:
        raise
    except BrokenProcessPool as error:
        raise PastError(
            "a process that computed profiles was killed, perhaps for want of memory: nothing is changed; "
            "try fewer --processes"
        ) from error
    except OSError as error:
        raise PastError(f"the profiles can't be written: {error}; nothing is changed") from error
    except psycopg.Error as error:
        raise PastError(f"Postgres refuses the import ({first_line(error)}): nothing is changed") from error
    return True


def look_at(settings: Settings, path: Path, now: datetime) -> Past:
    """Looks at every file of a history. Raises HistoryError, PastError or CurrencyRatesError."""
    folder = HistoryFolder(path.resolve())
    span = folders.check(folder, round(now.timestamp() * 1000))
    fingerprint = folders.fingerprint(folder, PROFILE_LAYOUT, settings.shop.currency)
    return Past(folder, fingerprint, span, folder.rates(settings.shop), now)


def is_imported(connection: Postgres, past: Past, options: Options) -> bool:
    """True when the platform has this past. Raises PastError when another would be replaced, unless that is allowed."""
    known = store.imported(connection)
    if known and known.fingerprint == past.fingerprint:
        return True
    if known and not options.replace:
        raise PastError(
            f"{known.folder} was imported on {known.imported_at:%Y-%m-%d %H:%M} UTC, and a platform has one past: "
            "say --replace to put this one in its place"
        )
    read = figures.totals(connection).read
    if read and not options.replace:
        raise PastError(
            f"the stream has read {read} messages, and an import makes all profiles anew: say --replace if they may "
            "become those of this past and of what Kafka still holds"
        )
    return False


def _import(settings: Settings, connection: Postgres, past: Past, options: Options, erasures: Version) -> None:
    with writing.draft(settings.paths.snapshots, past.snapshot) as draft:
        with shown("profiles", "events", past.folder.events()) as show:
            rules = Rules.of(settings, past.rates, past.span.last_ms)
            write_profiles(draft, past.folder, rules, options.processes, show)
        reach(Failpoint.AFTER_IMPORT_PROFILES)
        with console.status("adding up transactions"):
            rows = read_rows(past.folder, past.rates, past.span.last_ms, past.now_ms, settings.shop.name)
        if rows.unpriced:
            console.print(told_unpriced(rows.unpriced, rows.different, settings.shop.currency))
        with console.status("writing to Postgres"):
            _commit(settings, connection, past, rows, draft, options, erasures)


def _commit(
    settings: Settings,
    connection: Postgres,
    past: Past,
    rows: Rows,
    draft: Path,
    options: Options,
    erasures: Version,
) -> None:
    root = settings.paths.snapshots
    try:
        with connection.transaction():
            replaced = store.imported(connection)
            store.forget_transactions(connection)
            store.insert_transactions(connection, rows.transactions, rows.labels)
            store.stage_rollups(connection, rows.windows)
            as_of_ms = newest_refresh(past.now_ms, settings.entity_risk.refresh_minutes)
            entity_risk.refresh(connection, utc_time(as_of_ms), settings.entity_risk.component_customers)
            view = gaps.look(settings.kafka.as_role(Role.READER), input_topics(settings))
            # Late, since a rebuild would take a snapshot whose import was killed for a sound one.
            snapshot = writing.seal(draft, root / past.snapshot, _moment(settings, past))
            connection.execute(_EXCLUDE_COMMITS, (QUERY,))
            is_imported(connection, past, options)  # the stream may have begun meanwhile
            refuse_newer(connection, erasures)
            if replaced:
                store.forget_rollups(connection, replaced)
            until = store.insert_rollups(connection, past.span.last_ms, past.now, replaced)
            store.note(connection, _note(past, rows, snapshot), until)
            rebuild.apply(connection, QUERY, _plan(connection, view, options, snapshot))
            reach(Failpoint.BEFORE_IMPORT_COMMIT)
    except BaseException:
        _delete_snapshot(root / past.snapshot)
        raise
    reach(Failpoint.AFTER_IMPORT_COMMIT)
    if replaced:
        _delete_snapshot(root / replaced.snapshot)


def _plan(connection: Postgres, view: KafkaView, options: Options, snapshot: Snapshot | None) -> Plan:
    """The checkpoint that begins with the snapshot. Raises PastError for a loss that isn't accepted."""
    planned = rebuild.plan(connection, view, lambda _: (snapshot, []))
    if not options.accept_loss and (planned.breaks or planned.forgotten):
        lost = planned.breaks[0].text if planned.breaks else f"{planned.forgotten} messages that the stream has read"
        told = lost if planned.breaks else f"{lost} have expired in Kafka, and would be missing in the new profiles"
        raise PastError(f"{told}: say --accept-loss to go on without them")
    return planned


def _moment(settings: Settings, past: Past) -> Moment:
    return Moment(
        layout=PROFILE_LAYOUT,
        made_by="history import",
        shop_currency=settings.shop.currency,
        clock_ms=past.span.last_ms,
    )


def _note(past: Past, rows: Rows, snapshot: Snapshot) -> Note:
    return Note(
        fingerprint=past.fingerprint,
        folder=str(past.folder.path),
        snapshot=snapshot.name,
        first_ms=past.span.first_ms,
        last_ms=past.span.last_ms,
        customers=snapshot.manifest.customers,
        browse_events=past.folder.events() - rows.read,
        transactions=rows.different,
        labels=rows.all_labels,
    )


def _delete_interrupted(root: Path, connection: Postgres) -> bool:
    """Deletes what an import left that was killed: a rebuild must not begin with it. Returns whether there was any.

    One that was killed before its commit left profiles that never counted; after it, those that it replaced.
    """
    known = store.imported(connection)
    found = [*root.glob(f"{DRAFT}{SNAPSHOT}*"), *root.glob(f"{SNAPSHOT}*")]
    left = [folder for folder in found if known is None or folder.name != known.snapshot]
    for folder in left:
        _delete_snapshot(folder)
    return bool(left)


def _delete_snapshot(folder: Path) -> None:
    (folder / MANIFEST).unlink(missing_ok=True)  # first, so that half of a snapshot never looks like a whole one
    if folder.exists():
        delete(folder)


@contextmanager
def _connected(settings: Settings) -> Iterator[Postgres]:
    """A connection that no other import has meanwhile. Raises PastError, and PostgresUnavailableError."""
    with connect(settings, settings.postgres.writer, name="history import", autocommit=True) as connection:
        ((free,),) = connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchall()
        if not free:
            raise PastError("another import is running: let it end, or end it, and try again")
        yield connection
