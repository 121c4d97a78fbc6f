"""Exports by other people's habits: what `suggest` makes of each, what a mapping reads, and what is refused."""

import gzip
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.mappings.check import Report, check, lines
from fraudstream.mappings.files import DataError, read_rows
from fraudstream.mappings.suggest import suggest, to_toml
from fraudstream.messages.contracts import BrowseEvent, Label, Transaction
from fraudstream.messages.mapping.compiled import Fields, MappedRecords, UnmappableError, label_of
from fraudstream.messages.mapping.decoding import MappedDecoder
from fraudstream.messages.mapping.fields import FIELDS, ITEM_FIELDS, REQUIRED, Kind
from fraudstream.messages.mapping.file import Mapping, MappingError, of, read_mapping
from fraudstream.messages.reasons import DeadLetterReason
from fraudstream.messages.refusal import Rejection
from fraudstream.settings import PROJECT_DIR

FIRST, SECOND = datetime(2026, 3, 1, 13, 5, tzinfo=UTC), datetime(2026, 3, 14, 0, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Export:
    """Two purchases as somebody's export has them: 1234.50 by c1 at FIRST, and 9.90, a fraud, by c2 at SECOND."""

    name: str
    content: bytes
    ids: tuple[str, str] = ("0001", "0002")
    kind: str = ""  # how its labels are said, where `suggest` can't know

    def write(self, folder: Path) -> Path:
        path = folder / self.name
        path.write_bytes(self.content)
        return path


def text(*rows: str, encoding: str = "utf-8", end: str = "\n") -> bytes:
    return end.join((*rows, "")).encode(encoding)


def parquet(**columns: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


_NESTED = [
    {"order": {"id": "0001", "created_at": 1772370300000, "total_price": "1234.50"}, "customer": {"id": "c1"},
     "line_items": [{"sku": "p1", "quantity": 2, "price": "600.00"}, {"sku": "p2", "quantity": 1, "price": 34.5}],
     "status": "paid"},
    {"order": {"id": "0002", "created_at": 1773448200000, "total_price": 9.9}, "customer": {"id": "c2"},
     "line_items": [], "status": "chargeback"},
]  # fmt: skip
EXPORTS = {
    "German, Excel": Export(
        "bestellungen.csv",
        text(
            "Bestellnr;Datum;Uhrzeit;Kunde;Betrag;Betrug", '0001;01.03.2026;13:05;c1;"1.234,50 €";nein',
            "0002;14.03.2026;00:30;c2;9,90 €;ja", encoding="cp1252", end="\r\n",
        ),
        kind='fraud = ["ja"]\nlegitimate = ["nein"]',
    ),
    "German, with Excel's line of the separator": Export(
        "auftraege.csv",
        text(
            "sep=;", "Auftragsnr;Bestelldatum;Kundennr;Summe;Chargeback", "0001;01.03.2026 13:05:00;c1;1.234,50;N",
            "0002;14.03.2026 00:30:00;c2;9,90;J", end="\r\n",
        ),
    ),
    "a date in parts": Export(
        "card_transactions.csv",
        text(
            "User,Card,Year,Month,Day,Time,Amount,Is Fraud?", "c1,0,2026,3,1,13:05,$1234.50,No",
            "c2,0,2026,3,14,00:30,$9.90,Yes",
        ),
        ids=("1", "2"),
    ),
    "tabs": Export(
        "orders.tsv",
        text(
            "order_id\tcreated_at\tuser_id\ttotal\tis_fraud", "0001\t2026-03-01T14:05:00+01:00\tc1\t1,234.50\tf",
            "0002\t2026-03-13T19:30:00-05:00\tc2\t9.90\tt",
        ),
    ),
    "apostrophes for thousands, UTF-16": Export(
        "umsatz.csv",
        text(
            "id,timestamp,customer,amount,fraud", "0001,2026-03-01 13:05:00,c1,1'234.50,0",
            "0002,2026-03-14 00:30:00,c2,9.90,1", encoding="utf-16",
        ),
    ),
    "byte order mark, quoted line breaks": Export(
        "notes.csv",
        text(
            "\ufeffid,note,date,client_id,amount,fraud", '0001,"he said\n""soon"", twice",2026-03-01 13:05,c1,1234.5,0',
            '0002,"",2026-03-14 00:30,c2,9.90,1',
        ),
    ),
    "nanoseconds": Export(
        "events.psv",
        text(
            "txid|event_timestamp|account_id|value|label", "0001|1772370300000000000|c1|1234.5|0",
            "0002|1773448200000000000|c2|9.9|1",
        ),
    ),
    "American, with a 12-hour clock": Export(
        "report.csv",
        text(
            "Transaction ID,Transaction Date,Customer ID,Amount,Is Fraud",
            '0001,03/01/2026 01:05:00 PM,c1,"$1,234.50",No',
            "0002,03/14/2026 12:30:00 AM,c2,$9.90,Yes",
        ),
    ),
    "chargeback or nothing": Export(
        "disputes.csv",
        text(
            "payment_id,created,email,amount,outcome", "0001,1772370300,c1,1234.50,",
            "0002,1773448200,c2,9.90,chargeback",
        ),
    ),
    "nested JSON, zipped": Export("orders.jsonl.gz", gzip.compress(b"\n".join(map(msgspec.json.encode, _NESTED)))),
    "a list in JSON": Export("orders.json", msgspec.json.encode(_NESTED)),
    "no header, no id": Export(
        "dump.txt", text("2026-03-01 13:05:00;c1;1234.5;0", "2026-03-14 00:30:00;c2;9.9;1"), ids=("1", "2"),
    ),
    "numbers in minor units": Export(
        "ledger.csv",
        text(
            "trans_num,unix_time,cc_num,amount_cents,is_fraud", "0001,1772370300,c1,123450,0",
            "0002,1773448200,c2,990,1",
        ),
    ),
    "Parquet with times of a zone": Export(
        "part-0.parquet",
        parquet(
            TRANSACTION_ID=["0001", "0002"], TX_DATETIME=pa.array([FIRST, SECOND], pa.timestamp("us", "Europe/Zurich")),
            CUSTOMER_ID=["c1", "c2"], TX_AMOUNT=[1234.5, 9.9], TX_FRAUD=[False, True],
        ),
    ),
}  # fmt: skip


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
    path.write_bytes(msgspec.json.format(msgspec.json.encode(_NESTED[0]), indent=2))
    mapping = of(suggest(path).content)
    assert [event["transaction_id"] for event in read(path, mapping)] == ["0001"]
    good = msgspec.json.encode(_NESTED[0])
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


def test_quoted_line_breaks_in_a_large_file(tmp_path: Path) -> None:
    rows = [f'{number},"a\nb;c",2026-03-01,c,1' for number in range(100_000)]
    path = tmp_path / "large.csv"
    path.write_bytes(text("id,note,date,customer,amount", *rows))
    assert path.stat().st_size > 2**21
    mapping = of(suggest(path).content)
    assert sum(1 for _ in read_rows(path, mapping)) == len(rows)
    assert mapping.source.separator == ","


ORDER: dict[str, Any] = {
    "type": "order.paid",
    "order": {
        "id": 42, "created": 1772370300, "email": "a@example.org", "total": 1250, "currency": "jpy", "gateway": "x",
        "customer": {"id": None}, "attributes": [{"name": "device", "value": "d1"}],
        "lines": [{"sku": "p", "price": 1250}],
    },
}  # fmt: skip
WEBHOOK: dict[str, Any] = {
    "source": {"kind": "transaction", "format": "json", "shop": "tokyo"},
    "where": {"type": ["order.paid"]},
    "fields": {
        "transaction_id": "order.id",
        "event_time": {"path": "order.created", "time": "epoch_s"},
        "customer_id": {"path": ["order.customer.id", "order.email"]},
        "amount": {"path": "order.total", "unit": "minor"},
        "currency": {"path": "order.currency", "case": "upper"},
        "device_id": "order.attributes[name=device].value",
        "payment_method": {"path": "order.gateway", "map": {"stripe": "card"}, "other": "other"},
        "session_id": {"constant": "none"},
        "promo_code": {"path": "order.promo", "default": "-"},
    },
    "items": {
        "path": "order.lines", "product_id": "sku", "quantity": {"path": "count", "default": 1},
        "unit_price": {"path": "price", "unit": "minor"},
    },
}  # fmt: skip


def changed(**order: Any) -> dict[str, Any]:
    return ORDER | {"order": ORDER["order"] | order}


def test_a_webhook_becomes_an_event() -> None:
    assert MappedRecords(of(WEBHOOK)).event(ORDER) == {
        "transaction_id": "42", "event_time": FIRST, "customer_id": "a@example.org", "amount": 1250.0,
        "currency": "JPY",
        "device_id": "d1", "payment_method": "other", "session_id": "none", "promo_code": "-", "shop": "tokyo",
        "items": [{"product_id": "p", "quantity": 1, "unit_price": 1250.0}],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("nobody", "known_by"), [(0, "a@example.org"), ("0", "a@example.org"), (7, "7"), (False, "false")]
)
def test_a_number_of_json_may_mean_no_value(nobody: Any, known_by: str) -> None:
    """As the id 0 of a guest; `missing` has it as a text."""
    customer = {"path": ["order.customer.id", "order.email"], "missing": ["", "0"]}
    first = {"path": "order.customer.id", "missing": ["", "0"], "default": "a@example.org"}
    for field in (customer, first):
        records = MappedRecords(of(WEBHOOK | {"fields": WEBHOOK["fields"] | {"customer_id": field}}))
        event = records.event(changed(customer={"id": nobody}))
        assert event is not None
        assert event["customer_id"] == known_by


def test_a_vendors_minor_units_count_before_those_of_iso() -> None:
    records = MappedRecords(of(WEBHOOK | {"source": WEBHOOK["source"] | {"minor_units": {"JPY": 2, "KWD": 0}}}))
    amounts = {code: records.event(changed(currency=code)) for code in ("jpy", "kwd", "bhd", "eur")}
    assert {code: event and event["amount"] for code, event in amounts.items()} == {
        "jpy": 12.5, "kwd": 1250.0, "bhd": 1.25, "eur": 12.5,
    }  # fmt: skip
    assert [event and event["items"][0]["unit_price"] for event in amounts.values()] == [12.5, 1250.0, 1.25, 12.5]


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ({"type": ["order.paid"]}, ["order.paid"]),
        ({"type": ["order.paid", ""]}, ["order.paid", None]),
        ({"type": ["7"]}, [7]),
        ({"type": {"not": ["order.paid", "7"]}}, ["draft", None]),
        ({"type": {"not": [""]}}, ["order.paid", "draft", 7]),
        ({"type": {"not": ["draft"]}, "order.id": ["42"]}, ["order.paid", 7, None]),
    ],
)
def test_where_says_which_messages_count(where: dict[str, Any], kept: list[Any]) -> None:
    records = MappedRecords(of(WEBHOOK | {"where": where}))
    found = [kind for kind in ("order.paid", "draft", 7, None) if records.event(ORDER | {"type": kind}) is not None]
    assert found == kept


