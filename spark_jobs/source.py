"""Reads the input topics."""

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 (the usual name)

from fraudstream.kafka import java as kafka_java
from fraudstream.messages.contracts import INPUT_TOPICS
from fraudstream.settings import Settings
from fraudstream.settings.kafka import Role

FETCH_WAIT_MS = 5
#: What signs the driver's and the executors' consumers in, when anything does.
SECRETS = "kafka.properties"


def read_events(spark: SparkSession, settings: Settings) -> DataFrame:
    """All input topics as one stream: bucket, topic, partition, offset, ingest_ms, key and value (bytes, nullable).

    A lost offset fails the query (`failOnDataLoss`): going on in silence would break the accounting.
    """
    kafka, secrets = settings.kafka.as_role(Role.STREAM), settings.paths.stream / SECRETS
    kafka_java.write_secrets(kafka, secrets)
    source = (
        spark.readStream.format("kafka")
        .options(**kafka_java.spark_options(kafka, secrets))
        .option("subscribe", ",".join(INPUT_TOPICS))
        .option("startingOffsets", "earliest")
        .option("failOnDataLoss", True)
        .option("maxOffsetsPerTrigger", settings.stream.max_offsets_per_trigger)
        # A consumer asks for offset limits behind its last fetch, which the broker keeps open for this long when no
        # message comes: Kafka's default of 500 ms went into every partition of every micro-batch.
        .option("kafka.fetch.max.wait.ms", FETCH_WAIT_MS)
        .load()
    )
    return source.select(
        bucket_of("key", settings.stream.state_buckets).alias("bucket"),
        "topic",
        "partition",
        "offset",
        F.unix_millis("timestamp").alias("ingest_ms"),
        "key",
        "value",
    )


def bucket_of(key: str, buckets: int) -> Column:
    """The bucket of a message key, 0 to `buckets` - 1; keyless messages share one."""
    return F.pmod(F.xxhash64(key), F.lit(buckets)).cast("int")
