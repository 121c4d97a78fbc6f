"""Rows between Spark's JVM and the stateful stage's Python worker, a column at a time.

Spark's own serializer (4.2) makes each cell a Python object by a call of its own, and each key's rows an Arrow batch of
their own, by way of dictionaries. This one converts whole columns, and puts the rows of many keys into one batch.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import IO, Any

import pyarrow as pa
import pyspark.worker
from pyspark.sql.pandas.serializers import (
    ArrowStreamSerializer,
    ArrowStreamUDFSerializer,
    TransformWithStateInPySparkRowSerializer,
)
from pyspark.sql.pandas.types import to_arrow_type
from pyspark.sql.streaming.stateful_processor_util import TransformWithStateInPandasFuncMode as Mode

#: Rows of one Arrow batch.
BATCH_ROWS = 4_096

Values = tuple[Any, ...]
Call = tuple[Mode, Values | None, Iterator[Values] | None]
Given = list[tuple[Iterator[Values], Any]]  # the one entry: a call's rows, with their Spark type


class ColumnwiseSerializer(TransformWithStateInPySparkRowSerializer):
    """What Spark's own does, for a processor whose one key column takes part in its rows, which are tuples here."""

    key_offsets: list[int]

    def load_stream(self, stream: IO[bytes]) -> Iterator[Call]:
        """The calls of the processor: its rows by key, which come one key after the other."""
        (key,) = self.key_offsets
        batches = ArrowStreamSerializer.load_stream(self, stream)
        rows = (row for batch in batches for row in zip(*(column.to_pylist() for column in batch.columns), strict=True))
        for value, mine in groupby(rows, itemgetter(key)):
            yield Mode.PROCESS_DATA, (value,), mine
        yield Mode.PROCESS_TIMER, None, None
        yield Mode.COMPLETE, None, None

    def dump_stream(self, iterator: Iterable[Given], stream: IO[bytes]) -> None:
        """Writes what the calls gave."""
        ArrowStreamUDFSerializer.dump_stream(self, _batches(iterator), stream)  # type: ignore[no-untyped-call]


def install() -> None:
    """Makes this process, and the workers that it forks, use it."""
    pyspark.worker.TransformWithStateInPySparkRowSerializer = ColumnwiseSerializer  # type: ignore[attr-defined]


def _batches(calls: Iterable[Given]) -> Iterator[tuple[pa.RecordBatch, Any]]:
    rows: list[Values] = []
    schema = None
    for ((given, spark_type),) in calls:
        schema = schema or pa.schema(list(to_arrow_type(spark_type, timezone="UTC", prefers_large_types=False)))
        rows.extend(given)  # all of a key, whose state is open until then
        if len(rows) >= BATCH_ROWS:
            yield _batch(rows, schema), None
            rows = []
    if schema is not None:
        yield _batch(rows, schema), None


def _batch(rows: list[Values], schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(*rows, strict=True) if rows else ([] for _ in schema)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
