"""What was recorded comes back as it was, or moved in time as asked."""

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraudstream.messages.contracts import Transaction
from fraudstream.simulator.messages import MAX_SENT_BYTES, Message
from fraudstream.simulator.recording import Recording, RecordingError, open_recording
from fraudstream.simulator.replay import Pace
from tests.unit.simulated import plan, read, written

NOW_MS = 1_795_000_000_000.0


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("history")
    written(folder, plan(1_000, 1))
    return folder


def messages(recording: Recording, pace: Pace) -> list[Message]:
    return list(recording.messages(pace.retiming(recording, NOW_MS)))


def test_a_history_comes_back_whole_and_in_order(history: Path) -> None:
    sent = messages(open_recording(history), Pace())
    for dataset, topic in (("browse_events", "browse-events"), ("truth", "simulation-truth")):
        assert len(read(history, dataset)) == sum(message.topic == topic for message in sent)
    assert [message.due_ms for message in sent] == sorted(message.due_ms for message in sent)
    bought = [msgspec.json.decode(m.value, type=Transaction) for m in sent if m.topic == "transactions"]
    rows = read(history, "transactions")
    assert [each.transaction_id for each in bought] == rows.transaction_id.tolist()
    assert [each.event_time for each in bought] == [moment.to_pydatetime() for moment in rows.event_time]
    assert [each.amount for each in bought] == rows.amount.tolist()
    assert [len(each.items) for each in bought] == rows["items"].str.len().tolist()


def test_lines_of_a_history_are_the_same_messages(history: Path, tmp_path: Path) -> None:
    sent = messages(open_recording(history), Pace())
    lines = tmp_path / "events.ndjson"
    with lines.open("wb") as file:
        for message in sent:
            key = (message.key or b"").decode()
            line = {"topic": message.topic, "key": key, "value": msgspec.Raw(message.value)}
            file.write(msgspec.json.encode(line) + b"\n")
    again = messages(open_recording(lines), Pace())
    assert [(m.topic, m.key, m.due_ms) for m in again] == [(m.topic, m.key, m.due_ms) for m in sent]
    assert all(msgspec.json.decode(a.value) == msgspec.json.decode(b.value) for a, b in zip(again, sent, strict=True))


def test_shifted_times_are_those_of_sending(history: Path) -> None:
    recording = open_recording(history)
    plain, shifted = messages(recording, Pace(speed=10)), messages(recording, Pace(speed=10, shift=True))
    assert shifted[0].due_ms == NOW_MS
    for before, after in zip(plain[::100], shifted[::100], strict=True):
        assert after.due_ms - NOW_MS == pytest.approx((before.due_ms - plain[0].due_ms) / 10, abs=2)
    bought = next(message for message in shifted if message.topic == "transactions")
    told = msgspec.json.decode(bought.value, type=Transaction).event_time
    assert told == datetime.fromtimestamp(bought.due_ms / 1000, UTC)


def test_at_full_speed_nothing_is_shifted_into_the_future(history: Path) -> None:
    shifted = messages(open_recording(history), Pace(speed=0, shift=True))
    assert max(message.due_ms for message in shifted) == NOW_MS
    assert min(message.due_ms for message in shifted) > NOW_MS - timedelta(days=1) / timedelta(milliseconds=1)


def test_broken_messages_can_be_replayed_as_they_are(tmp_path: Path) -> None:
    lines = tmp_path / "broken.ndjson"
    lines.write_text(
        '{"topic":"transactions","key":"c-1","value":"{broken"}\n'
        '\n{"topic":"transactions","key":null,"value":{"event_time":"soon"}}\n'
    )
    assert [message[1:] for message in messages(open_recording(lines), Pace(speed=0, shift=True))] == [
        ("transactions", b"c-1", b"{broken"),
        ("transactions", None, b'{"event_time":"soon"}'),
    ]


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="nowhere"):
        open_recording(tmp_path / "nowhere")
    with pytest.raises(RecordingError, match=r"part-\*"):
        open_recording(tmp_path)
    (tmp_path / "x.ndjson").write_text('{"topic":"a","key":null,"value":1}\n{"topic":"a"}\n')
    with pytest.raises(RecordingError, match="line 2"):
        open_recording(tmp_path / "x.ndjson")


def line(time: str = "2026-11-01T10:00:00.000Z", city: str = "Bern") -> str:
    return f'{{"topic": "transactions", "key": "c", "value": {{"event_time": "{time}", "city": "{city}"}}}}\n'


