"""The sink's part for rules: counts what they matched, and switches off those that failed."""

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from psycopg import Cursor

from fraudstream.policy import audit
from fraudstream.policy.document import State
from fraudstream.policy.live import Match
from fraudstream.policy.reading import PolicyAtWork
from fraudstream.storage.expressions import SHOP_AMOUNT

log = logging.getLogger(__name__)

CREATE_STAGING = """
CREATE TEMPORARY TABLE IF NOT EXISTS staged_rule_matches
    (topic text, kafka_partition int, kafka_offset bigint, rule text, state text, changed boolean)
    ON COMMIT DELETE ROWS
"""
_COPY = "COPY staged_rule_matches (topic, kafka_partition, kafka_offset, rule, state, changed) FROM STDIN"
# Only of rows that the batch really inserted: a repeat is counted once.
_COUNT = f"""
INSERT INTO fraud.rule_counts AS c (window_start, rule, state, matched, changed, amount)
SELECT date_bin('1 hour', event_time, timestamptz '2000-01-01 00:00:00+00'), rule, state, count(*),
    count(*) FILTER (WHERE changed), coalesce(sum({SHOP_AMOUNT}), 0)
FROM staged_rule_matches JOIN fraud.scored_transactions USING (topic, kafka_partition, kafka_offset)
WHERE batch_id = %(batch_id)s
GROUP BY 1, 2, 3
ON CONFLICT (window_start, rule, state) DO UPDATE
SET matched = c.matched + excluded.matched, changed = c.changed + excluded.changed, amount = c.amount + excluded.amount
"""  # noqa: S608 (constants)
_SWITCH_OFF = """
INSERT INTO fraud.rule_failures AS f (rule, condition, policy_version, error) VALUES (%s, %s, %s, %s)
ON CONFLICT (rule) DO UPDATE SET condition = excluded.condition, policy_version = excluded.policy_version,
    error = excluded.error, failed_at = now()
WHERE f.condition <> excluded.condition
"""
_decode_matches = msgspec.json.Decoder(list[Match]).decode
_decode_failures = msgspec.json.Decoder(dict[str, str]).decode


def matches_of(row: dict[str, Any]) -> list[Match]:
    """The rules that matched a row of schema `SCORED`."""
    return _decode_matches(row["rule_matches"]) if row["rule_matches"] else []


def live_rules_of(row: dict[str, Any]) -> list[str]:
    """The names of the live ones among them."""
    return [match.rule for match in matches_of(row) if match.is_live]


def count_matches(cursor: Cursor[Any], batch_id: int, rows: Sequence[dict[str, Any]]) -> None:
    """Adds what rules matched among `rows` to `fraud.rule_counts`, once the batch's rows are inserted."""
    matched = [row for row in rows if row["rule_matches"]]
    if not matched:
        return
    with cursor.copy(_COPY) as copy:
        for row in matched:
            for match in matches_of(row):
                state = State.LIVE if match.is_live else State.SHADOW
                copy.write_row((row["topic"], row["partition"], row["offset"], match.rule, state.value, match.changed))
    cursor.execute(_COUNT, {"batch_id": batch_id})


def switch_off_failed(cursor: Cursor[Any], policy: PolicyAtWork, rows: Iterable[dict[str, Any]]) -> None:
    """Notes the rules that failed on a worker: the next micro-batch goes without them."""
    failures: dict[str, str] = {}
    for row in rows:
        if row["rule_failures"]:
            failures |= _decode_failures(row["rule_failures"])
    for name, error in failures.items():
        log.error("rule %s failed, and is switched off: %s", name, error)
        rule = policy.rules[name]
        if cursor.execute(_SWITCH_OFF, (name, rule.condition, policy.version, error)).rowcount:
            audit.note(cursor.connection, "stream", "rule switched off", f"rule {name}", after={"error": error})
