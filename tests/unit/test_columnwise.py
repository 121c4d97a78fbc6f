"""Rows between Spark and its worker by columns: the same rows as Spark's own serializer gives and takes."""

import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from pyspark.serializers import SpecialLengths
from pyspark.sql import Row
from pyspark.sql.pandas.serializers import TransformWithStateInPySparkRowSerializer

from spark_jobs import columnwise
from spark_jobs.columnwise import ColumnwiseSerializer
from spark_jobs.schemas import OUTCOME

MESSAGES = pa.schema([("bucket", pa.int32()), ("topic", pa.string()), ("offset", pa.int64()), ("value", pa.binary())])
messages = st.tuples(st.integers(0, 3), st.text(max_size=3), st.integers(0, 2**40), st.none() | st.binary(max_size=5))
outcomes = st.builds(
    Row(*OUTCOME.fieldNames()),
    st.sampled_from(["transaction", "dead"]), st.just("transactions"), st.integers(0, 7), st.none() | st.integers(0, 9),
    st.integers(0, 2**53), st.none() | st.booleans(), st.none() | st.binary(max_size=4), st.none() | st.binary(),
    st.none() | st.lists(st.floats(allow_nan=False), max_size=3), st.none() | st.floats(allow_nan=False),
    st.none() | st.text(max_size=4), st.none() | st.text(), st.none() | st.booleans(), st.integers(0, 9),
)  # fmt: skip
SPARKS: Any = TransformWithStateInPySparkRowSerializer
OURS: Any = ColumnwiseSerializer


def calls(serializer: Any, rows: list[tuple[Any, ...]], size: int) -> list[Any]:
    """The processor's calls, of rows in Arrow batches of `size`."""
    stream = io.BytesIO()
    with pa.RecordBatchStreamWriter(stream, MESSAGES) as writer:
        for start in range(0, len(rows), size):
            columns = zip(*rows[start : start + size], strict=True)
            writer.write_batch(
                pa.RecordBatch.from_arrays(
                    [pa.array(column, field.type) for column, field in zip(columns, MESSAGES, strict=True)],
                    schema=MESSAGES,
                )
            )
    stream.seek(0)
    serializer.key_offsets = [0]
    return [(mode.name, key, [*map(tuple, rows or ())]) for mode, key, rows in serializer.load_stream(stream)]


@given(st.lists(messages, max_size=30), st.integers(1, 7))
def test_a_processor_is_called_as_by_spark(rows: list[tuple[Any, ...]], size: int) -> None:
    rows.sort(key=lambda row: row[0])
    ours, sparks = (kind(arrow_max_records_per_batch=0) for kind in (OURS, SPARKS))
    assert calls(ours, rows, size) == calls(sparks, rows, size)


def written(serializer: Any, keys: list[list[Row]]) -> list[dict[str, Any]]:
    """What the JVM reads of the rows that each key gives."""
    given: Iterator[Any] = ([(iter(rows), OUTCOME)] for rows in keys)
    stream = io.BytesIO()
    serializer.dump_stream(given, stream)
    stream.seek(0)
    if not keys:
        assert not stream.getvalue()
        return []
    assert int.from_bytes(stream.read(4), signed=True) == SpecialLengths.START_ARROW_STREAM
    table = pa.ipc.open_stream(stream).read_all()
    assert table.num_columns == 1
    return list(table.column(0).to_pylist())


@given(st.lists(st.lists(outcomes, max_size=5), max_size=6), st.integers(1, 5))
def test_the_jvm_reads_what_it_reads_of_spark(keys: list[list[Row]], size: int) -> None:
    ours, sparks = (kind(arrow_max_records_per_batch=0) for kind in (OURS, SPARKS))
    before = columnwise.BATCH_ROWS
    columnwise.BATCH_ROWS = size
    try:
        assert written(ours, keys) == written(sparks, keys)
    finally:
        columnwise.BATCH_ROWS = before
