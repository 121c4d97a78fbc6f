"""Messages that are not due when the producer stops are sent by the next run."""

from pathlib import Path

import pytest

from fraudstream.simulator.delayed import DelayedMessages, DelayedMessagesError
from fraudstream.simulator.messages import Message


def label(due_ms: int, value: bytes, key: bytes | None = b"tx-1") -> Message:
    return Message(due_ms, "transaction-labels", key, value)


def loaded(folder: Path) -> DelayedMessages:
    messages = DelayedMessages(folder)
    messages.load()
    return messages


def test_messages_that_are_not_due_outlive_a_stop(tmp_path: Path) -> None:
    first = DelayedMessages(tmp_path)
    broken = label(20, b"not \xff UTF-8", key=None)
    for message in (label(30, b"{}"), label(10, b'{"at":10}'), broken):
        first.add(message)
    assert first.pop_due(10) == label(10, b'{"at":10}')
    first.save()
    second = loaded(tmp_path)
    assert [second.pop_due(25), second.pop_due(25)] == [broken, None]
    assert loaded(tmp_path).pop_due(100) is None, "they are taken over only once"


def test_a_file_under_its_former_name_is_taken_over_beside_the_new_one(tmp_path: Path) -> None:
    (tmp_path / "held-messages.json").write_text('[[20,"transaction-labels","dHgtMQ==","e30="]]')
    newer = DelayedMessages(tmp_path)
    newer.add(label(10, b"{}"))
    newer.save()
    both = loaded(tmp_path)
    assert [both.pop_due(100), both.pop_due(100), both.pop_due(100)] == [label(10, b"{}"), label(20, b"{}"), None]
    assert loaded(tmp_path).pop_due(100) is None, "they are taken over only once"


@pytest.mark.parametrize("name", ["delayed-messages.json", "held-messages.json"])
def test_a_broken_file_is_named_and_nothing_is_lost(tmp_path: Path, name: str) -> None:
    whole = DelayedMessages(tmp_path)
    whole.add(label(10, b"{}"))
    whole.save()
    (tmp_path / name).write_text("[1")
    with pytest.raises(DelayedMessagesError, match=name):
        loaded(tmp_path)
    assert (tmp_path / "delayed-messages.json").exists()
