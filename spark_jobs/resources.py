"""What micro-batches are scored with: the champion and the static data, broadcast again when either changes."""

import logging
from dataclasses import dataclass

import pandas as pd
from pyspark import Broadcast
from pyspark.sql import SparkSession

from fraudstream.errors import FraudstreamError
from model.artifact import read_folder
from model.registry import ModelVersion, champion
from model.static import CUSTOMER_COLUMNS, PRODUCT_COLUMNS, StaticData
from spark_jobs.ledger import Postgres
from spark_jobs.scoring import ScoringData, load_scorer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Current:
    """One model and one version of the static data, on all workers."""

    model: ModelVersion
    static: StaticData
    data: Broadcast[ScoringData]


class Resources:
    """Keeps the champion and the newest static data. Call `refresh` before each micro-batch."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark
        self._current: Current | None = None

    def refresh(self, connection: Postgres) -> Current:
        """What to score with now. Raises FraudstreamError when there is no model, or when it can't be used."""
        model = champion(connection)
        if model is None:
            raise FraudstreamError("no champion in fraud.model_versions: run ./fraudctl up, or promote a model")
        static = self._newest_static(connection)
        old = self._current
        if old and old.static is static and (old.model.version, old.model.sha256) == (model.version, model.sha256):
            return old
        self._current = self._broadcast(model, static)
        if old:
            old.data.unpersist()
        return self._current

    def _newest_static(self, connection: Postgres) -> StaticData:
        version = _newest_static_version(connection)
        if self._current and self._current.static.version == version:
            return self._current.static
        return _read_static(connection, version)

    def _broadcast(self, model: ModelVersion, static: StaticData) -> Current:
        artifact, metadata = read_folder(model.artifact)
        scorer = load_scorer(artifact, metadata)  # refuses here, on the driver, what a worker couldn't use
        if scorer.sha256 != model.sha256:
            raise FraudstreamError(
                f"model {model.version} in {model.artifact} has SHA-256 {scorer.sha256}, but was registered with "
                f"{model.sha256}: restore the file, or run ./fraudctl up, which registers a newer one that ships"
            )
        log.info(
            "scoring with model %s and static data %s (%s customers, %s products)",
            model.version,
            static.version,
            len(static.customers),
            len(static.products),
        )
        return Current(model, static, self._spark.sparkContext.broadcast(ScoringData(artifact, metadata, static)))


def _newest_static_version(connection: Postgres) -> int:
    row = connection.execute("SELECT coalesce(max(version), 0) FROM fraud.static_versions").fetchone()
    return int(row[0]) if row else 0


def _read_static(connection: Postgres, version: int) -> StaticData:
    frames = [
        pd.DataFrame(
            connection.execute(f"SELECT {', '.join(columns)} FROM fraud.{table}").fetchall(),  # noqa: S608 (constants)
            columns=list(columns),
        )
        for table, columns in (("customers", CUSTOMER_COLUMNS), ("products", PRODUCT_COLUMNS))
    ]
    customers, products = frames
    customers["registered_at"] = pd.to_datetime(customers["registered_at"], utc=True)
    return StaticData.from_frames(customers, products, version)
