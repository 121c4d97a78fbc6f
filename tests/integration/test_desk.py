"""Claims and verdicts on a real Postgres, by the desk's own role; and the outbox, on a real Kafka."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import msgspec
import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection, Engine

from fraudstream.kafka import offsets as kafka_offsets
from fraudstream.messages.contracts import Label, Topic
from fraudstream.settings import Settings
from fraudstream.storage.connect import connect
from fraudstream.storage.expressions import ADDRESS_CELL
from fraudstream.verdicts import publish
from tests.desk import add_alerts, decisions, queue, ring, transaction

Postgres = psycopg.Connection[tuple[object, ...]]
ANALYSTS, ALERTS = 10, 500


@pytest.fixture
def desk(settings: Settings) -> Iterator[Engine]:
    """Connections of the desk's role, as Superset has them."""
    engine = create_engine(settings.dsn(settings.postgres.desk, driver="+psycopg"), pool_size=ANALYSTS)
    yield engine
    engine.dispose()


@pytest.fixture
def connection(desk: Engine) -> Iterator[Connection]:
    with desk.connect() as one, one.begin():
        yield one


def open_ids(connection: Connection, **chosen: str) -> list[str]:
    return [str(one["transaction_id"]) for one in queue.read(connection, queue.Choice(**chosen), "alice").rows]


@pytest.mark.usefixtures("empty_tables")
def test_ten_analysts_decide_500_alerts_once_each(desk: Engine, writer: Postgres) -> None:
    add_alerts(writer, ALERTS)

    def work(number: int) -> Counter[str]:
        me, outcomes = f"analyst{number}", Counter[str]()
        while True:
            with desk.begin() as one:
                waiting = queue.read(one, queue.Choice(), me, limit=5).rows
            if not waiting:
                return outcomes
            chosen = waiting[number % len(waiting)]
            try:
                with desk.begin() as one:
                    judged = decisions.Judged(chosen["transaction_id"], chosen["revision"])
                    decisions.decide(one, judged, "fraud" if number % 2 else "honest", "not_given", me)
                outcomes["decided"] += 1
            except decisions.RefusedError:
                outcomes["refused"] += 1

    with ThreadPoolExecutor(ANALYSTS) as pool:
        outcomes = sum(pool.map(work, range(ANALYSTS)), Counter[str]())
    stored = writer.execute(
        "SELECT count(*), count(DISTINCT transaction_id), max(revision) FROM fraud.analyst_verdicts"
    ).fetchone()
    assert stored == (ALERTS, ALERTS, 1)
    assert outcomes["decided"] == ALERTS
    assert outcomes["refused"] > 0, "they never met: the test shows nothing"
    held = writer.execute("SELECT count(*) FROM fraud.alert_claims WHERE released_at IS NULL").fetchone()
    assert held == (0,)


@pytest.mark.usefixtures("empty_tables")
def test_a_claim_keeps_others_from_deciding(desk: Engine, writer: Postgres, owner: Postgres) -> None:
    add_alerts(writer, 1)
    with desk.begin() as one:
        decisions.claim(one, "t1", "alice")
    with desk.begin() as one, pytest.raises(decisions.RefusedError, match=r"^alice claimed it at \d\d:\d\d, and works"):
        decisions.decide(one, decisions.Judged("t1", 0), "honest", "not_given", "bob")
    with desk.begin() as one, pytest.raises(decisions.RefusedError, match="alice claimed it"):
        decisions.claim(one, "t1", "bob", taken_from="carol")
    owner.execute("UPDATE fraud.alert_claims SET expires_at = now()")
    with desk.begin() as one:
        decisions.claim(one, "t1", "bob")
    with desk.begin() as one:
        decisions.claim(one, "t1", "alice", taken_from="bob")
        decisions.decide(one, decisions.Judged("t1", 0), "honest", "not_given", "alice")
    assert writer.execute("SELECT decided_by FROM fraud.analyst_verdicts").fetchall() == [("alice",)]


