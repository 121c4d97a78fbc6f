"""Retention against a real Postgres: what is old goes, every sum stays, and a repeat of what went is still known."""

import math
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from fraudstream.ledger import figures, reconciliation, rotation
from fraudstream.messages.contracts import Topic, iso_milliseconds
from fraudstream.retention import tables, thinning
from fraudstream.settings.retention import RetentionSettings
from spark_jobs import statements
from spark_jobs.fencing import Driver
from tests.integration.test_sink import batch, commit, dead, labelled, one, repeated, sales, scored
from tests.messages import NOW

Postgres = psycopg.Connection[Any]
KEEP = RetentionSettings()
OLD = "interval '200 days'"

pytestmark = pytest.mark.usefixtures("empty_tables")


@pytest.fixture
def aged(writer: Postgres, owner: Postgres, driver: Driver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Postgres]:
    """Two batches of 200 days ago and one of now, all published; only the newest has to stay."""
    monkeypatch.setattr(tables, "KEPT_BATCHES", 1)
    monkeypatch.setattr(tables, "STEP_ROWS", 2)
    for number in range(3):
        first = number * 5
        rows = [scored(n, session_id=f"s-{n}", is_fraud=n == 1) for n in range(first, first + 4)]
        what = batch(number, (Topic.TRANSACTIONS, first, first + 5), (Topic.TRANSACTION_LABELS, number, number + 1))
        commit(writer, driver, what, [*rows, dead(first + 4, b"{"), labelled(number, transaction_id=f"tx-{first}")])
    owner.execute("UPDATE fraud.stream_batches SET published_at = now()")
    for table, column in (
        ("stream_batches", "committed_at"),
        ("scored_transactions", "committed_at"),
        ("transaction_labels", "ingest_time"),
        ("dead_letters", "created_at"),
    ):
        owner.execute(f"UPDATE fraud.{table} SET {column} = now() - {OLD} WHERE batch_id < 2".encode())
    yield writer


def retire(writer: Postgres, keep: RetentionSettings = KEEP) -> dict[str, int]:
    return {retired.table: retired.rows for retired in tables.retire(writer, keep)}


def rows_of_batches(writer: Postgres) -> dict[str, set[int]]:
    names = ("stream_batches", "scored_transactions", "transaction_labels", "dead_letters")
    return {name: {b for (b,) in writer.execute(f"SELECT batch_id FROM fraud.{name}".encode())} for name in names}


def test_old_rows_go_and_their_sums_stay(aged: Postgres) -> None:
    before = figures.totals(aged)
    counted = {retired.table: retired.rows for retired in tables.count(aged, KEEP)}
    gone = retire(aged)
    assert (gone["stream_batches"], counted["stream_batches"]) == (2, 2)
    assert (gone["scored_transactions"], gone["dead_letters"], gone["transaction_labels"]) == (8, 2, 2)
    assert set(map(frozenset, rows_of_batches(aged).values())) == {frozenset({2})}
    assert figures.totals(aged) == before
    retired = dict(aged.execute("SELECT table_name || '.' || figure, total FROM fraud.retired_totals").fetchall())
    assert one(aged, "SELECT count(*) FROM fraud.scored_transactions") + retired["scored_transactions.rows"] == 12
    assert retired["stream_batches.scored"] == retired["scored_transactions.rows"] == 8
    assert retired["scored_transactions.amount"] == 2 * one(aged, "SELECT sum(amount) FROM fraud.scored_transactions")
    assert set(retire(aged).values()) == {0}


def test_rows_of_a_batch_that_is_not_published_stay(aged: Postgres, owner: Postgres) -> None:
    owner.execute("UPDATE fraud.stream_batches SET published_at = NULL WHERE batch_id = 0")
    retire(aged)
    found = rows_of_batches(aged)
    assert found["scored_transactions"] == found["dead_letters"] == {0, 1, 2}
    assert found["stream_batches"] == {0, 2}


def test_the_newest_batches_stay_however_old(aged: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "KEPT_BATCHES", 1000)
    retire(aged)
    assert rows_of_batches(aged)["stream_batches"] == {0, 1, 2}


def test_a_claimed_dead_letter_stays_until_its_replay_is_over(aged: Postgres) -> None:
    aged.execute("UPDATE fraud.dead_letters SET replay_claimed_at = now(), replay_from = 9 WHERE batch_id = 0")
    assert retire(aged)["dead_letters"] == 1


