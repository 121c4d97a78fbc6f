"""Imports of a history: what they may change, and a shop's own files with their mappings."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import psycopg

from fraudstream.ledger import figures, reconciliation, rotation
from fraudstream.mappings.suggest import to_toml
from fraudstream.messages.contracts import BrowseEvent, Transaction
from fraudstream.messages.mapping.fields import Kind
from fraudstream.simulator.history import write_history
from fraudstream.simulator.history_plan import HistoryPlan
from model.past.mapped import Files
from model.training.history import HistoryFolder

Postgres = psycopg.Connection[Any]
#: What an import may change. Times of commits aren't among it.
ROLLED_UP = (
    *("past_transactions", "past_labels", "fraud_counts", "segment_counts", "fraud_locations", "product_sales"),
    "segment_sales",
)
TABLES = (
    *ROLLED_UP,
    *("retired_totals", "rollup_horizons", "entity_risk", "history_imports", "stream_queries"),
)


def write_five_days(folder: Path) -> Path:
    """Writes a small shop's five days until yesterday, 300 transactions, as a history in `folder`; returns that."""
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=1)
    list(write_history(folder, HistoryPlan(7, 300, 200, 300, 0.05, 5, end), 1))
    return folder


def contents(connection: Postgres) -> dict[str, list[Any]]:
    """The rows of each of TABLES, in an order."""
    return {
        table: connection.execute(f"SELECT * FROM fraud.{table} AS t ORDER BY 1, 2, t::text".encode()).fetchall()
        for table in TABLES
    }


def differences(connection: Postgres) -> list[str]:
    """What reconciliation finds in all that is there, and in the sum of all time."""
    found = rotation.compare_next(connection, whole=True).differences
    found += reconciliation._counts(connection, figures.totals(connection).scored)
    return [difference.text for difference in found]


def delete_past(owner: Postgres) -> None:
    """As if nothing had been imported."""
    for table in TABLES:
        owner.execute(f"DELETE FROM fraud.{table}".encode())


def own_files(history: Path, folder: Path) -> list[Files]:
    """A shop's own files of `history`, with their mappings."""
    orders, labels = folder / "orders.jsonl", folder / "labels.csv"
    rows = HistoryFolder(history).table("transactions").to_dict("records")
    with orders.open("wb") as file:
        for row in rows:
            row = {
                name: None if value is pd.NaT or value != value else value
                for name, value in row.items()
                if name != "items"
            } | {"items": [dict(item) for item in row["items"]]}
            row["event_time"] = round(row["event_time"].timestamp() * 1000)
            file.write(msgspec.json.encode({"order": {f"my_{name}": value for name, value in row.items()}}) + b"\n")
    HistoryFolder(history).table("labels").to_csv(labels, index=False)
    fields: dict[str, Any] = {
        name: f"order.my_{name}" for name in Transaction.__struct_fields__ if name not in {"schema_version", "items"}
    }
    fields["event_time"] = {"path": fields["event_time"], "time": "epoch_ms"}
    browse_names = [name for name in BrowseEvent.__struct_fields__ if name != "schema_version"]
    mappings: dict[str, dict[str, Any]] = {
        "orders": {
            "source": {"kind": "transaction", "format": "json"},
            "fields": {name: path for name, path in fields.items() if name != "shop"},
            "items": {"path": "order.my_items", "product_id": "product_id", "quantity": "quantity",
                      "unit_price": "unit_price"},
        },
        "labels": {
            "source": {"kind": "label", "format": "csv"},
            "fields": {name: name for name in ("transaction_id", "is_fraud", "labelled_at", "source")},
        },
        "browse": {
            "source": {"kind": "browse", "format": "parquet"},
            "fields": {name: name for name in browse_names if name != "shop"},
        },
    }  # fmt: skip
    for name, content in mappings.items():
        (folder / f"{name}.toml").write_text(to_toml(content))
    return [
        Files("--mapping", orders, folder / "orders.toml", Kind.TRANSACTION),
        Files("--labels", labels, folder / "labels.toml", Kind.LABEL),
        Files("--browse", history / "browse_events", folder / "browse.toml", Kind.BROWSE),
    ]


def importing(files: list[Files]) -> list[str]:
    """The command that imports them in the place of another past."""
    options = [
        str(argument)
        for each in files
        for argument in (
            (each.data, "--mapping", each.mapping)
            if each.option == "--mapping"
            else (each.option, each.data, f"{each.option}-mapping", each.mapping)
        )
    ]
    return ["model.past", "import", *options, "--replace", "--processes", "1"]
