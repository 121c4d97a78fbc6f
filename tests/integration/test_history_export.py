"""The export of everything: the files have what Postgres has, whatever is killed, and can be imported again."""

import json
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest

from fraudstream.export import manifest
from fraudstream.export.datasets import DATASETS, Dataset
from fraudstream.export.exporting import Outcome, export
from fraudstream.export.manifest import MANIFEST, ExportError
from fraudstream.export.reading import Period
from fraudstream.failpoints import IN_EXPORT, Failpoint
from fraudstream.files import delete
from fraudstream.messages.contracts import Topic, iso_milliseconds
from fraudstream.messages.mapping.fields import Kind
from fraudstream.settings import PROJECT_DIR, Settings
from fraudstream.snapshots.folders import sha256_of
from model.past.importing import Options, import_history
from model.past.mapped import Files, import_mapped
from spark_jobs import sink
from tests.commands import run_here, run_until
from tests.integration.test_sink import batch, commit, dead, labelled, one, scored
from tests.messages import NOW
from tests.streaming import become_driver

Postgres = psycopg.Connection[Any]
ALL = Period()
REASON = {"feature": "home_km", "value": None, "contribution": 1.25, "text": 'far, "very"'}
MAPPINGS = PROJECT_DIR / "examples" / "export"

pytestmark = pytest.mark.usefixtures("emptied", "empty_tables")


@pytest.fixture
def platform(settings: Settings, writer: Postgres) -> Postgres:
    """Purchases of three days: with signs that CSV quotes, without items, in yen; an alert, a label, a dead letter."""
    sink.prepare(writer)
    driver = become_driver(writer, settings)
    odd = {"shipping_city": 'Zürich, "\n\\N', "device_id": None, "items": None, "promo_code": "\\."}
    rows = [
        scored(0, amount=0.1, shipping_fee=1 / 3, promo_amount=1e-7),
        scored(1, is_fraud=True, event_time=at(days=1), **odd) | {"reasons": json.dumps([REASON]).encode()},
        scored(2, currency="JPY", amount=1200, event_time=at(days=1, seconds=1)) | {"exchange_rate": 0.00612345},
        scored(3, currency="XAU", event_time=at(days=2)) | {"exchange_rate": float("nan")},
        dead(4, b"{"),
        labelled(0, transaction_id="tx-1", is_fraud=True, labelled_at=at(days=9)),
    ]
    commit(writer, driver, batch(0, (Topic.TRANSACTIONS, 0, 5), (Topic.TRANSACTION_LABELS, 0, 1)), rows)
    writer.execute("INSERT INTO fraud.alert_notes (transaction_id, author, note) VALUES ('tx-1', 'ana', 'a\r\nb')")
    writer.execute(
        "INSERT INTO fraud.analyst_verdicts (transaction_id, revision, verdict, reason_code, decided_by) "
        "VALUES ('tx-1', 1, 'fraud', 'stolen_card', 'ana')"
    )
    return writer


def at(**later: int) -> str:
    return iso_milliseconds(NOW + timedelta(**later))


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_of(path) for path in folder.rglob("*.parquet")}


def exported(folder: Path, dataset: Dataset) -> list[dict[str, Any]]:
    parts = sorted((folder / dataset.name).glob("*.parquet"))
    return [row for part in parts for row in pq.read_table(part).to_pylist()]


def stored(connection: Postgres, dataset: Dataset) -> list[dict[str, Any]]:
    """The rows as psycopg reads them, in the files' types."""
    columns = ", ".join(column.sql if column.name == "shop_amount" else column.name for column in dataset.columns)
    order = ", ".join((dataset.time, *dataset.key))
    rows = connection.execute(f"SELECT {columns} FROM {dataset.source} ORDER BY {order}".encode()).fetchall()
    return [
        {
            column.name: float(value) if isinstance(value, Decimal) and column.type == "double" else value
            for column, value in zip(dataset.columns, row, strict=True)
        }
        for row in rows
    ]