@pytest.mark.usefixtures("empty_tables")
def test_who_saw_an_older_state_is_refused_and_told(desk: Engine, writer: Postgres) -> None:
    add_alerts(writer, 1)
    seen = decisions.Judged("t1", 0)
    with desk.begin() as one:
        decisions.decide(one, seen, "fraud", "stolen_card", "alice")
    with pytest.raises(decisions.RefusedError, match="alice decided fraud at"), desk.begin() as one:
        decisions.decide(one, seen, "honest", "not_given", "bob")
    with desk.begin() as one:
        decisions.decide(one, decisions.Judged("t1", 1), "honest", "customer_confirms", "bob")
        found = transaction.read(one, "t1")
    assert (found.transaction["verdict"], found.transaction["decided_by"]) == ("honest", "bob")
    assert [one["what"] for one in found.done if one["who"] == "bob"] == ["claimed it", "decided honest"]


@pytest.mark.usefixtures("empty_tables")
def test_an_undone_verdict_comes_back_to_the_queue(desk: Engine, writer: Postgres, owner: Postgres) -> None:
    add_alerts(writer, 2)
    with desk.begin() as one:
        first = decisions.decide(one, decisions.Judged("t1", 0), "fraud", "not_given", "alice")
        second = decisions.decide(one, decisions.Judged("t2", 0), "fraud", "not_given", "alice")
        assert open_ids(one) == []
        assert decisions.undo(one, [first], "alice") == ["t1"]
        assert open_ids(one) == ["t1"]
    owner.execute("UPDATE fraud.analyst_verdicts SET publish_after = now()")
    with desk.begin() as one, pytest.raises(decisions.RefusedError, match="too late"):
        decisions.undo(one, [second], "alice")


@pytest.mark.usefixtures("empty_tables")
def test_of_a_verdict_that_was_replaced_and_one_that_was_taken_back_the_first_stands(
    desk: Engine, writer: Postgres
) -> None:
    add_alerts(writer, 2)
    with desk.begin() as one:
        decisions.decide(one, decisions.Judged("t1", 0), "fraud", "not_given", "alice")
    with desk.begin() as one:
        second = decisions.decide(one, decisions.Judged("t1", 1), "honest", "not_given", "bob")
        decisions.undo(one, [second], "bob")
    with desk.begin() as one:
        assert open_ids(one) == ["t2"]
        assert queue.counts(one, "alice")["open"] == 1, "as many as are listed"
        [decided] = queue.read(one, queue.Choice(view="decided"), "alice").rows
        page = transaction.find(one, "t1")
        for told in (decided, page):
            assert (told["verdict"], told["decided_by"], told["revision"]) == ("fraud", "alice", 2)
        [mine] = decisions.undoable(one, "alice")
        decisions.undo(one, [mine["verdict_id"]], "alice")
        assert open_ids(one) == ["t2", "t1"]
        assert queue.counts(one, "alice")["open"] == 2
        decisions.decide(one, decisions.Judged("t1", 2), "honest", "not_given", "carol")


@pytest.mark.usefixtures("empty_tables")
@pytest.mark.parametrize("sort", queue.SORTS)
def test_pages_show_every_alert_once(connection: Connection, writer: Postgres, sort: str) -> None:
    add_alerts(writer, 120)
    choice, found = queue.Choice(sort=sort), []
    while True:
        page = queue.read(connection, choice, "alice")
        found += [int(one["transaction_id"][1:]) for one in page.rows]
        if not page.after:
            break
        choice = queue.Choice(sort=sort, after=page.after)
    assert found == sorted(range(1, 121), reverse=sort != "newest")


