"""What a new checkpoint begins with: the profiles of a snapshot, and Kafka from its offsets.

The snapshot lies with the driver, which verifies it and copies its files beside the checkpoint's own, where executors
see them. Spark reads them with the first micro-batch, and only with that one.
"""

import json
from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import GroupedData, SparkSession
from pyspark.sql import functions as F  # noqa: N812 (the usual name)

from fraudstream.ledger.gaps import KafkaView
from fraudstream.ledger.rebuild import reading_starts, still_valid
from fraudstream.settings import Settings
from fraudstream.snapshots.folders import Snapshot, usable
from fraudstream.snapshots.manifest import Moment, SnapshotError, by_topic
from model.features.profile import PROFILE_LAYOUT
from spark_jobs.bucket_state import Kept, state_of
from spark_jobs.checkpoint import Checkpoint, Planned
from spark_jobs.ledger import LedgerError
from spark_jobs.schemas import INITIAL_BUCKET, KEPT
from spark_jobs.source import bucket_of

#: The copy's folder in the checkpoint; Spark passes it over.
COPY = "beginning"
EARLIEST = -2  # in Spark's `startingOffsets`


def is_first(planned: Planned | None) -> bool:
    """Whether the first micro-batch of a checkpoint, which alone reads the snapshot, is still to come or repeated."""
    return planned is None or (planned.batch_id == 0 and not planned.ended)


def open_snapshot(settings: Settings, name: str) -> Snapshot:
    """The snapshot that the ledger names, read whole. Raises LedgerError when it can't be begun with."""
    try:
        return usable(settings.paths.snapshots / name, PROFILE_LAYOUT, settings.shop.currency)
    except SnapshotError as error:
        raise LedgerError(
            f"the state is to begin with the snapshot {name}, which {error}. "
            "Begin with an older one, or with what Kafka holds: ./fraudctl rebuild"
        ) from error


def starting_offsets(view: KafkaView, moment: Moment) -> str:
    """Where the query reads on from the profiles of `moment`, in the form of Spark's `startingOffsets`."""
    reached, starts = still_valid(view, moment), reading_starts(view, moment)
    goes_on = {place: start if reached.get(place) == start else EARLIEST for place, start in starts.items()}
    return json.dumps(by_topic(goes_on))


def initial_buckets(spark: SparkSession, checkpoint: Checkpoint, snapshot: Snapshot, buckets: int) -> GroupedData:
    """The buckets' states, one row each, for `transformWithState`. Copies the snapshot's files first."""
    place = checkpoint.take([snapshot.folder / part.name for part in snapshot.manifest.parts], COPY)
    customers = spark.read.schema(KEPT).parquet(place)
    keyed = customers.withColumn("key", F.col("customer_id").cast("binary"))
    return (
        keyed.select(bucket_of("key", buckets).alias("bucket"), *KEPT.fieldNames())
        .groupBy("bucket")
        .applyInArrow(_as_state, INITIAL_BUCKET)
        .groupBy("bucket")
    )


def _as_state(bucket: pa.Table) -> pa.Table:
    head, chunks = state_of(Kept(*row) for row in _rows(bucket))
    return pa.table(
        {
            "bucket": bucket["bucket"].slice(0, 1),
            "head": pa.array([head], pa.binary()),
            "chunks": pa.array([chunks], pa.list_(pa.binary())),
        }
    )


def _rows(bucket: pa.Table) -> Iterator[tuple[str, int, bytes]]:
    for batch in bucket.select(KEPT.fieldNames()).to_batches():
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
