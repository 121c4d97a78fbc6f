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
    FRAUD_ALERT_BELL = "fraud-alert-bell"
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
#: The meaning of `currency`.
CURRENCY = "ISO 4217; none: the shop currency"
# With its length, since a pattern's `$` lets a line break pass.
CountryCode = Annotated[str, Meta(pattern="^[A-Z]{2}$", max_length=2, description="ISO 3166-1 alpha-2")]
Money = Annotated[float, Meta(ge=0, le=1e7, description="in units of `currency`")]
UtcTime = Annotated[datetime, Meta(tz=True, description="ISO-8601 with a time zone")]

# --- open enumerations: known words have a meaning, any other counts as "other" in features, and keeps its name ------

#: GA4's e-commerce event names.
BROWSE_EVENT_TYPES = (
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
)
#: Payment methods that the features tell apart.
PAYMENT_METHODS = ("card", "paypal", "bank_transfer", "gift_card", "cash_on_delivery")
#: Those that need no card: without a token, any other one may have been paid with a card that nobody told.
CARDLESS_METHODS = frozenset(PAYMENT_METHODS) - {"card"}
LABEL_SOURCES = ("chargeback", "analyst", "customer")


def _open(known: tuple[str, ...]) -> Meta:
    return Meta(description=f"known: {', '.join(known)}")


BrowseEventType = Annotated[Identifier, _open(BROWSE_EVENT_TYPES)]
PaymentMethod = Annotated[Identifier, _open(PAYMENT_METHODS)]
LabelSource = Annotated[Identifier, _open(LABEL_SOURCES)]
#: The field of each event that is such a word, and the known ones.
OPEN_WORDS = {
    "BrowseEvent": ("event_type", frozenset(BROWSE_EVENT_TYPES)),
    "Transaction": ("payment_method", frozenset(PAYMENT_METHODS)),
    "Label": ("source", frozenset(LABEL_SOURCES)),
}

Shop = Annotated[Identifier, Meta(description="which of several shops; none: `FRAUDSTREAM_SHOP__NAME`")]
Terminal = Annotated[Identifier, Meta(description="where it was paid: a card terminal, a branch, a merchant")]


def _maybe() -> Any:
    """A field that may be missing, or null, which is the same: it isn't known.

    Its default is made, so that `omit_defaults` doesn't leave it out: a null is written, and hashed, as it always was.
    A field that a release adds has the plain default None instead, and is left out.
    """
    return msgspec.field(default_factory=_nothing)


def _nothing() -> None:
    return None


Decision = Literal["allow", "review", "block"]


class BrowseEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step of a shopper's session. Key: `customer_id`."""

    schema_version: Literal[1]
    event_id: Identifier
    session_id: Identifier
    customer_id: Identifier
    event_type: BrowseEventType
    event_time: UtcTime
    product_id: Identifier | None = _maybe()
    traffic_source: Identifier | None = _maybe()
    device_id: Identifier | None = _maybe()
    device_type: Identifier | None = _maybe()
    shop: Shop | None = None


class Item(Struct, frozen=True, kw_only=True):
    """A line of a transaction."""

    product_id: Identifier
    quantity: Annotated[int, Meta(ge=1, le=10_000)]
    unit_price: Money


class Transaction(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A purchase at checkout. Key: `customer_id`. Never a card number: `card_token` is random.

    A feature that needs what is missing is unknown. A `promo_amount` of 0 says that no promotion was used, and a
    payment method that needs no card that none was.
    """

    schema_version: Literal[1]
    transaction_id: Identifier
    session_id: Identifier | None = _maybe()
    customer_id: Identifier
    event_time: UtcTime
    amount: Annotated[float, Meta(gt=0, le=1e7, description="total charged, in units of `currency`")]
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$", max_length=3, description=CURRENCY)] | None = _maybe()
    items: Annotated[list[Item], Meta(min_length=1, max_length=200)] | None = _maybe()
    payment_method: PaymentMethod | None = _maybe()
    card_token: Identifier | None = _maybe()
    promo_code: Identifier | None = _maybe()
    promo_amount: Money | None = _maybe()
    shipping_fee: Money | None = _maybe()
    shipping_city: Annotated[str, Meta(min_length=1, max_length=200)] | None = _maybe()
    shipping_country: CountryCode | None = _maybe()
    shipping_latitude: Annotated[float, Meta(ge=-90, le=90, description="degrees")] | None = _maybe()
    shipping_longitude: Annotated[float, Meta(ge=-180, le=180, description="degrees")] | None = _maybe()
    ip_country: CountryCode | None = _maybe()
    device_id: Identifier | None = _maybe()
    shop: Shop | None = None
    terminal_id: Terminal | None = None


class Label(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Delayed truth about a transaction. Key: `transaction_id`."""

    schema_version: Literal[1]
    transaction_id: Identifier
    is_fraud: bool
    source: LabelSource
    labelled_at: UtcTime
    shop: Shop | None = None


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
    """A transaction with its score and the decision. Key: `transaction_id`. One not allowed is also a fraud alert."""

    schema_version: Literal[1]
    transaction_id: Identifier
    session_id: Identifier | None
    customer_id: Identifier
    event_time: UtcTime
    amount: float
    currency: str
    items: list[Item] | None
    payment_method: PaymentMethod | None
    card_token: Identifier | None
    promo_code: Identifier | None
    promo_amount: Money | None
    shipping_fee: Money | None
    shipping_city: str | None
    shipping_country: CountryCode | None
    shipping_latitude: float | None
    shipping_longitude: float | None
    ip_country: CountryCode | None
    device_id: Identifier | None
    fraud_score: Annotated[float, Meta(ge=0, le=1, description="probability of fraud")]
    is_fraud: Annotated[bool, Meta(description="the model's flag: fraud_score >= threshold")]
    threshold: float
    reasons: Annotated[list[Reason], Meta(description="the strongest three, of what the model or a rule flagged")]
    model_version: str
    scored_at: UtcTime
    shop_amount: Annotated[
        float | None, Meta(description="`amount` in the shop currency; null: no exchange rate was known")
    ] = None  # so that those sent before there were rates can be decoded
    shop: Shop | None = None  # the same
    decision: Annotated[
        Decision | None, Meta(description="what the policy decided; null: sent before there were policies")
    ] = None
    policy_version: Annotated[
        int | None, Meta(description="null: there was no policy, and the model's threshold decided")
    ] = None
    matched_rules: Annotated[list[str], Meta(description="the live rules that matched")] = []
    review_probability: Annotated[
        float | None, Meta(description="of what chance alone sent to review: with which probability")
    ] = None
    terminal_id: Terminal | None = None


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


class AlertBell(Struct, kw_only=True):
    """Rung once a burst of alerts, which are rows of `fraud.fraud_alerts` by then; starts `fraud_alert_response`."""

    schema_version: Literal[1]
    rung_at: UtcTime
    alerts: Annotated[int, Meta(ge=1, description="within the last minute")]


#: The schema of each topic's value, where the platform's own code decodes it.
SCHEMAS: dict[Topic, type[Struct]] = {
    Topic.BROWSE_EVENTS: BrowseEvent,
    Topic.TRANSACTIONS: Transaction,
    Topic.TRANSACTION_LABELS: Label,
    Topic.SIMULATION_TRUTH: SimulationTruth,
    Topic.SCORED_TRANSACTIONS: ScoredTransaction,
    Topic.FRAUD_ALERTS: ScoredTransaction,
    Topic.TOP_PRODUCTS: ProductWindow,
    Topic.FRAUD_ALERT_BELL: AlertBell,
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
