"""Kinds of failures that end the query: something around it that will pass, or a checkpoint that can't be read."""

import re

import psycopg

from fraudstream.errors import FraudstreamError
from spark_jobs.checkpoint import CheckpointError
from spark_jobs.database import PostgresLostError
from spark_jobs.publisher import PublishError

#: In Spark's and Java's words: Kafka, the network, a full disk, or another driver on the same checkpoint.
_TRANSIENT = re.compile(
    r"org\.apache\.kafka\.|No space left on device|Connection (?:refused|reset)|java\.net\."
    r"|CONCURRENT_STREAM_LOG_UPDATE|concurrently using|All masters are unresponsive"
)
#: Executors or the whole application were lost, also to a batch that takes too much memory; or no Python could start.
_LOST = re.compile(
    r"Cannot run program|ExecutorLostFailure|FetchFailed|Master removed our application"
    r"|SparkContext was shut down|stopped SparkContext"
)
#: In Spark's, Hadoop's and RocksDB's words: a file of the checkpoint is missing, cut off or changed.
_DAMAGED = re.compile(
    r"ChecksumException|Checksum error|CHECKPOINT_FILE_CHECKSUM|CANNOT_LOAD_STATE_STORE|STATE_STORE_|RocksDBException"
    r"|Incomplete log file|batch \d+ doesn't exist|FileNotFoundException|EOFException|JsonParseException"
    r"|JsonMappingException|JsonEOFException|MappingException|No usable value|\[MALFORMED|malformed"
)


def is_transient(error: BaseException | None) -> bool:
    """True for a failure that has its cause outside of the micro-batch: the same batch may well succeed later."""
    return isinstance(error, psycopg.OperationalError | PostgresLostError | PublishError) or bool(
        _TRANSIENT.search(_said(error))
    )


def is_damaged_checkpoint(error: BaseException | None, *, resuming: bool) -> bool:
    """True for a query that failed since its checkpoint can't be read.

    `resuming`: the query had a checkpoint, and failed before a first micro-batch. Such a failure counts as damage,
    since Spark's words for what it found there are endless; one that is known to come from elsewhere doesn't.
    """
    if is_transient(error) or _LOST.search(_said(error)):
        return False
    if isinstance(error, FraudstreamError):
        return isinstance(error, CheckpointError)
    return resuming or bool(_DAMAGED.search(_said(error)))


def root_cause(error: BaseException | None) -> str:
    """One line for people: what a chain of errors, Java's too, began with."""
    lines = [line for line in _said(error).splitlines() if line.strip()]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return (causes[-1:] or lines[:1] or [type(error).__name__ if error else "no reason given"])[0]


def _said(error: BaseException | None) -> str:
    """The messages of an error and its causes, without the stack frames, which name classes of all kinds."""
    return "\n".join(line for line in str(error or "").splitlines() if not line.startswith("\tat "))
