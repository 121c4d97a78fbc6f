"""Scoring data stays on a worker that Spark gives tasks of other stages in between."""

from typing import Any

import pytest

from spark_jobs import scoring


class Loading:
    """A broadcast as a task gets it: unread, and read anew by each object."""

    def __init__(self, content: Any) -> None:
        self.content = content
        self.reads = 0

    @property
    def value(self) -> Any:
        self.reads += 1
        return self.content


@pytest.fixture(autouse=True)
def new_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "_worker_copies", {})


def test_a_broadcast_is_read_once_and_a_new_one_takes_its_place() -> None:
    tasks: list[Any] = [Loading("static data 1"), Loading("static data 1"), Loading("static data 2")]
    assert scoring._worker_copy(7, tasks[0], scoring._worker_copies) == "static data 1"
    assert scoring._worker_copy(7, tasks[1], scoring._worker_copies) == "static data 1"
    assert scoring._worker_copy(8, tasks[2], scoring._worker_copies) == "static data 2"
    assert [task.reads for task in tasks] == [1, 0, 1]
    assert list(scoring._worker_copies) == [8]
