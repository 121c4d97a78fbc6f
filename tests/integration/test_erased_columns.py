"""Whatever column of the schema mentions a customer: an erasure finds it, and another's name stays."""

import itertools
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.errors import CheckViolation
from sqlalchemy import ARRAY, Boolean, Column, Date, DateTime, LargeBinary, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from fraudstream.settings import Settings
from fraudstream.storage.tables import metadata
from tests.erasing import CUSTOMER, OTHER, dump, forget, let_the_stream_pass, traces

Postgres = psycopg.Connection[Any]
#: Tables whose columns hold what the platform made itself, sums, or rows that go by their keys.
BY_KEY = {
    *("scored_transactions", "fraud_alerts", "transaction_labels", "flagged_sessions", "customers"),
    *("past_transactions", "past_labels", "entity_risk", "erasures", "erased_transactions"),
}
NOBODYS = {
    *("entity_risk_versions", "static_versions", "products", "currency_rates", "product_sales", "fraud_counts"),
    *("fraud_locations", "rule_counts", "retired_transactions", "retired_totals", "rollup_horizons"),
    *("stream_batches", "stream_offsets", "stream_queries", "batch_features", "feature_sets", "platform_readings"),
    *("model_health", "rescored_days", "terminal_hours", "terminal_frauds", "segment_counts", "segment_sales"),
}

pytestmark = pytest.mark.usefixtures("empty_tables", "empty_files")


def plantable() -> list[tuple[str, str]]:
    """Tables and columns that can hold a text, but for those that go by their keys or are nobody's."""
    return [
        (table.name, column.name)
        for table in metadata.sorted_tables
        if table.name not in BY_KEY | NOBODYS
        for column in table.columns
        if isinstance(column.type, Text | JSONB | ARRAY | LargeBinary)
        and not isinstance(getattr(column.type, "item_type", Text()), type(None))
        and not column.foreign_keys
        and not any(key.column is column for other in metadata.sorted_tables for key in foreign_keys(other))
        and allowed_word(table, column) is None
        and not (isinstance(column.type, ARRAY) and not isinstance(column.type.item_type, Text))
    ]


def foreign_keys(table: Table) -> Iterator[Any]:
    for column in table.columns:
        yield from column.foreign_keys


def allowed_word(table: Table, column: Column[Any]) -> str | None:
    for constraint in table.constraints:
        found = re.search(rf"\b{column.name} IN \([^)]*'(\w+)'\)", str(getattr(constraint, "sqltext", "")))
        if found:
            return found[1]  # the last: of some states there is one row at most, and they come first
    return None


_NUMBERS = itertools.count(1000)


def some_value(table: Table, column: Column[Any]) -> Any:
    match column.type:
        case Text():
            return allowed_word(table, column) or f"x{next(_NUMBERS)}"
        case JSONB():
            return "{}"
        case ARRAY():
            return []
        case LargeBinary():
            return b""
        case Boolean():
            return True
        case DateTime():
            return datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=next(_NUMBERS))
        case Date():
            return date(2026, 3, 1)
        case Uuid():
            return uuid4()
    return next(_NUMBERS) if "SCORE" not in column.name.upper() else 0.5


def planted(column: Column[Any]) -> Any:
    match column.type:
        case JSONB():
            return f'{{"a": ["{CUSTOMER}", {{"{CUSTOMER}": 17}}], "text": "is {CUSTOMER}, not {OTHER}"}}'
        case ARRAY():
            return ["one", f"of {CUSTOMER}", OTHER]
        case LargeBinary():
            return f'{{"customer_id": "{CUSTOMER}"}}'.encode()
    return f"about {CUSTOMER}'s visit, not {OTHER}'s"


def plant(connection: Postgres, table: Table, column: Column[Any]) -> None:
    """A row with the least, or with all columns where these depend on each other."""
    try:
        insert(connection, table, column, [each for each in table.columns if each is column or not each.nullable])
    except CheckViolation:
        insert(connection, table, column, list(table.columns))


def insert(connection: Postgres, table: Table, planted_in: Column[Any], columns: list[Column[Any]]) -> None:
    values = {
        each.name: planted(each) if each is planted_in else some_value(table, each)
        for each in columns
        if each.identity is None
    }
    names = ", ".join(f'"{name}"' for name in values)
    connection.execute(
        f"INSERT INTO fraud.{table.name} ({names}) VALUES ({', '.join(['%s'] * len(values))})", list(values.values())
    )


def test_a_mention_of_the_customer_anywhere_in_the_schema_goes(settings: Settings, owner: Postgres) -> None:
    """A table or a column that is new is among them, without being named here."""
    places = plantable()
    assert len(places) > 40
    owner.execute("RESET ROLE")
    owner.execute("SET session_replication_role = replica")  # rows that refer to others stand alone here
    for name, column in places:
        table = metadata.tables[f"fraud.{name}"]
        plant(owner, table, table.columns[column])
    owner.execute("SET session_replication_role = origin")
    assert dump(settings).count(CUSTOMER.encode()) > len(places)
    let_the_stream_pass(owner)
    forget(settings)
    left = dump(settings)
    assert traces(left) == set()
    assert left.count(OTHER.encode()) > 20, "another's name that begins alike stays"
