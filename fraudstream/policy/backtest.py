"""A backtest: what a rule would have done to past transactions, with what was known of them then.

The transactions come as one Arrow table: the columns that conditions name, `event_time` (UTC, without a zone), `money`
(in the shop currency), `is_fraud` (the model's flag) and `fraud`, the newest label; null: none came. Nothing here
reads a file: whoever asks reads the archive (`model.policy.past`).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa

from fraudstream.policy.conditions import Compiled, Membership
from fraudstream.policy.document import Action
from fraudstream.policy.engine import CONFIGURATION, told
from fraudstream.policy.errors import ConditionError

EXAMPLES = 20
MEMORY = "2GB"
THREADS = 2
#: Columns that a backtest needs besides those of the conditions.
ALWAYS = ("transaction_id", "event_time", "money", "is_fraud", "fraud")
#: Entries of lists: from when until when each was at work; times without a zone, as `event_time`.
ENTRIES = pa.schema(
    [
        ("list_name", pa.string()),
        ("value", pa.string()),
        ("begun_at", pa.timestamp("us")),
        ("ended_at", pa.timestamp("us")),
    ]
)


@dataclass(frozen=True)
class Question:
    """What is asked of a condition.

    `live` are the conditions of the live rules, by name. Only transactions that are older than `mature` at the newest
    one are judged; without a label they count as honest. Of younger ones the frauds are known sooner than the honest:
    precision would be too high.
    """

    compiled: Compiled
    action: Action
    mature: timedelta
    live: Mapping[str, Compiled] = field(default_factory=dict)

    def columns(self) -> set[str]:
        """The columns that the table must have, besides `ALWAYS`."""
        return {name for each in self._asked() for name in each.columns} | {m.column for m in self.memberships()}

    def lists(self) -> set[str]:
        """The lists that its conditions name."""
        return {membership.list_name for membership in self.memberships()}

    def memberships(self) -> list[Membership]:
        """What its conditions ask lists for, each once."""
        return list(dict.fromkeys(membership for each in self._asked() for membership in each.memberships))

    def _asked(self) -> list[Compiled]:
        return [self.compiled, *self.live.values()]


@dataclass(frozen=True)
class Report:
    """What a backtest found. Shares are None where nothing can be said; money is in the shop currency."""

    action: str
    transactions: int
    days: float
    matched: int
    alerts_per_day: float
    new: int  # of the matched: neither the model nor a live rule flagged them
    judged: int  # of the matched: old enough, so that what is no fraud by now is honest
    frauds: int  # of the judged
    precision: float | None
    judged_share: float | None  # how mature the precision is
    immature: int  # of the matched: too new to be judged
    immature_frauds: int  # of the immature: known as frauds already
    all_frauds: int  # of any age
    recall: float | None
    fraud_money: float  # of the judged
    honest_money: float  # of the judged
    overlap: dict[str, int]  # matched by a live rule, too
    hits: list[dict[str, Any]]  # the newest matched
    misses: list[dict[str, Any]]  # the largest frauds that nothing flagged


def run(table: pa.Table, entries: pa.Table, question: Question) -> Report:
    """Answers `question` about `table`, with `entries` of lists (schema `ENTRIES`).

    Raises ConditionError when a condition fails on one of the transactions.
    """
    with database() as connection:
        connection.register("past", table)
        connection.register("entries", entries)
        try:
            connection.execute(_judge(question))
            totals = _row(connection, _TOTALS)
            overlap = {
                name: _row(connection, _OVERLAP.format(number))["n"] for number, name in enumerate(question.live)
            }
            hits, misses = _rows(connection, _HITS), _rows(connection, _MISSES)
        except duckdb.Error as error:
            raise ConditionError(f"the backtest failed: {told(error)}") from None
    return _report(question, totals, overlap, hits, misses)


def database() -> duckdb.DuckDBPyConnection:
    """A DuckDB for much data, which reaches as little as the engine's."""
    return duckdb.connect(":memory:", config=CONFIGURATION | {"memory_limit": MEMORY, "threads": THREADS})


def _judge(question: Question) -> str:
    live = [f"coalesce(({each.sql}\n), false) AS live_{number}" for number, each in enumerate(question.live.values())]
    is_live = " OR ".join(f"live_{number}" for number in range(len(live))) or "false"
    flags = "".join(f", {_as_of_then(membership)}" for membership in question.memberships())
    mature = question.mature.total_seconds()
    return f"""
        CREATE TEMPORARY TABLE judged AS
        WITH asked AS (SELECT *{flags} FROM past),
        answered AS (
            SELECT transaction_id, event_time, money, is_fraud, fraud,
                {", ".join([f"coalesce(({question.compiled.sql}{chr(10)}), false) AS hit", *live])}
            FROM asked
        )
        SELECT *, is_fraud OR {is_live} AS flagged,
            event_time <= (SELECT max(event_time) FROM past) - to_seconds({mature}) AS is_mature
        FROM answered
    """  # noqa: S608 (compiled conditions)


