"""A shop's topics whose schemas are in a registry: their mappings, and orders in Avro, Protobuf and Debezium's Avro."""

import io
import json
from datetime import UTC, datetime
from typing import Any

import fastavro

from fraudstream.messages.contracts import iso_milliseconds
from tests.registry import Registry, framed

AVRO, PROTOBUF, JSON_SCHEMA, DEBEZIUM = "shop-c.avro", "shop-c.protobuf", "shop-c.json-schema", "shop-c.debezium"
TOPICS = {AVRO: "avro", PROTOBUF: "protobuf", JSON_SCHEMA: "json-schema", DEBEZIUM: "avro"}
PROTO = """syntax = "proto3";
message Order { string id = 1; string at = 2; string customer = 3; string total = 4; }
"""
COLUMNS = [{"name": name, "type": "string"} for name in ("id", "at", "customer", "total")]
ORDER: dict[str, Any] = {"type": "record", "name": "Order", "fields": COLUMNS}
#: The same, later: a field is new.
PAID_ORDER = ORDER | {"fields": [*COLUMNS, {"name": "pay", "type": "string"}]}
CHANGE: dict[str, Any] = {
    "type": "record",
    "name": "Change",
    "fields": [{"name": "op", "type": "string"}, {"name": "after", "type": ["null", ORDER]}],
}


def mapping(topic: str, registry: Registry) -> str:
    """The mapping file of one of TOPICS."""
    envelope = 'envelope = "debezium"' if topic == DEBEZIUM else ""
    return f"""
[source]
topic = "{topic}"
kind = "transaction"
format = "{TOPICS[topic]}"
shop = "c"
{envelope}
[source.registry]
url = "{registry.url}"
retry_seconds = 1
[fields]
transaction_id = "id"
customer_id = "customer"
event_time = "at"
amount = "total"
payment_method = "pay"
"""


def values(name: str, **more: str) -> dict[str, str]:
    """An order's fields."""
    return {"id": name, "at": iso_milliseconds(datetime.now(UTC)), "customer": "k-1", "total": "19.90"} | more


def avro(number: int, schema: dict[str, Any], value: dict[str, Any]) -> bytes:
    """A message of the schema with the id `number`."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return framed(number, out.getvalue())


def protobuf(number: int, value: dict[str, str]) -> bytes:
    """The same in PROTO's form, whose fields are texts."""
    texts = ((field, text.encode()) for field, text in enumerate(value.values(), start=1))
    return framed(number, b"\0" + b"".join(bytes([field << 3 | 2, len(text)]) + text for field, text in texts))


def json_schema(number: int, value: dict[str, str]) -> bytes:
    """The same in JSON."""
    return framed(number, json.dumps(value).encode())
