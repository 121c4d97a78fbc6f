"""The stateless stage: joins static data, scores with the champion and its shadow, decides, explains what it flags."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark import Broadcast
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema

from fraudstream import failpoints
from fraudstream.errors import FraudstreamError
from fraudstream.failpoints import Failpoint, reach
from fraudstream.messages.contracts import Reason
from fraudstream.messages.features import pack
from fraudstream.messages.validation import TRANSACTIONS
from fraudstream.policy.live import LivePolicy
from model.features.columns import ENTITY_FEATURES, FEATURE_NAMES, STATEFUL_FEATURES
from model.features.entity_risk import EntityRisk
from model.features.static import StaticData
from spark_jobs.bucket import Kind
from spark_jobs.deciding import DECIDED, decide, sink_columns
from spark_jobs.schemas import SCORED

if TYPE_CHECKING:
    from model.serving.scorer import Scorer

_decode_transaction = TRANSACTIONS.decode
_encode_reasons = msgspec.json.Encoder().encode
_SCORED_SCHEMA = to_arrow_schema(SCORED)


@dataclass(frozen=True)
class ModelFiles:
    """The contents of a model's files."""

    artifact: bytes  # model.skops
    metadata: bytes  # metadata.json; names the artifact's SHA-256, which each worker checks


@dataclass(frozen=True)
class ScoringData:
    """Scoring data as workers get it, by broadcast: models, and one version of all that is joined."""

    champion: ModelFiles
    challenger: ModelFiles | None  # scores too, and decides nothing
    static: StaticData
    risk: EntityRisk
    currency: str  # the shop's, for sentences


@dataclass(frozen=True)
class OnWorkers:
    """What workers have of the scoring data, and of the policy, which changes more often; None: there is no policy."""

    data: Broadcast[ScoringData]
    policy: Broadcast[LivePolicy] | None = None


def score(outcomes: DataFrame, on_workers: OnWorkers, armed: str = "") -> DataFrame:
    """Scores the transactions among `outcomes` (schema `OUTCOME`); all rows pass through, in schema `SCORED`.

    `armed` are the workers' failpoints (`fraudstream.failpoints`).
    """
    return outcomes.mapInArrow(_create_partition_scorer(on_workers, armed), SCORED)


def score_here(outcomes: pa.Table, data: ScoringData, policy: LivePolicy | None) -> pa.Table:
    """What `score` does, of outcomes that are here already: in this process."""
    reach(Failpoint.IN_SCORING)
    batches = outcomes.combine_chunks().to_batches()
    return pa.Table.from_batches([score_batch(batch, data, policy) for batch in batches], _SCORED_SCHEMA)