def test_a_condition_on_an_object_is_refused_by_its_path() -> None:
    decoder = MappedDecoder(of(WEBHOOK))
    refused = decoder.decode(msgspec.json.encode(ORDER | {"type": {"name": "order.paid"}}))
    assert isinstance(refused, Rejection)
    assert refused.reason is DeadLetterReason.MAPPING_FAILED
    assert "[where] (from `type`): {'name': 'order.paid'} is an object" in refused.detail


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.floats(), st.text(max_size=5),
    st.sampled_from(["", "1.50", "$2", "2026-03-01", "1772370300", "a\0b", 1772370300, "yes"]),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=2), st.integers(), max_size=1),
)  # fmt: skip
AWKWARD = {
    "transaction_id": """o."it's \\ a\nname".x""",
    "customer_id": {"path": "o.c", "default": "nobody", "missing": ["-"]},
    "event_time": {"path": "o.t", "time": "epoch_s"},
    "amount": "o.l[0]",
    "promo_amount": {"path": "o.l[-1]", "absolute": True},
    "shipping_latitude": "o.y",
    "device_id": {"path": "o.d", "map": {"1": "one"}, "other": "many"},
    "card_token": {"path": "o.k", "case": "lower", "prefix": "x-"},
    "is_fraud": "o.f",
}


