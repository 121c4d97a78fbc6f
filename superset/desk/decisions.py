"""What analysts do: claim, decide, undo and note. Two people never decide one alert unaware of each other.

A claim is a row that only one person at a time can hold (a unique index), for 15 minutes. A verdict takes the claim
first, and names the revision that its analyst saw: whoever saw an older one is refused, and told who was quicker.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import text as _text
from sqlalchemy.engine import Connection

from desk.database import Row, row, rows
from fraudstream.failpoints import Failpoint, reach

#: Codes of a verdict's reason, with the words for each.
REASONS: dict[str, dict[str, str]] = {
    "fraud": {
        "not_given": "no reason given",
        "stolen_card": "stolen card",
        "account_takeover": "account taken over",
        "card_testing": "cards tried out",
        "reshipping": "shipped to a go-between",
        "promotion_abuse": "promotion abused",
        "ring": "one of a ring",
        "customer_denies": "customer says it wasn't them",
    },
    "honest": {
        "not_given": "no reason given",
        "known_customer": "known customer, as usual",
        "customer_confirms": "customer says it was them",
        "gift_or_move": "a gift, or a new address",
        "travel": "travelling",
        "shared_device": "family or office shares the device",
    },
    "unsure": {
        "not_given": "no reason given",
        "waiting_for_customer": "waiting for the customer",
        "second_opinion": "somebody else should look",
    },
}
NOTE_LENGTH = 2000

#: Joins `v`, the verdict that stands: the newest that wasn't taken back. Where all were, `stands` is false. `newest` is
#: the newest revision, taken back or not: what a form has to name.
STANDING_VERDICT = """
LEFT JOIN LATERAL (
    SELECT x.*, x.undone_at IS NULL AS stands, max(x.revision) OVER () AS newest
    FROM fraud.analyst_verdicts x WHERE x.transaction_id = {of}.transaction_id
    ORDER BY x.undone_at IS NOT NULL, x.revision DESC LIMIT 1
) v ON true
"""
#: Of a verdict `v`: no newer one stands.
NO_NEWER = """
NOT EXISTS (
    SELECT FROM fraud.analyst_verdicts newer
    WHERE newer.transaction_id = v.transaction_id AND newer.revision > v.revision AND newer.undone_at IS NULL
)
"""

_RELEASE_OLD = """
UPDATE fraud.alert_claims SET released_at = now()
WHERE transaction_id = :id AND released_at IS NULL AND (expires_at <= now() OR claimed_by = :taken_from)
"""
_EXTEND = """
UPDATE fraud.alert_claims SET expires_at = now() + interval '15 minutes'
WHERE transaction_id = :id AND released_at IS NULL AND claimed_by = :me AND expires_at > now() RETURNING claim_id
"""
_CLAIM = """
INSERT INTO fraud.alert_claims (transaction_id, claimed_by) VALUES (:id, :me)
ON CONFLICT (transaction_id) WHERE released_at IS NULL DO NOTHING RETURNING claim_id
"""
_HOLDER = """
SELECT claimed_by, claimed_at FROM fraud.alert_claims WHERE transaction_id = :id AND released_at IS NULL
"""
_RELEASE = """
UPDATE fraud.alert_claims SET released_at = now()
WHERE transaction_id = :id AND released_at IS NULL AND claimed_by = :me
"""
_KNOWN = "SELECT FROM fraud.scored_transactions WHERE transaction_id = :id"
_DECIDE = """
INSERT INTO fraud.analyst_verdicts (transaction_id, revision, verdict, reason_code, decided_by)
SELECT CAST(:id AS text), CAST(:seen AS int) + 1, :verdict, :reason, :me
WHERE CAST(:seen AS int) = (
    SELECT coalesce(max(revision), 0) FROM fraud.analyst_verdicts WHERE transaction_id = :id
)
ON CONFLICT (transaction_id, revision) DO NOTHING RETURNING verdict_id
"""
_NEWEST = """
SELECT verdict, decided_by, decided_at, undone_at FROM fraud.analyst_verdicts
WHERE transaction_id = :id ORDER BY revision DESC LIMIT 1
"""
_UNDO = f"""
UPDATE fraud.analyst_verdicts v SET undone_at = now()
WHERE v.verdict_id = :verdict_id AND v.decided_by = :me AND v.undone_at IS NULL AND v.published_at IS NULL
    AND v.publish_after > now() AND {NO_NEWER}
RETURNING v.transaction_id
"""  # noqa: S608 (constants)
_UNDOABLE = f"""
SELECT v.verdict_id, v.transaction_id, v.verdict, extract(epoch FROM v.publish_after - now())::int AS seconds
FROM fraud.analyst_verdicts v
WHERE v.decided_by = :me AND v.decided_at > now() - interval '1 minute' AND v.undone_at IS NULL
    AND v.published_at IS NULL AND v.publish_after > now() AND {NO_NEWER}