def _as_of_then(membership: Membership) -> str:
    """Whether the list held the column's value when the transaction happened."""
    name = membership.list_name.replace("'", "''")
    return _HELD.format(column=membership.column, flag=membership.flag, name=name)


_HELD = """
CASE WHEN past."{column}" IS NOT NULL THEN EXISTS (
    SELECT 1 FROM entries e
    WHERE e.list_name = '{name}' AND e.value = past."{column}"
        AND e.begun_at <= past.event_time AND (e.ended_at IS NULL OR e.ended_at > past.event_time)
) END AS "{flag}"
"""
_TOTALS = """
SELECT count(*) AS transactions, epoch(max(event_time) - min(event_time)) / 86400 AS days,
    count(*) FILTER (WHERE hit) AS matched, count(*) FILTER (WHERE hit AND NOT flagged) AS new,
    count(*) FILTER (WHERE hit AND is_mature) AS judged, count(*) FILTER (WHERE hit AND is_mature AND fraud) AS frauds,
    count(*) FILTER (WHERE hit AND NOT is_mature) AS immature,
    count(*) FILTER (WHERE hit AND NOT is_mature AND fraud) AS immature_frauds,
    count(*) FILTER (WHERE fraud) AS all_frauds,
    coalesce(sum(money) FILTER (WHERE hit AND is_mature AND fraud), 0) AS fraud_money,
    coalesce(sum(money) FILTER (WHERE hit AND is_mature AND NOT coalesce(fraud, false)), 0) AS honest_money
FROM judged
"""
_OVERLAP = "SELECT count(*) AS n FROM judged WHERE hit AND live_{}"
_SHOWN = "transaction_id, event_time, money, fraud, flagged"
_HITS = f"SELECT {_SHOWN} FROM judged WHERE hit ORDER BY event_time DESC, transaction_id LIMIT {EXAMPLES}"  # noqa: S608 (constants)
_MISSES = f"""
SELECT {_SHOWN} FROM judged WHERE fraud AND NOT hit AND NOT flagged
ORDER BY money DESC NULLS LAST, transaction_id LIMIT {EXAMPLES}
"""  # noqa: S608 (constants)


def _report(
    question: Question,
    totals: dict[str, Any],
    overlap: dict[str, int],
    hits: list[dict[str, Any]],
    misses: list[dict[str, Any]],
) -> Report:
    days, matched, judged = totals["days"] or 0.0, totals["matched"], totals["judged"]
    return Report(
        action=question.action.value,
        **totals | {"days": days},
        alerts_per_day=matched / days if days else float(matched),
        precision=_share(totals["frauds"], judged),
        judged_share=_share(judged, matched),
        recall=_share(totals["frauds"] + totals["immature_frauds"], totals["all_frauds"]),
        overlap=overlap,
        hits=hits,
        misses=misses,
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _row(database: duckdb.DuckDBPyConnection, query: str) -> dict[str, Any]:
    [found] = _rows(database, query)
    return found


def _rows(database: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    answer = database.execute(query)
    names = [column[0] for column in answer.description or ()]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def as_json(report: Report) -> str:
    """The report for programs."""
    return json.dumps(asdict(report), default=_text_of, indent=2)


def as_text(report: Report) -> str:
    """The report for people."""
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterable[str]:
    yield f"{report.transactions} transactions over {report.days:.1f} days"
    yield f"would {report.action} {report.matched}: {report.alerts_per_day:.1f} a day, {report.new} of them new"
    mature = f"{_percent(report.judged_share)} of the matched are old enough"
    yield f"precision {_percent(report.precision)} ({report.frauds} frauds of {report.judged} judged; {mature})"
    yield f"too new to be judged: {report.immature}, of which {report.immature_frauds} are known frauds already"
    yield f"recall {_percent(report.recall)} of {report.all_frauds} frauds"
    yield f"money of the judged: {report.fraud_money:,.2f} of fraud, {report.honest_money:,.2f} of honest customers"
    for name, count in report.overlap.items():
        yield f"  also matched by {name}: {count}"
    for title, examples in (("newest hits", report.hits), ("largest misses", report.misses)):
        yield f"{title}:"
        yield from (f"  {_example(example)}" for example in examples or [])


def _example(example: Mapping[str, Any]) -> str:
    label = {True: "fraud", False: "honest", None: "no label"}[example["fraud"]]
    money = "unknown" if example["money"] is None else f"{example['money']:,.2f}"
    flagged = ", flagged already" if example["flagged"] else ""
    return f"{example['transaction_id']:<38} {example['event_time']:%Y-%m-%d %H:%M} UTC {money:>12} {label}{flagged}"


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.1%}"


def _text_of(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def entries_table(rows: Sequence[tuple[str, str, datetime, datetime | None]]) -> pa.Table:
    """`ENTRIES` from rows with aware times."""
    columns = zip(*rows, strict=True) if rows else ([], [], [], [])
    arrays = [pa.array(list(column), kind) for column, kind in zip(columns, ENTRIES.types, strict=True)]
    return pa.table(arrays, schema=ENTRIES)
