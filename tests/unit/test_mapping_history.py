"""A shop's own files as a history: in the order of time, the same bytes each time, with what was refused told."""

import copy
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from fraudstream.mappings.files import DataError
from fraudstream.mappings.history import write_history
from fraudstream.mappings.suggest import to_toml
from fraudstream.messages.contracts import Label, Topic, Transaction
from fraudstream.messages.mapping.file import Mapping, of
from fraudstream.settings import PROJECT_DIR
from fraudstream.simulator.recording import open_recording

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
#: What this shop has no column for.
CONSTANTS: dict[str, Any] = {
    "session_id": "none", "payment_method": "card", "shipping_city": "Bern", "shipping_country": "CH",
    "ip_country": "CH", "shipping_latitude": 46.9, "shipping_longitude": 7.4, "device_id": "none",
}  # fmt: skip
ORDERS = {
    "source": {"kind": "transaction", "format": "csv"},
    "fields": {
        "transaction_id": "nr", "event_time": {"path": "at", "time": "epoch_s"}, "customer_id": "who", "amount": "eur",
        "currency": {"constant": "EUR"}, "is_fraud": "state",
    } | {name: {"constant": value} for name, value in CONSTANTS.items()},
    "items": {
        "product_id": "sku", "quantity": {"constant": 1}, "unit_price": "eur",
    },
    "labels": {"fraud": ["bad"], "legitimate": ["good"], "other": "unknown", "delay_days": 2},
}  # fmt: skip
DISPUTES = {
    "source": {"kind": "label", "format": "json"},
    "where": {"kind": ["chargeback"]},
    "fields": {"transaction_id": "order", "is_fraud": {"constant": True}, "labelled_at": "on"},
}


def files(folder: Path) -> list[tuple[Path, Mapping]]:
    """Three orders, the newest first, one of a currency sign too many, one without an amount; and disputes."""
    seconds = [round((START + timedelta(hours=hours)).timestamp()) for hours in range(5)]
    orders, disputes = folder / "orders.csv", folder / "disputes.jsonl"
    rows = [f"o2,{seconds[2]},c1,20.00,p,", f"o1,{seconds[1]},c1,10.00,p,bad", f"o3,{seconds[3]},c2,30.00,p,good"]
    rows += [f"o4,{seconds[4]},c2,$ 4,p,", f"o5,{seconds[4]},c2,£5,p,", f"o6,{seconds[4]},c2,,p,"]
    orders.write_text("\n".join(("nr,at,who,eur,sku,state", *rows, "")))
    kinds = ("chargeback", "inquiry", "chargeback")
    lines = [{"kind": kind, "order": f"o{number}", "on": "2026-03-20"} for number, kind in enumerate(kinds, start=1)]
    disputes.write_bytes(b"\n".join(map(msgspec.json.encode, lines)))
    return [(orders, of(ORDERS)), (disputes, of(DISPUTES))]


def test_mapped_files_become_a_history_in_the_order_of_time(tmp_path: Path) -> None:
    history = tmp_path / "history"
    written = write_history(history, files(tmp_path))
    bought = pq.read_table(history / "transactions").to_pylist()
    assert [(row["transaction_id"], row["event_time"] - START, row["amount"]) for row in bought] == [
        ("o1", timedelta(hours=1), 10.0), ("o2", timedelta(hours=2), 20.0), ("o3", timedelta(hours=3), 30.0),
        ("o4", timedelta(hours=4), 4.0),
    ]  # fmt: skip
    assert bought[0]["items"] == [{"product_id": "p", "quantity": 1, "unit_price": 10.0}]
    known = pq.read_table(history / "labels").select(["transaction_id", "is_fraud", "labelled_at"]).to_pylist()
    at = [START + timedelta(days=2, hours=hours) for hours in (1, 3)]
    disputed = datetime(2026, 3, 20, tzinfo=UTC)
    assert [tuple(row.values()) for row in known] == [
        ("o1", True, at[0]), ("o3", False, at[1]), ("o1", True, disputed), ("o3", True, disputed),
    ]  # fmt: skip
    assert not (history / "browse_events").exists()
    assert written.events == {"transactions": 4, "labels": 4}
    assert (written.rows, written.skipped) == (9, 1)


