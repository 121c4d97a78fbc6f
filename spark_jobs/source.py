"""Reads the input topics."""

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 (the usual name)

from fraudstream.contracts import INPUT_TOPICS
from fraudstream.settings import KafkaSettings, Settings

FETCH_WAIT_MS = 5


def read_events(spark: SparkSession, settings: Settings) -> DataFrame:
    """All input topics as one stream: bucket, topic, partition, offset, ingest_ms, key and value (bytes, nullable).

    A lost offset fails the query (`failOnDataLoss`): going on in silence would break the accounting.
    """
    source = (
        spark.readStream.format("kafka")
        .options(**kafka_options(settings.kafka))
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


def kafka_options(kafka: KafkaSettings) -> dict[str, str]:
    """Spark's options for the connection, from the same settings as every other client's."""
    options = {
        "kafka.bootstrap.servers": kafka.bootstrap,
        "kafka.security.protocol": kafka.security_protocol,
    }
    if kafka.security_protocol.startswith("SASL"):
        options |= {"kafka.sasl.mechanism": kafka.sasl_mechanism, "kafka.sasl.jaas.config": _jaas_config(kafka)}
    if kafka.ssl_ca_file:
        options |= {"kafka.ssl.truststore.type": "PEM", "kafka.ssl.truststore.location": str(kafka.ssl_ca_file)}
    return options


def _jaas_config(kafka: KafkaSettings) -> str:
    login_module = (
        "org.apache.kafka.common.security.plain.PlainLoginModule"
        if kafka.sasl_mechanism == "PLAIN"
        else "org.apache.kafka.common.security.scram.ScramLoginModule"
    )
    return (
        f'{login_module} required username="{_escape(kafka.sasl_username)}" '
        f'password="{_escape(kafka.sasl_password.get_secret_value())}";'
    )


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
