"""Which sales count: the sink's transactions against a real Postgres, compared with a recomputation from the rows."""

from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fraudstream.messages.contracts import Topic, iso_milliseconds
from fraudstream.settings import Settings
from spark_jobs import sink, statements
from spark_jobs.fencing import Driver
from spark_jobs.ledger import BatchRecord
from tests.faults import rollups
from tests.integration.test_sink import batch as of_ranges
from tests.integration.test_sink import commit, labelled, repeated, scored
from tests.messages import NOW
from tests.streaming import become_driver

Postgres = psycopg.Connection[Any]
Row = dict[str, Any]

pytestmark = pytest.mark.usefixtures("empty_tables")


class Books:
    """A sink that commits rows as consecutive batches, and checks the rollups after each."""

    def __init__(self, writer: Postgres, driver: Driver) -> None:
        self._writer, self._driver = writer, driver
        self.batches = 0
        self._at = {Topic.TRANSACTIONS: 0, Topic.TRANSACTION_LABELS: 0}

    def commit(self, *rows: Row) -> BatchRecord:
        """Commits the rows, each at the next offset of its topic."""
        before = self._at.copy()
        for row in rows:
            topic = Topic(row["topic"])
            row["offset"] = self._at[topic]
            self._at[topic] += 1
        ranges = [(topic, start, self._at[topic]) for topic, start in before.items()]
        record = commit(self._writer, self._driver, of_ranges(self.batches, *ranges), rows)
        self.batches += 1
        assert list(rollups.differences(self._writer)) == []
        return record

    def sold(self) -> Any:
        """Units of all windows; each order of these tests has 2."""
        return self.value("SELECT coalesce(sum(units), 0)::int FROM fraud.product_sales")

    def published(self, batch_id: int) -> list[tuple[Any, ...]]:
        """Products that a batch publishes, with units and revenue."""
        rows = self._writer.execute(statements.SALES_TO_PUBLISH.encode(), (batch_id,)).fetchall()
        return [(product, units, revenue) for product, _, units, revenue in rows]

    def value(self, query: str) -> Any:
        found = self._writer.execute(query).fetchone()
        assert found
        return found[0]


@pytest.fixture
def books(settings: Settings, writer: Postgres) -> Books:
    sink.prepare(writer)
    return Books(writer, become_driver(writer, settings))


#: Exchange rates of the orders of these names; of any other, 1.
RATES = {"b": 0.0061, "c": float("nan"), "d": 2.812345678901}


def order(
    name: str, customer: str = "c-1", session: str | None = "s-1", *, is_fraud: bool = False, **fields: Any
) -> Row:
    row = scored(0, is_fraud=is_fraud, transaction_id=name, customer_id=customer, session_id=session, **fields)
    return row | {"exchange_rate": RATES.get(name[0], 1.0)}


def verdict(name: str, *, is_fraud: bool, day: int = 1) -> Row:
    at = iso_milliseconds(NOW.replace(day=day))
    return labelled(0, transaction_id=name, is_fraud=is_fraud, labelled_at=at)


@pytest.mark.parametrize("fields", [{}, {"amount": 9}, {"customer_id": "c-2", "session_id": "s-2"}])
@pytest.mark.parametrize("together", [False, True], ids=["in a later batch", "in one batch"])
@pytest.mark.parametrize("known", [False, True], ids=["unknown to the profile", "known to the profile"])
def test_a_refused_message_takes_no_sale_back(books: Books, fields: Row, together: bool, known: bool) -> None:
    first = [order("first"), order("other", "c-2", "s-2")]
    if known:
        again = repeated(0, **({"transaction_id": "first", "customer_id": "c-1", "session_id": "s-1"} | fields))
    else:
        again = scored(0, is_fraud=True, **({"transaction_id": "first"} | fields))
    record = books.commit(*first, again) if together else (books.commit(*first), books.commit(again))[1]
    assert record.totals.duplicates + record.totals.dead_lettered == 1
    assert books.sold() == 4
    assert books.value("SELECT count(*) FROM fraud.fraud_alerts") == 0


def test_a_refused_message_of_a_labelled_fraud_takes_no_sale_back(books: Books) -> None:
    books.commit(order("fraud"), order("other", "c-2", "s-2"), verdict("fraud", is_fraud=True))
    assert books.sold() == 2
    books.commit(order("fraud", "c-2", "s-2"))
    assert books.sold() == 2


def test_a_session_is_one_customer_s(books: Books) -> None:
    books.commit(order("a", "c-1", "1"), order("b", "c-2", "1"), order("c", "c-3", "1", is_fraud=True))
    assert books.sold() == 4
    books.commit(verdict("a", is_fraud=True))
    assert books.sold() == 2
    books.commit(order("d", "c-2", "1"), order("e", "c-1", "1"))
    assert books.sold() == 4


def test_the_newest_verdict_decides_both_ways(books: Books) -> None:
    books.commit(order("a"), order("b"))
    books.commit(verdict("a", is_fraud=True, day=1))
    assert books.sold() == 0
    books.commit(verdict("a", is_fraud=False, day=3))
    assert books.sold() == 4
    books.commit(verdict("a", is_fraud=True, day=2))
    assert books.sold() == 4, "an older verdict that comes late decides nothing"
    books.commit(verdict("a", is_fraud=True, day=4))
    assert books.sold() == 0


def test_the_sales_of_a_dismissed_alert_come_back(books: Books) -> None:
    books.commit(order("a", is_fraud=True), order("b"))
    assert books.sold() == 0
    books.commit(verdict("a", is_fraud=False))
    assert books.sold() == 4
    assert books.value("SELECT status FROM fraud.fraud_alerts") == "dismissed"
    assert books.value("SELECT min(batch_id) FROM fraud.product_sales") == 1, "and the window is published again"


