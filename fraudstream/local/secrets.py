"""Secrets, generated at the first run, one a file of mode 0600 under `var/secrets/`."""

import base64
import json
import os
import secrets
from collections.abc import Callable

from fraudstream.errors import FraudstreamError
from fraudstream.files import private_folder, write_atomically
from fraudstream.settings import Settings

PASSWORD_BYTES = 24
KEY_BYTES = 64


class SecretMissingError(FraudstreamError):
    """A secret was asked for before `ensure` had made it."""


def _password() -> str:
    return secrets.token_urlsafe(PASSWORD_BYTES)


def _key() -> str:
    return secrets.token_urlsafe(KEY_BYTES)


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


GENERATORS: dict[str, Callable[[], str]] = {
    "postgres_admin": _password,
    "fraud_writer": _password,
    "fraud_reader": _password,
    "fraud_charts": _password,
    "fraud_desk": _password,
    "airflow_db": _password,
    "superset_db": _password,
    "airflow_admin": _password,
    "superset_admin": _password,
    "airflow_fernet_key": _fernet_key,
    "airflow_jwt_secret": _key,
    "airflow_secret_key": _key,
    "superset_secret_key": _key,
}

#: The user who signs in to Airflow and Superset.
WEB_USER = "admin"


def ensure(settings: Settings) -> None:
    """Generates what is missing, and writes the pass file and the credentials file. Existing secrets stay."""
    folder = private_folder(settings.paths.secrets)
    for name, generate in GENERATORS.items():
        if not (folder / name).exists():
            write_atomically(folder / name, generate())
    write_pass_file(settings)
    write_atomically(settings.paths.credentials, _credentials(settings))


def read(settings: Settings, name: str) -> str:
    """One secret. Raises KeyError for an unknown name, SecretMissingError before the first `up`."""
    if name not in GENERATORS:
        raise KeyError(name)
    given = settings.postgres.admin_password.get_secret_value()
    if name == "postgres_admin" and given:
        return given
    try:
        return (settings.paths.secrets / name).read_text()
    except FileNotFoundError:
        raise SecretMissingError(f"no secret {name} in {settings.paths.secrets}: run ./fraudctl up") from None


def database_roles(settings: Settings) -> dict[str, str]:
    """The login roles of Postgres, each with the name of its secret."""
    pg = settings.postgres
    return {
        pg.admin: "postgres_admin",
        pg.writer: "fraud_writer",
        pg.reader: "fraud_reader",
        pg.charts: "fraud_charts",
        pg.desk: "fraud_desk",
        pg.airflow_database: "airflow_db",
        pg.superset_database: "superset_db",
    }


def write_pass_file(settings: Settings) -> None:
    """Writes libpq's pass file, for the roles whose passwords are here."""
    write_atomically(settings.paths.pgpass, _pass_file(settings))


def _pass_file(settings: Settings) -> str:
    """`host:port:database:user:password` a line, backslashes and colons escaped."""
    pg = settings.postgres
    lines = []
    for role, secret in database_roles(settings).items():
        if not (settings.paths.secrets / secret).exists():
            continue
        fields = (pg.address, str(pg.port), "*", role, read(settings, secret))
        escaped = (text.replace("\\", "\\\\").replace(":", "\\:") if text != "*" else text for text in fields)
        lines.append(":".join(escaped) + "\n")
    return "".join(lines)


def _credentials(settings: Settings) -> str:
    accounts = {
        web: {"username": WEB_USER, "password": read(settings, f"{web}_admin")} for web in ("airflow", "superset")
    }
    return json.dumps(accounts, indent=2) + "\n"
