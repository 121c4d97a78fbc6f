"""Rights on each table: declared here, applied to the database by `apply`, compared by `differences`.

The writer gets what the code's statements need, and no more: of the ledger's history and of the labels nothing can be
changed, only what is old deleted (`fraudstream.retention`), and where a row is changed later, only in the columns
named. The reader reads the same tables; Superset's charts read the columns that its datasets name. Its desk reads the
tables that it shows, and writes the columns that analysts fill, so that nobody can antedate. A table that isn't
declared is nobody's but the owner's; a test fails for it.
"""

from dataclasses import dataclass
from typing import Any

from psycopg import Connection
from psycopg.sql import SQL, Composed, Identifier

from fraudstream.settings import PostgresSettings
from fraudstream.storage.tables import SCHEMA
from fraudstream.storage.tables.results import COUNT_SUMS

Postgres = Connection[tuple[Any, ...]]
#: A right, such as `SELECT` on a table or `UPDATE (status)` on columns of it: (role, table, right).
Grant = tuple[str, str, str]


@dataclass(frozen=True)
class WriterRights:
    """The writer's rights on a table besides reading it and inserting rows."""

    update: tuple[str, ...] | bool = False
    """Columns that may change; True: all, and the table may be locked."""
    delete: bool = False


APPEND_ONLY = WriterRights()

#: The writer's rights, with the code that needs them.
WRITER: dict[str, WriterRights] = {
    # fraudstream.static_data.publish and entity_risk
    "static_versions": WriterRights(delete=True),
    "customers": WriterRights(update=True),
    "products": WriterRights(update=True),
    "currency_rates": WriterRights(delete=True),
    "entity_risk": WriterRights(delete=True),
    "entity_risk_versions": WriterRights(delete=True),
    "terminal_hours": WriterRights(delete=True),
    "terminal_frauds": WriterRights(delete=True),
    # spark_jobs.statements
    "scored_transactions": WriterRights(update=("counted_in_sales",), delete=True),
    "fraud_alerts": WriterRights(update=("decided_at", "grouped_at", "session_read_at", "status")),
    "flagged_sessions": WriterRights(update=("fraud_retired",), delete=True),
    "product_sales": WriterRights(update=("batch_id", "revenue", "units"), delete=True),
    "fraud_counts": WriterRights(update=tuple(sorted(COUNT_SUMS)), delete=True),
    "segment_counts": WriterRights(update=tuple(sorted(COUNT_SUMS)), delete=True),
    "segment_sales": WriterRights(update=("revenue", "units"), delete=True),
    "fraud_locations": WriterRights(update=("flagged", "flagged_amount"), delete=True),
    "dead_letters": WriterRights(
        update=("replay_claimed_at", "replay_from", "replayed_at", "replayed_offset", "topic"), delete=True
    ),
    "transaction_labels": WriterRights(update=("topic",), delete=True),
    # spark_jobs.ledger
    "stream_queries": WriterRights(update=True),
    "stream_batches": WriterRights(update=("published_at", "with_features"), delete=True),
    "feature_sets": APPEND_ONLY,
    "batch_features": WriterRights(delete=True),
    "stream_offsets": WriterRights(update=True),
    # fraudstream.ledger.rebuild, which renames what was read from a topic that was made anew
    "stream_lost_ranges": APPEND_ONLY,
    # model.serving.registry, which locks it
    "model_versions": WriterRights(update=True),
    # fraudstream.ledger.reconciliation
    "reconciliations": WriterRights(delete=True),
    "reconciliation_differences": WriterRights(update=("acknowledged_at", "acknowledged_by", "reason", "seen_at")),
    "reconciliation_positions": WriterRights(update=("begun_at", "next", "whole_since")),
    # fraudstream.retention, which deletes from those above, too
    "retired_totals": WriterRights(update=("total",)),
    "retired_transactions": WriterRights(delete=True),
    "rollup_horizons": WriterRights(update=("deleted_until", "thinned_until")),
    # fraudstream.watch, whose incidents are changed and never deleted
    "platform_readings": WriterRights(delete=True),
    "incidents": WriterRights(
        update=(
            *("acknowledged_at", "acknowledged_by", "closed_at", "seen_at", "severity", "text"),
            *("told_closed_at", "told_opened_at"),
        ),
        delete=True,
    ),
    "incident_alerts": APPEND_ONLY,
    # fraudstream.policy, and the stream's counts and failures of rules
    "policy_versions": WriterRights(update=("approved_at", "approver")),
    "lists": APPEND_ONLY,
    "list_entries": WriterRights(update=("removed_at", "removed_by"), delete=True),
    "list_changes": APPEND_ONLY,
    "rule_counts": WriterRights(update=("amount", "changed", "matched"), delete=True),
    "rule_failures": WriterRights(update=("condition", "error", "failed_at", "policy_version"), delete=True),
    "audit_log": APPEND_ONLY,
    "backtests": WriterRights(update=("begun_at", "ended_at", "error", "report"), delete=True),
    # fraudstream.archive
    "archive_runs": WriterRights(delete=True),
    # model.health and model.rescoring
    "model_health": WriterRights(delete=True),
    "model_breaches": WriterRights(update=("asked_at", "ended_at", "runs", "seen_at", "told"), delete=True),
    "rescorings": WriterRights(delete=True),
    "rescored_ages": APPEND_ONLY,
    "rescored_days": APPEND_ONLY,
    # model.past; what goes with past_transactions, the foreign key deletes
    "history_imports": WriterRights(delete=True),
    "past_transactions": WriterRights(delete=True),
    "past_labels": APPEND_ONLY,
    # fraudstream.watch.alert_sessions
    "session_events": WriterRights(delete=True),
    # fraudstream.erasure, whose function erases with the owner's rights
    "erasures": WriterRights(update=("control", "counts", "erased_at", "finished_at")),
    "erased_transactions": APPEND_ONLY,
    # fraudstream.verdicts
    "alert_claims": APPEND_ONLY,
    "alert_notes": APPEND_ONLY,
    "analyst_verdicts": WriterRights(update=("published_at",)),
}

