"""The producer on a real Kafka, and the static data in a real Postgres."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from fraudstream.jobs.heartbeat import HEARTBEAT
from fraudstream.jobs.slot import Slot
from fraudstream.mappings.suggest import to_toml
from fraudstream.messages.contracts import SCHEMAS, Fault, FaultTruth, Label, SimulationTruth, Topic, Transaction
from fraudstream.settings import PROJECT_DIR, Settings
from tests.commands import run_here
from tests.polling import poll

Postgres = psycopg.Connection[tuple[object, ...]]
SIMULATOR = (sys.executable, "-m", "fraudstream.simulator")
EVENTS = (Topic.BROWSE_EVENTS, Topic.TRANSACTIONS)


class Reader:
    """Everything that comes onto the producer's topics after its making."""

    def __init__(self, settings: Settings) -> None:
        self._consumer = Consumer({**settings.kafka.client_config(), "group.id": "test", "enable.auto.commit": False})
        parts = [TopicPartition(topic, number) for topic in SCHEMAS for number in range(settings.kafka.partitions)]
        self._consumer.assign(ends(settings, parts))

    def read(self, count: int) -> list[tuple[str, bytes | None, bytes, float]]:
        """Topic, key, value and arrival (s) of `count` messages."""
        found: list[tuple[str, bytes | None, bytes, float]] = []
        deadline = time.monotonic() + 30
        while len(found) < count and time.monotonic() < deadline:
            for message in self._consumer.consume(500, 0.2):
                assert message.error() is None
                arrival = message.timestamp()[1] / 1000
                found.append((message.topic() or "", message.key(), message.value() or b"", arrival))
        return found

    def close(self) -> None:
        self._consumer.close()


@pytest.fixture
def reader(settings: Settings) -> Iterator[Reader]:
    made = Reader(settings)
    yield made
    made.close()


def ends(settings: Settings, parts: list[TopicPartition]) -> list[TopicPartition]:
    """The partitions' ends. A broker that has just started may not lead its new topics yet."""
    admin = AdminClient(dict(settings.kafka.client_config()))
    deadline = time.monotonic() + 60
    while True:
        found = admin.list_offsets({part: OffsetSpec.latest() for part in parts})
        try:
            return [TopicPartition(part.topic, part.partition, end.result().offset) for part, end in found.items()]
        except KafkaException as error:
            if time.monotonic() > deadline or error.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION:
                raise


@pytest.fixture(scope="module", autouse=True)
def unanswered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """A run against a broker that doesn't answer, begun before the other tests, since it waits for 20 s."""
    command = [*SIMULATOR, "produce", "--events", "10"]
    folder = str(tmp_path_factory.mktemp("unanswered"))  # else it would have one of the others' folders
    environment = {**os.environ, "FRAUDSTREAM_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "FRAUDSTREAM_VAR_DIR": folder}
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=PROJECT_DIR, env=environment
    ) as process:
        yield process


def simulator(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SIMULATOR, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=PROJECT_DIR,
        env={**os.environ, **environment},
    )


def counts(report: str) -> tuple[int, int, int]:
    """The last line: sent, acknowledged, failed."""
    words = report.strip().splitlines()[-1].replace(",", "").split()
    return int(words[1]), int(words[3]), int(words[5])


