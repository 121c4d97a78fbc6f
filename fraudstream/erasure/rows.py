"""A customer's rows in Postgres: erased by `fraud.erase_customer`, and looked for by their hash."""

import json
from collections.abc import Iterator, Mapping

from fraudstream.erasure.certificate import Certificate
from fraudstream.erasure.known import Erased
from fraudstream.storage.connect import Postgres

_ERASE = "SELECT fraud.erase_customer(%s, %s, %s)"
#: Where an id of a customer stands as it is; by such a column a restored database is searched.
_PLACES = {
    "scored_transactions": "customer_id",
    "fraud_alerts": "customer_id",
    "flagged_sessions": "customer_id",
    "past_transactions": "customer_id",
    "customers": "customer_id",
    "list_entries": "value",
}
_FIND = """
SELECT DISTINCT {column} FROM fraud.{table}
WHERE encode(sha256(convert_to(%s || {column}, 'UTF8')), 'hex') = ANY(%s)
"""


def erase(connection: Postgres, certificate: Certificate, customer: str) -> Mapping[str, int]:
    """Erases the customer's rows; what a repeat finds is what came since. Raises psycopg.Error."""
    erased: dict[str, int] = connection.execute(
        _ERASE, (certificate.erasure_id, customer, spellings(customer))
    ).fetchall()[0][0]
    return erased


def spellings(customer: str) -> list[str]:
    """How an id may stand in a text: as it is, within JSON, and within bytes as Postgres shows them."""
    bytes_shown = "".join(chr(byte) if byte < 128 else f"\\{byte:03o}" for byte in customer.encode())
    quoted = (json.dumps(customer, ensure_ascii=ascii_only)[1:-1] for ascii_only in (False, True))
    return list(dict.fromkeys((customer, *quoted, bytes_shown)))


def found_by_hash(connection: Postgres, erased: Erased) -> set[str]:
    """Ids of customers in the tables that are among the erased."""
    return {name for salt, hashes in erased.until_ms.items() for name in _found(connection, salt, list(hashes))}


def _found(connection: Postgres, salt: str, hashes: list[str]) -> Iterator[str]:
    for table, column in _PLACES.items():
        query = _FIND.format(table=table, column=column)
        yield from (name for (name,) in connection.execute(query.encode(), (salt, hashes)))
