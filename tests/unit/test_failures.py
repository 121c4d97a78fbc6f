"""Failures that end the query: which are suspected to be a damaged checkpoint, and which were shown to be."""

import pytest
from py4j.protocol import Py4JError

from spark_jobs.checkpoint import CheckpointError
from spark_jobs.failures import is_damage, is_transient, may_be_damage

#: Of a machine that is short of something, or of others: the words, and whether the batch is never to blame.
PASSING = [
    ("java.io.FileNotFoundException: /c/state/0/1/12.changelog (Too many open files)", True),
    ("java.io.IOException: error=24, Too many open files", True),
    ('java.io.IOException: Cannot run program "chmod": error=24, Too many open files', True),
    ("java.nio.file.FileSystemException: /c/state/0/1/12.zip: Too many open files in system", True),
    ("org.rocksdb.RocksDBException: While open a file for random read: /s/004.sst: Too many open files", True),
    ("[CANNOT_LOAD_STATE_STORE.UNCATEGORIZED] An error occurred\nCaused by: java.io.IOException: error=24, x", True),
    ("java.io.FileNotFoundException: /c/offsets/12 (Permission denied)", True),
    ("java.io.EOFException: Input/output error", True),
    ("org.apache.spark.SparkException: No space left on device", True),
    ("py4j.Py4JException: Return Message: …\nfraudstream.kafka.errors.KafkaUnavailableError: no answer in time", True),
    ("All masters are unresponsive! Giving up.", True),
    ("SparkException: Python worker exited unexpectedly (crashed)\nCaused by: java.io.EOFException", False),
    ("java.lang.OutOfMemoryError: unable to create native thread: possibly out of memory", False),
    ('java.io.IOException: Cannot run program "python": error=12, Cannot allocate memory', False),
    ("Job aborted: ExecutorLostFailure (executor 1 exited caused by one of the running tasks)", False),
    ("Master removed our application: FAILED", False),
    ('Cannot run program "./environment/bin/python": error=2, No such file or directory', False),
    ("Job 3 cancelled because SparkContext was shut down", False),
]
#: Words that a file of the checkpoint causes, and something else may, too.
SUSPICIOUS = [
    "java.io.EOFException",
    "java.io.FileNotFoundException: /c/state/0/1/12.changelog (No such file or directory)",
    "org.apache.hadoop.fs.ChecksumException: Checksum error: /c/offsets/12 at 0",
    "org.rocksdb.RocksDBException: Corruption: block checksum mismatch",
]


@pytest.mark.parametrize(("said", "transient"), PASSING)
def test_a_passing_fault_is_no_damage(said: str, transient: bool) -> None:
    """Else the state would be made anew. A batch that is too large for executors or workers stays to blame."""
    error = RuntimeError(f"Job aborted.\nCaused by: {said}")
    assert not may_be_damage(error, resuming=False)
    assert not may_be_damage(error, resuming=True)
    assert not is_damage(error)
    assert is_transient(error) == transient


@pytest.mark.parametrize(("said", "transient"), PASSING)
def test_a_passing_fault_isnt_damage_when_a_file_is_read_for_its_sake(said: str, transient: bool) -> None:
    error = CheckpointError(f"can't read /c/offsets/12: {said}")
    assert not may_be_damage(error, resuming=True)
    assert not is_damage(error)


@pytest.mark.parametrize("said", SUSPICIOUS)
def test_what_may_be_damage_is_suspected_and_is_damage_when_it_is_read_again(said: str) -> None:
    error = Py4JError(f"Job aborted.\nCaused by: {said}")
    assert may_be_damage(error, resuming=False)
    assert is_damage(error)


def test_a_reader_that_fails_of_itself_shows_no_damage() -> None:
    """Seen: the reader's own coordinator was missing."""
    said = "[CANNOT_LOAD_STATE_STORE.UNCATEGORIZED] x\nCaused by: RpcEndpointNotFoundException: Cannot find endpoint"
    assert may_be_damage(RuntimeError(said), resuming=False)
    assert not is_damage(RuntimeError(said))


def test_a_failure_before_the_first_batch_is_suspicious_whatever_it_says() -> None:
    assert may_be_damage(RuntimeError("no such snapshot"), resuming=True)
    assert not may_be_damage(RuntimeError("no such snapshot"), resuming=False)
