"""The columns that a condition may name, besides the model's features, with DuckDB's types.

`amount` is the feature: in the shop currency, and unknown without an exchange rate. `payment_method` is what was sent,
not the model's number for it. A feature is a `FLOAT`, as the archive keeps it, so that a backtest compares the very
values that the stream compared.
"""

from collections.abc import Iterable

TRANSACTION_COLUMNS: dict[str, str] = {
    "transaction_id": "VARCHAR",
    "session_id": "VARCHAR",
    "customer_id": "VARCHAR",
    "event_time": "TIMESTAMP",  # UTC
    "currency": "VARCHAR",
    "payment_method": "VARCHAR",
    "card_token": "VARCHAR",
    "promo_code": "VARCHAR",
    "promo_amount": "DOUBLE",
    "shipping_fee": "DOUBLE",
    "shipping_city": "VARCHAR",
    "shipping_country": "VARCHAR",
    "shipping_latitude": "DOUBLE",
    "shipping_longitude": "DOUBLE",
    "ip_country": "VARCHAR",
    "device_id": "VARCHAR",
    "address_cell": "VARCHAR",  # the id of a shipping address, as in fraud.entity_risk
    "score": "DOUBLE",
    "is_fraud": "BOOLEAN",  # the model's flag
}


def columns_with(features: Iterable[str]) -> dict[str, str]:
    """All columns that a condition may name. A transaction's field wins over a feature of the same name."""
    return dict.fromkeys(features, "FLOAT") | TRANSACTION_COLUMNS
