"""Payloads in Debezium's envelope: the row that a change left behind."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fraudstream.mappings.files import Unreadable, read_rows
from fraudstream.mappings.suggest import suggest
from fraudstream.messages.reasons import DeadLetterReason as Reason
from tests.registry import Registry, framed
from tests.unit.payloads import avro, decoder, mapping, refusal

ROW = {"id": "tx-1", "total": "19.90"}


def change(op: str, after: Any = ROW, before: Any = None) -> dict[str, Any]:
    return {"before": before, "after": after, "source": {"table": "orders"}, "op": op, "ts_ms": 1}


def encoded(record: Any) -> bytes:
    return json.dumps(record).encode()


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(
    ("record", "row"),
    [
        (change("c"), ROW),
        (change("r"), ROW),
        (change("u", before={"id": "tx-1", "total": "1.00"}), ROW),
        (change("d", after=None, before=ROW), None),
        ({"op": "t", "source": {}}, None),
        (change("c", after='{"_id": {"$oid": "a"}}'), {"_id": {"$oid": "a"}}),
        (None, None),
    ],
)
def test_a_change_is_the_row_that_it_left_behind(record: Any, row: Any, wrapped: bool) -> None:
    value = {"schema": {"type": "struct"}, "payload": record} if wrapped else record
    assert decoder("json", envelope="debezium")(encoded(value)) == row


def test_a_tombstone_has_nothing_to_read_in_an_envelope_only() -> None:
    assert decoder("json", envelope="debezium")(None) is None
    assert refusal(decoder("json"), None)[0] is Reason.EMPTY_VALUE
    assert refusal(decoder("json"), b"null")[0] is Reason.NOT_AN_OBJECT


def test_operations_that_do_not_count_have_nothing_to_read() -> None:
    decode = decoder("json", envelope="debezium", operations=["create", "read"])
    assert [decode(encoded(change(op))) for op in "cur"] == [ROW, None, ROW]


@pytest.mark.parametrize(
    "record", [{"id": 1}, [], {"op": ["c"]}, {"op": "x", "after": {}}, {"op": "u"}, change("u", after=None)]
)
def test_what_is_no_envelope_is_refused(record: Any) -> None:
    assert refusal(decoder("json", envelope="debezium"), encoded(record))[0] is Reason.NOT_AN_ENVELOPE


@pytest.mark.parametrize(
    ("field", "total"),
    [
        ({"name": "org.apache.kafka.connect.data.Decimal"}, "B8Y="),
        ({"name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "2"}}, "B8Y"),
        ({"name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "x"}}, "B8Y="),
        ({"name": "io.debezium.data.VariableScaleDecimal"}, {"scale": 10**30, "value": "B8Y="}),
        ("text", "B8Y="),
    ],
)
def test_decimals_that_cannot_be_read_are_refused(field: Any, total: Any) -> None:
    fields = [field | {"field": "total"} if isinstance(field, dict) else field]
    value = {"schema": {"fields": [{"field": "after", "fields": fields}]}, "payload": change("c", {"total": total})}
    assert refusal(decoder("json", envelope="debezium"), encoded(value))[0] is Reason.NOT_AN_ENVELOPE


def test_decimals_of_the_wrapper_are_read_by_its_schema() -> None:
    decimal = {"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "2"}}
    columns = [
        decimal | {"field": "total"},
        {"field": "fee", "type": "struct", "name": "io.debezium.data.VariableScaleDecimal"},
        decimal | {"field": "none"},
    ]  # fmt: skip
    schema = {
        "type": "struct",
        "fields": [{"field": "before", "fields": columns}, {"field": "after", "fields": columns}],
    }
    row = {"total": "B8Y=", "fee": {"scale": 1, "value": "/w=="}, "none": None}
    found = decoder("json", envelope="debezium")(encoded({"schema": schema, "payload": change("c", after=row)}))
    assert found == {"total": Decimal("19.90"), "fee": Decimal("-0.1"), "none": None}


def test_an_envelope_of_avro_is_read(registry: Registry) -> None:
    row = {"type": "record", "name": "Value", "fields": [{"name": "id", "type": "string"}]}
    schema = {"type": "record", "name": "Envelope", "fields": [
        {"name": "before", "type": ["null", row]}, {"name": "after", "type": ["null", "Value"]},
        {"name": "op", "type": "string"},
    ]}  # fmt: skip
    number, decode = registry.register(json.dumps(schema)), decoder("avro", registry, envelope="debezium")
    row_of = {"id": "tx-1"}
    assert decode(framed(number, avro(schema, {"before": None, "after": row_of, "op": "c"}))) == row_of
    assert decode(framed(number, avro(schema, {"before": row_of, "after": None, "op": "d"}))) is None


def test_a_file_of_changes_is_read_without_deletes_and_suggested(tmp_path: Path) -> None:
    path = tmp_path / "orders.jsonl"
    order = {"id": "a", "created_at": "2026-03-01T12:00:00Z", "customer_id": "c-1", "total": 5.5}
    changes = [change("c", order), change("u", order | {"id": "b"})]
    path.write_bytes(b"\n".join(map(encoded, changes)))
    content = suggest(path).content
    assert content["source"]["envelope"] == "debezium"
    assert content["fields"]["amount"] == "total"
    path.write_bytes(b"\n".join(map(encoded, [*changes, change("d", None, order), {"no": "change"}])))
    rows = list(read_rows(path, mapping("json", envelope="debezium")))
    assert [row.number for row in rows] == [1, 2, 4]
    assert isinstance(rows[2].record, Unreadable)
