"""What micro-batches are scored with: models, static data, entity risk and the policy, each read when it changes."""

import gc
import logging
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

import pandas as pd
from py4j.protocol import Py4JError
from pyspark import Broadcast
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from fraudstream.erasure import known
from fraudstream.errors import FraudstreamError
from fraudstream.policy import reading
from fraudstream.policy.columns import columns_with
from fraudstream.policy.live import LivePolicy
from fraudstream.policy.reading import PolicyAtWork
from fraudstream.static_data.currencies import COLUMNS, CurrencyRates, Rate
from fraudstream.static_data.entities import terminals_start
from model.durations import HOUR_MS
from model.features.columns import FEATURE_NAMES
from model.features.entity_risk import ENTITY_COLUMNS, EntityRisk
from model.features.static import CUSTOMER_COLUMNS, PRODUCT_COLUMNS, StaticData
from model.features.terminals import FRAUD_COLUMNS, HOUR_COLUMNS, TerminalFacts
from model.serving.artifact import decode_metadata, read_folder
from model.serving.registry import ModelVersion, challenger, champion
from spark_jobs.ledger import Postgres
from spark_jobs.rates import SharedRates
from spark_jobs.scoring import ModelFiles, OnWorkers, ScoringData, check_on_worker, load_scorer

log = logging.getLogger(__name__)

#: A model that was refused is tried again after so long: somebody may have put its files right.
RETRY_SECONDS = 10.0
_RULE_COLUMNS = columns_with(FEATURE_NAMES)
_HOUR = "(extract(epoch FROM {0}) / 3600)::bigint AS {0}"
_TERMINAL_HOURS = f"SELECT terminal_id, {_HOUR.format('hour')}, transactions, priced, cents FROM fraud.terminal_hours"  # noqa: S608 (constants)
_TERMINAL_FRAUDS = (
    f"SELECT terminal_id, {', '.join(map(_HOUR.format, ('hour', 'known_from', 'known_until')))}, cents, frauds "  # noqa: S608 (constants)
    "FROM fraud.terminal_frauds"
)
_NO_CHAMPION = "no champion in fraud.model_versions: run ./fraudctl up, or promote a model"


@dataclass(frozen=True)
class Loaded:
    """A registered model and the contents of its files."""

    model: ModelVersion
    files: ModelFiles

    def holds(self, wanted: ModelVersion) -> bool:
        """True if it is `wanted`; its status may have changed meanwhile."""
        return (self.model.version, self.model.sha256) == (wanted.version, wanted.sha256)


@dataclass(frozen=True)
class Current:
    """The models, and one version each of the static data (with the exchange rates) and of entity risk."""

    champion: Loaded
    challenger: Loaded | None
    static: StaticData
    rates: CurrencyRates
    risk: EntityRisk

    def is_same(self, other: "Current") -> bool:
        """True if the workers need nothing new. Each part is kept as it is while its version doesn't change."""
        parts = ("champion", "challenger", "static", "rates", "risk")
        return all(getattr(self, part) is getattr(other, part) for part in parts)

    def scoring_data(self) -> ScoringData:
        """The part of it that workers need."""
        second = self.challenger.files if self.challenger else None
        return ScoringData(self.champion.files, second, self.static, self.risk, self.rates.shop_currency)


@dataclass(frozen=True)
class _Refusal:
    model: ModelVersion
    problem: str
    retry_at: float  # of time.monotonic()