@pytest.mark.usefixtures("empty_tables")
def test_filters_and_views_show_what_they_say(connection: Connection, writer: Postgres, owner: Postgres) -> None:
    add_alerts(writer, 12)
    owner.execute("UPDATE fraud.fraud_alerts SET matched_rules = '{big,new device}' WHERE transaction_id = 't3'")
    assert open_ids(connection, country="fr", least="9") == ["t12", "t10"]
    assert open_ids(connection, customer="c1") == ["t11", "t1"]
    assert open_ids(connection, rule="new device") == ["t3"]
    assert open_ids(connection, rule="none of them") == []
    owner.execute("UPDATE fraud.fraud_alerts SET shop = 'outlet' WHERE transaction_id = 't7'")
    assert open_ids(connection, shop="outlet") == ["t7"]
    assert len(open_ids(connection, after="x y")) == 12
    decisions.claim(connection, "t3", "alice")
    decisions.decide(connection, decisions.Judged("t4", 0), "unsure", "not_given", "alice")
    decisions.decide(connection, decisions.Judged("t5", 0), "fraud", "not_given", "bob")
    assert open_ids(connection, view="mine") == ["t3"]
    assert open_ids(connection, view="unsure") == ["t4"]
    assert open_ids(connection, view="decided") == ["t5"]
    assert queue.counts(connection, "alice") == {"open": 10, "mine": 1}


@pytest.mark.usefixtures("empty_tables")
def test_the_queue_reads_an_index(desk: Engine, connection: Connection, writer: Postgres, owner: Postgres) -> None:
    add_alerts(writer, 5000)
    with desk.begin() as one:
        for number in range(1, 51):
            decisions.decide(one, decisions.Judged(f"t{number}", 0), "fraud", "not_given", "alice")
    owner.execute("ANALYZE fraud.fraud_alerts, fraud.analyst_verdicts, fraud.alert_claims")
    for sort, index in (("loss", "fraud_alerts_loss_idx"), ("oldest", "fraud_alerts_age_idx")):
        sql, values = queue.statement(queue.Choice(sort=sort, after="9 x" if sort == "loss" else ""), "alice", 50)
        plan = [line for (line,) in connection.execute(text(f"EXPLAIN {sql}"), values)]
        assert any(index in line for line in plan), plan
        assert "rows=50 " in plan[0], f"a page is expected to be full, or all would be sorted: {plan}"
        assert "Sort" not in plan[1], plan


@pytest.mark.usefixtures("empty_tables")
def test_an_alert_shows_what_shares_its_device_card_address_or_customer(
    connection: Connection, writer: Postgres
) -> None:
    add_alerts(writer, 25)
    found = transaction.read(connection, "t11")
    shared = {"device", "card", "address", "customer"}
    assert {one["transaction_id"]: set(one["kinds"]) for one in found.related} == {"t1": shared, "t21": shared}
    assert [one["transaction_id"] for one in found.past] == ["t21"], "the earlier one"


IMPORT = """
INSERT INTO fraud.past_transactions (transaction_id, event_time, customer_id, amount, currency, exchange_rate)
SELECT %s, event_time - %s * interval '1 day', customer_id, 40, 'CHF', 0.5
FROM fraud.scored_transactions WHERE transaction_id = 't11'
"""


@pytest.mark.usefixtures("empty_tables")
def test_an_alert_shows_its_customer_s_imported_past(connection: Connection, writer: Postgres) -> None:
    add_alerts(writer, 25)
    for number, (name, days) in enumerate((("t21", 2), ("old", 20), ("newer", 10), ("later", -1))):
        writer.execute(IMPORT, (name, days))
        label = "INSERT INTO fraud.past_labels (transaction_id, number, is_fraud, labelled_at) VALUES (%s, %s, %s, %s)"
        writer.execute(label, (name, number, name == "old", datetime(2020, 1, 1, tzinfo=UTC)))
    found = transaction.read(connection, "t11")
    told = [(one["transaction_id"], one["shop_amount"], one["labelled_fraud"]) for one in found.past]
    assert [told[0][0], *told[1:]] == ["t21", ("newer", 20.0, False), ("old", 20.0, True)], "t21 was scored: once"
    assert found.past[0]["fraud_score"] is not None
    (what, words, _), *_ = transaction.usual(found.transaction, found.past)
    assert (what, words.split(";")[0]) == ("Earlier purchases", "2 purchases in 10 days")