def test_sales_are_moved_in_the_segments_of_their_orders(books: Books) -> None:
    segments = "SELECT jsonb_object_agg(shipping_country || ' ' || payment_method, units) FROM fraud.segment_sales"
    french, nowhere = order("a", shipping_country="FR"), order("b", shipping_country=None, payment_method=None)
    books.commit(french, nowhere, order("x", "c-2", "s-2", shipping_country="FR"))
    assert books.value(segments) == {"FR card": 4, " ": 2}
    books.commit(verdict("b", is_fraud=True))
    assert books.value(segments) == {"FR card": 2, " ": 0}
    books.commit(verdict("b", is_fraud=False, day=2))
    assert books.value(segments) == {"FR card": 4, " ": 2}


def test_a_session_with_another_fraud_stays_flagged(books: Books) -> None:
    books.commit(order("a", is_fraud=True), order("b", is_fraud=True), order("c"))
    books.commit(verdict("a", is_fraud=False))
    assert books.sold() == 0
    books.commit(verdict("b", is_fraud=False), order("d"))
    assert books.sold() == 8


def test_the_newest_label_decides_about_an_order_that_comes_after_it(books: Books) -> None:
    books.commit(verdict("a", is_fraud=True, day=1), verdict("a", is_fraud=False, day=2))
    books.commit(verdict("b", is_fraud=False, day=1), verdict("b", is_fraud=True, day=2))
    books.commit(verdict("c", is_fraud=False))
    books.commit(order("a"), order("b", session="s-2"), order("c", session="s-3", is_fraud=True))
    assert books.sold() == 4
    assert books.value("SELECT status FROM fraud.fraud_alerts") == "dismissed"


def test_a_sale_in_another_currency_is_taken_back_and_put_back_with_the_amount_that_was_added(books: Books) -> None:
    revenue = "SELECT sum(revenue)::text FROM fraud.product_sales"
    books.commit(order("a"), order("b", session="s-2"), order("c", session="s-3"), order("d", session="s-4"))
    assert (books.sold(), books.value(revenue)) == (8, "152.7378")  # 40, 0.244, none and 112.4938
    for name in "bcd":
        books.commit(verdict(name, is_fraud=True))
    assert (books.sold(), books.value(revenue)) == (2, "40.0000")
    for name in "bcd":
        books.commit(verdict(name, is_fraud=False, day=2))
    assert (books.sold(), books.value(revenue)) == (8, "152.7378")


def test_a_purchase_without_a_session_is_one_by_itself(books: Books) -> None:
    books.commit(order("a", session=None, is_fraud=True), order("b", session=None), order("c"))
    assert books.sold() == 4
    assert books.value("SELECT count(*) FROM fraud.flagged_sessions") == 0
    books.commit(verdict("a", is_fraud=False), verdict("b", is_fraud=True))
    assert books.sold() == 4
    books.commit(verdict("b", is_fraud=False, day=2), order("d", session=None), order("e", session=None, is_fraud=True))
    assert books.sold() == 8


def test_a_purchase_that_lacks_things_is_kept_with_nulls_and_counted_where_it_can_be(books: Books) -> None:
    lacks = ("items", "payment_method", "promo_amount", "shipping_fee", "shipping_city", "shipping_latitude")
    more = ("shipping_country", "ip_country", "device_id", "card_token", "currency")
    nothing = dict.fromkeys((*lacks, *more))
    books.commit(order("a", session=None, is_fraud=True, **nothing), order("b", session=None, **nothing))
    null = f"SELECT count(*) FROM fraud.scored_transactions WHERE num_nonnulls(session_id, {', '.join(lacks)}) = 0"
    assert books.value(null) == 2
    assert books.value("SELECT array_agg(DISTINCT currency || ' ' || shop) FROM fraud.fraud_alerts") == ["EUR main"]
    assert books.value("SELECT flagged FROM fraud.fraud_counts") == 1
    assert books.value("SELECT count(*) FROM fraud.fraud_locations") == books.sold() == 0


def test_shops_have_windows_of_their_own_and_a_product_is_published_as_one(books: Books) -> None:
    books.commit(order("x"), order("y", "c-2", shop="berlin"), order("z", "c-2", "s-3", shop="berlin", is_fraud=True))
    shops = "SELECT jsonb_object_agg(shop, {}) FROM fraud.{}"
    assert books.value(shops.format("units", "product_sales")) == {"main": 2, "berlin": 2}
    assert books.value(shops.format("transactions", "fraud_counts")) == {"main": 1, "berlin": 2}
    assert books.value(shops.format("flagged", "fraud_locations")) == {"berlin": 1}
    books.commit(order("w", "c-4", shop="berlin"))
    assert books.published(1) == [("p-1", 6, 120)]


names = st.sampled_from("abcd")
orders = st.tuples(st.just(order), names, st.sampled_from("xy"), st.sampled_from(["1", "2", None]), st.booleans())
verdicts = st.tuples(st.just(verdict), names, st.booleans(), st.integers(1, 4))


@hypothesis_settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(st.one_of(orders, verdicts), max_size=4), min_size=1, max_size=5))
def test_sales_follow_from_the_rows_whatever_comes_in_whatever_order(books: Books, batches: list[list[Any]]) -> None:
    example = books.batches  # names of its own, since what earlier examples committed stays
    for batch in batches:
        rows = []
        for make, name, *rest in batch:
            if make is order:
                customer, session, is_fraud = rest
                rows.append(order(f"{name}-{example}", f"{customer}-{example}", session, is_fraud=is_fraud))
            else:
                is_fraud, day = rest
                rows.append(verdict(f"{name}-{example}", is_fraud=is_fraud, day=day))
        books.commit(*rows)
