"""The queue: which alerts wait, which of them first, and which of them are shown.

A page begins after the last row of the one before (keyset pagination): its cost doesn't grow with its number.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from sqlalchemy.engine import Connection

from desk.database import Row, row, rows
from desk.decisions import NO_NEWER, STANDING_VERDICT

PAGE_ROWS = 50
#: The open alerts are counted up to here.
COUNTED = 10_000
VIEWS = {"open": "Open", "mine": "Mine", "unsure": "Unsure", "decided": "Decided"}
#: Order of the open alerts: an expression, which an index has, its type, and whether the greatest comes first.
SORTS = {
    "loss": ("coalesce(a.fraud_score * (a.amount * a.exchange_rate)::float8, 0)", "float8", True),
    "newest": ("a.event_time", "timestamptz", True),
    "oldest": ("a.event_time", "timestamptz", False),
}
SORT_NAMES = {"loss": "expected loss", "newest": "newest first", "oldest": "oldest first"}
#: Conditions of the filters, by the field that switches each on.
_FILTERS = {
    "country": "a.shipping_country = upper(:country)",
    "least": "a.amount * a.exchange_rate >= CAST(:least AS numeric)",
    "customer": "a.customer_id = :customer",
    "rule": "to_jsonb(a.matched_rules) ? :rule",
    "shop": "a.shop = :shop",
}
#: A filter that needs a column which the platform may not have yet.
NEEDS_COLUMN = {"rule": "matched_rules"}

_COLUMNS = """
    a.transaction_id, a.customer_id, a.event_time, a.amount, a.currency, a.exchange_rate, a.shipping_city,
    a.shipping_country, a.shop, a.fraud_score, a.reasons, a.status, c.claimed_by, c.expires_at,
    coalesce(v.newest, 0) AS revision, CASE WHEN v.stands THEN v.verdict END AS verdict,
    v.reason_code, v.decided_by, v.decided_at, v.verdict_id
"""
_CLAIM = """
LEFT JOIN fraud.alert_claims c
    ON c.transaction_id = a.transaction_id AND c.released_at IS NULL AND c.expires_at > now()
"""
_VERDICTS = """
FROM (
    SELECT x.*, x.undone_at IS NULL AS stands, (
        SELECT max(y.revision) FROM fraud.analyst_verdicts y WHERE y.transaction_id = x.transaction_id
    ) AS newest
    FROM fraud.analyst_verdicts x
) v JOIN fraud.fraud_alerts a USING (transaction_id)
"""
_HAS_COLUMN = """
SELECT FROM information_schema.columns
WHERE table_schema = 'fraud' AND table_name = 'fraud_alerts' AND column_name = :name
"""
_COUNTS = """
SELECT (SELECT count(*) FROM (
    SELECT FROM fraud.fraud_alerts a WHERE status = 'open' AND NOT EXISTS (
        SELECT FROM fraud.analyst_verdicts v WHERE v.transaction_id = a.transaction_id AND v.undone_at IS NULL
    ) LIMIT :counted
) AS counted) AS open, (
    SELECT count(*) FROM fraud.alert_claims JOIN fraud.fraud_alerts USING (transaction_id)
    WHERE claimed_by = :me AND released_at IS NULL AND expires_at > now()
) AS mine
"""


@dataclass(frozen=True)
class Choice:
    """What an analyst chose to see; each field is a parameter of the page's address."""

    view: str = "open"
    sort: str = "loss"
    country: str = ""
    least: str = ""
    """The smallest amount, in the shop currency."""
    customer: str = ""
    rule: str = ""
    shop: str = ""
    after: str = ""
    """Where the page before ended: the sorted value and the id of its last row."""

    @classmethod
    def of(cls, given: Mapping[str, str]) -> "Choice":
        """The choice in an address. What can't be understood is left out."""
        known = {field.name: given.get(field.name, "").strip()[:200] for field in fields(cls)}
        known["view"] = known["view"] if known["view"] in VIEWS else "open"
        known["sort"] = known["sort"] if known["sort"] in SORTS else "loss"
        known["least"] = known["least"] if _is_amount(known["least"]) else ""
        return cls(**known)

    def address(self, **changed: str) -> str:
        """The choice as the query of an address, without what is as usual; another choice begins at its first page."""
        chosen = replace(self, **{"after": "", **changed})
        usual = Choice()
        return urlencode(
            {
                field.name: getattr(chosen, field.name)
                for field in fields(chosen)
                if getattr(chosen, field.name) != getattr(usual, field.name)
            }
        )

    @property
    def is_filtered(self) -> bool:
        """True when less than everything is shown."""
        return any(getattr(self, name) for name in _FILTERS)


