"""Whom the platform has forgotten: told by a salted hash of an id, so that no id has to be kept for it."""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from fraudstream.storage.connect import Postgres
from fraudstream.storage.salted import hash_of

#: Not a second one is read while this is the same.
_VERSION = "SELECT count(*), max(erased_at) FROM fraud.erasures WHERE erased_at IS NOT NULL"
_ALL = "SELECT salt, id_hash, max(erased_at) FROM fraud.erasures WHERE erased_at IS NOT NULL GROUP BY 1, 2"

#: Number of erasures, and when the newest was.
Version = tuple[int, datetime | None]


class Erased(msgspec.Struct, frozen=True):
    """The erased customers: by salt and hash, until when Kafka's messages are of the erased, ms since the epoch.

    A customer who comes back after that is a new one.
    """

    until_ms: dict[str, dict[str, int]] = {}

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str, datetime]]) -> "Erased":
        """From rows (salt, hash, time)."""
        by_salt: dict[str, dict[str, int]] = {}
        for salt, id_hash, erased_at in rows:
            by_salt.setdefault(salt, {})[id_hash] = int(erased_at.timestamp() * 1000)
        return cls(by_salt)

    def __bool__(self) -> bool:
        return bool(self.until_ms)

    def until(self, customer_id: str) -> int | None:
        """Until when the customer's messages are of the erased; None for one who wasn't."""
        found = (
            hashes.get(hash_of(salt, customer_id)) for salt, hashes in self.until_ms.items()
        )  # one salt, as a rule
        return max((until for until in found if until is not None), default=None)


NOBODY = Erased()


def newest(connection: Postgres, held: tuple[Version, Erased] | None = None) -> tuple[Version, Erased]:
    """The erased customers as they are now; `held`, the same object, when nothing changed. Raises psycopg.Error."""
    [version] = connection.execute(_VERSION).fetchall()
    if held and held[0] == version:
        return held
    return version, Erased.of(connection.execute(_ALL).fetchall())
