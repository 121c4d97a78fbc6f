"""What a dashboard's filters do inside the datasets' SQL: functions for its Jinja templates, each of which answers SQL.

Superset puts a filter's condition around a dataset, and only where the dataset has the column. The datasets here have
summed, ranked and cut to the newest before that, so the filters work inside of them, too. Rollups know the shop, those
of places the country, `segment_counts` and `segment_sales` all that can be filtered, by quarters of an hour and by
hours or days. What else is filtered is counted from the scored transactions.

A template hands over its variable `filter`: the filters of the query itself, which viewer_security.py has read. What
Superset's own `filter_values` finds is in the request's `form_data`, which nobody has.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Filters = Iterable[dict[str, Any]]

_DECISION = "COALESCE(decision, CASE WHEN is_fraud THEN 'review' ELSE 'allow' END)"
_FLAGGED = "COALESCE(decision <> 'allow' AND review_probability IS NULL, is_fraud)"
_AMOUNT = "round(amount * exchange_rate, 4)"
#: The columns of `scored_transactions` that can be filtered, by the filters' names.
COLUMNS = {
    "shop": "shop",
    "country": "shipping_country",
    "payment_method": "payment_method",
    "decision": _DECISION,
}
#: The same of `segment_counts` and `segment_sales`.
_SEGMENT_COLUMNS = COLUMNS | {"decision": "decision"}
#: Columns of a dataset that cross-filters filter besides, around it.
CROSS_FILTERED = ("category", "product")
NAMES = frozenset({*COLUMNS, *CROSS_FILTERED})
#: What `product_sales` doesn't know.
_OF_SALES = ("country", "payment_method", "decision")
#: Until when windows of `segment_sales` may be days; all of them are hours where there is no horizon.
_DAYS_UNTIL = (
    "COALESCE((SELECT thinned_until FROM fraud.rollup_horizons WHERE table_name = 'segment_sales'), '-infinity')"
)
#: Time axes count from here, so that their windows are the rollups' own.
_ORIGIN = "timestamptz '2000-01-01 00:00+00'"
#: Shorter times are counted from the transactions.
_LONG = "interval '10 hours'"
_STEPS = (
    *("10 seconds", "30 seconds", "1 minute", "5 minutes", "15 minutes", "1 hour", "6 hours", "1 day"),
    *("7 days", "30 days"),
)


def values_of(filters: Filters, name: str) -> list[str]:
    """The values that a filter lets through; empty when it isn't set."""
    return [
        value
        for each in filters
        if each.get("col") == name and each.get("op") == "IN"
        for value in each["val"]
        if isinstance(value, str)
    ]


def moment(text: str | None) -> str:
    """A bound of the time filter, such as `2026-03-01T12:00:00`, in UTC; null when it isn't set."""
    return f"{_literal(text)}::timestamp AT TIME ZONE 'UTC'" if text else "NULL::timestamptz"


def step(shortest: str, windows: int, of_sales: Filters = ()) -> str:
    """The width of an axis' windows from `since` to `until`: at least `shortest`, and `windows` of them suffice.

    30 days is the most. Filters `of_sales` are those of `product_sales`, of whose windows none is cut.
    """
    widths = ", ".join(f"interval '{width}'" for width in _STEPS[_STEPS.index(shortest) :])
    enough = f"SELECT min(width) FROM unnest(ARRAY[{widths}]) AS width WHERE width * {windows} >= until - since"  # noqa: S608 (constants)
    if where(of_sales, *_OF_SALES):
        enough += f""" AND width >= CASE WHEN until - since <= {_LONG} THEN interval '1 second'
          WHEN {_begun("1 day", "since")} + interval '1 day' <= LEAST(until, {_DAYS_UNTIL}) THEN interval '1 day'
          ELSE interval '1 hour' END"""
    return f"COALESCE(({enough}), interval '30 days')"


def window(column: str) -> str:
    """The beginning of the window of width `step` in which `column` lies."""
    return f"date_bin(step, {column}, {_ORIGIN})"


