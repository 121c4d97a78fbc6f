"""Parts that a simulated shop may lack: what it then doesn't tell, of its own shoppers as of its fraudsters."""

import pyarrow as pa

#: Columns of browse events and transactions that go with each part (`settings.LACKS`). Without `browsing` there are no
#: browse events.
COLUMNS = {
    "browsing": ("session_id",),
    "device": ("device_id", "device_type"),
    "card": ("card_token",),
    "place": ("shipping_city", "shipping_country", "shipping_latitude", "shipping_longitude"),
    "ip": ("ip_country",),
    "items": ("items",),
    "promo": ("promo_code", "promo_amount"),
    "payment": ("payment_method",),
    "fee": ("shipping_fee",),
}


def browse_events_without(table: pa.Table, lacks: frozenset[str]) -> pa.Table:
    """Browse events of a shop that lacks these parts."""
    if "browsing" in lacks:
        return table.slice(0, 0)
    return _dropped(table, lacks)


def transactions_without(table: pa.Table, lacks: frozenset[str]) -> pa.Table:
    """Transactions of a shop that lacks these parts."""
    return _dropped(table, lacks)


def _dropped(table: pa.Table, lacks: frozenset[str]) -> pa.Table:
    gone = {column for part in lacks for column in COLUMNS[part]}
    return table.select([name for name in table.column_names if name not in gone])
