"""The part that the peers share: decode, join, score, explain, COPY. Features and model are the platform's own."""

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

import msgspec
import numpy as np
import pandas as pd

from fraudstream.errors import FraudstreamError
from fraudstream.messages.contracts import BrowseEvent, Topic, Transaction, utc_time
from fraudstream.messages.money import in_minor_units
from fraudstream.messages.validation import decode
from fraudstream.settings import Settings
from fraudstream.static_data.currencies import COLUMNS as RATE_COLUMNS
from fraudstream.static_data.currencies import CurrencyRates, Rate
from fraudstream.storage.connect import Postgres, connect
from model.features.columns import STATEFUL_FEATURES
from model.features.entity_risk import ENTITY_COLUMNS, EntityRisk
from model.features.observe import observe_browse, observe_transaction
from model.features.profile import Profile
from model.features.static import CUSTOMER_COLUMNS, PRODUCT_COLUMNS, StaticData
from model.serving.registry import champion
from model.serving.scorer import Scorer

_AS_SENT = (
    *("transaction_id", "session_id", "customer_id", "event_time", "payment_method", "card_token", "promo_code"),
    *("shipping_city", "shipping_country", "shipping_latitude", "shipping_longitude", "ip_country", "device_id"),
)
_MONEY = ("amount", "promo_amount", "shipping_fee")
_MADE = (
    *("currency", "shop", "items", "fraud_score", "is_fraud", "threshold", "reasons", "model_version", "scored_at"),
    *("late", "ingest_time", "kafka_partition", "kafka_offset", "batch_id", "exchange_rate", "decision"),
    "counted_in_sales",
)
_NAMES = ", ".join((*_AS_SENT, *_MONEY, *_MADE))
_STAGE = (
    "CREATE TEMPORARY TABLE staged ON COMMIT DELETE ROWS AS "  # noqa: S608 (constants)
    f"SELECT {_NAMES} FROM fraud.scored_transactions WITH NO DATA"
)
_COPY = f"COPY staged ({_NAMES}) FROM STDIN"
_INSERT = (
    f"INSERT INTO fraud.scored_transactions ({_NAMES}) SELECT {_NAMES} FROM staged "  # noqa: S608 (constants)
    "ON CONFLICT (transaction_id) DO NOTHING"
)
_JOINED = (
    *("customer_id", "event_time", "amount", "shipping_latitude", "shipping_longitude", "shipping_country"),
    *("ip_country", "device_id", "card_token", "terminal_id"),
)


class Arrived(NamedTuple):
    """A valid event, and where and when (milliseconds since the epoch) Kafka appended it."""

    event: BrowseEvent | Transaction
    partition: int
    offset: int
    at_ms: int


class Purchase(NamedTuple):
    """A transaction with STATEFUL_COLUMNS and its exchange rate (NaN: none known)."""

    arrived: Arrived
    features: list[float]
    rate: float

    @property
    def event(self) -> Transaction:
        """The transaction."""
        event = self.arrived.event
        assert isinstance(event, Transaction)  # noqa: S101 - nothing else is observed as one
        return event