class ScoringDataCache:
    """The driver's scoring data: champion, challenger, the newest joined data, the policy, and their broadcasts.

    Call `refresh` and `on_workers` before each micro-batch. A model that becomes champion while the stream runs, but
    can't be used, leaves the last good one at work; `problem` tells.
    """

    def __init__(self, current: Current, *, shadow: bool) -> None:
        """Begins with `current`. With `shadow`, a challenger scores beside the champion."""
        self.current = current
        self.policy = PolicyAtWork()
        self._shared_rates = SharedRates()
        self._erased: tuple[known.Version, known.Erased] | None = None
        self._shadow = shadow
        self._broadcast: Broadcast[ScoringData] | None = None
        self._policy_broadcast: Broadcast[LivePolicy] | None = None
        self._lock = threading.Lock()
        self._champion_tried = False
        self.scores_here = False  # whether this process can, too, besides the workers
        self._refusals: dict[str, _Refusal] = {}

    @classmethod
    def load(cls, connection: Postgres, shop_currency: str, *, shadow: bool) -> Self:
        """Reads champion and static data. Raises FraudstreamError when there is no model, or when it can't be used."""
        model = champion(connection)
        if model is None:
            raise FraudstreamError(_NO_CHAMPION)
        static = _newest_static(connection)
        rates = _read_rates(connection, shop_currency)
        return cls(Current(_read(model), None, static, rates, _newest_risk(connection)), shadow=shadow)

    def refresh(self, connection: Postgres, spark: SparkSession) -> Current:
        """Reads what has changed, and returns what to score with now. A new model is tried on a worker first."""
        self._take_policy(reading.newest(connection, _RULE_COLUMNS, self.policy))
        self._erased = known.newest(connection, self._erased)
        old = self.current
        first = self._take("champion", champion(connection), old.champion, spark) or old.champion
        second = self._take("challenger", challenger(connection), old.challenger, spark) if self._shadow else None
        static = _newest_static(connection, old.static)
        rates = old.rates if static is old.static else _read_rates(connection, old.rates.shop_currency)
        new = Current(first, second, static, rates, _newest_risk(connection, old.risk))
        if new.is_same(old):
            return old
        with self._lock:
            self.current = new
            if self._broadcast:
                self._broadcast.destroy()  # no later micro-batch uses it, and its file lies on the driver's disk
                self._broadcast = None
        return new

    def on_workers(self, spark: SparkSession) -> OnWorkers:
        """`current` and `policy` on all workers; its exchange rates, and who was erased, for the calling thread's jobs.

        Raises FraudstreamError when they can't use the champion.
        """
        with self._lock:
            self._shared_rates.use(spark, self.current.rates, self._erased[1] if self._erased else known.NOBODY)
            if not self._champion_tried:  # the one of `load`; later ones were tried by `refresh`
                check_on_worker(spark, self.current.champion.files)
                self._champion_tried = True
            if self._broadcast is None:
                self._broadcast = spark.sparkContext.broadcast(self.current.scoring_data())
            if self._policy_broadcast is None and self.policy.live:
                self._policy_broadcast = spark.sparkContext.broadcast(self.policy.live)
            return OnWorkers(self._broadcast, self._policy_broadcast)

    def warm_workers(self, spark: SparkSession) -> None:
        """Does the work of the first `on_workers` in the background, since a first worker takes seconds to start.

        Then `scores_here` becomes True: the model's libraries take the driver as long.

        A failure isn't told here: the call that follows meets it again.
        """

        def warm() -> None:
            with suppress(FraudstreamError, PySparkException, Py4JError):
                self.on_workers(spark)
                import spark_jobs.scoring_libraries  # noqa: F401 (here: that takes seconds)

                load_scorer(self.current.champion.files).warm_up()
                gc.freeze()  # what the libraries made isn't walked through by later collections
                self.scores_here = True

        threading.Thread(target=warm, name="warm-workers", daemon=True).start()

    @property
    def problem(self) -> str:
        """A model or a rule that should be at work and isn't, and why; empty when all is well."""
        models = (
            f"{role} {refusal.model.version} is not at work: {refusal.problem}"
            for role, refusal in dict(self._refusals).items()
        )
        return "; ".join(filter(None, (*models, self.policy.problem)))

    def _take_policy(self, new: PolicyAtWork) -> None:
        if new is self.policy:
            return
        with self._lock:
            if self._policy_broadcast and new.live is not self.policy.live:
                self._policy_broadcast.destroy()
                self._policy_broadcast = None
            self.policy = new

    def _take(self, role: str, wanted: ModelVersion | None, held: Loaded | None, spark: SparkSession) -> Loaded | None:
        """The `wanted` model: the one that is held, or a new one once a worker could load it; None when it can't."""
        if wanted is None or (held and held.holds(wanted)):
            self._refusals.pop(role, None)
            return held if wanted else None
        refusal = self._refusals.get(role)
        if refusal and refusal.model == wanted and time.monotonic() < refusal.retry_at:
            return None
        try:
            loaded = _read(wanted)
            check_on_worker(spark, loaded.files)
        except FraudstreamError as error:
            log.error("%s %s can't be used, going on without it: %s", role, wanted.version, error)
            self._refusals[role] = _Refusal(wanted, str(error), time.monotonic() + RETRY_SECONDS)
            return None
        self._refusals.pop(role, None)
        log.info("%s is now model %s", role, wanted.version)
        return loaded


