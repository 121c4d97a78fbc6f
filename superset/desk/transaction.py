"""What an analyst sees of one transaction: itself, its customer's past, its relations, and what was done with it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from desk.database import Row, row, rows
from desk.decisions import STANDING_VERDICT
from desk.words import place
from fraudstream.messages.places import is_city
from fraudstream.storage.expressions import ADDRESS_CELL

#: Earlier transactions that what is usual is told from, and that are listed.
PAST_ROWS, SHOWN_ROWS = 500, 15
#: Related alerts of each kind.
RELATED_ROWS = 25
#: A shipping address is a cell of so many to a degree (fraudstream/static_data/entities.py).
CELLS_PER_DEGREE = 10_000
KINDS = {
    "device": "same device",
    "card": "same card",
    "address": "same address",
    "customer": "same customer",
    "rule": "same rule",
}
#: Alerts of the same rule are looked for among so many of the newest before: a rule may have matched any number.
RULE_ROWS = 2000

_TRANSACTION = f"""
SELECT t.*, a.status, a.decided_at AS labelled_at, a.session_read_at, (a.transaction_id IS NOT NULL) AS is_alert,
    c.claimed_by, c.claimed_at, c.expires_at, coalesce(v.newest, 0) AS revision,
    CASE WHEN v.stands THEN v.verdict END AS verdict, v.decided_by, v.decided_at, v.reason_code,
    v.published_at, u.registered_at, u.home_city, u.home_country
FROM fraud.scored_transactions t
LEFT JOIN fraud.fraud_alerts a USING (transaction_id)
LEFT JOIN fraud.alert_claims c
    ON c.transaction_id = t.transaction_id AND c.released_at IS NULL AND c.expires_at > now()
{STANDING_VERDICT.format(of="t")}
LEFT JOIN fraud.customers u ON u.customer_id = t.customer_id
WHERE t.transaction_id = :id
"""  # noqa: S608 (constants)
_LABEL = """
LEFT JOIN LATERAL (
    SELECT l.is_fraud AS labelled_fraud FROM fraud.transaction_labels l WHERE l.transaction_id = t.transaction_id
    ORDER BY l.labelled_at DESC, l.label_id DESC LIMIT 1
) l ON true
"""
_IMPORTED_LABEL = """
LEFT JOIN LATERAL (
    SELECT l.is_fraud AS labelled_fraud FROM fraud.past_labels l
    WHERE l.transaction_id = t.transaction_id AND l.labelled_at <= now()
    ORDER BY l.labelled_at DESC, l.number DESC LIMIT 1
) l ON true
"""
_BOUGHT = """
SELECT t.transaction_id, t.event_time, t.amount, t.currency, (t.amount * t.exchange_rate)::float8 AS shop_amount,
    t.payment_method, t.card_token, t.device_id, t.shipping_city, t.shipping_country, t.shipping_latitude,
    t.shipping_longitude, l.labelled_fraud
"""
_BEFORE = "WHERE t.customer_id = :customer AND t.event_time <= :at AND t.transaction_id <> :id"
_NEWEST = "ORDER BY event_time DESC LIMIT :limit"
#: Of what was scored here, and of an imported past; an id in both counts once.
_PAST = f"""
({_BOUGHT}, t.fraud_score, t.is_fraud FROM fraud.scored_transactions t {_LABEL} {_BEFORE} {_NEWEST})
UNION ALL
({_BOUGHT}, NULL, NULL FROM fraud.past_transactions t {_IMPORTED_LABEL} {_BEFORE} AND t.amount IS NOT NULL
    AND NOT EXISTS (SELECT FROM fraud.scored_transactions s WHERE s.transaction_id = t.transaction_id) {_NEWEST})
{_NEWEST}
"""
_ITEMS = """
SELECT item.product_id, item.quantity, item.unit_price, p.name, p.category
FROM jsonb_to_recordset((SELECT items FROM fraud.scored_transactions WHERE transaction_id = :id))
    AS item (product_id text, quantity int, unit_price float8)