#: A value for each of these fields that can be read.
READABLE = ("t-1", "c-1", 1772370300, 5, "($3.50)", 46.5, 1, "TOK", "yes")


@given(
    values=st.tuples(*(st.just(value) | st.just(value) | VALUES for value in READABLE)),
    inner=st.sampled_from(["object", "object", "list", "nothing"]),
)
def test_the_generated_path_reads_what_each_field_reads_by_itself(values: tuple[Any, ...], inner: str) -> None:
    """Or fails where a field does, which then is named."""
    first, second, third, lat, lon, *others = values
    name = "it's \\ a\nname"
    record: dict[str, Any] = {"o": {name: {"x": first}, "c": second, "t": third, "l": [lat, lon]}}
    record["o"] |= dict(zip("ydkf", others, strict=True))
    changes: dict[str, dict[str, Any]] = {"object": {}, "list": {"o": [record]}, "nothing": {"o": None}}
    record |= changes[inner]
    records = MappedRecords(of({"source": {"kind": "transaction", "format": "json"}, "fields": AWKWARD}))
    by_itself: dict[str, Any] = {}
    fault = None
    for field in records.fields:
        try:
            value = field.read(record, 0)
        except UnmappableError as error:
            fault = error
            break
        if value is not None:
            by_itself[field.name] = value
    try:
        event = records.event(record)
    except UnmappableError as error:
        assert str(error) == str(fault) if fault else error.field not in by_itself or error.field == "amount"
    else:
        assert fault is None
        assert event is not None
        event.pop("currency", None)  # said by the amount's text
        assert event == by_itself


