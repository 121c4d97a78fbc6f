"""Messages of a shop's own form, mapped before they are told apart by customer: who that is, the mapping alone knows.

Messages of our own form pass by: Python is handed a null for each.

Where a schema can't be had, nothing is known of a message, and so not whose it is: the task waits, and with it the
micro-batch, for as long as the registry is away. What the driver says of it: `spark_jobs.registries`.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark import SparkFiles, TaskContext
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812 (the usual name)
from pyspark.sql.pandas.types import to_arrow_type

from fraudstream.messages.formats.errors import RegistryUnavailableError
from fraudstream.messages.mapping.live import Mapped, live_decoder
from fraudstream.messages.mapping.sources import LiveSource
from spark_jobs.schemas import MAPPED

log = logging.getLogger(__name__)

#: From one attempt to have a schema to the next, each of which lasts for the mapping's `retry_seconds`.
PAUSE_SECONDS = 2.0
#: Of an executor, for all of its workers: one that was idle for a minute ends.
_SCHEMAS = "fraudstream-schemas"
_GIVEN = ("topic", "key", "value", "size", "ingest_ms")
_MAPPED = to_arrow_type(MAPPED, timezone="UTC", prefers_large_types=False)


def with_mapped(messages: DataFrame, sources: Sequence[LiveSource], max_future: timedelta) -> DataFrame:
    """`messages` with key and value of those of `sources` in our own form, and two more columns: fate, detail.

    Both are null for a message of our own form; else as in `fraudstream.messages.mapping.live.Mapped`.
    """
    is_mapped = F.col("topic").isin([source.topic for source in sources])
    mapping = F.arrow_udf(_create_mapping(sources, max_future), MAPPED)  # type: ignore[attr-defined]
    mapped = messages.withColumn("mapped", mapping(F.when(is_mapped, F.struct(*_GIVEN))))

    def either(name: str) -> Column:
        return F.when(is_mapped, F.col(f"mapped.{name}")).otherwise(F.col(name)).alias(name)

    kept = ("topic", "partition", "offset", "ingest_ms")
    return mapped.select(*kept, either("key"), either("value"), "size", "mapped.fate", "mapped.detail")


def _create_mapping(sources: Sequence[LiveSource], max_future: timedelta) -> Callable[[pa.Array], pa.Array]:
    def map_batch(given: pa.Array) -> pa.Array:
        rows = np.flatnonzero(given.is_valid().to_numpy(zero_copy_only=False))
        if not len(rows):
            return pa.nulls(len(given), _MAPPED)
        done = _mapped(given if len(rows) == len(given) else given.take(pa.array(rows)), sources, max_future)
        if len(rows) == len(given):
            return done
        places = np.full(len(given), -1)
        places[rows] = np.arange(len(rows))
        return done.take(pa.array(places, mask=places < 0))

    return map_batch


def _mapped(given: pa.StructArray, sources: Sequence[LiveSource], max_future: timedelta) -> pa.Array:
    columns = (given.field(name).to_pylist() for name in _GIVEN)
    schemas = _schemas_folder()
    readers = {source.topic: live_decoder(source, schemas).read for source in sources}
    fates = [
        _patiently(readers[topic], key, value, size, ingest_ms, max_future)
        for topic, key, value, size, ingest_ms in zip(*columns, strict=True)
    ]
    return pa.StructArray.from_arrays(list(_arrays(zip(*fates, strict=True))), fields=list(_MAPPED))


def _patiently(read: Callable[..., Mapped], *message: Any) -> Mapped:
    """As `LiveDecoder.read`, after the return of a registry that is away."""
    while True:
        try:
            return read(*message)
        except RegistryUnavailableError as error:
            log.warning("a message waits for its schema: %s", error)
            time.sleep(PAUSE_SECONDS)


def _schemas_folder() -> Path | None:
    """The executor's folder of schemas, which ends with the application; none outside of a task."""
    return Path(SparkFiles.getRootDirectory()) / _SCHEMAS if TaskContext.get() else None


def _arrays(columns: Iterator[tuple[object, ...]]) -> Iterator[pa.Array]:
    for column, field in zip(columns, _MAPPED, strict=True):
        yield pa.array(column, field.type)
