"""The record of all erasures outside of the database, by which a restored or emptied one erases again.

A file of JSON, `var/erasures.json`: the certificates with their hashes, and no id.
"""

import json
from typing import Any

from fraudstream.files import write_atomically
from fraudstream.settings import Settings
from fraudstream.storage.connect import Postgres

_COLUMNS = (
    *("erasure_id", "id_hash", "salt", "reason", "requested_by", "approved_by", "requested_at", "erased_at"),
    *("finished_at", "counts", "control"),
)
_ROWS = "SELECT to_jsonb(e) FROM fraud.erasures AS e WHERE erased_at IS NOT NULL ORDER BY requested_at"
_MISSING = f"""
INSERT INTO fraud.erasures ({", ".join(_COLUMNS)})
SELECT {", ".join(_COLUMNS)} FROM jsonb_populate_recordset(NULL::fraud.erasures, %s::jsonb)
ON CONFLICT (erasure_id) DO NOTHING
"""  # noqa: S608 (constants)


def write(settings: Settings, connection: Postgres) -> None:
    """Adds the database's erasures to the file. Raises psycopg.Error or OSError."""
    known = {row["erasure_id"]: row for row in _read(settings)}
    known |= {row["erasure_id"]: row for (row,) in connection.execute(_ROWS)}
    if known:  # with a file, `up` looks whom to erase again
        write_atomically(settings.paths.erasures, json.dumps(list(known.values()), indent=1) + "\n")


def bring_back(settings: Settings, connection: Postgres) -> int:
    """Adds the file's erasures to the database; how many it didn't have. Raises psycopg.Error."""
    return connection.execute(_MISSING, (json.dumps(_read(settings)),)).rowcount


def _read(settings: Settings) -> list[dict[str, Any]]:
    file = settings.paths.erasures
    rows: list[dict[str, Any]] = json.loads(file.read_text()) if file.is_file() else []
    return rows
