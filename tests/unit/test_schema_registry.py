"""A mapping's source behind a schema registry: its frames, its absence, its credentials."""

import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema

from fraudstream.messages.formats.errors import RegistryUnavailableError
from fraudstream.messages.formats.payloads import payload_decoder
from fraudstream.messages.mapping.file import MappingError, read_mapping
from fraudstream.messages.reasons import DeadLetterReason as Reason
from tests.registry import USER, Registry, framed, registry_server
from tests.unit.payloads import ORDER, VALUE, avro, decoder, mapping, refusal


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
    decode = decoder("avro", registry={"url": f"http://127.0.0.1:{port}", "retry_seconds": 60})
    found: list[Any] = []
    reading = threading.Thread(target=lambda: found.append(decode(framed(1, avro(ORDER, VALUE)))))
    reading.start()
    reading.join(0.3)
    assert reading.is_alive() and not found
    with registry_server(port=port, schemas=[Schema(json.dumps(ORDER), "AVRO")]):
        reading.join(60)
    assert found[0]["id"] == VALUE["id"]


def test_a_registry_that_stays_away_is_said_with_its_url_and_what_to_do(registry: Registry) -> None:
    registry.fails, number = True, registry.register(json.dumps(ORDER))
    keys = {"url": registry.url, "retry_seconds": 0.5}
    decode, begin = decoder("avro", registry=keys), time.monotonic()
    with pytest.raises(RegistryUnavailableError, match=rf"{registry.url} fails \(HTTP 503\): look at its log"):
        decode(framed(number, b""))
    assert time.monotonic() - begin < 30
    assert len(registry.asked) >= 3
    registry.fails = False
    assert decode(framed(number, avro(ORDER, VALUE)))["id"] == VALUE["id"]


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
