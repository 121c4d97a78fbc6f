"""The presets of examples/shops/: each maps its made sample whole, and means what `expected.json` beside it says.

`expected.json` is written by hand, from what the sample's vendor means by it. It has for each sample the number of
rows, the rows that `[where]` skips, those that are refused, with reason and field, and the events of some others.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from fraudstream.mappings.files import read_rows
from fraudstream.mappings.history import write_history
from fraudstream.mappings.suggest import suggest
from fraudstream.messages.contracts import iso_milliseconds
from fraudstream.messages.mapping.compiled import MappedRecords, label_of
from fraudstream.messages.mapping.decoding import as_event, mapped
from fraudstream.messages.mapping.fields import Kind
from fraudstream.messages.mapping.file import Mapping, read_mapping
from fraudstream.messages.refusal import Rejection
from fraudstream.settings import PROJECT_DIR

SHOPS = PROJECT_DIR / "examples" / "shops"
FOLDERS = sorted(path for path in SHOPS.iterdir() if path.is_dir())
PRESETS = sorted(SHOPS.glob("*/*.toml"))
#: Whoever searches for a vendor must find it.
ASKED_FOR = {
    "adyen", "avro", "banksim", "debezium", "fraud-data", "fraud-detector", "ga4", "handbook", "ieee-cis", "paysim",
    "shopify", "sparkov", "stripe", "tabformer", "woocommerce",
}  # fmt: skip


class Mapped(NamedTuple):
    """What became of a sample's rows, by number: events, skipped ones, and refusals."""

    mapping: Mapping
    rows: int
    events: dict[int, dict[str, Any]]
    skipped: list[int]
    refused: dict[int, Rejection]


def sample_of(preset: Path) -> Path:
    (found,) = (path for path in preset.parent.glob(f"{preset.stem}.*") if path.suffix != ".toml")
    return found


def expected_of(preset: Path) -> dict[str, Any]:
    expected: dict[str, Any] = json.loads((preset.parent / "expected.json").read_text())[preset.stem]
    return expected


def map_all(mapping: Mapping, sample: Path) -> Mapped:
    records = MappedRecords(mapping)
    found = Mapped(mapping, sum(1 for _ in read_rows(sample, mapping)), {}, [], {})
    for row in read_rows(sample, mapping):
        fields = mapped(records, row.record, row.number)
        if fields is None:
            found.skipped.append(row.number)
            continue
        event = as_event(mapping.source.kind, fields) if isinstance(fields, dict) else fields
        if isinstance(event, Rejection):
            found.refused[row.number] = event
        else:
            found.events[row.number] = fields
    return found


def plain(fields: dict[str, Any]) -> dict[str, Any]:
    """With times as text."""
    return {name: iso_milliseconds(each) if isinstance(each, datetime) else each for name, each in fields.items()}


def by_name(preset: Path) -> str:
    return f"{preset.parent.name}/{preset.stem}"


def test_each_vendor_has_its_folder() -> None:
    assert {folder.name for folder in FOLDERS} == ASKED_FOR


def test_each_folder_has_its_line_on_the_page() -> None:
    page = (SHOPS / "README.md").read_text()
    assert [folder.name for folder in FOLDERS if f"| [{folder.name}]({folder.name}) |" not in page] == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_what_is_expected_is_said_of_each_preset(folder: Path) -> None:
    expected = json.loads((folder / "expected.json").read_text())
    assert sorted(expected) == sorted(path.stem for path in folder.glob("*.toml"))
    assert all(5 <= each["rows"] <= 20 for each in expected.values())


@pytest.mark.parametrize("preset", PRESETS, ids=by_name)
def test_each_row_is_mapped_or_skipped_or_refused_for_its_reason(preset: Path) -> None:
    expected, found = expected_of(preset), map_all(read_mapping(preset), sample_of(preset))
    assert found.rows == expected["rows"]
    assert found.skipped == expected["skipped"]
    assert sorted(found.refused) == sorted(map(int, expected["refused"]))
    for number, told in expected["refused"].items():
        refusal = found.refused[int(number)]
        reason, _, problem = told.partition(" ")
        assert refusal.reason == reason
        assert problem in refusal.detail


@pytest.mark.parametrize("preset", PRESETS, ids=by_name)
def test_rows_mean_what_their_vendor_means(preset: Path) -> None:
    expected, found = expected_of(preset), map_all(read_mapping(preset), sample_of(preset))
    assert str(min(found.events)) in expected["events"]  # the first that there is, at least
    for number, event in expected["events"].items():
        assert plain(found.events[int(number)]) == event
    for number, label in expected.get("labels", {}).items():
        brought = label_of(found.events[int(number)], found.mapping)
        assert (brought and plain(brought)) == label


@pytest.mark.parametrize("preset", [path for path in PRESETS if path.parent.name != "ga4"], ids=by_name)
def test_what_suggest_takes_for_amounts_and_disputed_purchases_is_right(preset: Path) -> None:
    mapping = read_mapping(preset)
    name = "amount" if mapping.source.kind is Kind.TRANSACTION else "transaction_id"
    suggested = suggest(sample_of(preset), mapping.source.kind).content["fields"].get(name)
    path = suggested["path"] if isinstance(suggested, dict) else suggested
    assert path is None or path in mapping.field(name).paths


@pytest.mark.parametrize("preset", PRESETS, ids=by_name)
def test_its_source_is_said(preset: Path) -> None:
    assert "https://" in preset.read_text().partition("[source]")[0]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_folder_becomes_a_history_and_its_labels_find_their_transactions(folder: Path, tmp_path: Path) -> None:
    sources = [(sample_of(preset), read_mapping(preset)) for preset in sorted(folder.glob("*.toml"))]
    written = write_history(tmp_path / "history", sources)
    kinds = {mapping.source.kind for _, mapping in sources}
    if Kind.TRANSACTION in kinds and "labels" in written.events:
        ids = {name: ids_of(tmp_path / "history" / name) for name in ("transactions", "labels")}
        assert ids["labels"] <= ids["transactions"]


def ids_of(dataset: Path) -> set[str]:
    return set(pq.read_table(dataset)["transaction_id"].to_pylist())


def test_the_handbook_as_parquet_is_the_same(tmp_path: Path) -> None:
    """With the types that pandas writes: whole numbers, and times without a zone."""
    preset = SHOPS / "handbook" / "transactions.toml"
    of_csv, table = read_mapping(preset), pa.csv.read_csv(sample_of(preset))
    assert pa.types.is_timestamp(table.schema.field("TX_DATETIME").type)
    pq.write_table(table, tmp_path / "transactions.parquet")
    of_parquet = msgspec.structs.replace(of_csv, source=msgspec.structs.replace(of_csv.source, format="parquet"))
    found = map_all(of_parquet, tmp_path / "transactions.parquet")
    assert found.events == map_all(of_csv, sample_of(preset)).events
