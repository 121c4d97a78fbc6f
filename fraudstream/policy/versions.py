"""Policy versions in Postgres: saved, approved, read. A version never changes but for its approval."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from fraudstream.failpoints import Failpoint, reach
from fraudstream.policy import audit
from fraudstream.policy.document import Policy, decode, encode
from fraudstream.policy.errors import ChangedMeanwhileError, PolicyError
from fraudstream.storage.connect import Postgres

_COLUMNS = "policy_version, created_at, author, approver, approved_at, comment, rolled_back_to, document"
_INSERT = """
INSERT INTO fraud.policy_versions (policy_version, author, approved_at, comment, rolled_back_to, document)
VALUES (%(version)s, %(author)s, CASE WHEN %(approved)s THEN now() END, %(comment)s, %(back_to)s, %(document)s)
"""
_AUTHORS = """
SELECT DISTINCT ON (rule ->> 'name') rule ->> 'name', author
FROM fraud.policy_versions, jsonb_array_elements(document -> 'rules') AS rule
ORDER BY rule ->> 'name', policy_version
"""


@dataclass(frozen=True)
class PolicyVersion:
    """A row of fraud.policy_versions. Version 0 is the default policy, which no row says."""

    version: int
    created_at: datetime | None
    author: str
    approver: str | None
    approved_at: datetime | None
    comment: str
    rolled_back_to: int | None
    policy: Policy

    @property
    def is_approved(self) -> bool:
        """True for one that is, was or may be at work."""
        return self.version == 0 or self.approved_at is not None


_DEFAULT = PolicyVersion(0, None, "", None, None, "the default: the model's threshold decides", None, Policy())


def newest(connection: Postgres) -> PolicyVersion:
    """The newest version, approved or not: what the next change is made from."""
    return _one(connection, "ORDER BY policy_version DESC LIMIT 1") or _DEFAULT


def at_work(connection: Postgres) -> PolicyVersion:
    """The newest approved version."""
    return _one(connection, "WHERE approved_at IS NOT NULL ORDER BY policy_version DESC LIMIT 1") or _DEFAULT


def newest_readable(connection: Postgres, below: int) -> PolicyVersion | None:
    """The newest approved version before `below` that can be read; None when none of the last 20 can."""
    query = (
        "SELECT policy_version FROM fraud.policy_versions WHERE approved_at IS NOT NULL AND policy_version < %s "
        "ORDER BY policy_version DESC LIMIT 20"
    )
    for (number,) in connection.execute(query, (below,)).fetchall():
        with suppress(PolicyError):
            return version(connection, number)
    return None


def version(connection: Postgres, number: int) -> PolicyVersion:
    """Version `number`. Raises PolicyError when there is none."""
    if number == 0:
        return _DEFAULT
    if found := _one(connection, "WHERE policy_version = %s", number):
        return found
    raise PolicyError(f"there is no policy version {number}; the newest is {newest(connection).version}")


def history(connection: Postgres, limit: int = 20) -> list[PolicyVersion]:
    """The newest versions, the newest first."""
    query = f"SELECT {_COLUMNS} FROM fraud.policy_versions ORDER BY policy_version DESC LIMIT %s"  # noqa: S608 (constants)
    return [_read(row) for row in connection.execute(query, (limit,)).fetchall()]


def authors(connection: Postgres) -> dict[str, str]:
    """Who wrote each rule: the author of the first version that has one of its name."""
    return dict(connection.execute(_AUTHORS).fetchall())


def save(
    connection: Postgres, policy: Policy, *, author: str, comment: str, based_on: int, back_to: int | None = None
) -> PolicyVersion:
    """Saves `policy` as the version after `based_on`, which must be the newest.

    It is at work at once when the policy at work asks for no approval. Conditions aren't checked here
    (`fraudstream.policy.changes`). Raises PolicyError; ChangedMeanwhileError when another version came first.
    """
    policy = decode(encode(policy))
    with connection.transaction():
        latest = newest(connection)
        if latest.version != based_on:
            raise _changed(latest.version, based_on)
        number = based_on + 1
        row = {
            "version": number,
            "author": author,
            "approved": at_work(connection).policy.approvals_needed == 0,
            "comment": comment,
            "back_to": back_to,
            "document": Jsonb(encode(policy)),
        }
        try:
            connection.execute(_INSERT, row)
        except UniqueViolation:
            raise _changed(number, based_on) from None
        reach(Failpoint.AFTER_POLICY_INSERT)
        before = None if latest.version == 0 else encode(latest.policy)
        audit.note(connection, author, "policy saved", f"policy {number}", before=before, after=encode(policy))
        reach(Failpoint.BEFORE_POLICY_COMMIT)
        return version(connection, number)


def approve(connection: Postgres, number: int, approver: str) -> PolicyVersion:
    """Puts a version that waits for approval to work. Raises PolicyError when `approver` may not, or it can't be."""
    with connection.transaction():
        waiting, working = version(connection, number), at_work(connection)
        if waiting.is_approved:
            raise PolicyError(f"policy version {number} is approved already")
        if number < working.version:
            raise PolicyError(f"policy version {number} is older than {working.version}, which is at work: roll back")
        if made := _made_by(connection, approver, working.version, number):
            raise PolicyError(f"{approver} made policy version {made}: another person has to approve it")
        done = connection.execute(
            "UPDATE fraud.policy_versions SET approver = %s, approved_at = now() "
            "WHERE policy_version = %s AND approved_at IS NULL",
            (approver, number),
        )
        if done.rowcount != 1:
            raise PolicyError(f"policy version {number} is approved already")
        reach(Failpoint.IN_POLICY_APPROVAL)
        audit.note(
            connection,
            approver,
            "policy approved",
            f"policy {number}",
            before={"at_work": working.version},
            after={"at_work": number},
        )
        return version(connection, number)


def roll_back(connection: Postgres, number: int, *, author: str, comment: str) -> PolicyVersion:
    """Saves the document of version `number` again, as the newest version."""
    target, latest = version(connection, number), newest(connection)
    said = comment or f"back to version {number}"
    return save(connection, target.policy, author=author, comment=said, based_on=latest.version, back_to=number)


def _made_by(connection: Postgres, author: str, at_work: int, number: int) -> int | None:
    """The newest version with changes by `author` that would be put to work with version `number`, if any.

    A change is made from the newest version, approved or not, and so has in it what waits.
    """
    query = (
        "SELECT max(policy_version) FROM fraud.policy_versions WHERE author = %s AND policy_version BETWEEN %s AND %s"
    )
    row = connection.execute(query, (author, at_work + 1, number)).fetchone()
    return row[0] if row else None


def _one(connection: Postgres, which: str, *values: Any) -> PolicyVersion | None:
    row = connection.execute(f"SELECT {_COLUMNS} FROM fraud.policy_versions {which}", values).fetchone()  # noqa: S608 (constants)
    return _read(row) if row else None


def _read(row: tuple[Any, ...]) -> PolicyVersion:
    number, created_at, author, approver, approved_at, comment, back_to, document = row
    return PolicyVersion(number, created_at, author, approver, approved_at, comment, back_to, decode(document))


def _changed(found: int, based_on: int) -> ChangedMeanwhileError:
    return ChangedMeanwhileError(
        f"version {found} of the policy was saved meanwhile, and this change was made from {based_on}: "
        "look at it (./fraudctl policy diff), and make the change again"
    )