@pytest.mark.parametrize("kind", [scored, repeated], ids=["unknown to the profile", "known to the profile"])
def test_a_repeat_of_a_deleted_transaction_is_a_duplicate(aged: Postgres, driver: Driver, kind: Any) -> None:
    retire(aged)
    before = one(aged, "SELECT sum(transactions), sum(amount) FROM fraud.fraud_counts")
    rows = [
        kind(15, transaction_id="tx-0", session_id="s-0"),
        kind(16, transaction_id="tx-3", session_id="s-3", amount=9),
    ]
    record = commit(aged, driver, batch(3, (Topic.TRANSACTIONS, 15, 17)), rows)
    assert (record.totals.scored, record.totals.duplicates, record.totals.dead_lettered) == (0, 1, 1)
    said = one(aged, "SELECT reason, detail FROM fraud.dead_letters WHERE batch_id = 3")
    assert said == ("ID_CONFLICT", "its transaction_id came with other content in partition 0 at offset 3")
    assert one(aged, "SELECT sum(transactions), sum(amount) FROM fraud.fraud_counts") == before
    assert one(aged, "SELECT count(*) FROM fraud.scored_transactions WHERE batch_id = 3") == 0
    assert differences(aged) == []


def test_a_label_of_a_deleted_transaction_is_booked_and_moves_no_sale(aged: Postgres, driver: Driver) -> None:
    retire(aged)
    before = sales(aged)
    record = commit(aged, driver, batch(3, (Topic.TRANSACTION_LABELS, 3, 4)), [labelled(3, transaction_id="tx-2")])
    assert record.totals.labels == 1
    assert sales(aged) == before != (0, 0)
    assert differences(aged) == []


def test_the_books_agree_after_retention(aged: Postgres, owner: Postgres) -> None:
    owner.execute("UPDATE fraud.fraud_counts SET window_start = window_start - interval '900 days'")
    aged.execute("INSERT INTO fraud.fraud_counts VALUES (now(), 0, 0, 0, 0)")
    retire(aged)
    assert one(aged, "SELECT count(*) FROM fraud.fraud_counts") == 1
    scored_ones = figures.totals(aged).scored
    assert one(aged, reconciliation.COUNTED) == scored_ones == 12
    assert rotation.compare_next(aged, whole=True).differences == []


def differences(connection: Postgres) -> list[str]:
    """What reconciliation would find in all that is still there, and in the sum of all time."""
    found = rotation.compare_next(connection, whole=True).differences
    found += reconciliation._counts(connection, figures.totals(connection).scored)
    return [difference.text for difference in found]


def test_the_books_agree_on_rows_of_every_age(writer: Postgres, driver: Driver) -> None:
    """Their rollups are as written, minutes, hours, or gone; each hour has several windows and currencies."""
    rates = (1.0, 0.0061, math.nan)
    times = [NOW - timedelta(days=days, seconds=seconds) for days in (0, 3, 30, 900) for seconds in (1, 35, 600, 2000)]
    rows = [
        scored(n, session_id=f"s-{n}", is_fraud=n % 4 == 3, event_time=iso_milliseconds(time))
        | {"exchange_rate": rates[n % 3]}
        for n, time in enumerate(times)
    ]
    commit(writer, driver, batch(0, (Topic.TRANSACTIONS, 0, 16)), rows)
    assert rotation.compare_next(writer, whole=True).hours == 4
    assert differences(writer) == []
    list(thinning.thin(writer, KEEP))
    assert sum(retire(writer).values()) == 6, "the hour, or day, of 900 days ago in each rollup"
    days = {time.date() for time in times[4:12]}
    assert rotation.compare_next(writer, whole=True).hours == 3 + len(days), "and the beginning of merged days"
    assert differences(writer) == []
    widths = "SELECT array_agg(DISTINCT seconds ORDER BY seconds) FROM fraud.{}"
    for table, of_stream in (("fraud_counts", 10), ("product_sales", 30), ("fraud_locations", 60)):
        assert set(one(writer, widths.format(table))) == {of_stream, 60, 3600}
    assert set(one(writer, widths.format("segment_counts"))) == {900, 3600}
    assert set(one(writer, widths.format("segment_sales"))) == {3600, 86_400}

    changes = [labelled(n, transaction_id=f"tx-{4 * n}") for n in range(4)]
    commit(writer, driver, batch(1, (Topic.TRANSACTION_LABELS, 0, 4)), changes)
    late = [scored(16 + n, session_id=f"s-{16 + n}", event_time=iso_milliseconds(times[4 * n + 1])) for n in range(4)]
    commit(writer, driver, batch(2, (Topic.TRANSACTIONS, 16, 20)), late)
    published = [statements.SALES_TO_PUBLISH, "SELECT * FROM fraud.product_sales WHERE batch_id = %s"]
    assert [len(writer.execute(query.encode(), (1,)).fetchall()) for query in published] == [1, 4]
    assert [len(writer.execute(query.encode(), (2,)).fetchall()) for query in published] == [1, 4]
    assert differences(writer) == []
    list(thinning.thin(writer, KEEP))
    retire(writer)
    assert differences(writer) == []