#: Functions of the schema that work with the owner's rights: the writer may call them, and nobody else.
WRITERS_FUNCTIONS = ("erase_customer",)

#: Columns that the datasets under superset/assets and superset/changes.py read. Nothing else reaches Superset's charts.
CHARTS: dict[str, tuple[str, ...]] = {
    "analyst_verdicts": (
        *("decided_at", "decided_by", "reason_code", "revision", "transaction_id", "undone_at", "verdict"),
    ),
    "fraud_alerts": (
        *("amount", "created_at", "customer_id", "decided_at", "decision", "event_time", "exchange_rate"),
        *("fraud_score", "payment_method", "reasons", "review_probability", "shipping_city", "shipping_country"),
        *("shop", "status", "transaction_id"),
    ),
    "fraud_counts": (
        *("amount", "flagged", "flagged_amount", "flagged_unpriced", "shop", "transactions", "unpriced"),
        "window_start",
    ),
    "fraud_locations": (
        *("flagged", "flagged_amount", "latitude", "longitude", "shipping_city", "shipping_country", "shop"),
        "window_start",
    ),
    "incidents": (
        *("acknowledged_at", "closed_at", "incident_id", "opened_at", "severity", "source", "subject", "text"),
    ),
    "model_breaches": ("asked_at", "breach_id", "ended_at", "runs", "since", "told"),
    "model_health": ("breached", "figure", "high", "measured_at", "subject", "value"),
    "model_versions": ("metrics", "promoted_at", "registered_at", "status", "trained_at", "version"),
    "policy_versions": ("approved_at", "policy_version", "rolled_back_to"),
    "platform_readings": ("at", "place", "reading", "value"),
    "product_sales": ("product_id", "revenue", "shop", "units", "window_start"),
    "products": ("category", "name", "product_id"),
    "rollup_horizons": ("table_name", "thinned_until"),
    "rule_counts": ("amount", "changed", "matched", "rule", "state", "window_start"),
    "scored_transactions": (
        *("amount", "counted_in_sales", "decision", "event_time", "exchange_rate", "is_fraud", "items"),
        *("matched_rules", "payment_method", "review_probability", "shipping_city", "shipping_country"),
        *("shipping_latitude", "shipping_longitude", "shop", "transaction_id"),
    ),
    "segment_counts": (
        *("amount", "decision", "flagged", "flagged_amount", "flagged_unpriced", "payment_method", "shipping_country"),
        *("shop", "transactions", "unpriced", "window_start"),
    ),
    "segment_sales": (
        *("decision", "payment_method", "product_id", "revenue", "seconds", "shipping_country", "shop", "units"),
        "window_start",
    ),
    "stream_batches": ("committed_at",),
}