def _begun(width: str, column: str) -> str:
    """The first window of a width that begins at or after `column`."""
    return f"date_bin('{width}', {column} + interval '{width}' - interval '1 microsecond', {_ORIGIN})"


def where(filters: Filters, *names: str) -> str:
    """`AND` and a condition for each of the filters `names` that is set; nothing for others."""
    return _where(filters, {name: COLUMNS[name] for name in names})


def _where(filters: Filters, columns: Mapping[str, str]) -> str:
    found = ((column, values_of(filters, name)) for name, column in columns.items())
    return "".join(f" AND {column} IN ({_list(values)})" for column, values in found if values)


def of_alerts(filters: Filters) -> str:
    """`AND` and the conditions on rows of `fraud.fraud_alerts`."""
    decisions = values_of(filters, "decision")
    return where(filters, "shop", "country", "payment_method") + (
        f" AND COALESCE(decision, 'review') IN ({_list(decisions)})" if decisions else ""
    )


def fraud_counts(filters: Filters) -> str:
    """`fraud.fraud_counts`, or a table like it of those transactions since `span` that the filters let through.

    Over more than 10 hours an axis of 120 windows has none below a quarter of an hour, so that whole hours are those of
    `fraud.segment_counts`; what is before and after them is counted from the transactions.
    """
    if not where(filters, "country", "payment_method", "decision"):
        return "fraud.fraud_counts"
    return f"""(
        WITH whole AS (
          SELECT since, until,
            CASE WHEN is_long THEN {_begun("1 hour", "since")} ELSE until END AS whole_since,
            CASE WHEN is_long THEN date_bin('1 hour', until, {_ORIGIN}) ELSE until END AS whole_until
          FROM (SELECT since, until, until - since > {_LONG} AS is_long FROM span) AS asked
        )
        SELECT window_start, shop, transactions, flagged, amount, flagged_amount, unpriced, flagged_unpriced
        FROM whole, fraud.segment_counts
        WHERE window_start >= whole_since AND window_start < whole_until{_where(filters, _SEGMENT_COLUMNS)}
        UNION ALL {_counted(filters, "event_time >= since AND event_time < whole_since")}
        UNION ALL {_counted(filters, "event_time >= whole_until AND event_time < until")}
      ) AS fraud_counts"""  # noqa: S608 (values are quoted by _literal)


def _counted(filters: Filters, time: str) -> str:
    """The transactions of a part of `whole`, counted as `fraud.fraud_counts` has them.

    Beside its bounds and not joined with them: Postgres would expect a ninth of all transactions, and read all.
    """
    return f"""
        SELECT counted.* FROM whole, LATERAL (
        SELECT date_bin('10 seconds', event_time, {_ORIGIN}) AS window_start, shop, count(*) AS transactions,
          count(*) FILTER (WHERE {_FLAGGED}) AS flagged,
          COALESCE(sum({_AMOUNT}), 0) AS amount,
          COALESCE(sum({_AMOUNT}) FILTER (WHERE {_FLAGGED}), 0) AS flagged_amount,
          count(*) FILTER (WHERE exchange_rate IS NULL) AS unpriced,
          count(*) FILTER (WHERE exchange_rate IS NULL AND {_FLAGGED}) AS flagged_unpriced
        FROM fraud.scored_transactions
        WHERE {time}{where(filters, *COLUMNS)}
        GROUP BY 1, 2) AS counted"""  # noqa: S608 (values are quoted by _literal)


