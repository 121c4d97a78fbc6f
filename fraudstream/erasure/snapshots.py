"""Profile snapshots without the erased: files written anew, and a manifest that names them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from fraudstream.erasure.known import Erased
from fraudstream.failpoints import Failpoint, reach
from fraudstream.files import write_atomically
from fraudstream.snapshots.folders import Snapshot, newest_first, sha256_of
from fraudstream.snapshots.manifest import MANIFEST, PROFILES, Part, dump
from fraudstream.snapshots.writing import COMPRESSION, SCHEMA
from fraudstream.storage.connect import Postgres
from fraudstream.storage.salted import hash_of

_CONTROL = "SELECT control FROM fraud.erasures WHERE (salt, id_hash) = (%s, %s) ORDER BY erased_at DESC LIMIT 1"

#: Whether a customer of a snapshot is to go.
IsErased = Callable[[str, Snapshot], bool]


def erase(root: Path, connection: Postgres, erased: Erased, customers: set[str] | None = None) -> int:
    """Takes the erased out of all snapshots in `root`; how many profiles it were. `customers`: only these; None: all.

    A snapshot is at any time the old one or the new one: the manifest changes at once, and the old files go then.
    Raises SnapshotError or psycopg.Error.
    """

    def is_erased(customer: str, snapshot: Snapshot) -> bool:
        return (
            (customers is None or customer in customers)
            and erased.until(customer) is not None
            and not _passed(snapshot, _control_of(connection, erased, customer))
        )

    return sum(_erase(snapshot, is_erased) for snapshot in newest_first(root)) if erased else 0


def _passed(snapshot: Snapshot, control: dict[str, Any] | None) -> bool:
    """Whether the snapshot's profiles are from after the control message, at which the stream forgot the customer."""
    if control is None:
        return False
    place, offset = (str(control["topic"]), int(control["partition"])), int(control["offset"])
    return snapshot.manifest.moment.reached.get(place, 0) > offset


def _control_of(connection: Postgres, erased: Erased, customer: str) -> dict[str, Any] | None:
    for salt in erased.until_ms:
        if row := connection.execute(_CONTROL, (salt, hash_of(salt, customer))).fetchone():
            control: dict[str, Any] | None = row[0]
            return control
    return None


def _erase(snapshot: Snapshot, is_erased: IsErased) -> int:
    parts, gone = [], 0
    for part in snapshot.manifest.parts:
        made, fewer = _without(snapshot, part, is_erased)
        parts.append(made)
        gone += fewer
    if gone:
        reach(Failpoint.IN_ERASURE_SNAPSHOTS)
        manifest = snapshot.manifest
        new = msgspec.structs.replace(manifest, parts=tuple(parts), customers=manifest.customers - gone)
        write_atomically(snapshot.folder / MANIFEST, dump(new))
    named = {snapshot.folder / part.name for part in parts}
    for file in (snapshot.folder / PROFILES).iterdir():  # of a run that was killed, too
        if file not in named:
            file.unlink()
    return gone


def _without(snapshot: Snapshot, part: Part, is_erased: IsErased) -> tuple[Part, int]:
    """A part's new file, beside the old one; the part itself when there is nothing to erase."""
    file = snapshot.folder / part.name
    table = pq.read_table(file, schema=SCHEMA)
    keep = [not is_erased(name, snapshot) for name in table["customer_id"].to_pylist()]
    gone = len(keep) - sum(keep)
    if not gone:
        return part, 0
    number = int(file.stem.rpartition(".")[2]) + 1 if "." in file.stem else 1
    made = file.with_name(f"{file.name.partition('.')[0]}.{number}.parquet")
    pq.write_table(table.filter(pa.array(keep)), made, compression=COMPRESSION)
    name = str(made.relative_to(snapshot.folder))
    return Part(name=name, sha256=sha256_of(made), rows=len(keep) - gone, bytes=made.stat().st_size), gone
