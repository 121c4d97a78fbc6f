"""Deletes old rows of the schema `fraud` in bounded steps, each a transaction that also adds up what it deletes.

Kept, however old: positions and totals of the ledger (`stream_offsets`), its newest batches, batches that aren't
published, rows of a batch that is still in the ledger, and labels of a transaction that is still there. A deleted
transaction leaves its id, so that a repeat is still a duplicate; a deleted fraud leaves its session flagged, for as
long as it has transactions. Sums are folded into `fraud.retired_totals` by the statement that deletes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fraudstream.messages.contracts import QUERY
from fraudstream.settings.retention import RetentionSettings
from fraudstream.storage.connect import Postgres
from fraudstream.storage.expressions import ID_HASH, SHOP_AMOUNT, VERDICT
from fraudstream.storage.tables.results import COUNT_SUMS

#: A commit of the stream waits for a step at most, which takes about a tenth of a second (docs/production.md).
STEP_ROWS = 2000
#: Newest batches that stay: rates, the fence and a repeat after a crash read them.
KEPT_BATCHES = 1000
# Steps and the stream's commits exclude each other, so that an id is in one of the two tables whenever a commit looks.
_EXCLUDE_COMMITS = "SELECT FROM fraud.stream_queries WHERE query = %(query)s FOR UPDATE"
_WAIT_FOR_LOCKS = "SET LOCAL lock_timeout = '30s'"
_FLOOR = "batch_id < (SELECT coalesce(min(batch_id), 0) FROM fraud.stream_batches WHERE query = %(query)s)"
_NEWEST_WINDOW = "least(now(), (SELECT max(window_start) FROM fraud.{table} WHERE window_start <= now()))"
#: What each rollup adds up; its other columns tell its windows apart, or describe them.
ROLLUP_SUMS = {
    "fraud_counts": COUNT_SUMS,
    "segment_counts": COUNT_SUMS,
    "product_sales": ("units", "revenue"),
    "segment_sales": ("units", "revenue"),
    "fraud_locations": ("flagged", "flagged_amount"),
}


@dataclass(frozen=True)
class Rule:
    """Rows of a table that may go: the first by `order` within `bound`, as far as they are `old`."""

    table: str
    setting: str
    order: str
    bound: str
    old: str
    sums: Mapping[str, str] = field(default_factory=dict)  # figures, each with what of a row is added up
    also: str = ""  # another part of the statement, which reads the deleted rows from `gone`

    def count(self) -> str:
        """SQL: how many rows would go."""
        return f"SELECT count(*) FROM fraud.{self.table} WHERE {self.bound} AND {self.old}"  # noqa: S608 (constants)

    def step(self) -> str:
        """SQL: deletes the next rows, and adds them up. Returns how many they were."""
        sums = {"rows": "count(*)"} | {name: f"sum({of})" for name, of in self.sums.items()}
        values = ", ".join(f"('{name}', (SELECT {of}::numeric FROM gone))" for name, of in sums.items())  # noqa: S608 (constants)
        return f"""
            WITH gone AS (
                DELETE FROM fraud.{self.table} WHERE ctid = ANY (ARRAY(
                    SELECT ctid FROM fraud.{self.table} WHERE {self.bound} ORDER BY {self.order} LIMIT %(rows)s
                )) AND {self.old}
                RETURNING *
            ), folded AS (
                INSERT INTO fraud.retired_totals AS t (table_name, figure, total)
                SELECT '{self.table}', figure, total FROM (VALUES {values}) AS sums (figure, total)
                WHERE total IS NOT NULL AND EXISTS (SELECT FROM gone)
                ON CONFLICT (table_name, figure) DO UPDATE SET total = t.total + excluded.total
            ){self.also}
            SELECT count(*) FROM gone
        """  # noqa: S608 (constants)


_KEEP_IDS = f""", kept AS (
    INSERT INTO fraud.retired_transactions (id_hash, content_hash, kafka_partition, kafka_offset)
    SELECT {ID_HASH.format(of="gone")}, content_hash, kafka_partition, kafka_offset FROM gone
)"""  # noqa: S608 (constants)
# Else a label of another transaction could clear the session.
_KEEP_FLAGS = f""", flagged AS (
    UPDATE fraud.flagged_sessions f SET fraud_retired = true FROM gone
    WHERE (f.customer_id, f.session_id) = (gone.customer_id, gone.session_id) AND {VERDICT.format(of="gone")}
)"""  # noqa: S608 (constants)
_KEEP_HORIZON = """, horizon AS (
    INSERT INTO fraud.rollup_horizons AS h (table_name, thinned_until, deleted_until)
    SELECT '{table}', {until}, {until} WHERE EXISTS (SELECT FROM gone)
    ON CONFLICT (table_name) DO UPDATE SET deleted_until = greatest(h.deleted_until, excluded.deleted_until)
)"""
_TRANSACTION = "SELECT FROM fraud.scored_transactions AS t WHERE"
_OF_LABEL = f"{_TRANSACTION} t.transaction_id = transaction_labels.transaction_id"
_OF_SESSION = (
    f"{_TRANSACTION} (t.customer_id, t.session_id) = (flagged_sessions.customer_id, flagged_sessions.session_id)"
)


def _before(column: str) -> str:
    return f"{column} < now() - make_interval(secs => %(seconds)s)"


def _of_batches(table: str, setting: str, time: str, more: str = "true", **others: Any) -> Rule:
    return Rule(table, setting, "batch_id", _FLOOR, f"{_before(time)} AND {more}", **others)


def _by_time(table: str, setting: str, time: str, more: str = "true") -> Rule:
    return Rule(table, setting, time, f"{_before(time)} AND {more}", "true")


def _columns(*names: str) -> Mapping[str, str]:
    return {name: name for name in names}


def _rollup(table: str, sums: Mapping[str, str]) -> Rule:
    """Whole hours of a rollup, since reconciliation compares hours; whole days where its windows may be as long."""
    age = "make_interval(secs => %(seconds)s)"
    whole = "1 day" if table == "segment_sales" else "1 hour"
    until = f"date_bin('{whole}', {_NEWEST_WINDOW.format(table=table)} - {age}, timestamptz '2000-01-01 00:00:00+00')"
    also = _KEEP_HORIZON.format(table=table, until=until)
    return Rule(table, "rollups_days", "window_start", f"window_start < {until}", "true", sums, also)


#: In this order: a batch goes before its rows, so that every batch in the ledger has its rows.
RULES = (
    Rule(
        "stream_batches",
        "ledger_days",
        "batch_id",
        "query = %(query)s AND batch_id <= "
        "(SELECT max(batch_id) - %(kept)s FROM fraud.stream_batches WHERE query = %(query)s)",
        f"{_before('committed_at')} AND published_at IS NOT NULL",
        _columns("scored", "late", "flagged", "browse_events", "labels", "dead_lettered", "duplicates", "skipped"),
    ),
    _of_batches(
        "scored_transactions",
        "transactions_days",
        "committed_at",
        sums={"amount": SHOP_AMOUNT, "unpriced": "(exchange_rate IS NULL)::int"},
        also=_KEEP_IDS + _KEEP_FLAGS,
    ),
    _of_batches("transaction_labels", "labels_days", "ingest_time", f"NOT EXISTS ({_OF_LABEL})"),
    # A replay that was interrupted finds by its claim what it may have sent.
    _of_batches(
        "dead_letters", "dead_letters_days", "created_at", "(replay_claimed_at IS NULL OR replayed_at IS NOT NULL)"
    ),
    _by_time("flagged_sessions", "transactions_days", "flagged_at", f"NOT EXISTS ({_OF_SESSION})"),
    _by_time("session_events", "sessions_days", "kept_at"),
    _by_time("retired_transactions", "repeats_days", "retired_at"),
    _by_time("past_transactions", "past_days", "event_time"),
    _by_time("archive_runs", "versions_days", "finished_at", "run_id < (SELECT max(run_id) FROM fraud.archive_runs)"),
    _by_time("model_health", "rollups_days", "measured_at"),
    _by_time("model_breaches", "rollups_days", "ended_at"),
    _by_time("rule_counts", "rollups_days", "window_start"),
    _by_time("incidents", "transactions_days", "closed_at"),
    # As long as a transaction that they decided on; what the audit log says of them stays.
    _by_time("list_entries", "transactions_days", "least(removed_at, expires_at)"),
    _by_time("rescorings", "versions_days", "finished_at"),
    *(_rollup(table, _columns(*names)) for table, names in ROLLUP_SUMS.items()),
    *(
        _by_time(table, "versions_days", "published_at", f"version < (SELECT max(version) FROM fraud.{table})")  # noqa: S608 (constants)
        for table in ("static_versions", "entity_risk_versions")
    ),
)


@dataclass
class Retired:
    """Rows that went, or would go, from a table."""

    table: str
    rows: int = field(default=0)


def count(connection: Postgres, keep: RetentionSettings) -> Iterator[Retired]:
    """Counts what would go, and changes nothing. Raises psycopg.Error."""
    for rule in RULES:
        found = connection.execute(rule.count().encode(), _parameters(rule, keep)).fetchall()
        yield Retired(rule.table, found[0][0])


def retire(connection: Postgres, keep: RetentionSettings) -> Iterator[Retired]:
    """Deletes what is old, a table after the other, over an autocommitting connection. Raises psycopg.Error."""
    for rule in RULES:
        retired = Retired(rule.table)
        while rows := _step(connection, rule, keep):
            retired.rows += rows
        yield retired


def _step(connection: Postgres, rule: Rule, keep: RetentionSettings) -> int:
    parameters = _parameters(rule, keep)
    with connection.transaction():
        connection.execute(_WAIT_FOR_LOCKS)
        connection.execute(_EXCLUDE_COMMITS, parameters)
        return int(connection.execute(rule.step().encode(), parameters).fetchall()[0][0])


def _parameters(rule: Rule, keep: RetentionSettings) -> Mapping[str, Any]:
    seconds = getattr(keep, rule.setting) * 86_400
    return {"query": QUERY, "seconds": seconds, "rows": STEP_ROWS, "kept": KEPT_BATCHES}
