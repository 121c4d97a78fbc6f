"""Kinds of failures that end the query: something around it that will pass, or perhaps a damaged checkpoint."""

import re

import psycopg

from fraudstream.errors import FraudstreamError
from spark_jobs.checkpoint import CheckpointError
from spark_jobs.database import PostgresLostError
from spark_jobs.publisher import PublishError

#: In Spark's and Java's words: Kafka, the network, another driver on the same checkpoint, or the machine: no
#: descriptor, space, right or disk for a file that may be whole. Java calls these FileNotFoundException, too.
_TRANSIENT = re.compile(
    r"org\.apache\.kafka\.|KafkaUnavailableError|Connection (?:refused|reset)|java\.net\."
    r"|CONCURRENT_STREAM_LOG_UPDATE|concurrently using|All masters are unresponsive"
    r"|Too many open files|error=24,|No space left on device|Disk quota exceeded|Permission denied"
    r"|Read-only file system|Stale file handle|Input/output error|Transport endpoint is not connected"
)
#: Executors, a worker or the whole application were lost, also to a batch that takes too much memory; or none could
#: start. Of a worker that was killed, the JVM sees the end of its output: an EOFException.
_LOST = re.compile(
    r"Cannot run program|ExecutorLostFailure|FetchFailed|Master removed our application"
    r"|SparkContext was shut down|stopped SparkContext"
    r"|Python worker exited unexpectedly|Python worker failed to connect"
    r"|Cannot allocate memory|unable to create (?:new )?native thread|OutOfMemoryError"
)
#: In Spark's, Hadoop's and RocksDB's words: a file is missing, cut off or changed. One of the checkpoint, or another.
_SUSPICIOUS = re.compile(
    r"ChecksumException|Checksum error|CHECKPOINT_FILE_CHECKSUM|CANNOT_LOAD_STATE_STORE|STATE_STORE_|RocksDBException"
    r"|Incomplete log file|batch \d+ doesn't exist|FileNotFoundException|EOFException|JsonParseException"
    r"|JsonMappingException|JsonEOFException|MappingException|No usable value|\[MALFORMED|malformed|DamagedLogError"
)
#: What the reading of a damaged file itself ends with; those above may be of what was made of another failure.
_DAMAGE = re.compile(
    r"Checksum|CHECKSUM|Corruption|corrupt|EOFException|FileNotFoundException|NoSuchFileException|ZipException"
    r"|CANNOT_READ_STREAMING_STATE_FILE|Error reading|Incomplete log file|doesn't exist|No such file"
    r"|Json|MappingException|No usable value|MALFORMED|malformed|isn't (?:a|an offset) file"
    r"|LZ4|invalid record type|version mismatch|NegativeArraySize|UTFDataFormat|StringIndexOutOfBounds|are damaged"
)


def is_transient(error: BaseException | None) -> bool:
    """True for a failure that has its cause outside of the micro-batch: the same batch may well succeed later."""
    return isinstance(error, psycopg.OperationalError | PostgresLostError | PublishError) or bool(
        _TRANSIENT.search(_said(error))
    )


def may_be_damage(error: BaseException | None, *, resuming: bool) -> bool:
    """True for a query that failed perhaps since its checkpoint can't be read: reason enough to read it whole.

    `resuming`: the query had a checkpoint, and failed before a first micro-batch. Such a failure is suspicious whatever
    Spark says of it, since its words for what it found there are endless; one that comes from elsewhere isn't.
    """
    if _has_other_cause(error):
        return False
    if isinstance(error, FraudstreamError):
        return isinstance(error, CheckpointError)
    return resuming or bool(_SUSPICIOUS.search(_said(error)))


def is_damage(error: BaseException) -> bool:
    """True when `error`, with which reading a checkpoint in a new process ended, began with a file's own fault."""
    return not _has_other_cause(error) and bool(_DAMAGE.search(root_cause(error)))


def _has_other_cause(error: BaseException | None) -> bool:
    return is_transient(error) or bool(_LOST.search(_said(error)))


def root_cause(error: BaseException | None) -> str:
    """One line for people: what a chain of errors, Java's too, began with."""
    lines = [line for line in _said(error).splitlines() if line.strip()]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return (causes[-1:] or lines[:1] or [type(error).__name__ if error else "no reason given"])[0]


def _said(error: BaseException | None) -> str:
    """The messages of an error and its causes, without the stack frames, which name classes of all kinds."""
    return "\n".join(line for line in str(error or "").splitlines() if not line.startswith("\tat "))
