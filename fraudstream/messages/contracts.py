"""Topics and event schemas: the one source that producers, the streaming job and the tests share.

Events are JSON objects in UTF-8, one a Kafka message. Times are ISO-8601 in UTC with milliseconds. The `Struct`s below
are the schema: msgspec decodes and validates with them (`fraudstream.messages.validation`), and `json_schema()`
publishes them (`docs/schemas/`). Unknown fields are allowed, so that a producer may add some before the consumers
know them.
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

#: The version that this code reads and writes, in every event's `schema_version`.
SCHEMA_VERSION: Literal[1] = 1

#: Formats in which a UTC time may be typed on a command line (`datetime.strptime`).
TYPED_TIME_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]


class Topic(StrEnum):
    """Kafka topics. Created explicitly: auto-creation is off."""

    BROWSE_EVENTS = "browse-events"
    TRANSACTIONS = "transactions"
    TRANSACTION_LABELS = "transaction-labels"
    SIMULATION_TRUTH = "simulation-truth"
    SCORED_TRANSACTIONS = "scored-transactions"
    TRANSACTION_FEATURES = "transaction-features"
    FRAUD_ALERTS = "fraud-alerts"
    TOP_PRODUCTS = "top-products"
    DEAD_LETTERS = "dead-letters"


#: Topics that the streaming job reads, in the order of its accounting.
INPUT_TOPICS = (Topic.BROWSE_EVENTS, Topic.TRANSACTIONS, Topic.TRANSACTION_LABELS)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: The end of the year 9998, milliseconds since the epoch.
LAST_MS = (datetime(9999, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1) - 1

#: The streaming query's name, in the ledger and in Spark.
QUERY = "score_transactions"

Identifier = Annotated[str, Meta(min_length=1, max_length=64)]
# With its length, since a pattern's `$` lets a line break pass.
CountryCode = Annotated[str, Meta(pattern="^[A-Z]{2}$", max_length=2, description="ISO 3166-1 alpha-2")]
Money = Annotated[float, Meta(ge=0, le=1e7, description="in units of `currency`")]
UtcTime = Annotated[datetime, Meta(tz=True, description="ISO-8601 with a time zone")]

#: GA4's e-commerce event names.
BrowseEventType = Literal[
    "page_view",
    "scroll",
    "search",
    "view_item_list",
    "view_item",
    "view_promotion",
    "add_to_wishlist",
    "add_to_cart",
    "remove_from_cart",
    "begin_checkout",
    "add_payment_info",
]
BROWSE_EVENT_TYPES: tuple[str, ...] = BrowseEventType.__args__  # type: ignore[attr-defined]

#: Payment methods that the features tell apart; any other counts as "other" there, and keeps its name.
PAYMENT_METHODS = ("card", "paypal", "bank_transfer", "gift_card", "cash_on_delivery")
PaymentMethod = Annotated[Identifier, Meta(description=f"known: {', '.join(PAYMENT_METHODS)}; others are taken, too")]

LabelSource = Annotated[Identifier, Meta(description="such as chargeback, analyst or customer")]


class BrowseEvent(Struct, frozen=True, kw_only=True):
    """One step of a shopper's session. Key: `customer_id`."""

    schema_version: Literal[1]
    event_id: Identifier
    session_id: Identifier
    customer_id: Identifier
    event_type: BrowseEventType
    event_time: UtcTime
    product_id: Identifier | None
    traffic_source: Identifier
    device_id: Identifier
    device_type: Identifier


class Item(Struct, frozen=True, kw_only=True):
    """A line of a transaction."""

    product_id: Identifier
    quantity: Annotated[int, Meta(ge=1, le=10_000)]
    unit_price: Money


class Transaction(Struct, frozen=True, kw_only=True):
    """A purchase at checkout. Key: `customer_id`. Never a card number: `card_token` is random."""

    schema_version: Literal[1]
    transaction_id: Identifier
    session_id: Identifier
    customer_id: Identifier
    event_time: UtcTime
    amount: Annotated[float, Meta(gt=0, le=1e7, description="total charged, in units of `currency`")]
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$", max_length=3, description="ISO 4217")]
    items: Annotated[list[Item], Meta(min_length=1, max_length=200)]
    payment_method: PaymentMethod
    card_token: Identifier | None
    promo_code: Identifier | None
    promo_amount: Money
    shipping_fee: Money
    shipping_city: Annotated[str, Meta(min_length=1, max_length=200)]
    shipping_country: CountryCode
    shipping_latitude: Annotated[float, Meta(ge=-90, le=90, description="degrees")]
    shipping_longitude: Annotated[float, Meta(ge=-180, le=180, description="degrees")]
    ip_country: CountryCode
    device_id: Identifier


class Label(Struct, frozen=True, kw_only=True):
    """Delayed truth about a transaction. Key: `transaction_id`."""

    schema_version: Literal[1]
    transaction_id: Identifier
    is_fraud: bool
    source: LabelSource
    labelled_at: UtcTime