def _newest_static(connection: Postgres, held: StaticData | None = None) -> StaticData:
    version = _newest_version(connection, "static_versions")
    if held and held.version == version:
        return held
    static = _read_static(connection, version)
    log.info("static data %s: %s customers, %s products", static.version, len(static.customers), len(static.products))
    return static


def _newest_risk(connection: Postgres, held: EntityRisk | None = None) -> EntityRisk:
    version = _newest_version(connection, "entity_risk_versions")
    if held and held.version == version:
        return held
    risk = _read_risk(connection)
    log.info("entity risk %s: %s entities", risk.version, sum(map(len, risk.entities.values())))
    return risk


def _read(model: ModelVersion) -> Loaded:
    """The model's files. Raises FraudstreamError when they are missing, or aren't those that were registered."""
    artifact, metadata = read_folder(model.artifact)
    described = decode_metadata(metadata)
    if (described.sha256, described.threshold) != (model.sha256, model.threshold):
        raise FraudstreamError(
            f"model {model.version} in {model.artifact} has SHA-256 {described.sha256} and threshold "
            f"{described.threshold}, but was registered with {model.sha256} and {model.threshold}: "
            "restore its files, or promote another model"
        )
    return Loaded(model, ModelFiles(artifact, metadata))


def _newest_version(connection: Postgres, table: str) -> int:
    row = connection.execute(f"SELECT coalesce(max(version), 0) FROM fraud.{table}").fetchone()  # noqa: S608 (constants)
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


def _read_rates(connection: Postgres, shop_currency: str) -> CurrencyRates:
    rows = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM fraud.currency_rates").fetchall()  # noqa: S608 (constants)
    return CurrencyRates.of(shop_currency, (Rate(*row) for row in rows))


def _read_risk(connection: Postgres) -> EntityRisk:
    """The newest refresh: version and rows of one snapshot, since a refresh replaces all rows."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        newest = connection.execute(
            "SELECT as_of, version, transactions, frauds FROM fraud.entity_risk_versions ORDER BY version DESC LIMIT 1"
        ).fetchone()
        rows = connection.execute(f"SELECT {', '.join(ENTITY_COLUMNS)} FROM fraud.entity_risk").fetchall()  # noqa: S608 (constants)
        hours = connection.execute(_TERMINAL_HOURS).fetchall()
        frauds = connection.execute(_TERMINAL_FRAUDS).fetchall()
    if newest is None:
        return EntityRisk()
    as_of, *totals = newest
    risk = EntityRisk.from_frame(pd.DataFrame(rows, columns=list(ENTITY_COLUMNS)), *totals)
    return replace(risk, terminals=_terminals(as_of, hours, frauds))


def _terminals(as_of: datetime, hours: list[tuple[Any, ...]], frauds: list[tuple[Any, ...]]) -> TerminalFacts:
    since = terminals_start(int(as_of.timestamp() * 1000)) // HOUR_MS
    of_hours = pd.DataFrame(hours, columns=list(HOUR_COLUMNS))
    of_frauds = pd.DataFrame(frauds, columns=list(FRAUD_COLUMNS))
    return TerminalFacts.from_frames(of_hours, of_frauds, since)
