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
    "terminal_id": "VARCHAR",
    "address_cell": "VARCHAR",  # the id of a shipping address, as in fraud.entity_risk
    "score": "DOUBLE",
    "is_fraud": "BOOLEAN",  # the model's flag
}

#: What the last refresh of entity risk knows of the customers whom a transaction's device, card and address tie
#: together. No model is trained with them: training would need the components of every refresh. They are archived as
#: the features are.
COMPONENT_COLUMNS = ("component_customers", "component_frauds")

#: What their values are, in words.
TYPES_IN_WORDS = {
    "VARCHAR": "text",
    "DOUBLE": "number",
    "FLOAT": "number",
    "BOOLEAN": "true or false",
    "TIMESTAMP": "time, UTC",
}
#: What each of them is, in words.
MEANINGS: dict[str, str] = {
    "transaction_id": "the purchase's own id",
    "session_id": "the visit that it was made in",
    "customer_id": "who bought",
    "event_time": "when",
    "currency": "currency of the purchase, such as EUR",
    "payment_method": "how it was paid, such as card",
    "card_token": "the card, by the name that the shop gives it",
    "promo_code": "promotion that was used",
    "promo_amount": "what the promotion took off",
    "shipping_fee": "what shipping costs",
    "shipping_city": "city that it is shipped to",
    "shipping_country": "country that it is shipped to, such as FR",
    "shipping_latitude": "where it is shipped to, in degrees north",
    "shipping_longitude": "where it is shipped to, in degrees east",
    "ip_country": "country that the buyer's connection comes from, such as FR",
    "device_id": "device that it was bought with",
    "terminal_id": "where it was paid: a card terminal, a branch or a merchant",
    "address_cell": "the shipping address, as a square of about 10 m",
    "score": "how likely a fraud is, from 0 to 1",
    "is_fraud": "whether the model flags it",
    "component_customers": "customers whom shared devices, cards and addresses tie together, this one included",
    "component_frauds": "known frauds of these customers in 30 days",
}


def columns_with(features: Iterable[str]) -> dict[str, str]:
    """All columns that a condition may name. A transaction's field wins over a feature of the same name."""
    return dict.fromkeys((*features, *COMPONENT_COLUMNS), "FLOAT") | TRANSACTION_COLUMNS