@pytest.mark.parametrize("by_label", [False, True], ids=["by the model", "by a label"])
def test_a_session_whose_fraud_was_deleted_stays_flagged(
    aged: Postgres, owner: Postgres, driver: Driver, by_label: bool
) -> None:
    """Else a label of another order, or the session's age, brings its sales back."""
    session = "s-0" if by_label else "s-1"  # of tx-0, labelled a fraud, and of tx-1, a fraud by the model's decision
    sold = "SELECT counted_in_sales FROM fraud.scored_transactions WHERE transaction_id = 'tx-15'"
    commit(aged, driver, batch(3, (Topic.TRANSACTIONS, 15, 16)), [scored(15, session_id=session)])
    owner.execute(f"UPDATE fraud.flagged_sessions SET flagged_at = now() - {OLD}")
    assert one(aged, sold) is False
    retire(aged)
    flagged = dict(aged.execute("SELECT session_id, fraud_retired FROM fraud.flagged_sessions").fetchall())
    assert flagged == {session: True, "s-10": False}, "those without a transaction are gone"
    cleared = labelled(3, transaction_id="tx-15", is_fraud=False)
    commit(aged, driver, batch(4, (Topic.TRANSACTION_LABELS, 3, 4)), [cleared])
    assert one(aged, sold) is False
    assert differences(aged) == []


def test_a_session_whose_dismissed_alert_was_deleted_can_be_cleared(
    aged: Postgres, owner: Postgres, driver: Driver
) -> None:
    rows = [scored(15, session_id="s-1", is_fraud=True), labelled(3, transaction_id="tx-1", is_fraud=False)]
    commit(aged, driver, batch(3, (Topic.TRANSACTIONS, 15, 16), (Topic.TRANSACTION_LABELS, 3, 4)), rows)
    retire(aged)
    cleared = labelled(4, transaction_id="tx-15", is_fraud=False)
    commit(aged, driver, batch(4, (Topic.TRANSACTION_LABELS, 4, 5)), [cleared])
    assert one(aged, "SELECT counted_in_sales FROM fraud.scored_transactions WHERE transaction_id = 'tx-15'") is True


def test_labels_stay_as_long_as_their_transaction(aged: Postgres) -> None:
    """Else the model's decision would count again, which a label had overruled."""
    gone = retire(aged, RetentionSettings(labels_days=30, transactions_days=1000))
    assert (gone["scored_transactions"], gone["transaction_labels"]) == (0, 0)


AGES = """
INSERT INTO fraud.incidents (source, subject, severity, text, opened_at, seen_at, closed_at)
SELECT 'books', coalesce('of ' || days, 'open'), 'warning', '', now() - interval '300 days', now(),
       now() - days * interval '1 day'
FROM unnest(ARRAY[NULL, 100, 200]) AS days;
INSERT INTO fraud.lists (name, kind, created_by) VALUES ('stolen', 'card', 'ana');
INSERT INTO fraud.list_entries (list_name, value, added_by, added_at, expires_at, removed_at)
SELECT 'stolen', value, 'ana', now() - interval '300 days', now() + expires * interval '1 day',
       now() - removed * interval '1 day'
FROM (VALUES ('at work', NULL::int, NULL::int), ('still explains', -100, 1), ('removed', 9, 200), ('expired', -200, 1))
     AS entry (value, expires, removed);
INSERT INTO fraud.rule_counts (window_start, rule, state, matched, changed, amount)
SELECT now() - days * interval '1 day', 'big', 'live', 1, 0, 20 FROM unnest(ARRAY[790, 810]) AS days
"""


def test_what_is_over_goes_and_what_explains_a_kept_decision_stays(writer: Postgres, owner: Postgres) -> None:
    owner.execute(AGES)
    gone = retire(writer)
    assert (gone["incidents"], gone["list_entries"], gone["rule_counts"]) == (1, 2, 1)
    left = writer.execute("SELECT value FROM fraud.list_entries UNION ALL SELECT subject FROM fraud.incidents")
    assert {value for (value,) in left} == {"at work", "still explains", "of 100", "open"}


def test_what_is_taken_back_of_a_thinned_window_changes_its_sum(
    writer: Postgres, owner: Postgres, driver: Driver
) -> None:
    commit(writer, driver, batch(0, (Topic.TRANSACTIONS, 0, 2)), [scored(0), scored(1, session_id="s-2")])
    now = "INSERT INTO fraud.product_sales VALUES (%s, 'newest', 1, 1, 0)"
    writer.execute(now, (NOW + timedelta(days=30),))
    assert one(writer, "SELECT max(window_start) <= now() FROM fraud.product_sales"), (
        "the clock of the tests is in the past"
    )
    list(thinning.thin(writer, KEEP))
    assert one(writer, "SELECT units, revenue, seconds FROM fraud.product_sales WHERE product_id <> 'newest'") == (
        *(4, 80, 3600),
    )
    taken_back = [labelled(0, transaction_id="tx-0")]
    commit(writer, driver, batch(1, (Topic.TRANSACTION_LABELS, 0, 1)), taken_back)
    query = "SELECT sum(units), sum(revenue) FROM fraud.product_sales WHERE product_id <> 'newest'"
    assert one(writer, query) == (2, 40)
    assert writer.execute(statements.SALES_TO_PUBLISH, (1,)).fetchall() == [], "the whole of the window isn't known"
    list(thinning.thin(writer, KEEP))
    assert one(writer, query) == (2, 40)
    assert one(writer, "SELECT count(*) FROM fraud.product_sales WHERE product_id <> 'newest'") == 1