@dataclass(frozen=True)
class DeskRights:
    """The desk's rights on a table besides reading it: the columns that it fills and changes; whether it may delete."""

    insert: tuple[str, ...] = ()
    update: tuple[str, ...] = ()
    delete: bool = False


READ_ONLY = DeskRights()
#: What the analysts' pages (superset/desk) read and write.
DESK: dict[str, DeskRights] = {
    "alert_claims": DeskRights(("transaction_id", "claimed_by"), ("expires_at", "released_at")),
    "audit_log": DeskRights(("who", "what", "subject", "before", "after")),
    "lists": DeskRights(("name", "kind", "description", "created_by")),
    "list_entries": DeskRights(
        ("list_name", "value", "reason", "added_by", "expires_at"), ("removed_by", "removed_at")
    ),
    "alert_notes": DeskRights(("transaction_id", "author", "note")),
    "analyst_verdicts": DeskRights(
        ("transaction_id", "revision", "verdict", "reason_code", "decided_by"), ("undone_at",)
    ),
    "customers": READ_ONLY,
    "entity_risk": READ_ONLY,
    "fraud_alerts": READ_ONLY,
    "policy_versions": DeskRights(
        ("policy_version", "author", "approved_at", "comment", "rolled_back_to", "document"),
        ("approved_at", "approver"),
    ),
    "past_labels": READ_ONLY,
    "past_transactions": READ_ONLY,
    "products": READ_ONLY,
    "backtests": DeskRights(("asked_by", "rule", "condition", "action", "days")),
    "rule_counts": READ_ONLY,
    "rule_failures": DeskRights(delete=True),
    "scored_transactions": READ_ONLY,
    "session_events": READ_ONLY,
    "transaction_labels": READ_ONLY,
}

_TABLE_GRANTS = """
SELECT coalesce(role.rolname, 'PUBLIC'), relation.relname, acl.privilege_type
FROM pg_class AS relation
CROSS JOIN LATERAL aclexplode(relation.relacl) AS acl LEFT JOIN pg_roles AS role ON role.oid = acl.grantee
WHERE relation.relnamespace = to_regnamespace(%(schema)s) AND acl.grantee <> relation.relowner
"""
_COLUMN_GRANTS = """
SELECT coalesce(role.rolname, 'PUBLIC'), relation.relname, acl.privilege_type || ' (' || a.attname || ')'
FROM pg_class AS relation JOIN pg_attribute AS a ON a.attrelid = relation.oid AND NOT a.attisdropped
CROSS JOIN LATERAL aclexplode(a.attacl) AS acl LEFT JOIN pg_roles AS role ON role.oid = acl.grantee
WHERE relation.relnamespace = to_regnamespace(%(schema)s) AND acl.grantee <> relation.relowner
"""
_FUNCTION_GRANTS = """
SELECT coalesce(role.rolname, 'PUBLIC'), p.proname, acl.privilege_type
FROM pg_proc AS p CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS acl
LEFT JOIN pg_roles AS role ON role.oid = acl.grantee
WHERE p.pronamespace = to_regnamespace(%(schema)s) AND p.prorettype <> 'trigger'::regtype AND acl.grantee <> p.proowner
"""
_FUNCTIONS = "SELECT proname FROM pg_proc WHERE pronamespace = to_regnamespace(%(schema)s)"
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = %(schema)s"
#: Rights that a table would get by being made: what versions before the declaration left.
_DEFAULT_GRANTS = """
SELECT DISTINCT coalesce(role.rolname, 'PUBLIC') || ' gets ' || acl.privilege_type || ' by default'
FROM pg_default_acl AS rule CROSS JOIN LATERAL aclexplode(rule.defaclacl) AS acl
LEFT JOIN pg_roles AS role ON role.oid = acl.grantee
WHERE rule.defaclnamespace = to_regnamespace(%(schema)s) AND acl.grantee <> rule.defaclrole
"""


