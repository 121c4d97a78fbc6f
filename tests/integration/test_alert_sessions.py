"""Browsing that ended in an alert is kept, from a real Kafka into a real Postgres, and told at the desk."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from confluent_kafka import Producer
from sqlalchemy import create_engine

from fraudstream.messages.contracts import Topic, iso_milliseconds
from fraudstream.retention import tables
from fraudstream.settings import Settings
from fraudstream.settings.retention import RetentionSettings
from fraudstream.watch import alert_sessions
from tests.desk import add_alerts, sessions, transaction
from tests.messages import as_bytes, browse_event

Postgres = psycopg.Connection[Any]
#: The session of alert `t1` of `add_alerts`, and its customer.
SESSION = ("c1", "s1")

pytestmark = pytest.mark.usefixtures("empty_tables")


def send(settings: Settings, events: Iterable[dict[str, Any]]) -> None:
    producer = Producer(settings.kafka.client_config())
    for event in events:
        producer.produce(Topic.BROWSE_EVENTS, as_bytes(event), event["customer_id"].encode())
    assert producer.flush(60) == 0


def browsing(prefix: str, count: int, customer: str = "c1", session: str = "s1", **fields: Any) -> list[dict[str, Any]]:
    """`count` events of a session, a second after each other, until two minutes ago; `prefix` begins their ids."""
    end = datetime.now(UTC) - timedelta(minutes=2)
    return [
        browse_event(
            event_id=f"{prefix}-{number}",
            customer_id=customer,
            session_id=session,
            event_time=iso_milliseconds(end - timedelta(seconds=count - number)),
            **fields,
        )
        for number in range(count)
    ]


def kept(writer: Postgres) -> dict[tuple[str, str], list[str]]:
    found = writer.execute(
        "SELECT customer_id, session_id, array_agg(event_id ORDER BY event_time) "
        "FROM fraud.session_events GROUP BY customer_id, session_id"
    )
    return {(customer, session): events for customer, session, events in found}


def test_the_session_of_an_alert_is_kept_and_no_other(settings: Settings, writer: Postgres) -> None:
    wanted, another = browsing("a", 5), browsing("b", 3, session="s-other")
    stranger = browsing("c", 3, customer="c-other")
    refused = [wanted[0] | {"event_id": "a-refused", "event_type": ""}]
    send(settings, [*wanted, *another, *stranger, *refused])
    add_alerts(writer, 1)
    assert alert_sessions.keep(writer, settings) == (1, 5)
    assert kept(writer) == {SESSION: [f"a-{number}" for number in range(5)]}
    assert alert_sessions.keep(writer, settings) == (0, 0), "each alert is looked for once"


def test_a_run_that_is_repeated_keeps_nothing_twice(settings: Settings, writer: Postgres, owner: Postgres) -> None:
    events = browsing("again", 4)
    send(settings, events + events[:2])
    add_alerts(writer, 1)
    alert_sessions.keep(writer, settings)
    before = kept(writer)
    owner.execute("UPDATE fraud.fraud_alerts SET session_read_at = NULL")
    alert_sessions.keep(writer, settings)
    assert kept(writer) == before
    assert set(before) == {SESSION}


def test_a_run_that_dies_notes_nothing(settings: Settings, writer: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    send(settings, browsing("dies", 2))
    add_alerts(writer, 1)
    with monkeypatch.context() as patch, pytest.raises(psycopg.Error):
        patch.setattr(alert_sessions, "_READ", "SELECT 1 / 0 WHERE %s::text[] IS NOT NULL")
        alert_sessions.keep(writer, settings)
    assert kept(writer) == {}
    assert alert_sessions.keep(writer, settings)[0] == 1


def test_of_a_bot_s_session_the_newest_events_are_kept(
    settings: Settings, writer: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_sessions, "MOST_EVENTS", 10)
    send(settings, browsing("bot", 30))
    add_alerts(writer, 1)
    alert_sessions.keep(writer, settings)
    assert kept(writer)[SESSION] == [f"bot-{number}" for number in range(20, 30)]


def test_old_events_go(settings: Settings, writer: Postgres, owner: Postgres) -> None:
    send(settings, browsing("old", 3))
    add_alerts(writer, 1)
    alert_sessions.keep(writer, settings)
    days = RetentionSettings().sessions_days
    old = f"now() - interval '{days + 1} days'"
    owner.execute(f"UPDATE fraud.session_events SET kept_at = {old} WHERE event_id = 'old-0'")
    gone = {retired.table: retired.rows for retired in tables.retire(writer, RetentionSettings())}
    assert gone["session_events"] == 1
    assert "old-0" not in kept(writer)[SESSION]


def test_the_desk_tells_the_session(settings: Settings, writer: Postgres) -> None:
    """Read by the desk's own role, which may read it and nothing more."""
    send(settings, browsing("desk", 4, event_type="view_item", session="s2", customer="c2"))
    add_alerts(writer, 2)
    desk = create_engine(settings.dsn(settings.postgres.desk, driver="+psycopg"))
    with desk.connect() as connection:
        found = transaction.find(connection, "t2")
        assert sessions.read(connection, found) is None
        assert "still being fetched" in sessions.missing(found)
    alert_sessions.keep(writer, settings)
    with desk.connect() as connection:
        line = sessions.read(connection, transaction.find(connection, "t2"))
        assert [step.told for step in line.steps] == ["4 products viewed"]
        assert "No browsing was sent" in sessions.missing(transaction.find(connection, "t1"))
    desk.dispose()
