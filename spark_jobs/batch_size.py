"""How many messages the next micro-batch may have: fewer than the limit when those before were large.

Kafka doesn't say how large messages are before they are read. So a micro-batch is bounded by what the one before it
read, and by growing in steps; where nothing is known, by the largest messages that there can be.
"""

from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812 (the usual name)
from pyspark.sql.streaming.query import StreamingQuery

from fraudstream.messages.validation import MAX_MESSAGE_BYTES

#: What a micro-batch is to read. The driver holds most of it several times over, in Java's heap and in Python's.
MAX_READ_BYTES = 128 * 1024 * 1024
#: So many messages are never too large a micro-batch: of those that are larger, the beginning is kept.
ALWAYS_FIT = MAX_READ_BYTES // MAX_MESSAGE_BYTES
#: A micro-batch has at most so many times the messages of the one before, whose size says little of a sudden load.
GROWTH = 4
_OBSERVED = "read"


def observed(messages: DataFrame, value: Column) -> DataFrame:
    """`messages`, with their values' bytes told to `BatchSize` after each micro-batch."""
    return messages.observe(_OBSERVED, F.sum(F.octet_length(value)).alias("bytes"))


def fitting(limit: int, messages: int, read_bytes: int) -> int:
    """Messages of the next micro-batch, after one with so many messages and bytes."""
    by_bytes = MAX_READ_BYTES * messages // max(1, read_bytes)
    return min(limit, max(ALWAYS_FIT, min(by_bytes, GROWTH * messages)))


class BatchSize:
    """The number of messages that the next micro-batch of a query may have."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._query: StreamingQuery | None = None

    def follow(self, query: StreamingQuery) -> None:
        """From now on the size goes by what this query reads."""
        self._query = query

    def __call__(self, waiting: int) -> int:
        """Of so many that wait. Few are never too many; else Spark is asked what the last micro-batch read."""
        if waiting <= ALWAYS_FIT:
            return self._limit
        progress: Any = self._query._jsq.lastProgress() if self._query else None
        row = progress and progress.observedMetrics().get(_OBSERVED)
        if not row or row.isNullAt(0):  # after a start or a pause
            return fitting(self._limit, 0, 0)
        return fitting(self._limit, progress.numInputRows(), row.getLong(0))
