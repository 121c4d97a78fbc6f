"""An erasure, step by step. A run that is killed leaves an open certificate, and the next one goes on with it.

1. The rows, and in the same transaction the time until when Kafka's messages are of the erased.
2. The control message, at which the stream forgets the profile. Once it has committed that, no micro-batch from before
   is under way, and the rows are looked for once more.
3. The archive, the snapshots, and histories in files.
4. The certificate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import psycopg

from fraudstream.erasure import archived, certificate, control, histories, known, record, rows, snapshots
from fraudstream.erasure.certificate import Certificate, ErasureError
from fraudstream.erasure.known import Erased
from fraudstream.failpoints import Failpoint, reach
from fraudstream.settings import Settings
from fraudstream.storage.connect import Postgres, PostgresUnavailableError, connect, first_line
from fraudstream.storage.salted import hash_of

#: A statement that looks through all dead letters and texts may take longer than a reader's may.
BEGINS_WITH = {"statement_timeout": "30min", "lock_timeout": "30s"}
_NAME = "erase customer"
_UNDER_HASH = """
SELECT erasure_id FROM fraud.erasures WHERE salt = %s AND id_hash = %s AND erased_at IS NOT NULL
ORDER BY erased_at DESC LIMIT 1
"""


@dataclass(frozen=True)
class Request:
    """Who is to be forgotten, why, and by whose decision."""

    customer: str
    reason: str
    requested_by: str
    approved_by: str

    def __post_init__(self) -> None:
        if not self.customer.strip():
            raise ErasureError("no customer id is given: name the customer to be erased")
        if not self.reason.strip():
            raise ErasureError("no reason is given: say --reason, such as the number of the customer's request")


def erase(settings: Settings, request: Request, wait_seconds: float) -> Certificate:
    """Erases a customer. Raises ErasureError, also when the stream hasn't forgotten the profile within the time.

    Raises ArchiveError, KafkaUnavailableError and PostgresUnavailableError, too: erase again then.
    """
    try:
        with connect(
            settings, settings.postgres.writer, name=_NAME, autocommit=True, begins_with=BEGINS_WITH
        ) as connection:
            return _erase(settings, connection, request, wait_seconds)
    except PostgresUnavailableError:
        raise
    except psycopg.Error as error:
        raise ErasureError(f"Postgres doesn't serve the erasure ({first_line(error)}): erase again") from error


def _erase(settings: Settings, connection: Postgres, request: Request, wait_seconds: float) -> Certificate:
    customer = request.customer
    open_one = certificate.begin(connection, customer, request.reason, request.requested_by, request.approved_by)
    _rows(connection, open_one, customer)
    record.write(settings, connection)
    reach(Failpoint.AFTER_ERASURE_ROWS)
    if open_one.control is None:
        sent = control.send(settings.kafka, customer)
        reach(Failpoint.AFTER_ERASURE_CONTROL)
        certificate.note_control(connection, open_one, sent)
    passed = control.wait(connection, open_one, wait_seconds)
    if passed:  # what a micro-batch brought that was under way
        _rows(connection, open_one, customer, again=True)
    certificate.note_counts(connection, open_one, _files(settings, connection, {customer}))
    record.write(settings, connection)
    if not passed:
        raise ErasureError(
            f"rows, archive and files of the customer are erased, but the stream hasn't read {_place(open_one)}, where "
            "it forgets the profile: see that it runs (./fraudctl status), and erase again"
        )
    reach(Failpoint.BEFORE_ERASURE_FINISH)
    certificate.finish(connection, open_one)
    record.write(settings, connection)
    return next(each for each in certificate.read(connection) if each.erasure_id == open_one.erasure_id)


def again(settings: Settings) -> dict[str, int]:
    """Erases whoever was erased before and came back, as with a restored database; what was found, by place.

    Nothing is found in a database that nobody restored. Raises as `erase` does.
    """
    with connect(
        settings, settings.postgres.writer, name=_NAME, autocommit=True, begins_with=BEGINS_WITH
    ) as connection:
        missing = record.bring_back(settings, connection)
        record.write(settings, connection)
        found = dict(_by_hash(connection)) if missing else {}
        return found | {place: count for place, count in _files(settings, connection, None).items() if count}


def _rows(connection: Postgres, open_one: Certificate, customer: str, *, again: bool = False) -> None:
    with connection.transaction():
        open_one.add(rows.erase(connection, open_one, customer))
        reach(Failpoint.IN_ERASURE_ROWS)
        if again:
            certificate.note_counts(connection, open_one, {})
        else:
            certificate.note_erased(connection, open_one)


def _by_hash(connection: Postgres) -> Mapping[str, int]:
    """Erases the rows of all whose hash is among the erased."""
    _, erased = known.newest(connection)
    counts: dict[str, int] = {}
    for customer in sorted(rows.found_by_hash(connection, erased)):
        with connection.transaction():
            [(erasure_id,)] = _certificate_of(connection, erased, customer)
            found = connection.execute(
                "SELECT fraud.erase_customer(%s, %s, %s)", (erasure_id, customer, rows.spellings(customer))
            ).fetchall()[0][0]
        for place, count in found.items():
            counts[place] = counts.get(place, 0) + count
    return counts


def _certificate_of(connection: Postgres, erased: Erased, customer: str) -> list[tuple[object, ...]]:
    for salt, hashes in erased.until_ms.items():
        if (id_hash := hash_of(salt, customer)) in hashes:
            return connection.execute(_UNDER_HASH, (salt, id_hash)).fetchall()
    raise ErasureError("a customer's hash is no longer among the erasures: erase again")


def _files(settings: Settings, connection: Postgres, customers: set[str] | None) -> dict[str, int]:
    """Takes the erased out of archive, snapshots and histories. `customers`: only these; None: all of the erased."""
    _, erased = known.newest(connection)
    if not erased:
        return {}

    def is_erased(customer: str, at: datetime | None) -> bool:
        until = erased.until(customer) if customers is None or customer in customers else None
        return until is not None and (at is None or at.timestamp() * 1000 <= until)

    counts = archived.erase(settings, connection, erased, customers)
    return counts | {
        "profile snapshots": snapshots.erase(settings.paths.snapshots, connection, erased, customers),
        "histories in files": histories.erase(settings, is_erased),
    }


def _place(open_one: Certificate) -> str:
    at = open_one.control or {}
    return f"{at.get('topic')}/{at.get('partition')} at offset {at.get('offset')}"