def test_the_files_have_what_postgres_has(settings: Settings, platform: Postgres, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    export(settings, folder, ALL)
    for dataset in DATASETS:
        assert exported(folder, dataset) == stored(platform, dataset), dataset.name
    flagged = exported(folder, DATASETS[0])[1]
    assert (flagged["reasons"], flagged["items"]) == ([REASON], None)
    assert [path.name for path in sorted((folder / "transactions").iterdir())] == [
        f"part-2026-03-0{day}.parquet" for day in (1, 2, 3)
    ]


def test_the_manifest_agrees_with_the_files_and_the_books(
    settings: Settings, platform: Postgres, tmp_path: Path
) -> None:
    told = export(settings, tmp_path / "export", ALL).told
    found = manifest.read(tmp_path / "export")
    assert found.complete
    listed = {file.path: file.sha256 for dataset in found.datasets.values() for file in dataset.files}
    assert listed == files(tmp_path / "export")
    amount = one(platform, "SELECT sum(amount) FROM fraud.fraud_counts")
    assert found.datasets["transactions"].sums["shop_amount"] == amount == Decimal("49.9481")
    assert [(book.figure, book.difference) for book in found.books] == [
        ("transactions", 0), ("amounts", 0), ("labels", 0), ("dead letters", 0),
    ]  # fmt: skip
    assert "books" not in told
    platform.execute("UPDATE fraud.fraud_counts SET amount = amount + 1 WHERE flagged = 0 AND unpriced = 0")
    assert "amounts" in export(settings, tmp_path / "export", ALL).told


@pytest.mark.parametrize("point", sorted(IN_EXPORT))
def test_a_killed_export_goes_on_and_ends_with_the_same_bytes(
    settings: Settings, platform: Postgres, tmp_path: Path, point: Failpoint
) -> None:
    export(settings, tmp_path / "whole", ALL)
    passing = "" if point is Failpoint.BEFORE_EXPORT_MANIFEST else "@2"
    command = ("model.past", "export", str(tmp_path / "export"))
    run_until(f"{point}=kill{passing}", *command)
    assert not manifest.read(tmp_path / "export").complete
    again = run_here(*command)
    assert again.returncode == 0, again.stderr
    assert "0 kept" not in again.stdout
    assert files(tmp_path / "export") == files(tmp_path / "whole")
    assert not list((tmp_path / "export").rglob(".draft*"))


def test_a_repeat_writes_the_days_that_changed(settings: Settings, platform: Postgres, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    first = export(settings, folder, ALL)
    again = export(settings, folder, ALL)
    assert (again.written, again.kept, again.deleted) == (0, first.written, 0)
    platform.execute("UPDATE fraud.fraud_alerts SET status = 'confirmed', decided_at = now()")
    platform.execute("DELETE FROM fraud.scored_transactions WHERE transaction_id = 'tx-0'")
    changed = export(settings, folder, ALL)
    assert (changed.written, changed.kept, changed.deleted) == (1, first.written - 2, 1)
    assert [row["status"] for row in exported(folder, DATASETS[1])] == ["confirmed"]


def test_a_period_is_of_whole_days(settings: Settings, platform: Postgres, tmp_path: Path) -> None:
    outcome = export(settings, tmp_path / "export", Period(date(2026, 3, 2), date(2026, 3, 3)))
    assert [row["transaction_id"] for row in exported(tmp_path / "export", DATASETS[0])] == ["tx-1", "tx-2"]
    assert outcome.manifest.books == []


def test_a_folder_holds_one_platforms_data_of_one_period(
    settings: Settings, platform: Postgres, tmp_path: Path
) -> None:
    assert one(platform, "SELECT count(*) FROM fraud.scored_transactions") == 4
    folder, other = tmp_path / "export", tmp_path / "other"
    other.mkdir()
    (other / "orders.csv").write_text("id\n")
    with pytest.raises(ExportError, match=f"{other} isn't empty, and no export: say a new folder"):
        export(settings, other, ALL)
    export(settings, folder, ALL)
    before = files(folder)
    with pytest.raises(ExportError, match="from the beginning without end: say the same --since and --until"):
        export(settings, folder, Period(date(2026, 3, 2)))
    known = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(known | {"platform": "another"}))
    with pytest.raises(ExportError, match=r"holds another platform's data \(another, and this one is .*: say a new"):
        export(settings, folder, ALL)
    assert files(folder) == before


def test_an_export_can_be_imported_with_the_mappings_that_ship(
    settings: Settings, platform: Postgres, owner: Postgres, tmp_path: Path
) -> None:
    folder = tmp_path / "export"
    export(settings, folder, ALL)
    for table in ("analyst_verdicts", "alert_notes", "fraud_alerts", "scored_transactions", "transaction_labels"):
        owner.execute(f"DELETE FROM fraud.{table}".encode())
    assert import_history(settings, folder, Options(replace=True, accept_loss=True)), "a history as it is"
    assert one(platform, "SELECT transactions, labels FROM fraud.history_imports") == (4, 1)
    sources = [
        Files("--mapping", folder / "transactions", MAPPINGS / "transactions.toml", Kind.TRANSACTION),
        Files("--labels", folder / "labels", MAPPINGS / "labels.toml", Kind.LABEL),
    ]
    try:
        new, written = import_mapped(settings, sources, Options(replace=True, accept_loss=True))
        assert new
        assert written.events == {"transactions": 4, "labels": 1}
        (history,) = settings.paths.mapped.iterdir()
        for name in ("transactions", "labels"):
            ours, theirs = (pq.read_table(each / name).to_pylist() for each in (history, folder))
            assert ours == [{key: row.get(key) for key in ours[0]} for row in theirs], name
    finally:
        for snapshot in settings.paths.snapshots.iterdir():
            delete(snapshot)


def test_outcomes_are_told(settings: Settings, platform: Postgres, tmp_path: Path) -> None:
    outcome: Outcome = export(settings, tmp_path / "export", ALL)
    assert outcome.told.startswith("exported: 4 transactions, 1 alerts, 1 labels, 1 verdicts, 1 notes, ")
