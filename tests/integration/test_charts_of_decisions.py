"""What *Decisions* says, on a real Postgres: what was decided, and what analysts said of it."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from testbed.dashboards import CHARTS, DASHBOARDS, charts_of, query_of
from tests.charting import NOON, Postgres, Shop, frozen

#: Each hour of 4 days: 100 transactions, of which 5 were flagged.
COUNTS = """
INSERT INTO fraud.fraud_counts (window_start, transactions, flagged, amount, flagged_amount)
SELECT now() - n * interval '1 hour', 100, 5, 1000, 150 FROM generate_series(0, 4 * 24) AS n
"""
#: Each hour: 2 blocked, 3 reviewed, 1 by chance, and one that was allowed and has no alert. Each is 20 EUR.
SCORED = """
INSERT INTO fraud.scored_transactions (
    transaction_id, customer_id, event_time, amount, currency, exchange_rate, fraud_score, is_fraud, threshold,
    reasons, model_version, scored_at, late, ingest_time, kafka_partition, kafka_offset, batch_id, counted_in_sales,
    decision, review_probability, matched_rules)
SELECT decision || CASE WHEN chance THEN '-chance' ELSE '' END || '-' || hour || '-' || n, 'c1',
    now() - hour * interval '1 hour', 10, 'USD', 2, 0.9, false, 0.5, '[]', 'v1', now(), false, now(), 0, 0, 1, true,
    decision, CASE WHEN chance THEN 0.01 END, rules
FROM generate_series(0, 4 * 24) AS hour, (VALUES
    ('block', 2, false, ARRAY['big', 'far']), ('review', 3, false, ARRAY[]::text[]),
    ('review', 1, true, ARRAY[]::text[]), ('allow', 1, false, ARRAY[]::text[])
) AS decided (decision, many, chance, rules), generate_series(1, many) AS n
"""
ALERTS = """
INSERT INTO fraud.fraud_alerts (transaction_id, customer_id, event_time, amount, currency, exchange_rate, fraud_score,
                                reasons, model_version, decision, review_probability, matched_rules, created_at)
SELECT transaction_id, customer_id, event_time, amount, currency, exchange_rate, fraud_score, reasons, model_version,
       decision, review_probability, matched_rules, event_time
FROM fraud.scored_transactions WHERE decision <> 'allow'
"""
VERDICT = """
INSERT INTO fraud.analyst_verdicts (transaction_id, revision, verdict, reason_code, decided_by, decided_at, undone_at)
VALUES (%(id)s, %(revision)s, %(verdict)s, %(reason)s, %(by)s, %(at)s, CASE WHEN %(undone)s THEN %(at)s END)
"""
RULES = """
INSERT INTO fraud.rule_counts (window_start, rule, state, matched, changed, amount)
SELECT now() - hour * interval '1 hour', rule, state, matched, 1, 40
FROM generate_series(1, 40 * 24) AS hour,
    (VALUES ('big', 'live', 2), ('tried', 'shadow', 3)) AS rules (rule, state, matched)
