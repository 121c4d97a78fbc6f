"""Reads the input topics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 (the usual name)

from fraudstream.kafka import java as kafka_java
from fraudstream.kafka.offsets import AppendTimes, Place
from fraudstream.ledger.gaps import ANSWER_SECONDS
from fraudstream.messages.mapping.sources import LiveSource, topics_in_order, topics_of
from fraudstream.messages.redaction import CUT_MARGIN
from fraudstream.messages.validation import (
    CLOCK_TOLERANCE,
    MAX_KEY_BYTES,
    MAX_MESSAGE_BYTES,
    TOO_LARGE_KEPT_BYTES,
)
from fraudstream.settings import Settings
from fraudstream.settings.kafka import Role
from spark_jobs.batch_size import BatchSize, observed
from spark_jobs.mapped_messages import with_mapped
from spark_jobs.pace import Pace
from spark_jobs.sliced_source import Plan, sliced
from spark_jobs.slices import FirstSlice, Slicer

FETCH_WAIT_MS = 5
#: What a task holds of Kafka's messages at a time. Kafka's default of 500, each of up to 1 MB, is half of the heap, and
#: two tasks read at once.
POLLED_MESSAGES = 64
#: What signs the driver's and the executors' consumers in, when anything does.
SECRETS = "kafka.properties"


@dataclass(frozen=True)
class Reading:
    """What is read, and from where on.

    `first_from` is for the query that begins a checkpoint with a snapshot: the offsets where it starts, in the form of
    Spark's `startingOffsets`. It has one micro-batch. Any other one without a checkpoint begins with the first message.
    `begins` are the first offsets of partitions that a checkpoint may not know yet.
    """

    sources: Sequence[LiveSource] = ()
    begins: Mapping[Place, int] = field(default_factory=dict)
    first_from: str | None = None


def read_events(
    spark: SparkSession, settings: Settings, size: BatchSize, pace: Pace, reading: Reading | None = None
) -> DataFrame:
    """All input topics as one stream: bucket, topic, partition, offset, ingest_ms, key, value (bytes, nullable), size.

    With sources of a shop's own form also fate and detail, as `mapped_messages.with_mapped` says.

    Of a key or value that is too large, only the beginning; `size` is what the value was. So it is cut in the JVM that
    fetched it, before it is sorted, kept or sent anywhere.

    A micro-batch has as many messages as `size` says, and begins when `pace` does; of a backlog it has those that came
    first.

    A lost offset fails the query (`failOnDataLoss`): going on in silence would break the accounting.
    """
    reading = reading or Reading()
    kafka, secrets = settings.kafka.as_role(Role.STREAM), settings.paths.stream / SECRETS
    kafka_java.write_secrets(kafka, secrets)
    source = (
        spark.readStream.format("kafka")
        .options(**kafka_java.spark_options(kafka, secrets))
        .option("subscribe", ",".join(topics_of(reading.sources)))
        .option("startingOffsets", reading.first_from or "earliest")
        .option("failOnDataLoss", True)
        # A consumer asks for offset limits behind its last fetch, which the broker keeps open for this long when no
        # message comes: Kafka's default of 500 ms went into every partition of every micro-batch.
        .option("kafka.fetch.max.wait.ms", FETCH_WAIT_MS)
        .option("kafka.max.poll.records", POLLED_MESSAGES)
        .load()
    )
    append_times = AppendTimes(kafka, ANSWER_SECONDS)
    slicer = (FirstSlice if reading.first_from else Slicer)(
        size, append_times.first_since, topics_in_order(reading.sources)
    )
    read = observed(sliced(spark, source, Plan(slicer, pace, reading.begins)), F.col("value"))
    # Of many topic partitions a task reads several: a small micro-batch costs by its tasks, not by its messages.
    read = read.coalesce(spark.sparkContext.defaultParallelism)
    bucket = bucket_of("key", settings.stream.state_buckets).alias("bucket")
    columns = (
        "topic",
        "partition",
        "offset",
        _ingest_ms().alias("ingest_ms"),
        _beginning("key", MAX_KEY_BYTES, MAX_KEY_BYTES).alias("key"),
        _beginning("value", MAX_MESSAGE_BYTES, TOO_LARGE_KEPT_BYTES).alias("value"),
        F.octet_length("value").alias("size"),
    )
    if not reading.sources:
        return read.select(bucket, *columns)
    max_future = timedelta(seconds=settings.stream.max_future_seconds)
    return with_mapped(read.select(*columns), reading.sources, max_future).select(bucket, "*")


def _ingest_ms() -> Column:
    """`fraudstream.messages.validation.bounded`: by the time at which Spark planned the batch, which a repeat has, too.

    Spark puts that time into the plan as a number, which would stand in the stage's generated code: every batch would
    be compiled anew. What a higher-order function is given is evaluated without code.
    """
    planned = F.transform(F.array(F.current_timestamp()), F.unix_millis)[0]
    latest = planned + CLOCK_TOLERANCE // timedelta(milliseconds=1)
    return F.greatest(F.lit(0), F.least(latest, F.unix_millis("timestamp")))


def _beginning(name: str, limit: int, kept: int) -> Column:
    """The column, or what `redaction.redact` needs for the first `kept` bytes when it has more than `limit`."""
    column = F.col(name)
    return F.when(F.octet_length(column) > limit, F.substring(column, 1, kept + CUT_MARGIN)).otherwise(column)


def bucket_of(key: str, buckets: int) -> Column:
    """The bucket of a message key, 0 to `buckets` - 1; keyless messages share one."""
    return F.pmod(F.xxhash64(key), F.lit(buckets)).cast("int")
