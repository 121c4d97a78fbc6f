"""The sink's transaction against a real Postgres: once, all or nothing, and rollups that follow the rows."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import psycopg
import pyarrow as pa
import pytest
from pyspark.sql.pandas.types import to_arrow_schema

from fraudstream.messages.contracts import ScoredTransaction, Topic
from fraudstream.messages.features import pack
from fraudstream.settings import Settings
from model.features.columns import SERVED_COLUMNS
from spark_jobs import sink
from spark_jobs.bucket import Kind
from spark_jobs.checkpoint import OffsetRange
from spark_jobs.fencing import Driver, FencedError
from spark_jobs.ledger import LedgerError
from spark_jobs.publisher import _messages
from spark_jobs.schemas import SCORED
from tests.faults import rollups
from tests.messages import NOW, as_bytes, label, transaction
from tests.streaming import become_driver as become_driver

INGEST_MS = int(NOW.timestamp() * 1000) + 250
Postgres = psycopg.Connection[Any]

pytestmark = pytest.mark.usefixtures("empty_tables")


def row(kind: Kind, topic: Topic, offset: int | None, **fields: Any) -> dict[str, Any]:
    empty: dict[str, Any] = dict.fromkeys(SCORED.fieldNames())
    known = {"kind": kind.value, "topic": topic.value, "partition": 0, "offset": offset, "messages": 1}
    return empty | known | {"ingest_ms": INGEST_MS} | fields


def scored(offset: int, *, is_fraud: bool = False, **fields: Any) -> dict[str, Any]:
    value = as_bytes(transaction(**({"transaction_id": f"tx-{offset}"} | fields)))
    decision = {"fraud_score": 0.9 if is_fraud else 0.1, "is_fraud": is_fraud, "reasons": b"[]", "late": False}
    decision |= {"exchange_rate": 1.0, "features": features_of(offset)}
    return row(Kind.TRANSACTION, Topic.TRANSACTIONS, offset, key=b"c-1", value=value, **decision)


def features_of(offset: int) -> bytes:
    return pack(np.full((1, len(SERVED_COLUMNS)), offset + 0.5))[0]


def repeated(offset: int, **fields: Any) -> dict[str, Any]:
    """A message whose id the profile knows."""
    return row(Kind.DUPLICATE, Topic.TRANSACTIONS, offset, key=b"c-1", value=as_bytes(transaction(**fields)))


def labelled(offset: int, **fields: Any) -> dict[str, Any]:
    return row(Kind.LABEL, Topic.TRANSACTION_LABELS, offset, value=as_bytes(label(**fields)))


def dead(offset: int, value: bytes) -> dict[str, Any]:
    return row(Kind.DEAD, Topic.TRANSACTIONS, offset, value=value, reason="WRONG_TYPE", detail="a detail")


def batch(batch_id: int, *ranges: tuple[Topic, int, int]) -> sink.Batch:
    """A batch of partition 0 of the topics, from one offset until another."""
    return sink.Batch(
        batch_id, [OffsetRange(t.value, 0, start, until) for t, start, until in ranges], "m-1", 0.5, 1, NOW.timestamp()
    )


def commit(writer: Postgres, driver: Driver, what: sink.Batch, rows: Sequence[dict[str, Any]]) -> Any:
    return sink.commit(writer, driver, what, pa.Table.from_pylist(list(rows), schema=to_arrow_schema(SCORED)))


def one(writer: Postgres, query: str) -> Any:
    found = writer.execute(query).fetchone()
    return found[0] if found and len(found) == 1 else found


def sales(writer: Postgres) -> Any:
    return one(writer, "SELECT coalesce(sum(units), 0), coalesce(sum(revenue), 0) FROM fraud.product_sales")


def test_a_challengers_scores_are_kept_beside_the_champions(writer: Postgres, driver: Driver) -> None:
    shadowed = replace(batch(0, (Topic.TRANSACTIONS, 0, 1)), challenger_version="m-2")
    commit(writer, driver, shadowed, [scored(0) | {"challenger_score": 0.25}])
    commit(writer, driver, batch(1, (Topic.TRANSACTIONS, 1, 2)), [scored(1)])
    rows = writer.execute(
        "SELECT model_version, fraud_score, challenger_version, challenger_score "
        "FROM fraud.scored_transactions ORDER BY kafka_offset"
    )
    assert rows.fetchall() == [("m-1", 0.1, "m-2", 0.25), ("m-1", 0.1, None, None)]


def test_a_batch_leaves_rows_rollups_ledger_and_exact_accounting(writer: Postgres, driver: Driver) -> None:
    first = batch(0, (Topic.TRANSACTIONS, 0, 4), (Topic.BROWSE_EVENTS, 0, 7))
    rows = [
        scored(0),
        scored(1, is_fraud=True, session_id="s-2", amount=100),
        dead(2, b"{"),
        repeated(3, transaction_id="tx-0"),
        row(Kind.BROWSE, Topic.BROWSE_EVENTS, None, messages=7),
    ]
    record = commit(writer, driver, first, rows)
    assert (record.totals.scored, record.flagged, record.totals.dead_lettered) == (2, 1, 1)
    assert one(writer, "SELECT count(*), sum(is_fraud::int) FROM fraud.scored_transactions") == (2, 1)
    assert one(writer, "SELECT transaction_id, status FROM fraud.fraud_alerts") == ("tx-1", "open")
    assert one(writer, "SELECT transactions, flagged, flagged_amount FROM fraud.fraud_counts") == (2, 1, 100)
    assert one(writer, "SELECT shipping_city, flagged FROM fraud.fraud_locations") == ("Zürich", 1)
    assert sales(writer) == (2, 40)
    columns = "topic, next_offset, scored, browse_events, dead_lettered, duplicates"
    offsets = writer.execute(f"SELECT {columns} FROM fraud.stream_offsets ORDER BY 1").fetchall()
    assert offsets == [("browse-events", 7, 0, 7, 0, 0), ("transactions", 4, 2, 0, 1, 1)]


def test_a_repeated_batch_changes_nothing(writer: Postgres, driver: Driver) -> None:
    what, rows = batch(0, (Topic.TRANSACTIONS, 0, 1)), [scored(0)]
    assert commit(writer, driver, what, rows) is not None
    assert commit(writer, driver, what, rows) is None
    assert one(writer, "SELECT count(*) FROM fraud.scored_transactions") == 1
    assert one(writer, "SELECT transactions FROM fraud.fraud_counts") == 1
    assert sales(writer) == (2, 40)


def test_a_batch_that_does_not_follow_the_ledger_is_refused(writer: Postgres, driver: Driver) -> None:
    commit(writer, driver, batch(0, (Topic.TRANSACTIONS, 0, 1)), [scored(0)])
    with pytest.raises(LedgerError, match=r"transactions/0 at offset 5, but the ledger is at 1"):
        commit(writer, driver, batch(1, (Topic.TRANSACTIONS, 5, 6)), [scored(5)])
    assert one(writer, "SELECT count(*) FROM fraud.scored_transactions") == 1


def test_a_message_that_is_not_accounted_for_fails_the_whole_batch(writer: Postgres, driver: Driver) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="accounting"):
        commit(writer, driver, batch(0, (Topic.TRANSACTIONS, 0, 2)), [scored(0)])
    assert one(writer, "SELECT count(*) FROM fraud.scored_transactions") == 0
    assert one(writer, "SELECT count(*) FROM fraud.stream_batches") == 0


def conflicts(writer: Postgres) -> list[Any]:
    query = "SELECT kafka_offset, reason, detail FROM fraud.dead_letters ORDER BY kafka_offset"
    return writer.execute(query).fetchall()


@pytest.mark.parametrize("kind", [scored, repeated], ids=["unknown to the profile", "known to the profile"])
def test_a_repeat_is_a_duplicate_and_other_content_a_conflict(writer: Postgres, driver: Driver, kind: Any) -> None:
    commit(writer, driver, batch(0, (Topic.TRANSACTIONS, 0, 1)), [scored(0)])
    rows = [kind(1, transaction_id="tx-0"), kind(2, transaction_id="tx-0", amount=9)]
    record = commit(writer, driver, batch(1, (Topic.TRANSACTIONS, 1, 3)), rows)
    assert (record.totals.scored, record.totals.duplicates, record.totals.dead_lettered) == (0, 1, 1)
    detail = "its transaction_id came with other content in partition 0 at offset 0"
    assert conflicts(writer) == [(2, "ID_CONFLICT", detail)]
    assert one(writer, "SELECT amount FROM fraud.scored_transactions") == 42.5
    assert sales(writer) == (2, 40)


def test_an_id_twice_in_a_batch_is_stored_once(writer: Postgres, driver: Driver) -> None:
    rows = [scored(0), scored(1, transaction_id="tx-0", customer_id="c-2"), repeated(2, transaction_id="tx-0")]
    record = commit(writer, driver, batch(0, (Topic.TRANSACTIONS, 0, 3)), rows)
    assert (record.totals.scored, record.totals.duplicates, record.totals.dead_lettered) == (1, 1, 1)
    assert one(writer, "SELECT customer_id FROM fraud.scored_transactions") == "c-1"
    assert [offset for offset, _, _ in conflicts(writer)] == [1]


def test_the_same_content_in_other_words_is_no_conflict(writer: Postgres, driver: Driver) -> None:
    commit(writer, driver, batch(0, (Topic.TRANSACTIONS, 0, 1)), [scored(0)])
    again = repeated(1, transaction_id="tx-0")
    again["value"] = json.dumps(json.loads(again["value"]), indent=4, sort_keys=True).encode()
    record = commit(writer, driver, batch(1, (Topic.TRANSACTIONS, 1, 2)), [again])
    assert (record.totals.duplicates, record.totals.dead_lettered) == (1, 0)


def test_late_and_flagged_are_counted_by_partition(writer: Postgres, driver: Driver) -> None:
    rows = [scored(0, is_fraud=True), scored(1) | {"late": True}, scored(2, is_fraud=True) | {"partition": 1}]
    what = batch(0, (Topic.TRANSACTIONS, 0, 2))
    commit(writer, driver, replace(what, ranges=[*what.ranges, OffsetRange("transactions", 1, 2, 3)]), rows)
    marks = writer.execute("SELECT kafka_partition, late, flagged FROM fraud.stream_offsets ORDER BY 1").fetchall()
    assert marks == [(0, 1, 1), (1, 0, 1)]


def test_an_older_driver_is_fenced(settings: Settings, writer: Postgres, driver: Driver) -> None:
    newer = become_driver(writer, settings)
    with pytest.raises(FencedError, match=rf"epoch {driver.epoch}\), was replaced by .* \(epoch {newer.epoch}\)"):
        commit(writer, driver, batch(0, (Topic.TRANSACTIONS, 0, 1)), [scored(0)])
    assert one(writer, "SELECT count(*) FROM fraud.scored_transactions") == 0
    assert commit(writer, newer, batch(0, (Topic.TRANSACTIONS, 0, 1)), [scored(0)]) is not None


def test_sales_of_a_session_are_taken_back_when_it_is_flagged_later(writer: Postgres, driver: Driver) -> None:
    commit(writer, driver, batch(0, (Topic.TRANSACTIONS, 0, 1)), [scored(0)])
    assert sales(writer) == (2, 40)
    commit(writer, driver, batch(1, (Topic.TRANSACTIONS, 1, 3)), [scored(1, is_fraud=True), scored(2)])
    assert sales(writer) == (0, 0)


def test_a_confirmed_fraud_takes_sales_back_and_decides_the_alert(writer: Postgres, driver: Driver) -> None:
    rows = [scored(0), scored(1, is_fraud=True, session_id="s-2"), scored(2, is_fraud=True, session_id="s-3")]
    commit(writer, driver, batch(0, (Topic.TRANSACTIONS, 0, 3)), rows)
    labels = [
        labelled(0, transaction_id="tx-0"),
        labelled(1, transaction_id="tx-1"),
        labelled(2, transaction_id="tx-2", is_fraud=False, source="analyst"),
    ]
    commit(writer, driver, batch(1, (Topic.TRANSACTION_LABELS, 0, 3)), labels)
    assert sales(writer) == (2, 40)  # of the dismissed one
    statuses = writer.execute("SELECT transaction_id, status FROM fraud.fraud_alerts ORDER BY 1").fetchall()
    assert statuses == [("tx-1", "confirmed"), ("tx-2", "dismissed")]


def test_a_label_may_come_before_its_transaction(writer: Postgres, driver: Driver) -> None:
    commit(writer, driver, batch(0, (Topic.TRANSACTION_LABELS, 0, 1)), [labelled(0, transaction_id="tx-0")])
    commit(writer, driver, batch(1, (Topic.TRANSACTIONS, 0, 1)), [scored(0)])
    assert sales(writer) == (0, 0)


def test_card_numbers_do_not_reach_the_dead_letters(writer: Postgres, driver: Driver) -> None:
    commit(writer, driver, batch(0, (Topic.TRANSACTIONS, 0, 1)), [dead(0, b'{"card": "4111 1111 1111 1111"}')])
    assert one(writer, "SELECT payload FROM fraud.dead_letters") == b'{"card": "**** **** **** ****"}'


def test_all_digits_of_a_currency_and_an_unknown_method_are_stored_and_published(
    writer: Postgres, driver: Driver
) -> None:
    items = [{"product_id": "p-1", "quantity": 2.0, "unit_price": 6.172}]
    dinars = scored(
        0, is_fraud=True, amount=12.345, currency="KWD", promo_amount=0.125, payment_method="knet", items=items
    )
    yen = scored(1, session_id="s-2", amount=1480.0, currency="JPY", items=items, schema_version=1.0)
    commit(writer, driver, batch(0, (Topic.TRANSACTIONS, 0, 2)), [dinars, yen])
    assert one(writer, "SELECT amount::text FROM fraud.fraud_alerts") == "12.345"
    assert sales(writer) == (2, Decimal("12.344"))
    published = [
        msgspec.json.decode(message.value, type=ScoredTransaction)
        for message in _messages(writer, 0)
        if message.topic == Topic.SCORED_TRANSACTIONS
    ]
    assert [(t.amount, t.promo_amount, t.payment_method, t.items[0].quantity) for t in published] == [
        (12.345, 0.125, "knet", 2),
        (1480.0, 0.0, "card", 2),
    ]


def test_segments_are_the_sums_of_their_rows_whatever_labels_say(writer: Postgres, driver: Driver) -> None:
    """A label changes what sold, and never what was decided; a repeat counts nowhere."""
    rows = [
        scored(0, shipping_country="FR"),
        scored(1, session_id="s-2", is_fraud=True, payment_method="paypal") | {"decision": "block"},
        scored(2, session_id="s-3", payment_method=None, shipping_country=None) | {"exchange_rate": float("nan")},
        scored(3, session_id="s-4") | {"decision": "review", "review_probability": 0.1},
    ]
    commit(writer, driver, batch(0, (Topic.TRANSACTIONS, 0, 4)), rows)
    labels = [labelled(0, transaction_id="tx-0"), labelled(1, transaction_id="tx-1", is_fraud=False)]
    more = [*labels, scored(4, transaction_id="tx-0"), scored(5, session_id="s-5", shipping_country="FR", amount=7)]
    commit(writer, driver, batch(1, (Topic.TRANSACTIONS, 4, 6), (Topic.TRANSACTION_LABELS, 0, 2)), more)
    named = "shipping_country, payment_method, decision, transactions, flagged, amount, unpriced"
    found = writer.execute(f"SELECT {named} FROM fraud.segment_counts ORDER BY 1, 2, 3".encode()).fetchall()
    assert found == [
        ("", "", "allow", 1, 0, 0, 1),
        ("CH", "card", "review", 1, 0, Decimal("42.5"), 0),
        ("CH", "paypal", "block", 1, 1, Decimal("42.5"), 0),
        ("FR", "card", "allow", 2, 0, Decimal("49.5"), 0),
    ]
    assert writer.execute(rollups.COMPARED["segment_counts"].encode()).fetchall() == []


def test_an_order_in_another_currency_is_stored_as_sent_and_added_up_as_converted(
    writer: Postgres, driver: Driver
) -> None:
    items = [{"product_id": "p-1", "quantity": 2, "unit_price": 1480}]
    rows = [
        scored(0, session_id="s-1"),
        scored(1, session_id="s-2", is_fraud=True, amount=145_833, currency="JPY") | {"exchange_rate": 0.0061},
        scored(2, session_id="s-3", amount=145_833, currency="JPY", items=items) | {"exchange_rate": 0.0062},
        scored(3, session_id="s-4", amount=99, currency="GBP", items=items) | {"exchange_rate": float("nan")},
        scored(4, session_id="s-5", is_fraud=True, amount=99, currency="GBP") | {"exchange_rate": float("nan")},
    ]
    commit(writer, driver, batch(0, (Topic.TRANSACTIONS, 0, 5)), rows)
    counts = "transactions, flagged, amount, flagged_amount, unpriced, flagged_unpriced"
    fraud, other = Decimal("889.5813"), Decimal("904.1646")
    expected = (5, 2, Decimal("42.5") + fraud + other, fraud, 2, 1)
    assert one(writer, f"SELECT {counts} FROM fraud.fraud_counts") == expected
    assert one(writer, "SELECT flagged, flagged_amount FROM fraud.fraud_locations") == (2, fraud)
    assert sales(writer) == (6, 40 + 2 * Decimal("9.176"))
    kept = writer.execute("SELECT amount, currency, exchange_rate FROM fraud.scored_transactions ORDER BY kafka_offset")
    assert kept.fetchall() == [
        (Decimal("42.5"), "EUR", 1),
        (145_833, "JPY", Decimal("0.0061")),
        (145_833, "JPY", Decimal("0.0062")),
        (99, "GBP", None),
        (99, "GBP", None),
    ]
    alerts = writer.execute("SELECT amount, currency, exchange_rate FROM fraud.fraud_alerts ORDER BY transaction_id")
    assert alerts.fetchall() == [(145_833, "JPY", Decimal("0.0061")), (99, "GBP", None)]
    values = [json.loads(m.value) for m in _messages(writer, 0) if m.topic == Topic.SCORED_TRANSACTIONS]
    assert [(value["amount"], value["shop_amount"]) for value in values] == [
        (42.5, 42.5), (145_833, 889.5813), (145_833, 904.1646), (99, None), (99, None)
    ]  # fmt: skip


def test_the_largest_purchase_that_is_valid_does_not_stop_the_stream(writer: Postgres, driver: Driver) -> None:
    items = [{"product_id": "p-1", "quantity": 10_000, "unit_price": 1e7}] * 200
    commit(writer, driver, batch(0, (Topic.TRANSACTIONS, 0, 1)), [scored(0, items=items)])
    assert sales(writer) == (2_000_000, 20_000_000_000_000)


def test_latency_is_measured_from_kafka_s_clock(writer: Postgres, driver: Driver) -> None:
    ingested = datetime.now(UTC).timestamp() * 1000 - 1500
    record = commit(writer, driver, batch(0, (Topic.TRANSACTIONS, 0, 1)), [scored(0) | {"ingest_ms": int(ingested)}])
    assert 1500 <= record.latencies_ms[0] < 10_000