def test_segments_sales_become_days_except_where_a_past_ends(writer: Postgres) -> None:
    """Of that day, a past that takes its place takes out its own hours alone."""
    sale = "INSERT INTO fraud.segment_sales VALUES (%s, 'p', 'main', 'FR', 'card', 'allow', 1, 10)"
    midnight = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
    for hours in (0, 5, 23, 24, 30, 100):
        writer.execute(sale, (midnight + timedelta(hours=hours),))
    writer.execute(
        "INSERT INTO fraud.history_imports (fingerprint, folder, snapshot, first_event, last_event, customers, "
        "browse_events, transactions, labels, rollups_until) "
        "VALUES ('f', 'f', 's', %(at)s, %(at)s, 0, 0, 0, 0, %(at)s)",
        {"at": midnight + timedelta(hours=28)},
    )
    assert {told.table: told.rows for told in thinning.count(writer, KEEP)}["segment_sales to days"] == 3
    assert {told.table: told.rows for told in thinning.thin(writer, KEEP)}["segment_sales to days"] == 3
    found = writer.execute("SELECT window_start, seconds, units FROM fraud.segment_sales ORDER BY 1").fetchall()
    assert [((start - midnight) / timedelta(hours=1), *more) for start, *more in found] == [
        *((0, 86_400, 3), (24, 3600, 1), (30, 3600, 1), (100, 3600, 1)),
    ]
    writer.execute(sale.replace("'allow'", "'review'"), (midnight,))
    list(thinning.thin(writer, KEEP))
    assert one(writer, "SELECT sum(units), count(*) FROM fraud.segment_sales WHERE seconds = 86400") == (4, 2)


ages = st.integers(0, 60 * 86_400 // 30)


@given(st.lists(st.tuples(ages, st.sampled_from("abc"), st.integers(-3, 9)), max_size=30, unique_by=lambda w: w[:2]))
@examples(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_thinning_keeps_every_hours_sum(writer: Postgres, windows: list[tuple[int, str, int]]) -> None:
    writer.execute("DELETE FROM fraud.product_sales")
    newest = one(writer, "SELECT date_bin('30 s', now(), '2000-01-01 00:00+00')")
    hourly = """
        SELECT date_bin('1 hour', window_start, '2000-01-01 00:00+00'), product_id, sum(units), sum(revenue)
        FROM fraud.product_sales GROUP BY 1, 2 ORDER BY 1, 2
    """
    for age, product, units in [(0, "n", 1), *windows]:
        start = newest - timedelta(seconds=30 * age)
        writer.execute("INSERT INTO fraud.product_sales VALUES (%s, %s, %s, %s, 1)", (start, product, units, units))
    before = writer.execute(hourly).fetchall()
    list(thinning.thin(writer, KEEP))
    assert writer.execute(hourly).fetchall() == before
    for age, product, units in windows:  # the same once more, late
        start = newest - timedelta(seconds=30 * age)
        writer.execute(
            "INSERT INTO fraud.product_sales AS p VALUES (%s, %s, %s, %s, 2) "
            "ON CONFLICT (window_start, product_id, shop) DO UPDATE "
            "SET units = p.units + excluded.units, revenue = p.revenue + excluded.revenue",
            (start, product, units, units),
        )
    before = writer.execute(hourly).fetchall()
    list(thinning.thin(writer, KEEP))
    assert writer.execute(hourly).fetchall() == before
    ends = {60: KEEP.rollups_fine_hours + 1, 3600: KEEP.rollups_minutes_days * 24 + 1}
    for width, hours in ends.items():
        finer = f"SELECT count(*) FROM fraud.product_sales WHERE seconds < {width} AND window_start < %s"
        assert writer.execute(finer.encode(), (newest - timedelta(hours=hours),)).fetchone() == (0,)
    thinned = writer.execute("SELECT * FROM fraud.product_sales ORDER BY 1, 2").fetchall()
    list(thinning.thin(writer, KEEP))
    assert writer.execute("SELECT * FROM fraud.product_sales ORDER BY 1, 2").fetchall() == thinned