"""
OVERRULE = """
UPDATE fraud.fraud_alerts SET status = 'dismissed', decided_at = now() WHERE transaction_id = 'block-2-1'
"""


def decide(
    shop: Shop, transaction: str, verdict: str, hours_ago: float, by: str = "ann", *, revision: int = 1, **more: object
) -> None:
    at = NOON - timedelta(hours=hours_ago)
    given = {"id": transaction, "verdict": verdict, "by": by, "at": at, "revision": revision}
    shop.run(VERDICT, **({"reason": "not_given", "undone": False} | given | more))


@pytest.fixture
def shop(owner: Postgres) -> Iterator[Shop]:
    with frozen(owner, NOON) as made:
        yield made


@pytest.fixture
def decided(shop: Shop) -> Shop:
    """Four days of decisions, and a morning of verdicts by two analysts."""
    for each in (COUNTS, SCORED, ALERTS, RULES):
        shop.run(each)
    decide(shop, "block-2-1", "fraud", 1, reason="stolen_card")  # an hour after its alert
    decide(shop, "block-2-2", "honest", 1)
    decide(shop, "review-5-1", "fraud", 2, "bob", reason="stolen_card")  # three hours after
    decide(shop, "review-5-2", "honest", 2, "bob")
    decide(shop, "review-5-3", "unsure", 2, "bob")
    decide(shop, "review-chance-5-1", "fraud", 2)
    decide(shop, "allow-5-1", "fraud", 2)
    return shop


def test_decisions_of_an_hour_add_up_to_its_transactions(decided: Shop) -> None:
    rows = decided.rows("decisions_over_time")
    assert len(rows) == 3 * 24
    names = ("allowed_total", "reviewed_total", "by_chance_total", "blocked_total")
    assert {tuple(row[name] for name in names) for row in rows} == {(94, 3, 1, 2)}


def test_the_hour_that_still_fills_is_left_out(decided: Shop) -> None:
    assert max(row["window_start"] for row in decided.rows("decisions_over_time")).hour == NOON.hour - 1


def test_numbers_of_a_day_are_what_the_policy_did(decided: Shop) -> None:
    assert decided.figure("decisions_blocked") == 2 * 24
    assert decided.figure("decisions_reviewed") == 3 * 24
    assert decided.figure("decisions_random") == 1 / 100


def test_precision_is_of_what_was_suspected_and_decided(decided: Shop) -> None:
    """Not of what is unsure, came by chance, or was allowed."""
    assert decided.figure("decisions_precision") == 2 / 4
    by_reviewer = {row["reviewer"]: row for row in decided.rows("decisions_reviewers")}
    assert {name: (row["verdicts"], row["verdict_precision"]) for name, row in by_reviewer.items()} == {
        "ann": (4, 1 / 2),
        "bob": (3, 1 / 2),
    }


def test_a_rule_s_precision_is_by_verdicts_on_what_it_matched(decided: Shop) -> None:
    shown = ("State", "Matched", "Changed", "Amount", "Verdicts", "Precision")
    rules = {row["Rule"]: tuple(row[name] for name in shown) for row in decided.rows("decisions_rules")}
    assert rules == {
        "big": ("live", 2 * 720, 720, 40 * 720, 2, 0.5),
        "far": ("live", None, None, None, 2, 0.5),
        "tried": ("shadow", 3 * 720, 720, 40 * 720, None, None),
        "the score alone": ("", None, None, None, 2, 0.5),
    }


def test_a_verdict_is_overruled_by_a_newer_label_that_says_otherwise(decided: Shop) -> None:
    assert sum(row["overruled_share"] or 0 for row in decided.rows("decisions_reviewers")) == 0
    decided.run(OVERRULE)
    by_reason = {row["reason"]: (row["verdicts"], row["overruled_share"]) for row in decided.rows("decisions_reasons")}
    assert by_reason == {
        "fraud, stolen card": (2, 1 / 2),
        "fraud, no reason": (2, 0),
        "honest, no reason": (2, 0),
        "unsure, no reason": (1, None),
    }


def test_money_is_told_by_verdict_and_decision(decided: Shop) -> None:
    [day] = decided.rows("decisions_money")
    money = {name: day[name] for name in ("saved", "missed", "turned_away", "held_up")}
    assert money == {"saved": 60, "missed": 20, "turned_away": 20, "held_up": 20}
    assert decided.figure("decisions_saved") == 60


def test_time_to_decision_is_from_the_alert_to_its_first_verdict(decided: Shop) -> None:
    hour = 3_600_000
    assert decided.figure("decisions_waited") == 3 * hour  # 1, 1, 3, 3, 3 h
    decide(decided, "block-2-2", "fraud", 0, revision=2)
    decide(decided, "review-5-3", "honest", 1, revision=2)  # the unsure one waited for 4 h
    [day] = decided.rows("decisions_time")
    assert (day["median_wait"], day["p90_wait"]) == pytest.approx((3 * hour, 3.5 * hour))  # 1, 1, 3, 3, 3, 4 h


def test_only_the_verdict_that_stands_counts(decided: Shop) -> None:
    decide(decided, "block-2-2", "fraud", 0.5, revision=2)
    decide(decided, "review-5-2", "fraud", 0.5, revision=2, undone=True)
    assert decided.figure("decisions_precision") == 3 / 4


def test_without_verdicts_and_rules_the_charts_say_so(shop: Shop) -> None:
    for name in charts_of(DASHBOARDS["decisions"]):
        assert 0 < len(shop.rows(name, limited=False)) <= query_of(CHARTS[name])["row_limit"], name
    assert shop.figure("decisions_precision") is None
    assert shop.figure("decisions_blocked") == shop.figure("decisions_saved") == 0
    [reviewer] = shop.rows("decisions_reviewers")
    assert (reviewer["reviewer"], reviewer["verdicts"]) == ("nobody decided yet: see /desk/", 0)
    assert [row["Rule"] for row in shop.rows("decisions_rules")] == ["no rule matched yet, and nobody decided"]