def declared(pg: PostgresSettings) -> set[Grant]:
    """Every right that writer, reader, charts and desk should have, on tables and functions."""
    found: set[Grant] = set()
    for table, desk in DESK.items():
        found.add((pg.desk, table, "SELECT"))
        found |= {(pg.desk, table, f"INSERT ({column})") for column in desk.insert}
        found |= {(pg.desk, table, f"UPDATE ({column})") for column in desk.update}
        if desk.delete:
            found.add((pg.desk, table, "DELETE"))
    for table, rights in WRITER.items():
        found |= {(pg.reader, table, "SELECT"), (pg.writer, table, "SELECT"), (pg.writer, table, "INSERT")}
        if rights.update is True:
            found.add((pg.writer, table, "UPDATE"))
        else:
            found |= {(pg.writer, table, f"UPDATE ({column})") for column in rights.update or ()}
        if rights.delete:
            found.add((pg.writer, table, "DELETE"))
    found |= {(pg.writer, function, "EXECUTE") for function in WRITERS_FUNCTIONS}
    return found | {(pg.charts, table, f"SELECT ({column})") for table, names in CHARTS.items() for column in names}


def differences(connection: Postgres, pg: PostgresSettings) -> list[str]:
    """Differences of the database from the declaration, a line each: rights too many, and rights that are missing.

    Any role can ask: the catalog is public. A declared table that doesn't exist is no difference.
    """
    names = {"schema": SCHEMA}
    there = _there(connection)
    wanted = {grant for grant in declared(pg) if grant[1] in there}
    found = {
        (role, table, right)
        for query in (_TABLE_GRANTS, _COLUMN_GRANTS, _FUNCTION_GRANTS)
        for role, table, right in connection.execute(query, names)
    }
    return [
        *(f"{role} has {right} on {SCHEMA}.{table}, undeclared" for role, table, right in sorted(found - wanted)),
        *(f"{role} lacks {right} on {SCHEMA}.{table}" for role, table, right in sorted(wanted - found)),
        *sorted(str(line) for (line,) in connection.execute(_DEFAULT_GRANTS, names)),
    ]


def apply(connection: Postgres, pg: PostgresSettings) -> None:
    """Makes the rights in the database the declared ones, in one transaction; needs the rights of the owner.

    When nothing differs, nothing is written: a running stream isn't disturbed.
    """
    with connection.transaction():
        if not differences(connection, pg):
            return
        roles = SQL(", ").join([SQL("PUBLIC"), *map(Identifier, (pg.writer, pg.reader, pg.charts, pg.desk))])
        for kind in (SQL("TABLES"), SQL("SEQUENCES"), SQL("FUNCTIONS")):
            names = {"schema": Identifier(SCHEMA), "kind": kind, "roles": roles}
            connection.execute(SQL("REVOKE ALL ON ALL {kind} IN SCHEMA {schema} FROM {roles}").format(**names))
            connection.execute(
                SQL("ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} REVOKE ALL ON {kind} FROM {roles}").format(**names)
            )
        there = _there(connection)
        for role, name, right in sorted(declared(pg)):
            if name in there:
                connection.execute(_grant(role, name, right))


def _there(connection: Postgres) -> set[str]:
    """The tables and functions that exist."""
    names = {"schema": SCHEMA}
    return {name for query in (_TABLES, _FUNCTIONS) for (name,) in connection.execute(query, names)}


def rights_table() -> str:
    """The declaration as a table in Markdown, as docs/security.md shows it."""
    rows = [
        "| table | writer, besides `SELECT` and `INSERT` | columns that charts read | desk |",
        "| --- | --- | --- | --- |",
    ]
    for table, rights in sorted(WRITER.items()):
        columns = f" of {', '.join(rights.update)}" if isinstance(rights.update, tuple) else ""
        more = [f"`UPDATE`{columns}"] if rights.update else []
        more += ["`DELETE`"] if rights.delete else []
        cells = (f"`{table}`", ", ".join(more) or "nothing", ", ".join(CHARTS.get(table, ())), _of_desk(table))
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _of_desk(table: str) -> str:
    """The desk's cell in the table of rights."""
    rights = DESK.get(table)
    if rights is None:
        return ""
    named = (("INSERT", rights.insert), ("UPDATE", rights.update))
    columns = [f"`{right}` of {', '.join(columns)}" for right, columns in named if columns]
    return ", ".join(["`SELECT`", *columns, *(["`DELETE`"] if rights.delete else [])])


def _grant(role: str, table: str, right: str) -> Composed:
    if right == "EXECUTE":
        return SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(Identifier(SCHEMA, table), Identifier(role))
    action, _, column = right.partition(" ")
    columns = SQL(" ({})").format(Identifier(column.strip("()"))) if column else SQL("")
    return SQL("GRANT {}{} ON {} TO {}").format(SQL(action), columns, Identifier(SCHEMA, table), Identifier(role))
