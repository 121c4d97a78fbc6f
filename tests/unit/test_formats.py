"""Payloads of a mapping's source: behind a schema registry, and in Debezium's envelope."""

import base64
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import fastavro
import pytest
from confluent_kafka.schema_registry import Schema, SchemaReference
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass

from fraudstream.mappings.files import Unreadable, read_rows
from fraudstream.mappings.suggest import suggest
from fraudstream.messages.formats import protobuf
from fraudstream.messages.formats.errors import PayloadError, RegistryUnavailableError
from fraudstream.messages.formats.payloads import payload_decoder
from fraudstream.messages.mapping.compiled import MappedRecords
from fraudstream.messages.mapping.file import Mapping, MappingError, of, read_mapping
from fraudstream.messages.reasons import DeadLetterReason as Reason
from tests.registry import USER, Registry, framed, registry_server

ORDER: dict[str, Any] = {
    "type": "record", "name": "Order", "namespace": "shop",
    "fields": [
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "total", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "pay", "type": {"type": "enum", "name": "Pay", "symbols": ["card", "invoice"]}},
        {"name": "customer", "type": ["null", {"type": "record", "name": "Customer", "fields": [
            {"name": "number", "type": ["null", "long", "string"]}]}]},
        {"name": "lines", "type": {"type": "array", "items": {"type": "record", "name": "Line", "fields": [
            {"name": "sku", "type": "string"}, {"name": "count", "type": "int"},
            {"name": "price", "type": "double"}]}}},
    ],
}  # fmt: skip
VALUE: dict[str, Any] = {
    "id": UUID(int=7), "at": datetime(2026, 3, 1, 12, 0, 0, 250_000, UTC), "day": date(2026, 3, 1),
    "total": Decimal("19.90"), "pay": "card", "customer": {"number": 42},
    "lines": [{"sku": "p-1", "count": 2, "price": 9.95}],
}  # fmt: skip
FIELDS = {"transaction_id": "id", "event_time": "at", "customer_id": "customer.number", "amount": "total"}
PROTO = """
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "confluent/type/decimal.proto";
import "parts/customer.proto";
message Unused { string nothing = 1; }
message Order {
  message Line { string sku = 1; int32 count = 2; float price = 3; }
  enum Pay { UNKNOWN = 0; CARD = 1; }
  string id = 1;
  google.protobuf.Timestamp at = 2;
  confluent.type.Decimal total = 3;
  Pay pay = 4;
  parts.Customer customer = 5;
  repeated Line lines = 6;
  map<string, string> tags = 7;
  bool disputed = 8;
}
"""
CUSTOMER_PROTO = 'syntax = "proto3"; package parts; message Customer { int64 number = 1; optional string email = 2; }'
Decode = Callable[[bytes | None], Any]


@pytest.fixture
def registry() -> Iterator[Registry]:
    with registry_server() as found:
        yield found


def mapping(form: str, behind: Registry | None = None, **keys: Any) -> Mapping:
    source = {"kind": "transaction", "format": form} | keys
    if behind:
        source["registry"] = {"url": behind.url, "retry_seconds": 0}
    items = {"path": "lines", "product_id": "sku", "quantity": "count", "unit_price": "price"}
    return of({"source": source, "fields": FIELDS | {"payment_method": "pay"}, "items": items})


def decoder(form: str, behind: Registry | None = None, **keys: Any) -> Decode:
    return payload_decoder(mapping(form, behind, **keys).source)


