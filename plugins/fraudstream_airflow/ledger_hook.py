"""The platform's database for operators of Airflow's common-sql provider."""

from typing import Any

from airflow.providers.common.sql.hooks.sql import DbApiHook

from fraudstream.settings import Settings
from fraudstream.storage.connect import connect

#: A check that takes longer than this is no check to run every two minutes.
BEGINS_WITH = {"statement_timeout": "10s", "default_transaction_read_only": "on"}


class LedgerHook(DbApiHook):
    """The schema `fraud`, as the reader. Its password is in libpq's pass file: no connection of Airflow holds it."""

    conn_name_attr = "ledger_conn_id"
    supports_autocommit = True

    def __init__(self, settings: Settings) -> None:
        super().__init__(ledger_conn_id="")
        self._settings = settings

    def get_conn(self) -> Any:
        """A connection of its own. Raises PostgresUnavailableError."""
        reader = self._settings.postgres.reader
        return connect(self._settings, reader, name="watch_platform", begins_with=BEGINS_WITH)

    def set_autocommit(self, conn: Any, autocommit: bool) -> None:
        """Psycopg's own attribute."""
        conn.autocommit = autocommit

    def get_autocommit(self, conn: Any) -> bool:
        """Psycopg's own attribute."""
        return bool(conn.autocommit)
