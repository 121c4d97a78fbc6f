"""Kafka's source of Spark, with another plan: of a backlog, micro-batches are slices of time (`spark_jobs/slices.py`).

Spark asks a source for the end of the next micro-batch, writes that to its checkpoint, and only then runs it; so a
repeated one is the same. The classes here stand before those of Spark's Kafka source, which do all else. They implement
the interfaces of its data sources (`org.apache.spark.sql.connector`) by Py4J, as `foreachBatch` does: a call costs
less than a millisecond.
"""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from py4j.java_gateway import JavaObject
from pyspark.java_gateway import ensure_callback_server_started
from pyspark.sql import DataFrame, SparkSession

from fraudstream.kafka.errors import KafkaUnavailableError
from fraudstream.kafka.offsets import Place
from fraudstream.messages.validation import CLOCK_TOLERANCE
from spark_jobs.pace import Pace
from spark_jobs.slices import Slicer

log = logging.getLogger(__name__)

#: So often, one after the other, Kafka may leave a question without an answer before the query ends.
MAX_UNANSWERED = 5
_CONNECTOR = "org.apache.spark.sql.connector"
_TOLERANCE_MS = CLOCK_TOLERANCE // timedelta(milliseconds=1)


@dataclass(frozen=True)
class Plan:
    """How micro-batches follow each other: where each ends, and when it may begin.

    `begins` are the first offsets of partitions that came to a checkpoint later: of a topic that a shop had before.
    """

    slicer: Slicer
    pace: Pace
    begins: Mapping[Place, int] = field(default_factory=dict)


def sliced(spark: SparkSession, source: DataFrame, plan: Plan) -> DataFrame:
    """`source`, as `readStream.format("kafka").load()` made it without a limit, in micro-batches of `plan`."""
    ensure_callback_server_started(spark.sparkContext._gateway)  # type: ignore[no-untyped-call]
    sql: Any = spark._jvm.org.apache.spark.sql  # type: ignore[union-attr]
    relation = source._jdf.queryExecution().analyzed()
    cut = sql.catalyst.streaming.StreamingRelationV2(
        relation.source(),
        relation.sourceName(),
        _Table(relation.table(), plan),
        relation.extraOptions(),
        relation.output(),
        relation.catalog(),
        relation.identifier(),
        relation.v1Relation(),
        relation.sourceIdentifyingName(),
    )
    return DataFrame(sql.classic.Dataset.ofRows(spark._jsparkSession, cut), spark)


class _Before:
    """An object that stands before one of Spark's, and hands calls on to it."""

    def __init__(self, inner: JavaObject, plan: Plan) -> None:
        self._inner = inner
        self._plan = plan

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def hashCode(self) -> int:  # noqa: N802 (Java's name)
        """By identity, as that of Spark's own."""
        return int(self._inner.hashCode())

    def equals(self, other: object) -> bool:
        """By identity; Py4J gives back the object that it was given."""
        return other is self

    def toString(self) -> str:  # noqa: N802 (Java's name)
        """Spark's own."""
        return str(self._inner.toString())


class _Stream(_Before):
    """What plans micro-batches."""

    _unanswered = 0

    def latestOffset(self, start: JavaObject | None = None, limit: JavaObject | None = None) -> JavaObject | None:  # noqa: N802
        """The end of the next micro-batch, once that may begin."""
        pace = self._plan.pace
        if not pace.take_turn() and start is not None:
            return start
        latest = self._inner.latestOffset(start, limit)
        if latest is None or start is None:
            return latest
        ends, reached = _read(latest), _read(start)
        # Spark itself refuses a new partition that has lost its first messages, unless the books began there.
        starts = {place: reached.get(place, self._plan.begins.get(place, 0)) for place in ends}
        try:
            planned = self._plan.slicer.cut(starts, ends, int(time.time() * 1000) + _TOLERANCE_MS)
        except KafkaUnavailableError as error:
            self._unanswered += 1
            if self._unanswered >= MAX_UNANSWERED:
                raise
            log.warning("the next micro-batch can't be planned yet, since Kafka doesn't say what came when: %s", error)
            pace.planned(messages=False, more=True)
            return start
        self._unanswered = 0
        pace.planned(messages=planned != starts, more=planned != ends)
        return latest if planned == ends else self._inner.deserializeOffset(_written(planned))

    def planInputPartitions(self, start: JavaObject, end: JavaObject) -> JavaObject:  # noqa: N802 (Java's name)
        """Spark's own; what the start doesn't know yet begins where the books do."""
        begins = self._plan.begins
        if begins:
            known, wanted = _read(start), _read(end)
            if new := {place: begins[place] for place in wanted if place not in known and begins.get(place)}:
                start = self._inner.deserializeOffset(_written(known | new))
        return self._inner.planInputPartitions(start, end)

    class Java:
        """For Py4J."""

        implements = (
            f"{_CONNECTOR}.read.streaming.MicroBatchStream",
            f"{_CONNECTOR}.read.streaming.SupportsAdmissionControl",
        )


class _Scan(_Before):
    """What makes the stream."""

    def toMicroBatchStream(self, checkpoint: str) -> _Stream:  # noqa: N802 (Java's name)
        """The stream of a query with this checkpoint."""
        return _Stream(self._inner.toMicroBatchStream(checkpoint), self._plan)

    class Java:
        """For Py4J."""

        implements = (f"{_CONNECTOR}.read.Scan",)


class _ScanBuilder(_Before):
    """What makes the scan."""

    def build(self) -> _Scan:
        """The scan."""
        return _Scan(self._inner.build(), self._plan)

    class Java:
        """For Py4J."""

        implements = (f"{_CONNECTOR}.read.ScanBuilder",)


class _Table(_Before):
    """The topics as a table."""

    def newScanBuilder(self, options: JavaObject) -> _ScanBuilder:  # noqa: N802 (Java's name)
        """The builder of a scan."""
        return _ScanBuilder(self._inner.newScanBuilder(options), self._plan)

    class Java:
        """For Py4J."""

        implements = (f"{_CONNECTOR}.catalog.SupportsRead",)


def _read(offset: JavaObject) -> dict[Place, int]:
    """Kafka's offsets in Spark's form, as in the checkpoint: `{"topic": {"0": 17}}`."""
    by_topic = json.loads(offset.json())
    return {(topic, int(number)): at for topic, partitions in by_topic.items() for number, at in partitions.items()}


def _written(offsets: dict[Place, int]) -> str:
    by_topic: dict[str, dict[str, int]] = {}
    for (topic, partition), at in offsets.items():
        by_topic.setdefault(topic, {})[str(partition)] = at
    return json.dumps(by_topic)