@pytest.mark.usefixtures("empty_tables")
def test_an_alert_shows_earlier_ones_of_its_rules(connection: Connection, writer: Postgres, owner: Postgres) -> None:
    add_alerts(writer, 9)
    for number, rules in ((3, "{big,night}"), (4, "{night}"), (5, "{big}"), (2, "{big}")):
        for table in ("fraud_alerts", "scored_transactions"):
            owner.execute(f"UPDATE fraud.{table} SET matched_rules = '{rules}' WHERE transaction_id = 't{number}'")

    def related(transaction_id: str) -> dict[str, list[str]]:
        found = transaction.read(connection, transaction_id).related
        return {one["transaction_id"]: one["kinds"] for one in found}

    assert related("t3") == {"t4": ["rule"], "t5": ["rule"]}, "t2 came later"
    assert related("t6") == {}, "without a rule there is none to share"


@pytest.mark.usefixtures("empty_tables")
def test_a_ring_reaches_two_hops(connection: Connection, writer: Postgres, owner: Postgres) -> None:
    add_alerts(writer, 5)
    owner.execute("UPDATE fraud.scored_transactions SET device_id = 'd1' WHERE transaction_id = 't2'")
    owner.execute("UPDATE fraud.scored_transactions SET card_token = 'k2' WHERE transaction_id = 't3'")
    owner.execute("UPDATE fraud.scored_transactions SET device_id = 'd3' WHERE transaction_id = 't4'")
    found = ring.read(connection, "t1", transaction.find(connection, "t1"))
    assert {node.transaction_id for node in found.nodes if node.transaction_id} == {"t1", "t2", "t3"}, "t4: three hops"
    assert {node.told for node in found.nodes if not node.transaction_id} == {
        "device d1: 2 purchases",
        "card k2: 2 purchases",
    }
    assert (found.purchases, found.amount) == (3, 6)


@pytest.mark.usefixtures("empty_tables")
def test_of_what_many_share_a_ring_shows_the_newest(connection: Connection, writer: Postgres, owner: Postgres) -> None:
    add_alerts(writer, 60)  # t1 is the newest
    alone = "card_token = transaction_id, shipping_latitude = substr(transaction_id, 2)::float8"
    owner.execute(f"UPDATE fraud.scored_transactions SET device_id = 'of all', {alone}")
    found = ring.read(connection, "t60", transaction.find(connection, "t60"))
    shown = {node.transaction_id for node in found.nodes if node.transaction_id}
    assert shown == {"t60", *(f"t{number}" for number in range(1, ring.HOPS[0] + 1))}


@pytest.mark.parametrize(
    "place", [(48.85661, -0.00006), (0.00004, 2.0), (-33.868849, 151.20929), (52.52005, 13.40495), (None, 2.0)]
)
def test_postgres_names_an_address_s_cell_as_the_desk_does(
    connection: Connection, place: tuple[float | None, float]
) -> None:
    one = dict(zip(("shipping_latitude", "shipping_longitude"), place, strict=True))
    degrees = ", ".join(f"CAST(:{name} AS float8) AS {name}" for name in one)
    named = connection.execute(text(f"SELECT {ADDRESS_CELL} FROM (SELECT {degrees}) AS place"), one).scalar()
    assert named == transaction.cell_name(one)


# --- the outbox ---------------------------------------------------------------------------------------------------


@pytest.fixture
def labels(settings: Settings) -> Iterator[Any]:
    """Reads the labels that come to Kafka from now on."""
    ends = kafka_offsets.latest(settings.kafka, [Topic.TRANSACTION_LABELS], 30)
    consumer = Consumer(settings.kafka.consumer_config("test-desk"))
    consumer.assign([TopicPartition(topic, partition, offset) for (topic, partition), offset in ends.items()])

    def read() -> list[tuple[bytes, bytes]]:
        found = []
        while message := consumer.poll(3):
            found.append((message.key(), message.value()))
        return found

    yield read
    consumer.close()


def due(owner: Postgres) -> None:
    owner.execute("UPDATE fraud.analyst_verdicts SET publish_after = now()")


