"""What a desk that has been used for long holds: transactions of a quarter, alerts, verdicts, rules, lists, changes.

python -m benchmarks.measuring.desk_rows --transactions 1000000 --open 500

In the Spark environment, which has what checks a rule. Fills the empty schema of the settings.
"""

import argparse

from benchmarks.measuring import made_policy, made_transactions
from fraudstream.settings import load_settings
from fraudstream.storage.connect import connect

DAYS = 90
LIST_ENTRIES = 100_000

_CUSTOMER = "((n::bigint * 7919 + n / 20000 * 13) % 20000)::int"
#: Of 20,000 customers with two devices and two cards each. One in 203 purchases goes to the same pick-up point, one in
#: 1,009 comes from one of 50 shared devices: what relations have most rows of. One in 50 is flagged.
_COLUMNS = {
    "customer_id": f"'c-' || {_CUSTOMER}",
    "amount": "(n % 400) + 0.5",
    "items": """'[{"product_id": "p-1", "quantity": 1, "unit_price": 40.5}]'""",
    "payment_method": "'card'",
    "card_token": f"'k-' || {_CUSTOMER} || '-' || n % 2",
    "shipping_city": "'Lyon'",
    "shipping_country": "'FR'",
    "shipping_latitude": f"CASE n % 203 WHEN 0 THEN 45.76 ELSE 44 + {_CUSTOMER} / 5000.0 END",
    "shipping_longitude": "CASE n % 203 WHEN 0 THEN 4.83 ELSE 4.5 END",
    "device_id": f"""CASE n % 1009 WHEN 0 THEN 'd-shared-' || n / 1009 % 50
        ELSE 'd-' || {_CUSTOMER} || '-' || n % 2 END""",
    "fraud_score": "CASE n % 50 WHEN 0 THEN 0.6 + n % 4000 / 10000.0 ELSE n % 500 / 1000.0 END",
    "reasons": """CASE n % 50 WHEN 0 THEN '[{"text": "card new to this customer; usual: no"}]'::jsonb ELSE '[]' END""",
    "counted_in_sales": "true",
    "matched_rules": "CASE n % 50 WHEN 0 THEN ARRAY['rule_' || n / 50 % 50] ELSE '{}' END",
}
#: The newest are open, the others were decided by ten people.
_ALERTS = """
INSERT INTO fraud.fraud_alerts (transaction_id, customer_id, event_time, amount, currency, exchange_rate, shipping_city,
    shipping_country, fraud_score, reasons, model_version, matched_rules, status)
SELECT transaction_id, customer_id, event_time, amount, currency, exchange_rate, shipping_city, shipping_country,
    fraud_score, reasons, model_version, matched_rules,
    CASE WHEN kafka_offset > %(rows)s - 50 * %(open)s THEN 'open' WHEN kafka_offset %% 100 = 0 THEN 'confirmed'
        ELSE 'dismissed' END
FROM fraud.scored_transactions WHERE is_fraud
"""
_DECIDED = """
WITH decided AS (SELECT * FROM fraud.fraud_alerts WHERE status <> 'open'), claimed AS (
    INSERT INTO fraud.alert_claims (transaction_id, claimed_by, claimed_at, expires_at, released_at)
    SELECT transaction_id, 'before', event_time, event_time + interval '15 minutes', event_time FROM decided
), labelled AS (
    INSERT INTO fraud.transaction_labels
        (transaction_id, is_fraud, source, labelled_at, ingest_time, kafka_partition, kafka_offset, batch_id)
    SELECT transaction_id, status = 'confirmed', 'analyst', event_time, event_time, 0, row_number() OVER (), 0
    FROM decided
)
INSERT INTO fraud.analyst_verdicts (transaction_id, revision, verdict, reason_code, decided_by, decided_at,
    publish_after, published_at)
SELECT transaction_id, 1, CASE status WHEN 'confirmed' THEN 'fraud' ELSE 'honest' END, 'not_given', 'before',
    event_time, event_time, event_time
FROM decided
"""
_RULE_COUNTS = """
INSERT INTO fraud.rule_counts (window_start, rule, state, matched, changed, amount)
SELECT date_trunc('hour', now()) - hour * interval '1 hour', 'rule_' || rule, 'live', 12, 3, 600
FROM generate_series(0, 24 * %(days)s - 1) AS hour, generate_series(0, 49) AS rule
"""
_CHANGES = """
INSERT INTO fraud.audit_log (at, who, what, subject, "after")
SELECT now() - make_interval(days => %(days)s) * (1 - n / 20000.0), 'before', 'list entries added', 'list blocked',
    jsonb_build_object('count', 1, 'entries', jsonb_build_array(jsonb_build_object('value', 'd-' || n)))
FROM generate_series(1, 20000) AS n
"""
#: As after a year of changes.
_VERSIONS = """
INSERT INTO fraud.policy_versions (policy_version, author, approved_at, comment, document)
SELECT n, 'before', now(), 'a change', document FROM fraud.policy_versions, generate_series(2, 200) AS n
WHERE policy_version = 1
"""


def main() -> None:
    """Fills it; of the alerts the newest are open."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transactions", type=int, default=1_000_000, help="one in 50 is an alert (1000000)")
    parser.add_argument("--open", type=int, default=500, help="alerts (500)")
    arguments = parser.parse_args()
    settings = load_settings()
    values = {"rows": arguments.transactions, "open": arguments.open, "days": DAYS}
    with connect(settings, settings.postgres.admin, autocommit=True) as owner:
        owner.execute("SET ROLE fraud_owner")
        made_transactions.insert(owner, arguments.transactions, DAYS, _COLUMNS)
        for statement in (_ALERTS, _DECIDED, _RULE_COUNTS, _CHANGES):
            owner.execute(statement.encode(), values)
        made_policy.save(owner, LIST_ENTRIES)
        owner.execute(_VERSIONS)
        owner.execute("RESET ROLE")
        owner.execute("VACUUM ANALYZE")


if __name__ == "__main__":
    main()
