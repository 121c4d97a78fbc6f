"""The features of a recorded stretch of full messages, to the bit: no release may change what a full message gives.

The recording was made by the release before messages could lack things (03bd3d2): a simulated shop of three currencies,
its customers and products, entity risk, and the features that the stream's own code gave.
"""

import gzip
import json
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql.pandas.types import to_arrow_schema

from fraudstream.messages.contracts import Topic
from fraudstream.messages.validation import TRANSACTIONS
from fraudstream.policy.columns import COMPONENT_COLUMNS
from fraudstream.static_data.currencies import CurrencyRates, Rate
from model.durations import DAY_MS
from model.features.columns import FEATURE_NAMES
from model.features.entity_risk import ENTITY_COLUMNS, EntityRisk
from model.features.static import CUSTOMER_COLUMNS, PRODUCT_COLUMNS, StaticData
from model.serving.artifact import read_folder
from model.serving.registry import PRETRAINED
from spark_jobs.bucket import Bucket, Kind, Limits, Message
from spark_jobs.schemas import OUTCOME
from spark_jobs.scoring import ModelFiles, ScoringData, score_batch, score_here, served_columns_of
from spark_jobs.sink import content_hash

RECORDING = Path(__file__).parent / "data" / "golden_features.json.gz"
RATES = CurrencyRates.of("EUR", [Rate("JPY", date(2026, 10, 1), Decimal("0.0061"))])
LIMITS = Limits(timedelta(minutes=5), 60_000, 400 * DAY_MS, 30 * DAY_MS, 7 * DAY_MS, resume={})


def outcomes_of(recording: dict[str, Any], files: ModelFiles) -> tuple[pa.Table, ScoringData]:
    """The recording's transactions (Arrow, schema `OUTCOME`), and what they are scored with."""
    customers = pd.DataFrame(recording["customers"], columns=list(CUSTOMER_COLUMNS))
    customers["registered_at"] = pd.to_datetime(customers["registered_at"], utc=True)
    static = StaticData.from_frames(customers, pd.DataFrame(recording["products"], columns=list(PRODUCT_COLUMNS)))
    entities = pd.DataFrame(recording["entities"], columns=[*ENTITY_COLUMNS[:-2]]).assign(
        **dict.fromkeys(COMPONENT_COLUMNS)
    )
    risk = EntityRisk.from_frame(entities, 1, 5_000, 60)
    messages = [
        Message(topic, 0, offset, at_ms, json.loads(value)["customer_id"].encode(), value.encode())
        for offset, (topic, at_ms, value) in enumerate(recording["messages"])
    ]
    outcomes = list(Bucket({}, 0, LIMITS, RATES).handle(messages))
    scored = [outcome._asdict() for outcome in outcomes if outcome.kind == Kind.TRANSACTION]
    table = pa.Table.from_pylist(scored, to_arrow_schema(OUTCOME))
    return table, ScoringData(files, None, static, risk, "EUR")


def computed(recording: dict[str, Any]) -> tuple[list[str], np.ndarray]:
    """The recording's transaction ids in the order of scoring, and FEATURE_NAMES of each; float64 [n, features]."""
    table, data = outcomes_of(recording, ModelFiles(b"", b""))
    (batch,) = table.to_batches()
    served = served_columns_of(batch, data)
    return [json.loads(value)["transaction_id"] for value in table["value"].to_pylist()], served[
        :, : len(FEATURE_NAMES)
    ]


def recorded() -> dict[str, Any]:
    """The recording."""
    loaded: dict[str, Any] = json.loads(gzip.decompress(RECORDING.read_bytes()))
    return loaded


def test_full_messages_give_the_features_that_they_always_gave() -> None:
    recording = recorded()
    identifiers, features = computed(recording)
    place = [FEATURE_NAMES.index(name) for name in recording["features"]]
    found = dict(zip(identifiers, features[:, place], strict=True))
    assert found.keys() == recording["expected"].keys()
    for identifier, expected in recording["expected"].items():
        values = np.frombuffer(bytes.fromhex(expected), "<f8")
        different = found[identifier].view(np.int64) != values.view(np.int64)
        different &= ~(np.isnan(found[identifier]) & np.isnan(values))
        assert not np.flatnonzero(different).size, [recording["features"][index] for index in np.flatnonzero(different)]


def test_the_driver_scores_a_small_micro_batch_as_workers_score_its_parts() -> None:
    """To the bit: a micro-batch that is repeated may be small one time, and part of a backlog the other."""
    table, data = outcomes_of(recorded(), ModelFiles(*read_folder(PRETRAINED)))
    (batch,) = table.to_batches()
    parts = [score_batch(part, data) for part in (batch[:17], batch[17:])]
    scored, by_workers = score_here(pa.concat_tables([table[:5], table[5:]]), data, None), pa.Table.from_batches(parts)
    rated = "exchange_rate"  # NaN where there is none, which equals nothing
    assert scored.drop([rated]).equals(by_workers.drop([rated]))
    assert any(scored["is_fraud"].to_pylist())
    assert score_here(table[:0], data, None).schema == scored.schema


def test_the_recording_has_each_known_payment_and_more_than_one_value_of_nearly_each_feature() -> None:
    recording = recorded()
    values = np.array([np.frombuffer(bytes.fromhex(each), "<f8") for each in recording["expected"].values()])
    constant = {name for name, each in zip(recording["features"], values.T, strict=True) if len(np.unique(each)) < 2}
    assert constant <= {"session_transactions"}


def test_a_full_message_has_the_content_hash_that_it_always_had() -> None:
    """Else a repeat of what an earlier release scored would be an ID_CONFLICT."""
    recording = recorded()
    hashes = {}
    for topic, _, value in recording["messages"]:
        if topic == Topic.TRANSACTIONS:
            transaction = TRANSACTIONS.decode(value.encode())
            hashes[transaction.transaction_id] = content_hash(transaction)
    assert hashes == recording["hashes"]
