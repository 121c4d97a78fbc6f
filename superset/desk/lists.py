"""Lists that rules name, such as blocked devices: one click puts a device, card, address or customer on one.

The stream reads the lists again before its next micro-batch (fraudstream/policy). Without their tables, there is
nothing to click.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.engine import Connection

from desk.database import Row, row, rows
from desk.decisions import RefusedError
from desk.transaction import cell_name
from fraudstream.policy.lists import Entry

DAYS = 30
_ARE_THERE = "SELECT to_regclass('fraud.list_entries') IS NOT NULL AS there"
_LISTS = "SELECT name, kind, description FROM fraud.lists WHERE kind = ANY(:kinds) ORDER BY kind, name"
_LIST = "SELECT name, kind FROM fraud.lists WHERE name = :name"
_ACTIVE = """
SELECT list_name, value, reason, added_by, expires_at FROM fraud.list_entries
WHERE list_name = ANY(:names) AND value = ANY(:values)
    AND removed_at IS NULL AND (expires_at IS NULL OR expires_at > now())
"""
#: Words for the kinds of what a transaction names.
KINDS = {"device": "device", "card": "card", "address_cell": "address", "customer": "customer"}


def offered(connection: Connection, transaction: Row) -> list[dict[str, Any]]:
    """The lists that something of the transaction can be put on, each with whether it is on it now."""
    there = row(connection, _ARE_THERE)
    if not there or not there["there"]:
        return []
    entities = _entities(transaction)
    known = rows(connection, _LISTS, kinds=list(entities))
    names = [one["name"] for one in known]
    active = rows(connection, _ACTIVE, names=names, values=list(entities.values()))
    on_it = {(one["list_name"], one["value"]): one for one in active}
    return [
        {**one, "value": entities[one["kind"]], "entry": on_it.get((one["name"], entities[one["kind"]]))}
        for one in known
    ]


def entry(connection: Connection, transaction: Row, name: str) -> Entry:
    """What the transaction names, for 30 days, as an entry of the list `name`. Raises RefusedError."""
    found = row(connection, _LIST, name=name)
    value = _entities(transaction).get(found["kind"]) if found else None
    if value is None:
        raise RefusedError(f"There is no list {name} for anything of this transaction: load the page again.")
    return Entry(value, f"alert {transaction['transaction_id']}", datetime.now(UTC) + timedelta(days=DAYS))


def _entities(transaction: Row) -> dict[str, str]:
    """What of a transaction a list can hold, by kind."""
    found = {
        "device": transaction["device_id"],
        "card": transaction["card_token"],
        "address_cell": cell_name(transaction),
        "customer": transaction["customer_id"],
    }
    return {kind: value for kind, value in found.items() if value}
