"""What isn't due when the producer stops is sent by the next run."""

from pathlib import Path

import pytest

from fraudstream.simulator.held import HeldMessages, HeldMessagesError
from fraudstream.simulator.messages import Message


def held(due_ms: int, value: bytes, key: bytes | None = b"tx-1") -> Message:
    return Message(due_ms, "transaction-labels", key, value)


def test_messages_that_are_not_due_outlive_a_stop(tmp_path: Path) -> None:
    first = HeldMessages(tmp_path / "held.json")
    broken = held(20, b"not \xff UTF-8", key=None)
    for message in (held(30, b"{}"), held(10, b'{"at":10}'), broken):
        first.add(message)
    assert first.pop_due(10) == held(10, b'{"at":10}')
    first.save()
    second = HeldMessages(tmp_path / "held.json")
    second.load()
    assert [second.pop_due(25), second.pop_due(25)] == [broken, None]
    third = HeldMessages(tmp_path / "held.json")
    third.load()
    assert third.pop_due(100) is None, "they are taken over only once"


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "held.json").write_text("[1")
    with pytest.raises(HeldMessagesError, match=r"held\.json"):
        HeldMessages(tmp_path / "held.json").load()