def test_a_live_run_is_acknowledged_in_the_contracts_form_and_on_time(settings: Settings, reader: Reader) -> None:
    done = simulator("produce", "--events", "900", "--rate", "150")
    assert done.returncode == 0, done.stderr
    sent, acknowledged, failed = counts(done.stdout)
    assert (sent, failed) == (acknowledged, 0)
    messages = reader.read(sent)
    assert len(messages) == sent
    assert sum(topic in EVENTS for topic, *_ in messages) == 900
    late = []
    for topic, key, value, arrival in messages:
        event: Any = msgspec.json.decode(value, type=SCHEMAS[Topic(topic)])
        assert key == (event.customer_id if topic in EVENTS else event.transaction_id).encode()
        if topic in EVENTS:
            late.append(arrival - event.event_time.timestamp())
    late.sort()
    assert late[len(late) // 2] < 1.0
    # The run of the fixture `unanswered` may be there, too, and have come first.
    heartbeats = [json.loads(file.read_text()) for file in settings.paths.producer.glob("by-hand-*/heartbeat.json")]
    [own] = [heartbeat for heartbeat in heartbeats if heartbeat["state"] == "stopping"]
    assert time.time() - own["at"] < 120


def test_every_fault_on_the_wire_is_told_and_no_event_is_lost(reader: Reader) -> None:
    rates = [f"--{fault.replace('_', '-')}-rate=0.1" for fault in ("duplicate", "out_of_order", "malformed")]
    done = simulator("produce", "--duration", "8", "--rate", "300", "--start", "2026-11-01", *rates)
    assert done.returncode == 0, done.stderr
    told: Counter[Fault] = Counter()
    identifiers: Counter[str] = Counter()
    refused = 0
    for topic, key, value, _ in reader.read(counts(done.stdout)[0]):
        if topic == Topic.SIMULATION_TRUTH and b'"fault"' in value:
            told[msgspec.json.decode(value, type=FaultTruth).fault] += 1
        elif topic in EVENTS:
            try:
                event: Any = msgspec.json.decode(value, type=SCHEMAS[Topic(topic)])
            except (msgspec.DecodeError, UnicodeDecodeError):
                refused += 1
                continue
            refused += key is None
            if key is not None:
                identifiers[event.event_id if topic == Topic.BROWSE_EVENTS else event.transaction_id] += 1
    assert refused == told[Fault.MALFORMED] > 50
    assert sum(identifiers.values()) - len(identifiers) == told[Fault.DUPLICATE] > 50
    assert told[Fault.OUT_OF_ORDER] > 5
    assert "faults: " in done.stderr


def test_a_faster_clock_runs_until_it_has_caught_up_and_its_labels_come_with_it(reader: Reader) -> None:
    start = datetime.now(UTC) - timedelta(hours=1)
    done = simulator("produce", "--start", f"{start:%Y-%m-%dT%H:%M:%S}", "--speed", "720", "--rate", "500")
    assert done.returncode == 0, done.stderr
    assert "caught up with the clock" in done.stderr
    messages = reader.read(counts(done.stdout)[0])
    events: list[Any] = [
        msgspec.json.decode(value, type=SCHEMAS[Topic(topic)]) for topic, _, value, _ in messages if topic in EVENTS
    ]
    times = [event.event_time for event in events]
    assert times[-1] - times[0] > timedelta(minutes=50)
    assert max(times) < datetime.now(UTC)
    assert sum(topic == Topic.TRANSACTION_LABELS for topic, *_ in messages) > 10


def test_a_faster_clock_without_a_start_is_refused() -> None:
    done = simulator("produce", "--speed", "10")
    assert done.returncode == 1
    assert "--start" in done.stderr


def test_a_stopped_producer_leaves_nothing_unacknowledged(reader: Reader, tmp_path: Path) -> None:
    with (tmp_path / "out").open("w+") as out:
        process = subprocess.Popen([*SIMULATOR, "produce", "--rate", "500"], stdout=out, cwd=PROJECT_DIR)
        assert len(reader.read(1_000)) >= 1_000
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        out.seek(0)
        sent, acknowledged, failed = counts(out.read())
    assert sent == acknowledged >= 1_000
    assert failed == 0


def test_a_run_by_hand_shares_no_file_with_the_dags_producer(settings: Settings, reader: Reader) -> None:
    """Both wrote one heartbeat and one file of delayed messages, and the later write won."""
    slot = Slot(settings.paths.producer)
    arguments = [*SIMULATOR, "produce", "--rate", "100"]
    identity, _ = slot.launch(arguments, environment=os.environ, directory=PROJECT_DIR, log=slot.folder / "log")
    try:
        assert len(reader.read(20)) >= 20
        often = [*SIMULATOR, "produce", "--rate", "3000", "--fraud-rate", "0.3"]  # so that there are many labels
        by_hand = [subprocess.Popen(often, cwd=PROJECT_DIR) for _ in range(2)]
        folders = [slot.folder / f"by-hand-{number}" for number in (1, 2)]
        poll(lambda: all((folder / HEARTBEAT).exists() for folder in folders), 60, "both runs by hand")
        assert len(reader.read(20_000)) >= 20_000  # each leaves hundreds of labels that are due later
        for process in by_hand:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(60) for process in by_hand] == [0, 0]
        left = [folder / "delayed-messages.json" for folder in folders]
        kept = [len(json.loads(file.read_text())) for file in left]
        assert min(kept) > 0
        heartbeat = slot.heartbeat_of(identity)
        assert heartbeat is not None
        assert heartbeat.state == "running"  # and not "stopping", as the runs by hand said last
    finally:
        slot.stop(identity)
    own = len(json.loads((slot.folder / "delayed-messages.json").read_text()))
    assert own > 0
    done = simulator("produce", "--duration", "1")
    assert done.returncode == 0, done.stderr
    assert not left[1].exists(), "the next run takes over what both runs by hand left"
    assert len(json.loads(left[0].read_text())) > sum(kept) / 2
    assert len(json.loads((slot.folder / "delayed-messages.json").read_text())) == own