ORDER BY v.verdict_id DESC LIMIT 200
"""  # noqa: S608 (constants)
_NOTE = "INSERT INTO fraud.alert_notes (transaction_id, author, note) VALUES (:id, :me, :note)"


def clock(moment: datetime) -> str:
    """The time of day, UTC."""
    return f"{moment.astimezone(UTC):%H:%M}"


class RefusedError(Exception):
    """Somebody else was quicker, or it is too late; the message tells the analyst, in words."""


@dataclass(frozen=True)
class Judged:
    """A transaction as its analyst saw it: with so many verdicts before."""

    transaction_id: str
    seen: int

    @classmethod
    def parse(cls, item: str) -> "Judged":
        """Reads `REVISION:ID`, as a form sends it. Raises RefusedError."""
        revision, _, transaction_id = item.partition(":")
        if not (revision.isascii() and revision.isdecimal() and len(revision) < 9 and transaction_id):
            raise RefusedError("The page sent something that the desk doesn't understand: load it again.")
        return cls(transaction_id, int(revision))


def claim(connection: Connection, transaction_id: str, me: str, taken_from: str = "") -> None:
    """Claims a transaction, or claims it for longer; from `taken_from`, knowingly. Raises RefusedError."""
    if row(connection, _KNOWN, id=transaction_id) is None:
        raise RefusedError(f"There is no transaction {transaction_id}.")
    if row(connection, _EXTEND, id=transaction_id, me=me):
        return
    connection.execute(_text(_RELEASE_OLD), {"id": transaction_id, "taken_from": taken_from})
    if not row(connection, _CLAIM, id=transaction_id, me=me):
        holder = row(connection, _HOLDER, id=transaction_id)
        who = f"{holder['claimed_by']} claimed it at {clock(holder['claimed_at'])}" if holder else "somebody has it"
        raise RefusedError(f"{who}, and works on it. Ask them, or take it over from its page.")


def release(connection: Connection, transaction_id: str, me: str) -> None:
    """Gives a claim back; of one that isn't mine, nothing changes."""
    connection.execute(_text(_RELEASE), {"id": transaction_id, "me": me})


def decide(connection: Connection, judged: Judged, verdict: str, reason: str, me: str) -> int:
    """Stores a verdict, gives the claim back, and returns the verdict's id. Raises RefusedError: roll back then."""
    if reason not in REASONS.get(verdict, {}):
        raise RefusedError("The desk doesn't know this verdict or its reason: load the page again.")
    claim(connection, judged.transaction_id, me)
    values = {"seen": judged.seen, "verdict": verdict, "reason": reason, "me": me}
    stored = row(connection, _DECIDE, id=judged.transaction_id, **values)
    if stored is None:
        raise RefusedError(_overtaken(row(connection, _NEWEST, id=judged.transaction_id)))
    release(connection, judged.transaction_id, me)
    reach(Failpoint.BEFORE_VERDICT_COMMIT)
    return int(stored["verdict_id"])


def undo(connection: Connection, verdict_ids: Iterable[int], me: str) -> list[str]:
    """Takes back my own verdicts of the newest minute; returns their transactions. Raises RefusedError for none."""
    undone = [row(connection, _UNDO, verdict_id=verdict_id, me=me) for verdict_id in verdict_ids]
    found = [str(one["transaction_id"]) for one in undone if one]
    if not found:
        raise RefusedError("It is too late to undo this: the verdict was sent. Decide again, and the newest counts.")
    return found


def undoable(connection: Connection, me: str) -> list[Row]:
    """My verdicts that can be undone, each with the seconds that are left."""
    return rows(connection, _UNDOABLE, me=me)


def note(connection: Connection, transaction_id: str, text: str, me: str) -> None:
    """Keeps a note. Raises RefusedError for an empty one, or one that is too long."""
    words = text.strip().replace("\0", "")
    if not words:
        raise RefusedError("The note is empty.")
    if len(words) > NOTE_LENGTH:
        raise RefusedError(f"The note has {len(words):,} characters; {NOTE_LENGTH:,} are the most.")
    if row(connection, _KNOWN, id=transaction_id) is None:
        raise RefusedError(f"There is no transaction {transaction_id}.")
    connection.execute(_text(_NOTE), {"id": transaction_id, "note": words, "me": me})


def _overtaken(newest: Row | None) -> str:
    if newest is None:
        return "Nobody decided this yet: load the page again."
    undone = " and took it back" if newest["undone_at"] else ""
    return (
        f"{newest['decided_by']} decided {newest['verdict']} at {clock(newest['decided_at'])}{undone}, after this "
        "page was loaded. Look at it again; a new verdict replaces theirs."
    )