def test_awkward_names_are_read() -> None:
    record = {
        "o": {"it's \\ a\nname": {"x": "t-1"}, "c": "-", "t": 1772370300, "l": [5, "($3.50)"], "d": 2, "k": "TOK"}
    }
    records = MappedRecords(of({"source": {"kind": "transaction", "format": "json"}, "fields": AWKWARD}))
    assert records.event(record) == {
        "transaction_id": "t-1", "customer_id": "nobody", "event_time": FIRST, "amount": 5, "promo_amount": 3.5,
        "device_id": "many", "card_token": "x-tok",
    }  # fmt: skip


@pytest.mark.parametrize(("currency", "amount"), [("jpy", 1250.0), ("EUR", 12.5), ("KWD", 1.25)])
def test_minor_units_are_those_of_the_currency(currency: str, amount: float) -> None:
    event = MappedRecords(of(WEBHOOK)).event(changed(currency=currency))
    assert event is not None
    assert (event["amount"], event["items"][0]["unit_price"]) == (amount, amount)


def test_other_messages_are_left_out() -> None:
    assert MappedRecords(of(WEBHOOK)).event(ORDER | {"type": "order.updated"}) is None


@pytest.mark.parametrize(
    ("record", "field", "said"),
    [
        (changed(total="abc"), "amount", "amount (from `order.total`): 'abc' is not an amount"),
        (changed(email=None), "customer_id", "customer_id (from `order.customer.id` or `order.email`): has no value"),
        (changed(created="2026-03-01"), "event_time", "event_time (from `order.created`): '2026-03-01' is no number"),
        (changed(currency=None), "currency", "currency: has no value, and amounts are in its minor units"),
        (changed(lines={"sku": "p"}), "items", "items (from `order.lines`): is no list"),
        (changed(lines=["p"]), "items", "'p' is no object"),
        (changed(lines=[{"count": 1.5}]), "quantity", "quantity (from `count`): 1.5 is not a whole number"),
        (changed(id={"a": 1}), "transaction_id", "is an object, and not a text or a number"),
        (changed(id="a\0b"), "transaction_id", "has a NUL character"),
        (changed(total="1250 USD"), "amount", "is in USD, and the currency is JPY"),
        ([1], "record", "is no object"),
    ],
)
def test_what_cannot_be_mapped_is_refused_by_field_and_place(record: Any, field: str, said: str) -> None:
    with pytest.raises(UnmappableError) as refused:
        MappedRecords(of(WEBHOOK)).event(record)
    assert refused.value.field == field
    assert said in str(refused.value)


COMPLETE: dict[str, Any] = WEBHOOK | {
    "fields": WEBHOOK["fields"]
    | {
        name: {"constant": value}
        for name, value in {
            "shipping_city": "Bern", "shipping_country": "CH", "ip_country": "CH", "shipping_latitude": 46.9,
            "shipping_longitude": 7.4,
        }.items()
    }
    | {"payment_method": {"path": "order.gateway", "map": {"x": "card"}}}
}  # fmt: skip


