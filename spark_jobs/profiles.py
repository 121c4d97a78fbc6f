"""The stateful stage: the profiles of each bucket of customers, kept in Spark's state store."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

from pyspark.sql import DataFrame, GroupedData, Row
from pyspark.sql.streaming.stateful_processor import StatefulProcessor, StatefulProcessorHandle

from fraudstream import failpoints
from fraudstream.failpoints import Failpoint, reach
from fraudstream.settings import Settings
from model.durations import DAY_MS, HOUR_MS
from spark_jobs.bucket import Bucket, Limits, Message
from spark_jobs.checkpoint import Offsets
from spark_jobs.cutting import MAX_REFUSED_BYTES, Room
from spark_jobs.profile_store import ProfileStore, cache_of_task
from spark_jobs.rates import shared_on_worker
from spark_jobs.schemas import BUCKET_HEAD, BUCKET_LOG, HEAD_VARIABLE, LOG_VARIABLE, OUTCOME

MIB = 2**20


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
        statefulProcessor=ProfileUpdater(
            limits,
            stream.failpoints,
            refused_bytes=MAX_REFUSED_BYTES // stream.state_partitions,
            cache_bytes=stream.profile_cache_mb * MIB // stream.state_partitions,
            with_mapped="fate" in messages.columns,
        ),
        outputStructType=OUTCOME,
        outputMode="Append",
        timeMode="None",
        initialState=initial,
    )


class ProfileUpdater(StatefulProcessor):
    """Runs `Bucket.handle` on the messages of a bucket, and keeps what they changed."""

    def __init__(self, limits: Limits, armed: str, refused_bytes: int, cache_bytes: int, *, with_mapped: bool) -> None:
        """`refused_bytes`: of refused values that a task hands on whole (`Room`); `cache_bytes`: of a partition's.

        `with_mapped`: rows have a fate and a detail, too.
        """
        self._limits = limits
        self._read = _maybe_mapped if with_mapped else _message
        self._refused_bytes = refused_bytes
        self._cache_bytes = cache_bytes
        self._failpoints = armed

    def init(self, handle: StatefulProcessorHandle) -> None:
        """Opens the state."""
        failpoints.arm(self._failpoints)
        head, log = handle.getValueState(HEAD_VARIABLE, BUCKET_HEAD), handle.getListState(LOG_VARIABLE, BUCKET_LOG)
        self._store = ProfileStore(head, log, partial(cache_of_task, self._cache_bytes))
        self._room = Room(self._refused_bytes)

    def handleInputRows(self, key: Any, rows: Any, timerValues: Any) -> Iterator[Row]:  # noqa: N802, N803
        """Updates one bucket."""
        shared = shared_on_worker()
        with self._store.bucket(key[0]) as state:
            bucket = Bucket(state.customers, state.head.clock_ms, self._limits, shared.rates, shared.erased)
            for outcome in bucket.handle(map(self._read, rows)):
                yield _OUTCOME_ROW(*self._room.fit(outcome))
            reach(Failpoint.IN_STATE_UPDATE)
            change = bucket.change_of(state.head)
        self._store.keep(state, change)

    def handleInitialState(self, key: Any, initialState: Any, timerValues: Any) -> None:  # noqa: N802, N803
        """Takes over a bucket of a new checkpoint."""
        _, head, chunks = initialState
        self._store.begin(bytes(head), [bytes(chunk) for chunk in chunks])

    def close(self) -> None:
        """Nothing to release."""


#: By position, since a row's fields by name cost a search each.
_OUTCOME_ROW = Row(*OUTCOME.fieldNames())


def _message(row: Row) -> Message:
    _, topic, partition, offset, ingest_ms, key, value, size = row
    return Message(topic, partition, offset, ingest_ms, _bytes(key), _bytes(value), size)


def _maybe_mapped(row: Row) -> Message:
    """The same where there are sources of a shop's own form: what a mapping wrote isn't what was sent."""
    _, topic, partition, offset, ingest_ms, key, value, size, fate, detail = row
    is_written = fate is not None and detail is None
    return Message(topic, partition, offset, ingest_ms, _bytes(key), _bytes(value), size, is_written, fate, detail)


def _bytes(value: bytearray | bytes | None) -> bytes | None:
    return None if value is None else bytes(value)
