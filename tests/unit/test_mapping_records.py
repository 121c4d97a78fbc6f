"""Records of a mapping: what becomes of each, which count, and what is refused."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.messages.contracts import BrowseEvent, Label, Transaction
from fraudstream.messages.mapping.compiled import MappedRecords, UnmappableError, label_of
from fraudstream.messages.mapping.decoding import MappedDecoder
from fraudstream.messages.mapping.file import of
from fraudstream.messages.reasons import DeadLetterReason
from fraudstream.messages.refusal import Rejection
from tests.unit.shop_exports import FIRST, ORDER, SECOND, WEBHOOK


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