def _create_partition_scorer(
    on_workers: OnWorkers, armed: str
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    data, policy = on_workers.data, on_workers.policy
    number, policy_number = data._jbroadcast.id(), policy._jbroadcast.id() if policy else 0

    def score_partition(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        failpoints.arm(armed)
        for batch in batches:
            if batch.num_rows:
                reach(Failpoint.IN_SCORING)
                scoring = _worker_copy(number, data, _worker_copies)
                decided_by = _worker_copy(policy_number, policy, _worker_policies) if policy else None
                yield score_batch(batch, scoring, decided_by)

    return score_partition


# Of this worker: at most one broadcast each, by its number.
_worker_copies: dict[int, ScoringData] = {}
_worker_policies: dict[int, LivePolicy] = {}
_Value = TypeVar("_Value")


def _worker_copy(number: int, broadcast: Broadcast[_Value], copies: dict[int, _Value]) -> _Value:
    """The value of broadcast `number`. Spark takes it from a worker that gets a task of the other stage in between."""
    if number not in copies:
        copies.clear()
        copies[number] = broadcast.value
    return copies[number]


def check_on_worker(spark: SparkSession, files: ModelFiles) -> None:
    """Loads the model where it will score. Raises FraudstreamError with the reason when it can't be used there."""
    problem = spark.sparkContext.parallelize([files], 1).map(_loading_problem).first()
    if problem:
        raise FraudstreamError(problem)


def _loading_problem(files: ModelFiles) -> str:
    try:
        load_scorer(files)
    except FraudstreamError as error:
        return str(error)
    return ""


@lru_cache(maxsize=4)  # the champion, its challenger, and those before them
def load_scorer(files: ModelFiles) -> "Scorer":
    """The model, loaded and verified once a process. Imported here, so that a driver starts without scikit-learn."""
    from model.serving.scorer import Scorer

    return Scorer.from_bytes(files.artifact, files.metadata)


def score_batch(batch: pa.RecordBatch, data: ScoringData, policy: LivePolicy | None = None) -> pa.RecordBatch:
    """Adds scores, decisions and reasons to the transactions of `batch` (Arrow, schema `OUTCOME`)."""
    champion, challenger = load_scorer(data.champion), load_scorer(data.challenger) if data.challenger else None
    rows = np.flatnonzero(batch.column("kind").to_numpy(zero_copy_only=False) == Kind.TRANSACTION.value)
    scores: list[Any] = [None] * batch.num_rows
    flags: list[Any] = [None] * batch.num_rows
    reasons: list[Any] = [None] * batch.num_rows
    shadow: list[Any] = [None] * batch.num_rows
    decided: dict[str, Any] = {name: [None] * batch.num_rows for name in DECIDED}
    packed: list[Any] = [None] * batch.num_rows
    if len(rows):
        chosen = batch.take(pa.array(rows))
        served = served_columns_of(chosen, data)
        features = np.ascontiguousarray(served[:, : len(FEATURE_NAMES)])
        probabilities = champion.score(features)
        is_fraud = probabilities >= champion.threshold
        decisions = decide(chosen, served, probabilities, champion.threshold, policy, data.currency)
        decided = sink_columns(decisions, rows, batch.num_rows)
        shown = is_fraud | decisions.flagged
        explained = iter(champion.reasons(features[shown], data.currency))
        for row, probability, flag, is_shown in zip(rows, probabilities, is_fraud, shown, strict=True):
            why: list[Reason] = next(explained) if is_shown else []
            scores[row], flags[row], reasons[row] = float(probability), bool(flag), _encode_reasons(why)
        for row, row_features in zip(rows, pack(served), strict=True):
            packed[row] = row_features
        if challenger:
            for row, probability in zip(rows, challenger.score(features), strict=True):
                shadow[row] = float(probability)
    columns = {name: batch.column(name) for name in batch.schema.names if name != "features"}
    added = {"fraud_score": scores, "is_fraud": flags, "reasons": reasons, "challenger_score": shadow}
    added["features"] = packed
    return pa.RecordBatch.from_pydict(columns | added | decided, schema=_SCORED_SCHEMA)


def served_columns_of(transactions: pa.RecordBatch, data: ScoringData) -> np.ndarray:
    """SERVED_COLUMNS of each row (Arrow, schema `OUTCOME`, transactions only); float64 [n, columns]."""
    stateful, joined = _stateful_columns(transactions), _transactions(transactions)
    own = len(STATEFUL_FEATURES)
    static = data.static.features(joined, stateful[:, own:])
    risk = data.risk.served(joined, data.static.categories)
    entities, components = np.hsplit(risk, [len(ENTITY_FEATURES)])
    return np.hstack([stateful[:, :own], static, entities, data.risk.terminals.features(joined), components])


def _stateful_columns(transactions: pa.RecordBatch) -> np.ndarray:
    """float64 [transactions, STATEFUL_COLUMNS]; an unknown value is NaN."""
    column = transactions.column("features")
    flat: np.ndarray = column.flatten().to_numpy(zero_copy_only=False)
    return flat.astype(np.float64).reshape(len(column), -1)


def _transactions(batch: pa.RecordBatch) -> pd.DataFrame:
    """The fields of each transaction that the joins need."""
    events = [_decode_transaction(value) for value in batch.column("value").to_pylist()]
    names = (
        "customer_id",
        "amount",
        "shipping_latitude",
        "shipping_longitude",
        "shipping_country",
        "ip_country",
        "device_id",
        "card_token",
        "terminal_id",
    )
    frame = pd.DataFrame({name: [getattr(event, name) for event in events] for name in names})
    frame["exchange_rate"] = batch.column("exchange_rate").to_numpy(zero_copy_only=False)
    frame["event_time"] = pd.to_datetime([event.event_time for event in events], utc=True)
    items = [msgspec.to_builtins(event.items) for event in events]
    frame["items"] = pd.Series(items, frame.index, object)
    return frame
