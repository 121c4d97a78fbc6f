"""A checkpoint with a file that can't be read: the job ends, and its next starts rebuild the state from Kafka."""

import time
from pathlib import Path

import pytest

from tests.faults.arena import Arena
from tests.faults.invariants import assert_all_hold

GARBAGE = b"\x00\xffthis is no file of Spark's"


def newest(folder: Path) -> Path:
    """The file of the highest number, such as offsets/12 or 12.changelog."""
    return max((file for file in folder.iterdir() if file.stem.isdigit()), key=lambda file: int(file.stem))


def state(checkpoint: Path) -> Path:
    """The newest change of the state's first partition."""
    folders = {file.parent for file in (checkpoint / "state").rglob("*.changelog")}
    return newest(min(folders))


@pytest.mark.parametrize(
    "kind", ["offsets", pytest.param("commits", marks=pytest.mark.long), pytest.param("state", marks=pytest.mark.long)]
)
def test_an_unreadable_file_is_recovered_from(stage: Arena, kind: str) -> None:
    stage.recover(time.time())
    stage.stream.stop()
    checkpoint = stage.checkpoint()
    broken = state(checkpoint) if kind == "state" else newest(checkpoint / kind)
    broken.write_bytes(GARBAGE)
    broken.with_name(f".{broken.name}.crc").unlink(missing_ok=True)  # as a disk that lost both would leave it
    ended, moment = len(stage.stream.endings), time.time()
    stage.stream.start()
    stage.record(f"unreadable file of {kind}", stage.recover(moment))
    assert all(end.how != "exit status 0" for end in stage.stream.endings[ended:])
    assert_all_hold(stage.settings, stage.acknowledged())