def fraud_locations(filters: Filters) -> str:
    """`fraud.fraud_locations`, or a table like it of those transactions since `span` that the filters let through.

    An index of the flagged transactions has all that this reads.
    """
    if not where(filters, "payment_method", "decision"):
        return "fraud.fraud_locations"
    placed = "num_nulls(shipping_country, shipping_city, shipping_latitude, shipping_longitude) = 0"
    return f"""(
        SELECT placed.* FROM span, LATERAL (
        SELECT min(event_time) AS window_start, shipping_country, shipping_city, shop,
          avg(shipping_latitude) AS latitude, avg(shipping_longitude) AS longitude, count(*) AS flagged,
          COALESCE(sum({_AMOUNT}), 0) AS flagged_amount
        FROM fraud.scored_transactions
        WHERE event_time >= since AND event_time < until AND {_FLAGGED} AND {placed}{where(filters, *COLUMNS)}
        GROUP BY 2, 3, 4) AS placed
      ) AS fraud_locations"""  # noqa: S608 (values are quoted by _literal)


def product_sales(filters: Filters) -> str:
    """`fraud.product_sales`, or a table like it of those transactions since `span` that the filters let through.

    Over more than 10 hours whole hours, and before `_DAYS_UNTIL` whole days, are those of `fraud.segment_sales`; what
    is before and after them is added up from the transactions. Days and hours have indices of their own.
    """
    if not where(filters, *_OF_SALES):
        return "fraud.product_sales"
    return f"""(
        WITH asked AS (
          SELECT since, until, until - since > {_LONG} AS is_long, {_DAYS_UNTIL} AS days_until FROM span
        ), begun AS (
          SELECT asked.*, CASE WHEN NOT is_long THEN until
            WHEN since < days_until THEN LEAST(until, {_begun("1 day", "since")})
            ELSE {_begun("1 hour", "since")} END AS whole_since
          FROM asked
        ), whole AS (
          SELECT begun.*, GREATEST(whole_since, CASE WHEN NOT is_long THEN until
            WHEN until < days_until THEN date_bin('1 day', until, {_ORIGIN})
            ELSE date_bin('1 hour', until, {_ORIGIN}) END) AS whole_until
          FROM begun
        )
        {_summed(filters, 86_400)}
        UNION ALL {_summed(filters, 3_600)}
        UNION ALL {_sold(filters, "event_time >= since AND event_time < whole_since")}
        UNION ALL {_sold(filters, "event_time >= whole_until AND event_time < until")}
      ) AS product_sales"""  # noqa: S608 (values are quoted by _literal)


def _summed(filters: Filters, seconds: int) -> str:
    """The windows of `fraud.segment_sales` of a width within `whole`."""
    return f"""
        SELECT window_start, product_id, shop, units, revenue FROM whole, fraud.segment_sales
        WHERE seconds = {seconds} AND window_start >= whole_since
          AND window_start < whole_until{_where(filters, _SEGMENT_COLUMNS)}"""  # noqa: S608 (values are quoted by _literal)


def _sold(filters: Filters, time: str) -> str:
    """The transactions of a part of `whole`, added up as `fraud.product_sales` has them."""
    return f"""
        SELECT sold.* FROM whole, LATERAL (
        SELECT date_bin('30 seconds', event_time, {_ORIGIN}) AS window_start, item.product_id, shop,
          sum(item.quantity)::bigint AS units,
          COALESCE(sum(item.quantity * round(item.unit_price * exchange_rate, 4)), 0) AS revenue
        FROM fraud.scored_transactions,
          jsonb_to_recordset(items) AS item (product_id text, quantity bigint, unit_price numeric)
        WHERE counted_in_sales AND {time}{where(filters, *COLUMNS)}
        GROUP BY 1, 2, 3) AS sold"""  # noqa: S608 (values are quoted by _literal)


def _list(values: list[str]) -> str:
    return ", ".join(map(_literal, values))


def _literal(text: str) -> str:
    """A string in SQL, whatever stands in it: with `standard_conforming_strings`, quotes alone are special."""
    return "'" + text.replace("'", "''") + "'"


#: For superset_config.py: JINJA_CONTEXT_ADDONS.
FUNCTIONS: dict[str, Callable[..., str]] = {
    function.__name__: function
    for function in (moment, step, window, where, of_alerts, fraud_counts, fraud_locations, product_sales)
}