@dataclass(frozen=True)
class Page:
    """Rows of the queue, and where the next page begins (empty: nowhere)."""

    rows: list[Row]
    after: str


def read(connection: Connection, choice: Choice, me: str, limit: int = PAGE_ROWS) -> Page:
    """A page of what was chosen."""
    usable = replace(
        choice, **{name: "" for name, column in NEEDS_COLUMN.items() if not has_column(connection, column)}
    )
    sql, values = statement(usable, me, limit + 1)
    found = rows(connection, sql, **values)
    after = f"{found[limit - 1]['sorted_by']} {found[limit - 1]['transaction_id']}" if len(found) > limit else ""
    return Page(found[:limit], after)


def statement(choice: Choice, me: str, limit: int) -> tuple[str, dict[str, Any]]:
    """The query of a page, and its parameters."""
    key, kind, descending = _order(choice)
    conditions, values = [_of_view(choice.view)], {"limit": limit, "me": me}
    for name, condition in _FILTERS.items():
        if value := getattr(choice, name):
            conditions.append(condition)
            values[name] = value
    sorted_by, _, last = choice.after.partition(" ")
    if last and _is_key(sorted_by, kind):
        conditions.append(f"({key}, a.transaction_id) {'<' if descending else '>'} (CAST(:sorted_by AS {kind}), :last)")
        values |= {"sorted_by": sorted_by, "last": last}
    direction = "DESC" if descending else "ASC"
    shown = f"to_char({key} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.USZ')" if kind == "timestamptz" else key
    chosen = f"SELECT {_COLUMNS}, CAST({shown} AS text) AS sorted_by {_source(choice.view)}"
    order = f"ORDER BY {key} {direction}, a.transaction_id {direction} LIMIT :limit"
    return f"{chosen} WHERE {' AND '.join(conditions)} {order}", values


def counts(connection: Connection, me: str) -> Row:
    """How many alerts are open, up to `COUNTED`, and how many are mine."""
    return row(connection, _COUNTS, me=me, counted=COUNTED) or {}


def has_column(connection: Connection, name: str) -> bool:
    """Whether alerts have a column that a later version of the platform gave them."""
    return row(connection, _HAS_COLUMN, name=name) is not None


def _order(choice: Choice) -> tuple[str, str, bool]:
    return ("v.verdict_id", "bigint", True) if choice.view in {"unsure", "decided"} else SORTS[choice.sort]


def _source(view: str) -> str:
    """Tables of a view, the one that it is ordered by first."""
    if view in {"unsure", "decided"}:
        return f"{_VERDICTS} {_CLAIM}"
    return f"FROM fraud.fraud_alerts a {_CLAIM} {STANDING_VERDICT.format(of='a')}"


def _of_view(view: str) -> str:
    stands = f"v.undone_at IS NULL AND {NO_NEWER}"
    return {
        # Of an expression the planner knows nothing. Of the column it knows that it is never NULL where verdicts are,
        # takes the outer join's rows for none, and sorts the whole queue for the one row that it expects.
        "open": "a.status = 'open' AND v.stands IS NOT TRUE",
        "mine": "c.claimed_by = :me",
        "unsure": f"v.verdict = 'unsure' AND {stands}",
        "decided": f"v.verdict <> 'unsure' AND {stands}",
    }[view]


def _is_amount(given: str) -> bool:
    return given.replace(".", "", 1).isdecimal() and given.isascii()


def _is_key(given: str, kind: str) -> bool:
    """Whether a value can be what rows are sorted by: people edit addresses."""
    if kind == "bigint":
        return given.isascii() and given.isdecimal() and len(given) < 19
    try:
        datetime.fromisoformat(given) if kind == "timestamptz" else float(given)
    except ValueError:
        return False
    return given.isascii() and "_" not in given
