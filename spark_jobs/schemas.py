"""The Spark schemas between the stages of the streaming job."""

from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    DataType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
)


def _struct(**fields: DataType) -> StructType:
    return StructType([StructField(name, type_) for name, type_ in fields.items()])


#: One row a bucket of customers: its encoded profiles.
BUCKET_STATE = _struct(profiles=BinaryType())

#: A bucket of a new checkpoint: its state, as `BUCKET_STATE`.
INITIAL_BUCKET = _struct(bucket=IntegerType(), profiles=BinaryType())

#: A row of a snapshot: `spark_jobs.bucket_state.Kept`.
KEPT = _struct(customer_id=StringType(), expires_ms=LongType(), profile=BinaryType())

#: The same with the clock of its bucket.
CLOCKED = StructType([*KEPT.fields, StructField("clock_ms", LongType())])

#: `spark_jobs.bucket.Outcome`.
OUTCOME = _struct(
    kind=StringType(),
    topic=StringType(),
    partition=IntegerType(),
    offset=LongType(),
    ingest_ms=LongType(),
    late=BooleanType(),
    key=BinaryType(),
    value=BinaryType(),
    features=ArrayType(DoubleType()),
    exchange_rate=DoubleType(),
    reason=StringType(),
    detail=StringType(),
    cut=BooleanType(),
    messages=LongType(),
)

#: An outcome after scoring: what is added is null but for transactions; `reasons` is JSON, and `challenger_score` null
#: without a challenger.
SCORED = StructType(
    [
        *(field for field in OUTCOME.fields if field.name != "features"),
        *_struct(
            fraud_score=DoubleType(), is_fraud=BooleanType(), reasons=BinaryType(), challenger_score=DoubleType()
        ).fields,
    ]
)
