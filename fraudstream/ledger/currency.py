"""The shop currency is fixed with the tables: all sums in them are in it."""

from fraudstream.messages.contracts import QUERY
from fraudstream.storage.connect import Postgres


def stored_currency(connection: Postgres) -> str | None:
    """The currency of all sums in Postgres; None while nothing says it. Raises psycopg.Error."""
    row = connection.execute("SELECT shop_currency FROM fraud.stream_queries WHERE query = %s", (QUERY,)).fetchone()
    return str(row[0]) if row and row[0] else None


def problem(stored: str | None, wanted: str) -> str | None:
    """Why the stream can't go on with the currency `wanted`, and what to do; None when it can."""
    if stored in (None, wanted):
        return None
    return (
        f"FRAUDSTREAM_SHOP__CURRENCY is {wanted}, but all sums in Postgres are in {stored}. Go back to {stored}; or, "
        "if nothing here is needed, ./fraudctl reset --yes deletes all of it"
    )