LEFT JOIN fraud.products p USING (product_id)
"""
_RISK = """
SELECT entity_type, entity_id, transactions, frauds, customers, component_customers, component_frauds
FROM fraud.entity_risk
WHERE (entity_type, entity_id) IN (('device', :device), ('card_token', :card), ('shipping_address', :cell))
"""
_ONE_KIND = """(
    SELECT '{kind}' AS kind, t.transaction_id, t.event_time, t.customer_id, t.amount, t.currency, t.fraud_score,
        t.shipping_city, t.shipping_country, a.status, a.reasons
    FROM fraud.scored_transactions t JOIN fraud.fraud_alerts a USING (transaction_id)
    WHERE {condition} AND t.transaction_id <> :id ORDER BY t.event_time DESC LIMIT :limit
)"""
_SAME = {
    "device": "t.device_id = :device",
    "card": "t.card_token = :card",
    "address": f"{ADDRESS_CELL} = :cell",
    "customer": "t.customer_id = :customer",
    "rule": """t.transaction_id IN (
        SELECT transaction_id FROM (
            SELECT transaction_id, matched_rules FROM fraud.fraud_alerts
            WHERE event_time <= CAST(:at AS timestamptz) AND cardinality(CAST(:rules AS text[])) > 0
            ORDER BY event_time DESC LIMIT :rule_rows
        ) AS newest WHERE matched_rules && CAST(:rules AS text[])
    )""",
}
_RELATED = f"""
SELECT r.*, coalesce(v.newest, 0) AS revision, CASE WHEN v.stands THEN v.verdict END AS verdict, c.claimed_by
FROM ({" UNION ALL ".join(_ONE_KIND.format(kind=kind, condition=_SAME[kind]) for kind in KINDS)}) AS r
LEFT JOIN fraud.alert_claims c
    ON c.transaction_id = r.transaction_id AND c.released_at IS NULL AND c.expires_at > now()
{STANDING_VERDICT.format(of="r")}
ORDER BY r.event_time DESC
"""  # noqa: S608 (constants)
#: What was done, in order of time; of one moment, in the order of the numbers.
_DONE = """
SELECT scored_at AS at, model_version AS who, CASE WHEN is_fraud THEN 'flagged it' ELSE 'let it pass' END AS what,
    '' AS more, 1 AS number
FROM fraud.scored_transactions WHERE transaction_id = :id
UNION ALL
SELECT claimed_at, claimed_by, 'claimed it', '', 2 FROM fraud.alert_claims WHERE transaction_id = :id
UNION ALL
SELECT written_at, author, 'noted', note, 3 FROM fraud.alert_notes WHERE transaction_id = :id
UNION ALL
SELECT decided_at, decided_by, 'decided ' || verdict, reason_code, 4
FROM fraud.analyst_verdicts WHERE transaction_id = :id
UNION ALL
SELECT undone_at, decided_by, 'took back ' || verdict, '', 5
FROM fraud.analyst_verdicts WHERE transaction_id = :id AND undone_at IS NOT NULL
UNION ALL
SELECT published_at, '', 'verdict sent to the shop', verdict, 6
FROM fraud.analyst_verdicts WHERE transaction_id = :id AND published_at IS NOT NULL
UNION ALL
SELECT labelled_at, source, CASE WHEN is_fraud THEN 'label: fraud' ELSE 'label: honest' END, '', 7
FROM fraud.transaction_labels WHERE transaction_id = :id
ORDER BY at, number
"""


@dataclass(frozen=True)
class Seen:
    """All that a transaction's page shows."""

    transaction: Row
    past: list[Row]
    items: list[Row]
    risk: dict[str, Row]
    related: list[Row]
    done: list[Row]


def find(connection: Connection, transaction_id: str) -> Row | None:
    """The transaction with that id, with its state and its customer; or None."""
    return row(connection, _TRANSACTION, id=transaction_id)