@pytest.mark.usefixtures("empty_tables")
def test_what_stands_is_sent_once_it_is_due(
    settings: Settings, desk: Engine, writer: Postgres, owner: Postgres, labels: Any
) -> None:
    add_alerts(writer, 4)
    kafka = publish.sender(settings)
    with desk.begin() as one:
        ids = [
            decisions.decide(one, decisions.Judged(f"t{number}", 0), verdict, "not_given", "alice")
            for number, verdict in enumerate(("fraud", "honest", "unsure", "fraud"), 1)
        ]
        decisions.undo(one, ids[3:], "alice")
    assert publish.publish_due(writer, kafka) == 0, "it can still be undone"
    due(owner)
    assert publish.publish_due(writer, kafka) == 2
    assert publish.publish_due(writer, kafka) == 0
    sent = {key.decode(): msgspec.json.decode(value, type=Label) for key, value in labels()}
    assert {key: (label.is_fraud, label.source) for key, label in sent.items()} == {
        "t1": (True, "analyst"),
        "t2": (False, "analyst"),
    }
    with desk.begin() as one, pytest.raises(decisions.RefusedError, match="too late"):
        decisions.undo(one, ids[:1], "alice")


@pytest.mark.usefixtures("empty_tables")
def test_a_verdict_that_was_replaced_before_it_was_due_is_not_sent(
    settings: Settings, desk: Engine, writer: Postgres, owner: Postgres, labels: Any
) -> None:
    add_alerts(writer, 2)
    with desk.begin() as one:
        for number in (1, 2):
            decisions.decide(one, decisions.Judged(f"t{number}", 0), "fraud", "not_given", "alice")
        decisions.decide(one, decisions.Judged("t1", 1), "unsure", "not_given", "alice")
        replaced = decisions.decide(one, decisions.Judged("t2", 1), "honest", "not_given", "alice")
        decisions.undo(one, [replaced], "alice")
    due(owner)
    assert publish.publish_due(writer, publish.sender(settings)) == 1
    assert [key for key, _ in labels()] == [b"t2"], "its newer verdict was taken back: the first one stands"


class CrashError(Exception):
    """The sender dies."""


@pytest.mark.usefixtures("empty_tables")
def test_a_sender_that_dies_before_it_notes_sends_the_same_bytes_again(
    settings: Settings, desk: Engine, writer: Postgres, owner: Postgres, labels: Any
) -> None:
    add_alerts(writer, 3)
    with desk.begin() as one:
        for number in (1, 2, 3):
            decisions.decide(one, decisions.Judged(f"t{number}", 0), "fraud", "not_given", "alice")
    due(owner)
    with pytest.raises(CrashError), writer.transaction():
        assert publish.publish_due(writer, publish.sender(settings)) == 3
        raise CrashError
    assert publish.publish_due(writer, publish.sender(settings)) == 3
    assert set(Counter(labels()).values()) == {2}


@pytest.mark.usefixtures("empty_tables")
def test_two_senders_send_each_verdict_once(
    settings: Settings, desk: Engine, writer: Postgres, owner: Postgres, labels: Any
) -> None:
    add_alerts(writer, 40)
    with desk.begin() as one:
        for number in range(1, 41):
            decisions.decide(one, decisions.Judged(f"t{number}", 0), "honest", "not_given", "alice")
    due(owner)

    def send(_: int) -> int:
        with connect(settings, settings.postgres.writer, autocommit=True) as mine:
            return publish.publish_due(mine, publish.sender(settings))

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(send, range(2))) == 40
    assert set(Counter(labels()).values()) == {1}


@pytest.mark.usefixtures("empty_tables")
def test_a_run_waits_for_what_becomes_due(settings: Settings, desk: Engine, writer: Postgres, owner: Postgres) -> None:
    add_alerts(writer, 1)
    with desk.begin() as one:
        decisions.decide(one, decisions.Judged("t1", 0), "fraud", "not_given", "alice")
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        due(owner)

    assert publish.publish(writer, publish.sender(settings), 60, sleep) == 1
    assert 0 < pauses[0] <= 60
