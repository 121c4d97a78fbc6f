"""An archive of made transactions, in a folder, without Kafka or Postgres."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fraudstream.archive import lake, rows
from fraudstream.archive.lake import Table
from fraudstream.messages.contracts import Topic
from fraudstream.messages.features import FEATURE_RECORD_VERSION, FeatureRecord, feature_set, microseconds, pack
from fraudstream.settings import Settings
from model.features.columns import FEATURE_NAMES

FEATURES = (Topic.TRANSACTION_FEATURES.value, "an-id")
LABELS = (Topic.TRANSACTION_LABELS.value, "an-id")


class Archive:
    """Appends as the Dag does; offsets count on."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(var_dir=folder)
        self._next = 0

    def transactions(
        self,
        times: list[datetime],
        features: np.ndarray,
        scores: list[float],
        version: str = "m-1",
        threshold: float = 0.5,
        challenger: list[float] | None = None,
        **fields: list[Any],
    ) -> list[str]:
        """Returns the ids; `features` is float [n, FEATURE_NAMES], `fields` are columns of their own."""
        ids = [f"tx-{self._next + number}" for number in range(len(times))]
        found = [
            FeatureRecord(
                version=FEATURE_RECORD_VERSION,
                transaction_id=ids[number],
                event_time_us=microseconds(times[number]),
                batch_id=self._next,
                model_version=version,
                policy_version=None,
                feature_set=feature_set(FEATURE_NAMES),
                fraud_score=scores[number],
                challenger_version="m-2" if challenger else None,
                challenger_score=challenger[number] if challenger else None,
                features=packed,
            )
            for number, packed in enumerate(pack(features))
        ]
        own: dict[str, Mapping[str, Any]] = {
            name: {
                "customer_id": f"c-{name}",
                "shop_amount": 10.0,
                "threshold": threshold,
                "is_fraud": score >= threshold,
            }
            | {field: values[number] for field, values in fields.items()}
            for number, (name, score) in enumerate(zip(ids, scores, strict=True))
        }
        self._next += len(times)
        made = rows._part(found, FEATURE_NAMES, own)
        self._append(Table.TRANSACTIONS, made, FEATURES)
        return ids

    def labels(self, *of: tuple[str, datetime, bool], known_at: datetime | None = None) -> None:
        """Labels: transaction, when it was made, and whether it is fraud. Known at once, or all at `known_at`."""
        self._next += len(of)
        made = [
            {
                "transaction_id": name,
                "known_at": known_at or at,
                "known_day": (known_at or at).date(),
                "labelled_at": at,
                "is_fraud": is_fraud,
                "source": "analyst",
                "kafka_partition": 0,
                "kafka_offset": self._next + number,
            }
            for number, (name, at, is_fraud) in enumerate(of)
        ]
        self._append(Table.LABELS, pa.Table.from_pylist(made, rows._LABELS), LABELS)

    def _append(self, kind: Table, made: pa.Table, topic: tuple[str, str]) -> None:
        lake.append(self.settings, kind, lake.open_table(self.settings, kind), made, topic, {0: self._next})
