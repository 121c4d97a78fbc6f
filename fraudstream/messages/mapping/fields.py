"""The fields that a mapping can fill, by kind of event, and what their values are."""

from enum import StrEnum

from msgspec import Struct

from fraudstream.messages.contracts import BrowseEvent, Label, Transaction


class Kind(StrEnum):
    """Kinds of events that a source may hold."""

    TRANSACTION = "transaction"
    BROWSE = "browse"
    LABEL = "label"


class ValueType(StrEnum):
    """What a field's values are, which decides how they are read and which keys of a mapping apply."""

    TEXT = "text"
    TIME = "time"
    MONEY = "money"
    NUMBER = "number"
    COUNT = "whole number"
    LABEL = "label"


_T = ValueType
#: Part of histories, and of no event: the label that a transaction brings along.
IS_FRAUD, LABELLED_AT, SOURCE, SHOP = "is_fraud", "labelled_at", "source", "shop"

#: Where a transaction is sent to; without them, a mapping has those of the city.
COORDINATES = ("shipping_latitude", "shipping_longitude")
PLACE = ("shipping_city", "shipping_country")

_TEXTS = {
    Kind.TRANSACTION: (
        "transaction_id", "session_id", "customer_id", "terminal_id", "currency", "payment_method", "card_token",
        "promo_code", "shipping_city", "shipping_country", "ip_country", "device_id", "shop", "source",
    ),
    Kind.BROWSE: (
        "event_id", "session_id", "customer_id", "event_type", "product_id", "traffic_source", "device_id",
        "device_type", "shop",
    ),
    Kind.LABEL: ("transaction_id", "source", "shop"),
}  # fmt: skip
FIELDS: dict[Kind, dict[str, ValueType]] = {
    Kind.TRANSACTION: dict.fromkeys(_TEXTS[Kind.TRANSACTION], _T.TEXT)
    | dict.fromkeys(("event_time", "labelled_at"), _T.TIME)
    | dict.fromkeys(("amount", "promo_amount", "shipping_fee"), _T.MONEY)
    | dict.fromkeys(COORDINATES, _T.NUMBER)
    | {"is_fraud": _T.LABEL},
    Kind.BROWSE: dict.fromkeys(_TEXTS[Kind.BROWSE], _T.TEXT) | {"event_time": _T.TIME},
    Kind.LABEL: dict.fromkeys(_TEXTS[Kind.LABEL], _T.TEXT) | {"labelled_at": _T.TIME, "is_fraud": _T.LABEL},
}
ITEM_FIELDS = {"product_id": _T.TEXT, "quantity": _T.COUNT, "unit_price": _T.MONEY}
REQUIRED = {
    Kind.TRANSACTION: ("transaction_id", "event_time", "customer_id", "amount"),
    Kind.BROWSE: ("event_id", "session_id", "customer_id", "event_type", "event_time"),
    Kind.LABEL: ("transaction_id", "is_fraud", "labelled_at"),
}
STRUCTS: dict[Kind, type[Struct]] = {Kind.TRANSACTION: Transaction, Kind.BROWSE: BrowseEvent, Kind.LABEL: Label}