def test_a_message_becomes_the_contracts_event_or_a_rejection() -> None:
    decoder = MappedDecoder(of(COMPLETE))
    event = decoder.decode(msgspec.json.encode(ORDER))
    assert isinstance(event, Transaction)
    assert (event.transaction_id, event.event_time, event.amount, event.card_token) == ("42", FIRST, 1250.0, None)
    assert decoder.decode(msgspec.json.encode(ORDER | {"type": "refund"})) is None
    rejections = [decoder.decode(value) for value in (
        msgspec.json.encode(changed(total="abc")), b'{"a":', msgspec.json.encode(changed(total=-5)),
        msgspec.json.encode(changed(promo="4111 1111 1111 1111")),
    )]  # fmt: skip
    assert [each.reason for each in rejections if isinstance(each, Rejection)] == [
        DeadLetterReason.MAPPING_FAILED, DeadLetterReason.TRUNCATED_JSON, DeadLetterReason.INVALID_AMOUNT,
        DeadLetterReason.CARD_NUMBER,
    ]  # fmt: skip


def test_browse_events_and_labels_are_mapped_too() -> None:
    browse = {
        "event_id": "id", "session_id": "event_params[key=ga_session_id].value.int_value", "customer_id": "user",
        "event_type": "event_name", "event_time": {"path": "at", "time": "epoch_us"}, "device_id": "user",
        "traffic_source": {"constant": "direct"}, "device_type": {"path": "device.category"},
    }  # fmt: skip
    decoder = MappedDecoder(of({"source": {"kind": "browse", "format": "json"}, "fields": browse}))
    message = {
        "id": 1, "event_params": [{"key": "ga_session_id", "value": {"int_value": 77}}], "user": "u",
        "at": 1772370300000000,
        "event_name": "view_item", "device": {"category": "mobile"},
    }  # fmt: skip
    event = decoder.decode(msgspec.json.encode(message))
    assert isinstance(event, BrowseEvent)
    assert (event.session_id, event.event_time) == ("77", FIRST)

    dispute = {
        "source": {"kind": "label", "format": "json", "record": "data.object"},
        "fields": {
            "transaction_id": "charge", "is_fraud": {"constant": True},
            "labelled_at": {"path": "created", "time": "epoch_s"},
        },
    }  # fmt: skip
    value = msgspec.json.encode({"data": {"object": {"charge": "ch_1", "created": 1772370300}}})
    label = MappedDecoder(of(dispute)).decode(value)
    assert label == Label(
        schema_version=1, transaction_id="ch_1", is_fraud=True, source="chargeback", labelled_at=FIRST
    )


def test_a_transactions_label_is_known_after_its_delay_or_at_its_own_time() -> None:
    fields = {"transaction_id": "i", "event_time": "t", "customer_id": "c", "amount": "a", "is_fraud": "f"}
    content = {"source": {"kind": "transaction", "format": "json"}, "fields": fields, "labels": {"delay_days": 13.5}}
    record = {"i": 1, "t": "2026-03-01T13:05Z", "c": 1, "a": 1, "f": 1}
    event = MappedRecords(of(content)).event(record)
    assert event is not None
    label = label_of(event, of(content))
    assert label == {
        "transaction_id": "1", "is_fraud": True, "labelled_at": datetime(2026, 3, 15, 1, 5, tzinfo=UTC),
        "source": "chargeback",
    }  # fmt: skip
    assert label_of({**event, "labelled_at": SECOND}, of(content)) == label | {"labelled_at": SECOND}
    del event["is_fraud"]
    assert label_of(event, of(content)) is None