class SimulationTruth(Struct, frozen=True, kw_only=True):
    """Which scenario made a transaction; for evaluation only. Key: `transaction_id`."""

    schema_version: Literal[1]
    transaction_id: Identifier
    session_id: Identifier
    customer_id: Identifier
    event_time: UtcTime
    is_fraud: bool
    scenario: Annotated[str, Meta(description="`legitimate` or the name of a fraud scenario")]


class Fault(StrEnum):
    """Faults that the simulator puts into messages on purpose."""

    LATE = "late"  # sent after the allowed lateness
    DUPLICATE = "duplicate"  # sent a second time
    OUT_OF_ORDER = "out_of_order"  # sent after others that happened later
    MALFORMED = "malformed"  # a broken copy was sent before it


class FaultTruth(SimulationTruth, frozen=True, kw_only=True):
    """One more message on `simulation-truth` for each fault: which message it befell. Key: `transaction_id`.

    Other fields as in the truth about the transaction. A browse event has the id that its session's purchase has, or
    would have.
    """

    fault: Fault
    topic: Annotated[Topic, Meta(description="of the message")]
    event_id: Annotated[Identifier, Meta(description="of the message: its event_id or transaction_id")]


class Reason(Struct, frozen=True, kw_only=True):
    """One of the strongest contributions to a flagged transaction's score."""

    feature: str
    value: float | None
    contribution: Annotated[float, Meta(description="SHAP value, in log-odds")]
    text: str


class ScoredTransaction(Struct, frozen=True, kw_only=True):
    """A transaction with its score and the decision. Key: `transaction_id`. A flagged one is also a fraud alert."""

    schema_version: Literal[1]
    transaction_id: Identifier
    session_id: Identifier
    customer_id: Identifier
    event_time: UtcTime
    amount: float
    currency: str
    items: list[Item]
    payment_method: PaymentMethod
    card_token: Identifier | None
    promo_code: Identifier | None
    promo_amount: Money
    shipping_fee: Money
    shipping_city: str
    shipping_country: CountryCode
    shipping_latitude: float
    shipping_longitude: float
    ip_country: CountryCode
    device_id: Identifier
    fraud_score: Annotated[float, Meta(ge=0, le=1, description="probability of fraud")]
    is_fraud: Annotated[bool, Meta(description="the decision: fraud_score >= threshold")]
    threshold: float
    reasons: Annotated[list[Reason], Meta(description="the strongest three, for flagged ones")]
    model_version: str
    scored_at: UtcTime
    shop_amount: Annotated[
        float | None, Meta(description="`amount` in the shop currency; null: no exchange rate was known")
    ] = None  # so that those sent before there were rates can be decoded


class ProductWindow(Struct, frozen=True, kw_only=True):
    """A product's sales so far in a 30-s window, from sessions that aren't flagged. Key: `product_id`.

    Each message replaces the earlier ones about the same window and product. None comes about a window that retention
    may have merged, after `FRAUDSTREAM_RETENTION__ROLLUPS_FINE_HOURS`.
    """

    schema_version: Literal[1]
    product_id: Identifier
    window_start: UtcTime
    window_end: UtcTime
    units: int
    revenue: Annotated[float, Meta(description="in the shop currency")]


Event = BrowseEvent | Transaction | Label

#: The schema of each topic's value, where the platform's own code decodes it.
SCHEMAS: dict[Topic, type[Struct]] = {
    Topic.BROWSE_EVENTS: BrowseEvent,
    Topic.TRANSACTIONS: Transaction,
    Topic.TRANSACTION_LABELS: Label,
    Topic.SIMULATION_TRUTH: SimulationTruth,
    Topic.SCORED_TRANSACTIONS: ScoredTransaction,
    Topic.FRAUD_ALERTS: ScoredTransaction,
    Topic.TOP_PRODUCTS: ProductWindow,
}


def utc_time(milliseconds: int) -> datetime:
    """The UTC time that is any number of `milliseconds` since the epoch; outside of 1970 to 9998, the nearest of them.

    Within a day of a `datetime`'s own ends, another time zone couldn't show it.
    """
    return _EPOCH + timedelta(milliseconds=min(max(milliseconds, 0), LAST_MS))


def iso_milliseconds(moment: datetime) -> str:
    """Formats an aware `moment` as the contract wants times: `2026-01-31T23:59:59.123Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def encode(event: Struct) -> bytes:
    """Encodes one event (any of the structs above) as a Kafka value."""
    fields = msgspec.to_builtins(event, builtin_types=(datetime,))
    for name, value in fields.items():
        if isinstance(value, datetime):
            fields[name] = iso_milliseconds(value)
    return msgspec.json.encode(fields)


def json_schema(topic: Topic) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `topic`'s value. Raises KeyError for a topic without a schema of its own."""
    return msgspec.json.schema(SCHEMAS[topic])
