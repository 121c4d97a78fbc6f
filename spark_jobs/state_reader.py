"""The state of a checkpoint, read beside the query that writes it: each bucket's log of changes."""

import json
from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 (its usual name)

from spark_jobs.bucket_state import customers_of
from spark_jobs.change_log import DamagedLogError, decode_head
from spark_jobs.schemas import HEAD_VARIABLE, LOG_VARIABLE

_PROBLEMS = pa.schema([("problem", pa.string())])


def read_buckets(spark: SparkSession, location: str, batch_id: int | None = None) -> DataFrame:
    """The buckets after a micro-batch by Spark's number, or after the last: `bucket`, `head`, `chunks` (bytes).

    Raises AnalysisException, Py4JJavaError or PySparkException for a checkpoint that can't be read.
    """
    _ = spark.streams  # makes the coordinator of state stores, to which their readers report

    def variable(name: str) -> DataFrame:
        reader = spark.read.format("statestore").option("stateVarName", name).option("flattenCollectionTypes", False)
        if batch_id is not None:
            reader = reader.option("batchId", batch_id)
        return reader.load(location)

    heads = variable(HEAD_VARIABLE).select("key.bucket", F.col("value.profiles").alias("head"))
    if LOG_VARIABLE not in _variables(spark, location):  # of layout 2: each head has it all
        return heads.withColumn("chunks", F.lit(None).cast("array<binary>"))
    logs = variable(LOG_VARIABLE).select("key.bucket", F.col("list_value.chunk").alias("chunks"))
    return heads.join(logs, "bucket", "left")


def damage(buckets: DataFrame) -> list[str]:
    """What is damaged in `read_buckets`, of which every byte is read, and compared with the hashes in the heads."""
    return [problem for (problem,) in buckets.mapInArrow(_problems, "problem string").collect()]


def _problems(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        found = []
        for bucket, head, chunks in zip(*(batch[name].to_pylist() for name in batch.schema.names), strict=True):
            try:
                customers_of(decode_head(head), chunks)
            except DamagedLogError as error:
                found.append(f"bucket {bucket}: {error}")
        yield pa.RecordBatch.from_pydict({"problem": found}, schema=_PROBLEMS)


def _variables(spark: SparkSession, location: str) -> set[str]:
    """The names of the state's variables."""
    rows = spark.read.format("state-metadata").load(location).select("operatorProperties").collect()
    return {variable["stateName"] for (text,) in rows for variable in json.loads(text).get("stateVariables", [])}