def _set(section: str, **keys: Any) -> Callable[[], dict[str, Any]]:
    return lambda: WEBHOOK | {section: WEBHOOK.get(section, {}) | keys}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (_set("source", kind="order"), "source.kind = 'order'"),
        (_set("source", format="xml"), "source.format = 'xml'"),
        (_set("source", sep=";"), "[source]: object contains unknown field `sep`; known: kind, format"),
        (_set("source", zone="Zurich"), "source.zone = 'Zurich': no time zone, such as Europe/Zurich"),
        (_set("source", encoding="ansi-1"), "source.encoding = 'ansi-1': no encoding"),
        (_set("source", minor_units={"isk": 2}), "source.minor_units.isk = 2: name a currency in capitals"),
        (_set("source", minor_units={"ISK": -1}), "source.minor_units.ISK = -1: name a currency in capitals"),
        (_set("source", separator=";;"), "source.separator = ';;': must be one character"),
        (_set("fields", amnt="a"), "fields.amnt: a transaction has no such field; known: transaction_id"),
        (_set("fields", amount={"path": "a", "tme": "iso"}), "fields.amount"),
        (_set("fields", amount={"path": "a", "time": "iso"}), "fields.amount.time = 'iso': for a time, and this"),
        (_set("fields", amount={"path": "a..b"}), "fields.amount.path = 'a..b': can't be read"),
        (_set("fields", amount={"path": "a", "constant": 1}), "fields.amount: say exactly one of path, constant"),
        (_set("fields", event_time={"path": "a", "time": "%s"}), "fields.event_time.time = '%s': is no pattern"),
        (_set("fields", event_time={"path": "a", "join": " "}), "fields.event_time.join"),
        (_set("fields", currency={"path": "a", "other": "EUR"}), "fields.currency.other = 'EUR': needs a map"),
        (
            lambda: _set("source", topic="t")() | {"fields": {"transaction_id": {"row": True}}},
            "fields.transaction_id.row = true: messages of a topic have no row",
        ),
        (_set("labels", other="maybe"), "labels.other = 'maybe'"),
        (_set("where", type={"but": ["x"]}), "[where]: object contains unknown field `but`; known: not"),
        (_set("items", sku="x"), "[items]: object contains unknown field `sku`"),
    ],
)
def test_a_mapping_that_says_nothing_possible_is_refused_by_its_key(
    tmp_path: Path, content: Callable[[], dict[str, Any]], said: str
) -> None:
    path = tmp_path / "orders.toml"
    path.write_text(to_toml(content()))
    with pytest.raises(MappingError) as refused:
        read_mapping(path)
    assert str(refused.value).startswith(f"mapping {path}, ")
    assert said in str(refused.value)


def test_constants_that_no_field_can_have_are_refused_at_once() -> None:
    content = _set("fields", event_time={"constant": "soon"})()
    with pytest.raises(MappingError, match=r"fields.event_time.constant = 'soon'"):
        MappedRecords(of(content))


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


def report_of(folder: Path, *rows: str, **fields: Any) -> tuple[Report, list[str]]:
    path = folder / "orders.csv"
    path.write_bytes(text(*rows))
    mapping = of({"source": {"kind": "transaction", "format": "csv"}, "fields": fields})
    report = check(mapping, read_rows(path, mapping))
    return report, list(lines(report, mapping))


def test_a_check_counts_each_field_and_tells_the_first_row_of_each_refusal(tmp_path: Path) -> None:
    report, told = report_of(
        tmp_path, "id,t,c,a", "1,2026-03-01,c1,1", "2,soon,,2", "3,9999-12-31,c3,x", "4,then,c4,4", "5,2026-03-01",
        transaction_id="id", event_time="t", customer_id="c", amount="a",
    )  # fmt: skip
    assert report.rows == 5
    found = {name: (each.found, each.examples) for name, each in report.fields.items()}
    assert found["transaction_id"] == (4, ["1", "2", "3"])
    assert found["customer_id"] == (3, ["c1", "c3", "c4"])
    assert found["amount"] == (3, ["1.0", "2.0", "4.0"])
    refused = [(*key[:2], each.count, each.first) for key, each in report.refused.found.items()]
    assert [each[1:] for each in refused if each[0] == "MAPPING_FAILED"] == [
        ("event_time", 2, "row 2"), ("event_time", 1, "row 3"), ("", 1, "row 5"),
    ]  # fmt: skip
    assert any("2 rows, MAPPING_FAILED, first row 2: event_time (from `t`): 'soon' is no time" in line for line in told)
    assert report.missing == []


def test_a_field_that_no_row_has_is_missing(tmp_path: Path) -> None:
    report, told = report_of(
        tmp_path, "id,t,c", "1,2026-03-01,c1", transaction_id="id", event_time="t", customer_id="x"
    )
    assert report.missing == ["amount", "customer_id"]
    assert "missing: amount, which a transaction must have: add it under [fields]" in told


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fraudstream.mappings", *map(str, arguments)]
    return subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, check=False)


