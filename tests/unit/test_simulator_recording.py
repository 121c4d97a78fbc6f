"""What was recorded comes back as it was, or moved in time as asked."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from fraudstream.messages.contracts import Transaction
from fraudstream.simulator.messages import Message
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