def test_text_that_is_not_utf8_is_refused_by_line_and_byte(tmp_path: Path) -> None:
    text = line() + line(city="Zürich")
    path = tmp_path / "latin1.jsonl"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(RecordingError, match=rf"line 2, byte {line(city='Zürich').index('ü') + 1}: 0xfc is not UTF-8"):
        open_recording(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_other_forms_of_unicode_are_told_by_their_mark(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "marked.jsonl"
    path.write_bytes((line() + line(city="Zürich")).encode(encoding))
    sent = messages(open_recording(path), Pace())
    assert [msgspec.json.decode(each.value)["city"] for each in sent] == ["Bern", "Zürich"]
    zipped = tmp_path / "marked.jsonl.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    assert messages(open_recording(zipped), Pace()) == sent
    zipped.write_bytes(zipped.read_bytes()[:-9])
    with pytest.raises(RecordingError, match=r"marked\.jsonl\.gz can't be read"):
        open_recording(zipped)


@pytest.mark.parametrize("speed", [0.0, 1.0, 10.0])
@pytest.mark.parametrize("placeholder", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z"])
def test_a_placeholder_for_a_time_moves_nothing(tmp_path: Path, placeholder: str, speed: float) -> None:
    path = tmp_path / "sentinel.jsonl"
    path.write_text(line() + line(placeholder) + line("2026-11-01T10:00:10Z"))
    recording = open_recording(path)
    assert recording.placeholders == 1
    first, second, third = messages(recording, Pace(speed=speed, shift=True))
    assert msgspec.json.decode(second.value)["event_time"] == placeholder
    assert (second.due_ms, third.due_ms - first.due_ms) == (first.due_ms, 10_000 / (speed or 1))
    assert abs(third.due_ms - NOW_MS) <= 10_000
    plain = messages(recording, Pace(speed=1))
    assert [each.due_ms - plain[0].due_ms for each in plain] == [0, 0, 10_000]


def test_a_recording_of_nothing_but_placeholders_is_sent_at_once(tmp_path: Path) -> None:
    path = tmp_path / "sentinel.jsonl"
    path.write_text(line("9999-12-31T23:59:59Z"))
    for pace in (Pace(), Pace(shift=True), Pace(speed=0, shift=True)):
        (sent,) = messages(open_recording(path), pace)
        assert sent.due_ms < NOW_MS


def test_placeholders_in_a_historys_files_move_nothing(tmp_path: Path) -> None:
    (tmp_path / "truth").mkdir()
    moments = [1_793_527_200_000, 1_793_527_210_000, 253_402_300_799_000]
    table = pa.table({"transaction_id": ["a", "b", "c"], "event_time": pa.array(moments, pa.timestamp("ms", "UTC"))})
    pq.write_table(table, tmp_path / "truth" / "part-0.parquet")
    recording = open_recording(tmp_path)
    assert (recording.placeholders, recording.last_ms) == (1, moments[1])
    sent = messages(recording, Pace(speed=1, shift=True))
    assert [each.due_ms - NOW_MS for each in sent] == [0, 10_000, 10_000]
    assert b"9999-12-31" in sent[2].value
    pq.write_table(table.drop_columns("event_time"), tmp_path / "truth" / "part-0.parquet")
    with pytest.raises(RecordingError, match="part-0"):
        open_recording(tmp_path)


def test_a_message_that_kafka_would_not_take_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "large.jsonl"
    path.write_text(line() + line(city="x" * MAX_SENT_BYTES))
    with pytest.raises(RecordingError, match=r"line 2: a message of 1,000,\d+ bytes"):
        open_recording(path)


def test_numbers_come_back_as_they_were_written(tmp_path: Path) -> None:
    value = '{"event_time":"2026-11-01T10:00:00Z","a":1e999,"b":123456789012345678901234567890,"c":1.10}'
    (tmp_path / "x.jsonl").write_text(f'{{"topic":"t","key":null,"value":{value}}}\n')
    recording = open_recording(tmp_path / "x.jsonl")
    assert messages(recording, Pace())[0].value.decode() == value
    assert messages(recording, Pace(shift=True))[0].value.decode().partition(",")[2] == value.partition(",")[2]


def test_what_nests_too_deep_or_goes_too_slowly_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep.jsonl"
    path.write_text(f'{{"topic":"t","key":null,"value":{"[" * 5_000}{"]" * 5_000}}}\n')
    with pytest.raises(RecordingError, match="line 1: maximum recursion"):
        open_recording(path)
    path.write_text(line() + line("2026-12-01T10:00:00Z"))
    with pytest.raises(RecordingError, match="--speed 1e-06"):
        messages(open_recording(path), Pace(speed=1e-6, shift=True))
