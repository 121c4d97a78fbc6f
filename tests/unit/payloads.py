"""Payloads of a mapping's source for tests: a shop's order in Avro, and what decodes it."""

import io
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import fastavro
import pytest

from fraudstream.messages.formats.errors import PayloadError
from fraudstream.messages.formats.payloads import payload_decoder
from fraudstream.messages.mapping.file import Mapping, of
from fraudstream.messages.reasons import DeadLetterReason as Reason
from tests.registry import Registry

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
Decode = Callable[[bytes | None], Any]


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