def test_two_runs_share_no_identifier(reader: Reader) -> None:
    seen: list[set[str]] = []
    for _ in range(2):
        done = simulator("produce", "--events", "600", "--rate", "2000")
        assert done.returncode == 0, done.stderr
        messages = reader.read(counts(done.stdout)[0])
        browsed = [msgspec.json.decode(value) for topic, _, value, _ in messages if topic == Topic.BROWSE_EVENTS]
        seen.append({event[name] for event in browsed for name in ("event_id", "session_id")})
    assert not seen[0] & seen[1]


def test_a_history_can_be_written_and_replayed(reader: Reader, tmp_path: Path) -> None:
    folder = str(tmp_path / "history")
    written = simulator("produce", "--out", folder, "--transactions", "300", "--days", "1", "--end", "2026-11-01")
    assert written.returncode == 0, written.stderr
    done = simulator("produce", "--replay", folder, "--speed", "0")
    assert done.returncode == 0, done.stderr
    messages = reader.read(counts(done.stdout)[0])
    bought = [msgspec.json.decode(m[2], type=Transaction) for m in messages if m[0] == Topic.TRANSACTIONS]
    truth = [msgspec.json.decode(m[2], type=SimulationTruth) for m in messages if m[0] == Topic.SIMULATION_TRUTH]
    assert len(bought) == len({each.transaction_id for each in bought}) == 300
    assert sum(each.is_fraud for each in truth) == 3


def test_a_shops_own_file_is_replayed_with_its_mapping_and_its_topic_checked(reader: Reader, tmp_path: Path) -> None:
    """What is refused of the file is told and left out; a check of the topic changes nothing there."""
    orders, toml = tmp_path / "orders.csv", tmp_path / "orders.toml"
    orders.write_text(
        "nr;at;who;chf;fraud\no2;01.11.2026 11:00;c2;1.234,50;1\no1;01.11.2026 10:00;c1;9,90;0\no3;?;c;1;0\n"
    )
    content = {"transaction_id": "nr", "customer_id": "who", "amount": "chf", "is_fraud": "fraud"}
    constants = {
        "session_id": "-", "payment_method": "card", "device_id": "-", "shipping_city": "Bern", "currency": "CHF",
        "shipping_country": "CH", "ip_country": "CH", "shipping_latitude": 46.9, "shipping_longitude": 7.4,
    }  # fmt: skip
    toml.write_text(to_toml({
        "source": {"kind": "transaction", "format": "csv", "separator": ";", "decimal": ","},
        "fields": content | {"event_time": {"path": "at", "time": "%d.%m.%Y %H:%M"}}
        | {name: {"constant": value} for name, value in constants.items()},
        "items": {"product_id": "nr", "quantity": {"constant": 1}, "unit_price": "chf"},
    }))  # fmt: skip
    done = simulator("produce", "--replay", str(orders), "--mapping", str(toml), "--speed", "0")
    assert done.returncode == 0, done.stderr
    assert "refused: 1 rows, MAPPING_FAILED, first row 3: event_time (from `at`): '?' is no time" in done.stderr
    messages = reader.read(4)
    bought = [msgspec.json.decode(m[2], type=Transaction) for m in messages if m[0] == Topic.TRANSACTIONS]
    assert {(each.transaction_id, each.amount) for each in bought} == {("o1", 9.9), ("o2", 1234.5)}
    labels = [msgspec.json.decode(m[2], type=Label) for m in messages if m[0] == Topic.TRANSACTION_LABELS]
    assert {(each.transaction_id, each.is_fraud) for each in labels} == {("o1", False), ("o2", True)}

    own = tmp_path / "own.toml"
    fields = dict.fromkeys(("transaction_id", "customer_id", "event_time"))
    own.write_text(to_toml({
        "source": {"kind": "transaction", "format": "json"},
        "fields": {name: name for name in fields} | {"amount": "total"},
    }))  # fmt: skip
    checked = run_here("fraudstream.mappings", "check", str(own), "--topic", Topic.TRANSACTIONS)
    assert checked.returncode == 1, checked.stderr
    assert "missing: amount, which a transaction must have: no row has a value at `total`" in checked.stdout
    assert "first partition " in checked.stdout