def avro(schema: dict[str, Any], value: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


def refusal(decode: Decode, value: bytes | None) -> tuple[Reason, str]:
    with pytest.raises(PayloadError) as caught:
        decode(value)
    return caught.value.rejection.reason, caught.value.rejection.detail


# --- Avro -----------------------------------------------------------------------------------------------------------


def test_values_of_avro_are_what_the_readers_of_a_mapping_understand(registry: Registry) -> None:
    number = registry.register(json.dumps(ORDER))
    found = mapping("avro", registry)
    record = payload_decoder(found.source)(framed(number, avro(ORDER, VALUE)))
    assert MappedRecords(found).event(record) == {
        "transaction_id": str(UUID(int=7)),
        "event_time": VALUE["at"],
        "customer_id": "42",
        "amount": 19.9,
        "payment_method": "card",
        "items": [{"product_id": "p-1", "quantity": 2, "unit_price": 9.95}],
    }
    assert record["day"] == date(2026, 3, 1)


def test_a_schema_may_change_between_messages_and_each_is_fetched_once(registry: Registry) -> None:
    decode = decoder("avro", registry)
    later = ORDER | {"fields": [*ORDER["fields"][:-1], {"name": "gift", "type": ["null", "boolean"]}]}
    first = framed(registry.register(json.dumps(ORDER)), avro(ORDER, VALUE))
    assert "gift" not in decode(first)
    second = framed(registry.register(json.dumps(later)), avro(later, VALUE | {"gift": True}))
    assert decode(second)["gift"] is True
    assert (decode(first)["id"], decode(second)["id"]) == (VALUE["id"], VALUE["id"])
    assert [path.partition("?")[0] for path in registry.asked] == ["/schemas/ids/1", "/schemas/ids/2"]


def test_a_schema_may_reference_another(registry: Registry) -> None:
    line, order = ORDER["fields"][-1]["type"]["items"] | {"name": "shop.Line"}, dict(ORDER)
    order["fields"] = [{"name": "lines", "type": {"type": "array", "items": "shop.Line"}}]
    registry.register(json.dumps(line), subject="line")
    number = registry.register(json.dumps(order), references=[SchemaReference("shop.Line", "line", 1)])
    whole = order | {"fields": [{"name": "lines", "type": {"type": "array", "items": line}}]}
    assert decoder("avro", registry)(framed(number, avro(whole, VALUE))) == {"lines": VALUE["lines"]}


@pytest.mark.parametrize("cut", [1, 3, 20])
def test_data_that_does_not_fit_its_schema_is_refused_without_being_quoted(registry: Registry, cut: int) -> None:
    number = registry.register(json.dumps(ORDER))
    whole = avro(ORDER, VALUE)
    for data in (whole[:-cut], whole + b"secret"):
        reason, detail = refusal(decoder("avro", registry), framed(number, data))
        assert reason is Reason.SCHEMA_MISMATCH
        assert detail.startswith(f"the data doesn't fit its schema {number}")
        assert "secret" not in detail and "p-1" not in detail


def test_a_container_file_of_avro_is_read_and_suggested(tmp_path: Path) -> None:
    path = tmp_path / "orders.avro"
    with path.open("wb") as file:
        fastavro.writer(file, fastavro.parse_schema(ORDER), [VALUE, VALUE])
    assert [row.record["id"] for row in read_rows(path, mapping("avro"))] == [VALUE["id"]] * 2
    content = suggest(path).content
    assert content["source"]["format"] == "avro"
    assert content["fields"]["amount"] == "total"


# --- Protobuf -------------------------------------------------------------------------------------------------------


def proto_message(registry: Registry, number: int, name: str, content: dict[str, Any]) -> bytes:
    """As a producer with classes of its own would serialize it."""
    from fraudstream.messages.formats.registry import SchemaRegistry

    files = protobuf.compiled(registry.schemas[number - 1], SchemaRegistry(mapping("avro", registry).source.registry))
    pool = DescriptorPool()
    for file in files.file:
        pool.Add(file)
    found: bytes = ParseDict(content, GetMessageClass(pool.FindMessageTypeByName(name))()).SerializeToString()
    return found


def test_values_of_protobuf_are_what_the_readers_of_a_mapping_understand(registry: Registry) -> None:
    registry.register(CUSTOMER_PROTO, "PROTOBUF", "customer")
    customer = SchemaReference("parts/customer.proto", "customer", 1)
    number = registry.register(PROTO, "PROTOBUF", references=[customer])
    content = {
        "id": "tx-1", "at": "2026-03-01T12:00:00.250Z", "pay": "CARD", "customer": {"number": 42}, "tags": {"a": "b"},
        "total": {"value": base64.b64encode((1990).to_bytes(2)).decode(), "scale": 2},
        "lines": [{"sku": "p-1", "count": 2, "price": 9.95}],
    }  # fmt: skip
    data = proto_message(registry, number, "shop.Order", content)
    found = mapping("protobuf", registry)
    record = payload_decoder(found.source)(framed(number, b"\x02\x02" + data))
    event = MappedRecords(found).event(record)
    assert (event["amount"], event["event_time"], event["customer_id"]) == (19.9, VALUE["at"], "42")
    assert event["items"] == [{"product_id": "p-1", "quantity": 2, "unit_price": 9.95}]
    assert (record["pay"], record["tags"], record["disputed"]) == ("CARD", {"a": "b"}, False)
    assert record["customer"]["email"] is None


def test_message_indexes_lead_to_a_nested_message_and_a_lone_zero_to_the_first(registry: Registry) -> None:
    text = 'syntax = "proto3"; message A { string x = 1; message In { string y = 1; } } message B { string z = 1; }'
    number, decode = registry.register(text, "PROTOBUF"), decoder("protobuf", registry)
    data = b"\x0a\x01v"
    assert decode(framed(number, b"\x00" + data)) == {"x": "v"}
    assert decode(framed(number, b"\x02\x02" + data)) == {"z": "v"}
    assert decode(framed(number, b"\x04\x00\x00" + data)) == {"y": "v"}
    for indexes in (b"\x02\x06", b"\x04\x02\x00", b"\xff", b""):
        assert refusal(decode, framed(number, indexes))[0] is Reason.SCHEMA_MISMATCH


# --- JSON Schema, and what all of a registry have in common --------------------------------------------------------


def test_json_with_a_schema_is_read(registry: Registry) -> None:
    decode, number = decoder("json-schema", registry), registry.register('{"type": "object"}', "JSON")
    assert decode(framed(number, b'{"id": "tx-1"}')) == {"id": "tx-1"}
    assert refusal(decode, framed(number, b'{"id": '))[0] is Reason.TRUNCATED_JSON


@pytest.mark.parametrize("value", [b"", b"\0\0\0", b'{"id": 1}', b"\1\0\0\0\1xx"])
def test_what_is_not_the_wire_format_is_refused(registry: Registry, value: bytes) -> None:
    assert refusal(decoder("avro", registry), value)[0] is Reason.NO_SCHEMA_REGISTRY_FRAME
    assert registry.asked == []


def test_a_message_of_an_unknown_schema_is_refused_and_the_next_one_does_not_ask_again(registry: Registry) -> None:
    decode = decoder("avro", registry)
    for _ in range(3):
        assert refusal(decode, framed(9, b"x")) == (Reason.UNKNOWN_SCHEMA, "the registry has no schema 9")
    assert len(registry.asked) == 1


def test_a_schema_of_another_format_is_refused(registry: Registry) -> None:
    number = registry.register('{"type": "object"}', "JSON")
    reason, detail = refusal(decoder("avro", registry), framed(number, b"x"))
    assert (reason, detail) == (Reason.SCHEMA_MISMATCH, "its schema 1 is of JSON, and source.format is avro")


@pytest.mark.parametrize(("form", "kind"), [("avro", "AVRO"), ("protobuf", "PROTOBUF")])
def test_a_schema_that_is_none_is_said(registry: Registry, form: str, kind: str) -> None:
    number = registry.register("{", kind)
    reason, detail = refusal(decoder(form, registry), framed(number, b"\0x"))
    assert reason is Reason.SCHEMA_MISMATCH
    assert detail.startswith("its schema 1 ")
    assert len(registry.asked) == 1


def test_a_registry_that_is_away_at_first_is_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    decode = decoder("avro", registry={"url": f"http://127.0.0.1:{port}", "retry_seconds": 20})
    found: list[Any] = []
    reading = threading.Thread(target=lambda: found.append(decode(framed(1, avro(ORDER, VALUE)))))
    reading.start()
    reading.join(0.3)
    assert reading.is_alive() and not found
    with registry_server(port=port, schemas=[Schema(json.dumps(ORDER), "AVRO")]):
        reading.join(10)
    assert found[0]["id"] == VALUE["id"]


def test_a_registry_that_stays_away_is_said_with_its_url_and_what_to_do(registry: Registry) -> None:
    registry.fails, number = True, registry.register(json.dumps(ORDER))
    keys = {"url": registry.url, "retry_seconds": 0.5}
    decode, begin = decoder("avro", registry=keys), time.monotonic()
    with pytest.raises(RegistryUnavailableError, match=rf"{registry.url} fails \(HTTP 503\): look at its log"):
        decode(framed(number, b""))
    assert time.monotonic() - begin < 2
    assert len(registry.asked) >= 3
    registry.fails = False
    assert decode(framed(number, avro(ORDER, VALUE)))["id"] == VALUE["id"]


def test_what_a_registry_answered_is_kept_for_other_processes(registry: Registry, tmp_path: Path) -> None:
    customer = SchemaReference("parts/customer.proto", "customer", 1)
    registry.register(CUSTOMER_PROTO, "PROTOBUF", "customer")
    number = registry.register(PROTO, "PROTOBUF", references=[customer])
    message = framed(number, b"\x02\x02\x0a\x041001")
    first = payload_decoder(mapping("protobuf", registry).source, tmp_path)(message)
    assert (first["id"], len(registry.asked)) == ("1001", 2)
    registry.fails = True
    assert payload_decoder(mapping("protobuf", registry).source, tmp_path)(message) == first
    with pytest.raises(RegistryUnavailableError):
        payload_decoder(mapping("protobuf", registry).source, tmp_path)(framed(9, b""))


def test_another_server_is_no_registry_and_no_schema_is_called_unknown(registry: Registry) -> None:
    decode = decoder("avro", registry={"url": f"{registry.url}/elsewhere"})
    with pytest.raises(RegistryUnavailableError, match=r"not as a schema registry: mend the path"):
        decode(framed(1, b""))


def test_credentials_come_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "user.txt").write_text(f"{USER}\n")
    monkeypatch.setenv("SHOP_REGISTRY", USER)
    with registry_server(USER) as registry:
        registry.register(json.dumps(ORDER))
        text = f'[source]\nkind = "transaction"\nformat = "avro"\n[source.registry]\nurl = "{registry.url}"\n'
        for line in ('credentials_file = "user.txt"', 'credentials_env = "SHOP_REGISTRY"'):
            (tmp_path / "orders.toml").write_text(f'{text}{line}\n[fields]\ntransaction_id = "id"\n')
            decode = payload_decoder(read_mapping(tmp_path / "orders.toml").source)
            assert decode(framed(1, avro(ORDER, VALUE)))["id"] == VALUE["id"]
        with pytest.raises(RegistryUnavailableError, match=r"refuses us \(HTTP 401\): mend .*credentials_file"):
            decoder("avro", registry)(framed(1, b""))


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"credentials_env": "NO_SUCH"}, "the variable NO_SUCH has no user:password"),
        ({"credentials_file": "/no/such"}, "can't read /no/such"),
        ({"ca_file": "/no/such"}, "source.registry can't be used"),
    ],
)
def test_credentials_and_certificates_that_cannot_be_read_are_said_at_once(keys: dict[str, str], problem: str) -> None:
    with pytest.raises(MappingError, match=problem):
        decoder("avro", registry={"url": "http://h:1"} | keys)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ({"topic": "t"}, r"source.format = 'avro': messages need \[source.registry\] with a url"),
        ({"registry": {"url": "h:1"}}, "source.registry.url = 'h:1': is no URL"),
        ({"registry": {"url": "http://h", "retry_seconds": -1}}, "retry_seconds = -1.0: must be from 0 to 3600"),
        ({"registry": {"url": "http://h", "credentials_env": "A", "credentials_file": "b"}}, "not both"),
        ({"registry": {"url": "http://h", "password": "p"}}, "known: url, ca_file, credentials_file"),
        ({"format": "json", "registry": {"url": "http://h"}}, r"\[source.registry\]: for avro, json-schema, protobuf"),
        ({"format": "csv", "envelope": "debezium"}, "source.envelope = 'debezium': is one of messages"),
        ({"operations": ["create"]}, "needs envelope = 'debezium'"),
    ],
)
def test_keys_that_make_no_sense_are_refused(source: dict[str, Any], problem: str) -> None:
    with pytest.raises(MappingError, match=problem):
        mapping(source.pop("format", "avro"), **source)


def test_credentials_in_the_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(MappingError, match="has credentials in it") as caught:
        mapping("avro", registry={"url": "https://shop:secret@h"})
    assert "secret" not in str(caught.value)


def test_files_of_messages_formats_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    with pytest.raises(Exception, match="read its topic, with --topic"):
        list(read_rows(tmp_path / "x", mapping("protobuf")))
    with pytest.raises(MappingError, match="no message has it, only files"):
        decoder("csv")


# --- Debezium -------------------------------------------------------------------------------------------------------

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