def test_holes_placeholders_and_spaces_keep_nothing_from_being_guessed(tmp_path: Path) -> None:
    path = tmp_path / "holes.csv"
    rows = ("1, 2026-03-01, c, 12.50", '2,9999-12-31, "c",3.00', "3,2026-03-02,c,NULL", "4,NULL,c,1")
    path.write_bytes(text("id, date, customer, amount", *rows))
    content = suggest(path).content
    assert content["fields"]["event_time"] == {"path": "date", "missing": ["", "NULL"]}
    report = check(of(content), read_rows(path, of(content)))
    assert {name: each.found for name, each in report.fields.items()} == {
        "transaction_id": 4, "customer_id": 4, "event_time": 2, "amount": 3,
    }  # fmt: skip
    assert report.fields["customer_id"].examples == ["c"]
    details = [each.detail for each in report.refused.found.values()]
    assert any("'9999-12-31' is a placeholder" in detail for detail in details)


def test_what_no_file_says_is_told_as_doubtful(tmp_path: Path) -> None:
    contents = {
        "steps.csv": ("step,customer,amount", "1,c,2.5", "2,c,3.5"),
        "american.csv": ("date,customer,amount", "03/04/2026,c,2.5", "04/05/2026,c,3.5"),
        "cents.jsonl": ('{"created": "2026-03-01", "customer": "c", "amount": 250}',),
        "marks.csv": ("date,customer,amount", '2026-03-01,c,"1,234"'),
        "disputes.csv": ("charge_id,created", "ch_1,2026-03-01"),
    }
    found = {}
    for name, rows in contents.items():
        (tmp_path / name).write_bytes(text(*rows))
        found[name] = suggest(tmp_path / name).doubts
    assert {name: list(doubts) for name, doubts in found.items()} == {
        "steps.csv": ["event_time"], "american.csv": ["event_time"], "cents.jsonl": ["amount"], "marks.csv": ["amount"],
        "disputes.csv": ["is_fraud"],
    }  # fmt: skip
    assert "say time = '%d/%m/%Y' or '%m/%d/%Y'" in found["american.csv"]["event_time"]


def test_every_mapping_of_the_page_can_be_used() -> None:
    page = (PROJECT_DIR / "docs" / "mapping.md").read_text()
    blocks = [tomllib.loads(block.split("```")[0]) for block in page.split("```toml\n")[1:]]
    whole = [block for block in blocks if "source" in block]
    assert [bool(MappedRecords(of(block)).unmapped) for block in whole] == [False] * 4
    german = MappedRecords(of(whole[0]))
    record = {"Bestellnr": "7", "Datum": "01.03.2026", "Uhrzeit": "14:05", "Kunde": "k", "Betrag": "1.234,50 €"}
    with pytest.raises(UnmappableError, match=r"amount .*is in EUR, and the currency is CHF"):
        german.event(record)
    event = german.event(record | {"Betrag": "1.234,50", "Zahlart": "Rechnung"})
    assert event is not None
    assert (event["event_time"], event["amount"], event["payment_method"]) == (FIRST, 1234.5, "invoice")
    assert event["is_fraud"] is False


def test_the_commands_suggest_and_check(tmp_path: Path) -> None:
    data, toml = EXPORTS["American, with a 12-hour clock"].write(tmp_path), tmp_path / "orders.toml"
    assert run("suggest", data, "--out", toml).returncode == 0
    checked = run("check", toml, "--sample", data)
    assert checked.returncode == 0, checked.stderr
    assert "2026-03-01T13:05:00.000Z, 2026-03-14T00:30:00.000Z" in checked.stdout
    toml.write_text(toml.read_text().replace('amount = "Amount"', ""))
    lacking = run("check", toml, "--sample", data)
    assert (lacking.returncode, lacking.stderr) == (1, "")
    assert "missing: amount" in lacking.stdout
    neither = run("check", toml)
    assert (neither.returncode, neither.stdout) == (1, "")
    assert neither.stderr == "fraudctl: say where the data is: --sample DATA or --topic TOPIC\n"


def test_every_field_of_the_contract_can_be_mapped() -> None:
    structs = {Kind.TRANSACTION: Transaction, Kind.BROWSE: BrowseEvent, Kind.LABEL: Label}
    for kind, struct in structs.items():
        assert set(struct.__struct_fields__) - {"schema_version", "items"} <= FIELDS[kind].keys()
    page = (PROJECT_DIR / "docs" / "mapping.md").read_text()
    names = {name for fields in (*FIELDS.values(), ITEM_FIELDS) for name in fields}
    assert sorted(name for name in names if f"`{name}`" not in page) == []
