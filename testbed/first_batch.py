"""What a driver of the stream does until its first micro-batch has ended, without Kafka and Postgres.

`testbed.class_archive` maps the classes that this loads.
"""

import tempfile
from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 (the usual name)

from fraudstream.settings import Settings, load_settings
from fraudstream.static_data.currencies import CurrencyRates
from spark_jobs.profiles import update_profiles
from spark_jobs.rates import SharedRates
from spark_jobs.session import build_session
from spark_jobs.source import bucket_of


def main() -> None:
    """Runs one micro-batch: state and Python in both of the plan's halves, as the stream's."""
    settings = load_settings()
    spark = build_session(settings, "local[1]")
    with tempfile.TemporaryDirectory() as checkpoint:
        spark.sparkContext.parallelize([1], 1).map(str).first()
        query = (
            update_profiles(_messages(spark, settings), settings, {})
            .writeStream.foreachBatch(_collect)
            .option("checkpointLocation", checkpoint)
            .trigger(once=True)
            .start()
        )
        query.awaitTermination()
        spark.stop()


def _messages(spark: SparkSession, settings: Settings) -> DataFrame:
    """Messages as `spark_jobs.source` reads them, of no form that the stream takes."""
    text = F.col("value").cast("string")
    counted = spark.readStream.format("rate-micro-batch").option("rowsPerBatch", 10).load()
    messages = counted.select(
        F.lit("transactions").alias("topic"),
        F.lit(0).alias("partition"),
        F.col("value").alias("offset"),
        F.unix_millis("timestamp").alias("ingest_ms"),
        text.cast("binary").alias("key"),
        text.cast("binary").alias("value"),
        F.octet_length(text).alias("size"),
    )
    return messages.select(bucket_of("key", settings.stream.state_buckets).alias("bucket"), "*")


def _collect(outcomes: DataFrame, _batch: int) -> None:
    SharedRates().use(outcomes.sparkSession, CurrencyRates("EUR"))

    def same(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from batches

    outcomes.mapInArrow(same, outcomes.schema).toArrow()


if __name__ == "__main__":
    main()