class Shop:
    """Model, static data, entity risk and rates as Postgres has them at the start, and the table of scored rows."""

    def __init__(self, settings: Settings) -> None:
        """Reads all. Raises FraudstreamError when there is no model."""
        self._max_future = timedelta(seconds=settings.stream.max_future_seconds)
        self._lateness_ms = settings.stream.allowed_lateness_seconds * 1000
        self._shop = settings.shop
        self._database = connect(settings, settings.postgres.writer, name="peer")
        model = champion(self._database)
        if model is None:
            raise FraudstreamError("no champion in fraud.model_versions: run ./fraudctl up, or promote a model")
        self._scorer = Scorer.load(model.artifact)
        self._scorer.warm_up()
        customers = _table(self._database, "customers", CUSTOMER_COLUMNS)
        customers["registered_at"] = pd.to_datetime(customers["registered_at"], utc=True)
        self._static = StaticData.from_frames(customers, _table(self._database, "products", PRODUCT_COLUMNS))
        self._risk = _newest_risk(self._database)
        rates = _table(self._database, "currency_rates", RATE_COLUMNS)
        self._rates = CurrencyRates.of(settings.shop.currency, (Rate(*row) for row in rates.itertuples(index=False)))
        self._database.execute(_STAGE.encode())
        self._database.commit()

    def decode(self, topic: str, key: bytes | None, value: bytes | None, at: tuple[int, int, int]) -> Arrived | None:
        """The event of a message that arrived `at` (partition, offset, milliseconds); None for one that is refused."""
        event = decode(topic, key, value, at[2], self._max_future)
        return Arrived(event, *at) if isinstance(event, BrowseEvent | Transaction) else None

    def observe(self, profile: Profile, arrived: Arrived) -> Purchase | None:
        """Applies an event to its customer's profile; the purchase to score, if it is one that isn't known yet."""
        event = arrived.event
        if isinstance(event, BrowseEvent):
            observe_browse(profile, event)
            return None
        rate = self._rates.at(event.currency, int(event.event_time.timestamp() * 1000))
        features = observe_transaction(profile, event, rate)
        return None if features is None else Purchase(arrived, features, rate)

    def write(self, purchases: Sequence[Purchase], batch_id: int) -> None:
        """Scores purchases and commits their rows; one whose id is there already changes nothing."""
        if not purchases:
            return
        features = self._features(purchases)
        scores = self._scorer.score(features)
        flagged = scores >= self._scorer.threshold
        explained = iter(self._scorer.reasons(features[flagged], self._shop.currency))
        scored_at = datetime.now(UTC)
        with self._database.transaction(), self._database.cursor() as cursor:
            with cursor.copy(_COPY.encode()) as copy:
                for purchase, score, flag in zip(purchases, scores.tolist(), flagged.tolist(), strict=True):
                    event, arrived = purchase.event, purchase.arrived
                    currency = event.currency or self._shop.currency
                    reasons = msgspec.json.encode(next(explained)).decode() if flag else "[]"
                    late = arrived.at_ms - event.event_time.timestamp() * 1000 > self._lateness_ms
                    copy.write_row(
                        (
                            *(getattr(event, name) for name in _AS_SENT),
                            *(_in_minor_units(getattr(event, name), currency) for name in _MONEY),
                            *(currency, event.shop or self._shop.name),
                            None if event.items is None else msgspec.json.encode(event.items).decode(),
                            *(score, flag, self._scorer.threshold, reasons, self._scorer.version, scored_at),
                            *(late, utc_time(arrived.at_ms), arrived.partition, arrived.offset, batch_id),
                            Decimal(repr(purchase.rate)) if purchase.rate == purchase.rate else None,
                            *("review" if flag else "allow", False),
                        )
                    )
            cursor.execute(_INSERT.encode())

    def _features(self, purchases: Sequence[Purchase]) -> np.ndarray:
        """FEATURE_NAMES of each purchase; float64 [n, features]."""
        stateful = np.array([purchase.features for purchase in purchases], np.float64)
        events = [purchase.event for purchase in purchases]
        frame = pd.DataFrame({name: [getattr(event, name) for event in events] for name in _JOINED})
        frame["exchange_rate"] = [purchase.rate for purchase in purchases]
        frame["event_time"] = pd.to_datetime(frame["event_time"], utc=True)
        frame["items"] = pd.Series([msgspec.to_builtins(event.items) for event in events], frame.index, object)
        own = len(STATEFUL_FEATURES)
        static = self._static.features(frame, stateful[:, own:])
        entities, terminals = self._risk.features(frame, self._static.categories), self._risk.terminals.features(frame)
        return np.hstack([stateful[:, :own], static, entities, terminals])


def report(messages: int, batch: int, positions: Iterable[tuple[str, int, int]]) -> None:
    """Prints what the benchmark reads of a peer: messages done so far, its CPU time, and where its topics stand."""
    browsing = {partition: offset for topic, partition, offset in positions if topic == Topic.BROWSE_EVENTS}
    line = {"at": time.time(), "messages": messages, "cpu": time.process_time(), "batch": batch, "browsing": browsing}
    print(msgspec.json.encode(line).decode(), flush=True)


def _in_minor_units(amount: float | None, currency: str) -> Decimal | None:
    return None if amount is None else in_minor_units(amount, currency)


def _table(database: Postgres, table: str, columns: Sequence[str]) -> pd.DataFrame:
    rows = database.execute(f"SELECT {', '.join(columns)} FROM fraud.{table}".encode())  # noqa: S608 (constants)
    return pd.DataFrame(rows.fetchall(), columns=list(columns))


def _newest_risk(database: Postgres) -> EntityRisk:
    versions = _table(database, "entity_risk_versions", ("version", "transactions", "frauds"))
    if versions.empty:
        return EntityRisk()
    newest = versions.sort_values("version").iloc[-1].astype(int).tolist()
    return EntityRisk.from_frame(_table(database, "entity_risk", ENTITY_COLUMNS), *newest)
