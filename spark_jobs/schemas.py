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


#: The state's variables: of each bucket its log's head, and the log.
HEAD_VARIABLE, LOG_VARIABLE = "bucket", "changes"

#: One row a bucket of customers: `spark_jobs.change_log.Head`, encoded. Layout 2 kept all profiles there.
BUCKET_HEAD = _struct(profiles=BinaryType())

#: A row a chunk of a bucket's log.
BUCKET_LOG = _struct(chunk=BinaryType())

#: A bucket of a new checkpoint: the head and the chunks of its log.
INITIAL_BUCKET = _struct(bucket=IntegerType(), head=BinaryType(), chunks=ArrayType(BinaryType()))

#: A row of a snapshot: `spark_jobs.bucket_state.Kept`.
KEPT = _struct(customer_id=StringType(), expires_ms=LongType(), profile=BinaryType())

#: The same with the clock of its bucket.
CLOCKED = StructType([*KEPT.fields, StructField("clock_ms", LongType())])

#: `fraudstream.messages.mapping.live.Mapped`.
MAPPED = _struct(key=BinaryType(), value=BinaryType(), fate=StringType(), detail=StringType())

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
#: without a challenger; `features` are packed (`fraudstream.messages.features`). Of what was decided, `rule_matches` (a
#: list of `Match`) and `rule_failures` (the error of each rule that failed, with one of the transactions) are JSON.
SCORED = StructType(
    [
        *(field for field in OUTCOME.fields if field.name != "features"),
        *_struct(
            fraud_score=DoubleType(),
            is_fraud=BooleanType(),
            reasons=BinaryType(),
            challenger_score=DoubleType(),
            features=BinaryType(),
        ).fields,
        *_struct(
            decision=StringType(),
            rule_matches=BinaryType(),
            review_probability=DoubleType(),
            rule_failures=BinaryType(),
        ).fields,
    ]
)
