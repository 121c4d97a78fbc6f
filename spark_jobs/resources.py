"""What micro-batches are scored with: the champion, the static data and entity risk, each read when it changes."""

import logging
import threading
from contextlib import suppress
from dataclasses import dataclass

import pandas as pd
from py4j.protocol import Py4JError
from pyspark import Broadcast
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from fraudstream.errors import FraudstreamError
from model.artifact import decode_metadata, read_folder
from model.entity_risk import ENTITY_COLUMNS, EntityRisk
from model.registry import ModelVersion, champion
from model.static import CUSTOMER_COLUMNS, PRODUCT_COLUMNS, StaticData
from spark_jobs.ledger import Postgres
from spark_jobs.scoring import ScoringData, check_on_worker

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Current:
    """One model, and one version each of the static data and of entity risk."""

    model: ModelVersion
    data: ScoringData


class Resources:
    """Keeps the champion and the newest joined data. Call `refresh`, then `on_workers`, before each micro-batch."""

    def __init__(self) -> None:
        self._current: Current | None = None
        self._broadcast: Broadcast[ScoringData] | None = None
        self._lock = threading.Lock()

    def refresh(self, connection: Postgres) -> Current:
        """What to score with now. Raises FraudstreamError when there is no model, or when it can't be used."""
        model = champion(connection)
        if model is None:
            raise FraudstreamError("no champion in fraud.model_versions: run ./fraudctl up, or promote a model")
        static = self._newest_static(connection)
        risk = self._newest_risk(connection)
        old = self._current
        same_data = old and old.data.static is static and old.data.risk is risk
        if old and same_data and (old.model.version, old.model.sha256) == (model.version, model.sha256):
            return old
        self._current = Current(model, _scoring_data(model, static, risk))
        if self._broadcast:
            self._broadcast.unpersist()
            self._broadcast = None
        return self._current

    def on_workers(self, spark: SparkSession) -> Broadcast[ScoringData]:
        """What `refresh` returned last, on all workers. Raises FraudstreamError when they can't use the model."""
        assert self._current is not None  # noqa: S101 (refresh comes first)
        with self._lock:
            if self._broadcast is None:
                data = spark.sparkContext.broadcast(self._current.data)
                check_on_worker(spark, data)
                self._broadcast = data
            return self._broadcast

    def warm_workers(self, spark: SparkSession) -> None:
        """Does the work of the first `on_workers` in the background, since a first worker takes seconds to start.

        A failure isn't told here: the call that follows meets it again.
        """

        def warm() -> None:
            with suppress(FraudstreamError, PySparkException, Py4JError):
                self.on_workers(spark)

        threading.Thread(target=warm, name="warm-workers", daemon=True).start()

    def _newest_static(self, connection: Postgres) -> StaticData:
        version = _newest_static_version(connection)
        if self._current and self._current.data.static.version == version:
            return self._current.data.static
        return _read_static(connection, version)

    def _newest_risk(self, connection: Postgres) -> EntityRisk:
        version = _newest_risk_version(connection)
        if self._current and self._current.data.risk.version == version:
            return self._current.data.risk
        return _read_risk(connection)


def _scoring_data(model: ModelVersion, static: StaticData, risk: EntityRisk) -> ScoringData:
    artifact, metadata = read_folder(model.artifact)
    sha256 = decode_metadata(metadata).sha256
    if sha256 != model.sha256:
        raise FraudstreamError(
            f"model {model.version} in {model.artifact} has SHA-256 {sha256}, but was registered with "
            f"{model.sha256}: restore the file, or run ./fraudctl up, which registers a newer one that ships"
        )
    log.info(
        "scoring with model %s, static data %s (%s customers, %s products) and entity risk %s (%s entities)",
        model.version,
        static.version,
        len(static.customers),
        len(static.products),
        risk.version,
        sum(map(len, risk.entities.values())),
    )
    return ScoringData(artifact, metadata, static, risk)


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


def _newest_risk_version(connection: Postgres) -> int:
    row = connection.execute("SELECT coalesce(max(version), 0) FROM fraud.entity_risk_versions").fetchone()
    return int(row[0]) if row else 0


def _read_risk(connection: Postgres) -> EntityRisk:
    """The newest refresh: version and rows of one snapshot, since a refresh replaces all rows."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        newest = connection.execute(
            "SELECT version, transactions, frauds FROM fraud.entity_risk_versions ORDER BY version DESC LIMIT 1"
        ).fetchone()
        rows = connection.execute(f"SELECT {', '.join(ENTITY_COLUMNS)} FROM fraud.entity_risk").fetchall()  # noqa: S608 (constants)
    if newest is None:
        return EntityRisk()
    return EntityRisk.from_frame(pd.DataFrame(rows, columns=list(ENTITY_COLUMNS)), *newest)
