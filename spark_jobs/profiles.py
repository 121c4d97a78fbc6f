"""The stateful stage: the profiles of each bucket of customers, kept in Spark's state store."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from pyspark.sql import DataFrame, GroupedData, Row
from pyspark.sql.streaming.stateful_processor import StatefulProcessor, StatefulProcessorHandle

from fraudstream import failpoints
from fraudstream.failpoints import Failpoint, reach
from fraudstream.settings import Settings
from model.durations import DAY_MS, HOUR_MS
from spark_jobs.bucket import Bucket, Limits, Message
from spark_jobs.checkpoint import STATE_VARIABLE, Offsets
from spark_jobs.cutting import MAX_REFUSED_BYTES, Room
from spark_jobs.rates import rates_on_worker
from spark_jobs.schemas import BUCKET_STATE, OUTCOME


def update_profiles(
    messages: DataFrame, settings: Settings, resume: Offsets, initial: GroupedData | None = None
) -> DataFrame:
    """Applies messages (from `source.read_events`) to the profiles; what became of them, in schema `OUTCOME`.

    Messages before the offsets `resume` change the profiles, and nothing comes out for them. A new checkpoint begins
    with the buckets of `initial` (from `beginning.initial_buckets`).
    """
    stream = settings.stream
    limits = Limits(
        max_future=timedelta(seconds=stream.max_future_seconds),
        allowed_lateness_ms=stream.allowed_lateness_seconds * 1000,
        customer_retention_ms=stream.customer_retention_days * DAY_MS,
        visitor_retention_ms=stream.visitor_retention_days * DAY_MS,
        # Kafka holds no message longer: a partition can't be further behind another one.
        ingest_skew_ms=settings.kafka.retention_hours * HOUR_MS,
        resume=resume,
    )
    return messages.groupBy("bucket").transformWithState(
        statefulProcessor=ProfileUpdater(limits, stream.failpoints, MAX_REFUSED_BYTES // stream.state_partitions),
        outputStructType=OUTCOME,
        outputMode="Append",
        timeMode="None",
        initialState=initial,
    )


class ProfileUpdater(StatefulProcessor):
    """Runs `Bucket.handle` on the messages of a bucket. One state value a bucket: few, larger reads and writes."""

    def __init__(self, limits: Limits, armed: str, refused_bytes: int) -> None:
        """`refused_bytes`: of refused values that a task hands on whole (`Room`)."""
        self._limits = limits
        self._refused_bytes = refused_bytes
        self._failpoints = armed

    def init(self, handle: StatefulProcessorHandle) -> None:
        """Opens the state."""
        failpoints.arm(self._failpoints)
        self._state = handle.getValueState(STATE_VARIABLE, BUCKET_STATE)
        self._room = Room(self._refused_bytes)

    def handleInputRows(self, key: Any, rows: Any, timerValues: Any) -> Iterator[Row]:  # noqa: N802, N803
        """Updates one bucket."""
        stored = self._state.get()
        bucket = Bucket(stored[0] if stored else None, self._limits, rates_on_worker())
        for outcome in bucket.handle(map(_message, rows)):
            yield _OUTCOME_ROW(*self._room.fit(outcome))
        reach(Failpoint.IN_STATE_UPDATE)
        self._state.update((bucket.encode(),))

    def handleInitialState(self, key: Any, initialState: Any, timerValues: Any) -> None:  # noqa: N802, N803
        """Takes over a bucket of a new checkpoint."""
        _, state = initialState
        self._state.update((bytes(state),))

    def close(self) -> None:
        """Nothing to release."""


#: By position, since a row's fields by name cost a search each.
_OUTCOME_ROW = Row(*OUTCOME.fieldNames())


def _message(row: Row) -> Message:
    _, topic, partition, offset, ingest_ms, key, value, size = row
    return Message(topic, partition, offset, ingest_ms, _bytes(key), _bytes(value), size)


def _bytes(value: bytearray | bytes | None) -> bytes | None:
    return None if value is None else bytes(value)
