"""The platform's words to this Superset at run time: ports, connections and where its secrets lie.

`fraudstream.local.parts.superset.prepare` writes the file. Superset's environment has none of fraudstream's packages:
JSON is what both read. It holds no secret.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

#: The environment variable that names the file.
VARIABLE = "SUPERSET_RUNTIME_FILE"


@dataclass(frozen=True)
class Runtime:
    """The file's content."""

    host: str
    port: int
    """The address on which to listen."""
    metadata_uri: str
    """Superset's own database, without a password (libpq reads the pass file)."""
    charts_uri: str
    """The read-only connection that the charts use, without a password."""
    desk_uri: str
    """The desk's connection, which writes verdicts, claims and notes, without a password."""
    admin_username: str
    admin_password_file: str
    viewer_username: str
    viewer_password_file: str
    analyst_username: str
    analyst_password_file: str
    secret_key_file: str
    anonymous: bool
    """True when the dashboards may be viewed without signing in."""
    shop_currency: str
    """ISO 4217, for the charts' labels."""


def load() -> Runtime:
    """Reads the file that the environment names. Raises RuntimeError if it names none, TypeError on wrong keys."""
    path = os.environ.get(VARIABLE)
    if not path:
        raise RuntimeError(f"{VARIABLE} isn't set: start Superset with ./fraudctl up")
    return Runtime(**json.loads(Path(path).read_text()))


def secret(path: str) -> str:
    """The secret in the file at `path`."""
    return Path(path).read_text().strip()
