"""Formats of a mapping's source: Avro, Protobuf and JSON with a schema, as messages and as files."""

import base64
import json
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import fastavro
import pytest
from confluent_kafka.schema_registry import SchemaReference
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass

from fraudstream.mappings.files import read_rows
from fraudstream.mappings.suggest import suggest
from fraudstream.messages.formats import protobuf
from fraudstream.messages.formats.errors import RegistryUnavailableError
from fraudstream.messages.formats.payloads import payload_decoder
from fraudstream.messages.mapping.compiled import MappedRecords
from fraudstream.messages.mapping.file import MappingError
from fraudstream.messages.reasons import DeadLetterReason as Reason
from tests.registry import Registry, framed
from tests.unit.payloads import ORDER, VALUE, avro, decoder, mapping, refusal

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


def test_json_with_a_schema_is_read(registry: Registry) -> None:
    decode, number = decoder("json-schema", registry), registry.register('{"type": "object"}', "JSON")
    assert decode(framed(number, b'{"id": "tx-1"}')) == {"id": "tx-1"}
    assert refusal(decode, framed(number, b'{"id": '))[0] is Reason.TRUNCATED_JSON


def test_files_of_messages_formats_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    with pytest.raises(Exception, match="read its topic, with --topic"):
        list(read_rows(tmp_path / "x", mapping("protobuf")))
    with pytest.raises(MappingError, match="no message has it, only files"):
        decoder("csv")


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