def read(connection: Connection, transaction_id: str) -> Seen | None:
    """The transaction with that id and what belongs to it, or None."""
    found = find(connection, transaction_id)
    if found is None:
        return None
    past = rows(
        connection,
        _PAST,
        id=transaction_id,
        customer=found["customer_id"],
        at=found["event_time"],
        limit=PAST_ROWS,
    )
    entities = {"device": found["device_id"], "card": found["card_token"], "cell": cell_name(found)}
    risk = rows(connection, _RISK, **entities)
    related = rows(
        connection,
        _RELATED,
        **entities,
        id=transaction_id,
        customer=found["customer_id"],
        rules=found["matched_rules"],
        at=found["event_time"],
        limit=RELATED_ROWS,
        rule_rows=RULE_ROWS,
    )
    return Seen(
        found,
        past,
        rows(connection, _ITEMS, id=transaction_id),
        {str(entity["entity_type"]): entity for entity in risk},
        _merged(related),
        rows(connection, _DONE, id=transaction_id),
    )


def cell_name(one: Row) -> str | None:
    """The cell of a purchase's address, as lists and entity risk name it; None without one, or of a whole city.

    It is written as `ADDRESS_CELL` is in Postgres, which takes a city for an address, too.
    """
    latitude, longitude = one["shipping_latitude"], one["shipping_longitude"]
    if latitude is None or longitude is None or is_city(latitude, longitude):
        return None
    north, east = (int((each * CELLS_PER_DEGREE + 0.5) // 1) for each in (latitude, longitude))
    return f"{north}:{east}"


def _merged(related: list[Row]) -> list[Row]:
    """Each related alert once, with all kinds of its relation."""
    by_id: dict[str, dict[str, Any]] = {}
    for one in related:
        merged = by_id.setdefault(one["transaction_id"], {**one, "kinds": []})
        merged["kinds"].append(one["kind"])
    return list(by_id.values())


def is_decidable(one: Row) -> bool:
    """Whether an alert waits for a verdict."""
    return one["status"] == "open" and one["verdict"] is None


def usual(transaction: Row, past: list[Row]) -> list[tuple[str, str, bool]]:
    """What is usual for the customer, against this transaction: what, in words, and whether it stands out."""
    honest = [one for one in past if not one["labelled_fraud"]]
    if not honest:
        return [("Earlier purchases", f"none but {_many(len(past), 'known fraud')}" if past else "none known", True)]
    return [
        ("Earlier purchases", _earlier(transaction["event_time"], honest), False),
        _amount(transaction, honest),
        _used(honest, "Device", "device_id", transaction["device_id"]),
        *([_used(honest, "Card", "card_token", transaction["card_token"])] if transaction["card_token"] else []),
        _used(honest, "Ships to", "place", place(transaction) or None, place),
        _used(honest, "Paid by", "payment_method", transaction["payment_method"]),
    ]


def _earlier(at: datetime, past: list[Row]) -> str:
    first, last = ((at - one["event_time"]).total_seconds() for one in (past[-1], past[0]))
    return f"{_many(len(past), 'purchase')} in {_span(first)}; the last one {_span(last)} before"


def _amount(transaction: Row, past: list[Row]) -> tuple[str, str, bool]:
    amounts = sorted(one["shop_amount"] for one in past if one["shop_amount"] is not None)
    if not amounts or transaction["exchange_rate"] is None:
        return ("Amount", "can't be compared: no exchange rate", False)
    middle, most = amounts[len(amounts) // 2], amounts[-1]
    ratio = float(transaction["amount"] * transaction["exchange_rate"]) / middle if middle else 0.0
    words = f"{ratio:.1f} times the usual {middle:,.2f}; the most so far was {most:,.2f}"
    return ("Amount", words, ratio >= 3)


def _used(past: list[Row], what: str, field: str, value: Any, of: Any = None) -> tuple[str, str, bool]:
    """How often a value was used before, and how many others were."""
    if value is None:
        return (what, "not known of this purchase", False)
    values = [of(one) if of else one[field] for one in past]
    times, others = values.count(value), len({other for other in values if other} - {value})
    if times == 0:
        words = f"first time; {_many(len(values), 'earlier purchase')} with {_many(others, 'other')}"
        return (what, words, True)
    words = f"as in {times} of {_many(len(values), 'earlier purchase')}"
    return (what, words + (f"; {_many(others, 'other')} besides" if others else ""), False)


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _span(seconds: float) -> str:
    """A length of time in words."""
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return _many(int(seconds // size), unit)
    return "less than a minute"