def test_what_is_refused_is_told_with_its_first_row(tmp_path: Path) -> None:
    written = write_history(tmp_path / "history", files(tmp_path))
    assert list(written.refused[tmp_path / "orders.csv"].lines()) == [
        "1 rows, MAPPING_FAILED, first row 5: amount (from `eur`): is in GBP, and the currency is EUR",
        "1 rows, MAPPING_FAILED, first row 6: amount (from `eur`): has no value",
    ]
    assert not written.refused[tmp_path / "disputes.jsonl"].found
    assert "2 refused" in written.told


def test_a_repeat_writes_the_same_bytes(tmp_path: Path) -> None:
    sources = files(tmp_path)
    first, second = tmp_path / "first", tmp_path / "second"
    write_history(first, sources)
    write_history(second, sources)
    parts = sorted(path.relative_to(first) for path in first.rglob("*.parquet"))
    assert len(parts) == 2
    assert [(first / part).read_bytes() for part in parts] == [(second / part).read_bytes() for part in parts]


def test_a_currency_that_only_amounts_say_is_written(tmp_path: Path) -> None:
    (orders, _), _ = files(tmp_path)
    silent: dict[str, Any] = copy.deepcopy(ORDERS)
    del silent["fields"]["currency"]
    write_history(tmp_path / "history", [(orders, of(silent))])
    told = pq.read_table(tmp_path / "history" / "transactions")["currency"].to_pylist()
    assert told == [None, None, None, None, "GBP"], "dollars are of several countries"


def test_labels_that_name_no_transaction_are_told(tmp_path: Path) -> None:
    sources = files(tmp_path)
    assert "labels name none" not in write_history(tmp_path / "history", sources).told
    by_row: dict[str, Any] = copy.deepcopy(ORDERS)
    by_row["fields"]["transaction_id"] = {"row": True}
    written = write_history(tmp_path / "by-row", [(sources[0][0], of(by_row)), sources[1]])
    assert written.told.endswith("2 of 4 labels name none of the transactions: both must be called by the same id")


def test_files_of_which_no_row_can_be_used_are_refused(tmp_path: Path) -> None:
    (orders, mapping), _ = files(tmp_path)
    orders.write_text("nr,at,who,eur,sku,state\no1,soon,c,1,p,\n")
    with pytest.raises(DataError, match=r"no row can be used: 1 rows, MAPPING_FAILED, first row 1: event_time"):
        write_history(tmp_path / "history", [(orders, mapping)])


def test_the_command_converts_files_with_a_mapping_for_each(tmp_path: Path) -> None:
    files(tmp_path)
    for name, content in (("orders.toml", ORDERS), ("disputes.toml", DISPUTES)):
        (tmp_path / name).write_text(to_toml(content))
    command = [
        sys.executable,
        "-m",
        "fraudstream.mappings",
        "convert",
        "orders.csv",
        "disputes.jsonl",
        "--out",
        "history",
    ]
    mappings = ["--mapping", "orders.toml", "--mapping", "disputes.toml"]
    environment = os.environ | {"PYTHONPATH": str(PROJECT_DIR)}
    done, again, short = (
        subprocess.run([*command, *options], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        for options in (mappings, mappings, mappings[:2])
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("9 rows: 4 transactions, 4 labels; 1 left out, 2 refused\n")
    assert "refused of orders.csv: 1 rows, MAPPING_FAILED, first row 5: amount" in done.stdout
    assert (again.returncode, short.returncode) == (1, 1)
    assert "--out history exists" in again.stderr
    assert "2 files and 1 mappings" in short.stderr


def test_a_mapped_history_is_a_recording_in_the_platforms_own_form(tmp_path: Path) -> None:
    write_history(tmp_path / "history", files(tmp_path))
    messages = list(open_recording(tmp_path / "history").messages(None))
    assert [message.due_ms for message in messages] == sorted(message.due_ms for message in messages)
    bought = [
        msgspec.json.decode(each.value, type=Transaction) for each in messages if each.topic == Topic.TRANSACTIONS
    ]
    assert [each.customer_id for each in bought] == ["c1", "c1", "c2", "c2"]
    assert [each.key for each in messages][:2] == [b"c1", b"c1"]
    labels = [
        msgspec.json.decode(each.value, type=Label) for each in messages if each.topic == Topic.TRANSACTION_LABELS
    ]
    assert len(labels) == 4