def test_a_missing_topic_is_named(tmp_path: Path) -> None:
    lines = tmp_path / "lines.ndjson"
    lines.write_text('{"topic":"no-such-topic","key":null,"value":{}}\n')
    done = simulator("produce", "--replay", str(lines))
    assert done.returncode == 1
    assert "no-such-topic" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bad_recording_is_told_in_one_line_and_nothing_is_sent(reader: Reader, tmp_path: Path) -> None:
    line = '{"topic":"transactions","key":"c","value":{"event_time":"9999-12-31T23:59:59Z","city":"Bern"}}\n'
    lines = tmp_path / "lines.ndjson"
    for bad in (line.replace("Bern", "Zürich").encode("latin-1"), line.replace("Bern", "x" * 1_100_000).encode()):
        lines.write_bytes(line.encode() + bad)
        done = simulator("produce", "--replay", str(lines), "--shift-times")
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
        assert f"{lines}, line 2" in done.stderr
    lines.write_text(line)
    done = simulator("produce", "--replay", str(lines), "--shift-times")
    assert done.returncode == 0, done.stderr
    assert "1 messages aren't of 2000 to 2099" in done.stderr
    assert [value for _, _, value, _ in reader.read(1)] == [msgspec.json.encode(msgspec.json.decode(line)["value"])]


def test_static_data_is_published_once(writer: Postgres, empty_tables: None, tmp_path: Path) -> None:
    first, again = run_here("fraudstream.simulator", "static"), run_here("fraudstream.simulator", "static")
    assert first.returncode == again.returncode == 0, first.stderr
    assert "new version" in first.stdout
    assert "nothing changed" in again.stdout
    rows = writer.execute("SELECT customers, products FROM fraud.static_versions").fetchall()
    assert rows == [(20_000, 1_000)]
    writer.execute("UPDATE fraud.products SET list_price = 1 WHERE product_id = 'p-000001'")
    assert "new version" in run_here("fraudstream.simulator", "static").stdout
    price = writer.execute("SELECT list_price FROM fraud.products WHERE product_id = 'p-000001'").fetchone()
    assert price is not None
    assert price[0] != 1


def test_exchange_rates_are_published_with_the_static_data_and_replaced_by_the_next(
    writer: Postgres, empty_tables: None, tmp_path: Path
) -> None:
    file = tmp_path / "rates.csv"
    setting = {"FRAUDSTREAM_SHOP__CURRENCY_RATES": str(file)}

    def publish(*lines: str) -> str:
        file.write_text("\n".join(["currency,valid_from,rate", *lines]))
        done = run_here("fraudstream.simulator", "static", **setting)
        return done.stdout or done.stderr

    told = publish("JPY,2026-01-01,0.0061", "JPY,2026-02-01,0.0062")
    assert "new version" in told
    assert "2 exchange rates into EUR" in told
    assert "nothing changed" in publish("JPY,2026-02-01,0.00620", "JPY,2026-01-01,0.0061")
    assert "line 2: rate 'x' isn't a number" in publish("JPY,2026-01-01,x")
    assert "new version" in publish("KWD,2026-01-01,2.8")
    rates = writer.execute("SELECT currency, valid_from::text, rate::text FROM fraud.currency_rates").fetchall()
    assert rates == [("KWD", "2026-01-01", "2.8")]
    assert "1 exchange rates" in run_here("fraudstream.simulator", "static").stdout


def test_a_broker_that_does_not_answer_is_an_error(unanswered: subprocess.Popen[str]) -> None:
    _, told = unanswered.communicate(timeout=120)
    assert unanswered.returncode == 1
    assert "127.0.0.1:1" in told
    assert "Traceback" not in told
