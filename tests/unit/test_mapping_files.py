"""Exports by other people's habits: what `suggest` makes of each, and how files are read."""

import gzip
import tomllib
from pathlib import Path

import msgspec
import pytest

from fraudstream.mappings.check import check
from fraudstream.mappings.files import DataError, read_rows
from fraudstream.mappings.suggest import suggest, to_toml
from fraudstream.messages.mapping.compiled import Fields, MappedRecords
from fraudstream.messages.mapping.fields import REQUIRED, Kind
from fraudstream.messages.mapping.file import Mapping, of
from tests.unit.shop_exports import EXPORTS, FIRST, NESTED, SECOND, Export, text


def mapping_for(export: Export, path: Path) -> Mapping:
    """What a person makes of what `suggest` writes: nothing but what no program can know."""
    content = suggest(path).content
    if "header" in content["source"]:
        content["fields"] |= {
            "event_time": "column1", "customer_id": "column2", "amount": "column3", "is_fraud": "column4",
        }  # fmt: skip
    if export.kind:
        content["fields"]["is_fraud"] = "Betrug"
        content["labels"] = tomllib.loads(export.kind)
    return of(tomllib.loads(to_toml(content)))


def read(path: Path, mapping: Mapping) -> list[Fields]:
    records = MappedRecords(mapping)
    return [event for row in read_rows(path, mapping) if (event := records.event(row.record, row.number))]


@pytest.mark.parametrize("name", list(EXPORTS))
def test_an_export_is_read_as_suggested(tmp_path: Path, name: str) -> None:
    export = EXPORTS[name]
    path = export.write(tmp_path)
    events = read(path, mapping_for(export, path))
    found = [tuple(event[field] for field in (*REQUIRED[Kind.TRANSACTION], "is_fraud")) for event in events]
    assert found == [(export.ids[0], FIRST, "c1", 1234.5, False), (export.ids[1], SECOND, "c2", 9.9, True)]


@pytest.mark.parametrize("name", list(EXPORTS))
def test_a_suggestion_is_checked_without_a_field_that_is_missing(tmp_path: Path, name: str) -> None:
    export = EXPORTS[name]
    path = export.write(tmp_path)
    mapping = mapping_for(export, path)
    report = check(mapping, read_rows(path, mapping))
    assert report.missing == []
    assert report.fields["amount"].examples == ["1234.5", "9.9"]
    assert not [key for key in report.refused.found if key[0] == "MAPPING_FAILED"]


def test_the_items_of_nested_json_come_along(tmp_path: Path) -> None:
    export = EXPORTS["a list in JSON"]
    path = export.write(tmp_path)
    first, second = read(path, mapping_for(export, path))
    assert first["items"] == [
        {"product_id": "p1", "quantity": 2, "unit_price": 600.0},
        {"product_id": "p2", "quantity": 1, "unit_price": 34.5},
    ]
    assert "items" not in second


def test_one_object_of_json_may_have_several_lines_and_a_broken_line_is_one_row(tmp_path: Path) -> None:
    path = tmp_path / "webhook.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(NESTED[0]), indent=2))
    mapping = of(suggest(path).content)
    assert [event["transaction_id"] for event in read(path, mapping)] == ["0001"]
    good = msgspec.json.encode(NESTED[0])
    path.write_bytes(b'{"order": \n' + good + b"\n\n" + good)
    report = check(mapping, read_rows(path, mapping))
    assert (report.rows, report.fields["amount"].found) == (3, 2)
    assert "row 1" in {each.first for each in report.refused.found.values()}


def test_a_folder_of_parts_is_one_file_and_rows_are_counted_through(tmp_path: Path) -> None:
    for part in ("part-1.csv.gz", "part-0.csv.gz"):
        (tmp_path / part).write_bytes(gzip.compress(text("t,c,a", f"2026-03-01,{part},1")))
    (tmp_path / "_SUCCESS").touch()
    content = {"event_time": "t", "customer_id": "c", "amount": "a", "transaction_id": {"row": True, "prefix": "x-"}}
    events = read(tmp_path, of({"source": {"kind": "transaction", "format": "csv"}, "fields": content}))
    assert [(event["transaction_id"], event["customer_id"]) for event in events] == [
        ("x-1", "part-0.csv.gz"), ("x-2", "part-1.csv.gz"),
    ]  # fmt: skip


def test_what_is_never_filled_is_not_guessed(tmp_path: Path) -> None:
    """As WooCommerce's transaction_id of orders that weren't paid yet."""
    path = tmp_path / "orders.csv"
    path.write_bytes(text("transaction_id,id,date,customer,amount", ",7,2026-03-01,c,1", ",8,2026-03-01,c,1"))
    assert suggest(path).content["fields"]["transaction_id"] == "id"


@pytest.mark.parametrize(
    ("order", "amount", "fraud"),
    [("Auftragsnummer", "Gesamtbetrag", "Betrugsfall"), ("Rechnungsnummer", "Bestellwert", "Betrug")],
)
def test_a_german_export_of_orders_is_no_file_of_labels(tmp_path: Path, order: str, amount: str, fraud: str) -> None:
    path = tmp_path / "bestellungen.csv"
    rows = (f"{number};03.02.2026 14:{number};K{number % 7};{number},50;Nein" for number in range(10, 50))
    path.write_bytes(text(f"{order};Bestellzeit;Kundennummer;{amount};{fraud}", *rows, "9;03.02.2026 15:00;K1;9,50;Ja"))
    content = suggest(path).content
    assert content["source"]["kind"] == "transaction"
    mapping = of(content)
    assert [event["amount"] for event in read(path, mapping)][-2:] == [49.5, 9.5]
    assert content["fields"]["is_fraud"] == fraud


def test_quoted_line_breaks_in_a_large_file(tmp_path: Path) -> None:
    rows = [f'{number},"a\nb;c",2026-03-01,c,1' for number in range(100_000)]
    path = tmp_path / "large.csv"
    path.write_bytes(text("id,note,date,customer,amount", *rows))
    assert path.stat().st_size > 2**21
    mapping = of(suggest(path).content)
    assert sum(1 for _ in read_rows(path, mapping)) == len(rows)
    assert mapping.source.separator == ","


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.csv", None, "there is no such file or folder"),
        ("latin1.csv", text("id,city", "1,Zürich", encoding="latin-1"), "the byte 0xfc isn't utf-8: say its encoding"),
        ("cut.csv.gz", gzip.compress(b"id\n" + b"x" * 999)[:-20], "can't read"),
        ("fake.parquet", b"PAR1 not really", "can't read"),
    ],
)
def test_files_that_cannot_be_read_are_told_in_one_line(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    form = "parquet" if name.endswith("parquet") else "csv"
    mapping = of({"source": {"kind": "transaction", "format": form}, "fields": {"transaction_id": "id"}})
    with pytest.raises(DataError) as refused:
        list(read_rows(path, mapping))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
