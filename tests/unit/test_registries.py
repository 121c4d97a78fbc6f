"""A registry that is away: workers wait for it, and the driver says so while a micro-batch takes long."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from fraudstream.messages.formats.errors import RegistryUnavailableError
from fraudstream.messages.mapping.fields import Kind
from fraudstream.messages.mapping.live import live_decoder
from fraudstream.messages.mapping.sources import LiveSource, SourceError
from spark_jobs import mapped_messages, registries
from spark_jobs.mapped_messages import _create_mapping
from spark_jobs.registries import LOOK_SECONDS, Registries
from tests import registered
from tests.messages import NOW
from tests.polling import poll
from tests.registry import USER, Registry, registry_server

MAX_FUTURE = timedelta(days=3650)
TEXT, BYTES, NUMBER = pa.string(), pa.binary(), pa.int64()
GIVEN = pa.struct(
    [
        ("topic", pa.string()),
        ("key", pa.binary()),
        ("value", pa.binary()),
        ("size", pa.int64()),
        ("ingest_ms", pa.int64()),
    ]
)


@pytest.fixture
def registry() -> Iterator[Registry]:
    with registry_server() as found:
        yield found


def source_of(registry: Registry, more: str = "") -> LiveSource:
    text = registered.mapping(registered.AVRO, registry).replace("retry_seconds = 1", f"retry_seconds = 0\n{more}")
    return LiveSource(registered.AVRO, Kind.TRANSACTION, Path("c.toml"), text)


def test_a_message_waits_for_its_registry_and_is_mapped_then(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped_messages, "PAUSE_SECONDS", 0.01)
    registry.fails, number = True, registry.register(json.dumps(registered.ORDER))
    value = registered.avro(number, registered.ORDER, registered.values("c-1"))
    given = pa.array([(registered.AVRO, None, value, len(value), int(NOW.timestamp() * 1000))], GIVEN)
    found: list[pa.Array] = []
    mapping = threading.Thread(target=lambda: found.append(_create_mapping([source_of(registry)], MAX_FUTURE)(given)))
    mapping.start()
    poll(lambda: len(registry.asked) > 3, 60, "the registry being asked again")
    assert mapping.is_alive() and not found
    registry.fails = False
    mapping.join(60)
    assert found[0].to_pylist()[0]["fate"] == "transaction"


def test_a_registry_is_asked_only_while_a_micro_batch_takes_long(registry: Registry) -> None:
    registry.fails, looked = True, Registries([source_of(registry)])
    looked.look(0.0)
    assert (looked.waiting, registry.asked) == ("", [])
    looked.look(LOOK_SECONDS)
    assert looked.waiting.startswith(f"messages of {registered.AVRO} wait for their schema: the schema registry ")
    assert f"{registry.url} fails (HTTP 503)" in looked.waiting
    looked.look(LOOK_SECONDS + 0.5)
    assert len(registry.asked) == 1
    looked.look(0.0)
    assert looked.waiting == ""


def test_a_registry_that_answers_is_not_waited_for(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registries, "LOOK_SECONDS", 0.0)
    looked = Registries([source_of(registry)])
    looked.look(1.0)  # it has no schema: that is an answer
    registry.register(json.dumps(registered.ORDER))
    looked.look(1.0)
    assert (looked.waiting, len(registry.asked)) == ("", 2)
    registry.fails = True
    looked.look(1.0)
    assert "HTTP 503" in looked.waiting


def test_credentials_that_are_mended_are_used_without_a_restart(tmp_path: Path) -> None:
    (tmp_path / "user.txt").write_text("shop:wrong")
    with registry_server(USER) as registry:
        number = registry.register(json.dumps(registered.ORDER))
        value = registered.avro(number, registered.ORDER, registered.values("c-1"))
        source = source_of(registry, f'credentials_file = "{tmp_path}/user.txt"')
        read = live_decoder(source).read
        message = (None, value, None, int(NOW.timestamp() * 1000), MAX_FUTURE)
        with pytest.raises(RegistryUnavailableError, match=r"refuses us \(HTTP 401\)"):
            read(*message)
        (tmp_path / "user.txt").write_text(USER)
        assert read(*message).fate == "transaction"


def test_credentials_that_cannot_be_read_are_told_with_the_file(registry: Registry) -> None:
    with pytest.raises(SourceError, match=r"c\.toml, source\.registry\.credentials_file: can't read /no/such"):
        Registries([source_of(registry, 'credentials_file = "/no/such"')])
