"""Alerts become incidents, on a real Postgres: once each, however many runs look at them."""

import os
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import msgspec
import psycopg
import pytest

from fraudstream.messages.contracts import AlertBell
from fraudstream.settings import PROJECT_DIR, Settings
from fraudstream.storage.connect import connect
from fraudstream.watch import alert_groups, incidents
from spark_jobs.publisher import Publisher

Postgres = psycopg.Connection[tuple[object, ...]]

#: `n` alerts a minute apart, each of its own customer, session, device and address unless they are given.
ALERTS = """
WITH scored AS (
    INSERT INTO fraud.scored_transactions
    SELECT %(name)s || n, 's' || n, 'c' || n, timestamptz '2026-03-01 12:00+00' + n * interval '1 minute', 20, 'EUR',
           '[]', 'card', NULL, NULL, 0, 0, 'Lyon', 'FR', coalesce(%(north)s, 40 + n / 100.0), %(east)s, 'FR',
           coalesce(%(device)s, %(name)s || n), 0.9, true, 0.5, '[]', 'v1', now(), false, now(), 0, n, 1, false
    FROM generate_series(1, %(count)s) AS n
    RETURNING transaction_id, customer_id, event_time, amount, currency, shipping_city, shipping_country
)
INSERT INTO fraud.fraud_alerts (transaction_id, customer_id, event_time, amount, currency, shipping_city,
                                shipping_country, fraud_score, reasons, model_version, exchange_rate)
SELECT transaction_id, customer_id, event_time, amount, currency, shipping_city, shipping_country, 0.9,
       jsonb_build_array(jsonb_build_object('feature', %(reason)s::text), jsonb_build_object('feature', 'hour')),
       'v1', %(rate)s
FROM scored
"""


def alerts(writer: Postgres, name: str, count: int, **given: object) -> None:
    values = {"device": None, "north": None, "east": 4.8, "rate": 1, "reason": name} | given
    writer.execute(ALERTS, values | {"name": name, "count": count})


def respond(settings: Settings) -> alert_groups.Response:
    with connect(settings, settings.postgres.writer) as connection:
        return alert_groups.respond(connection, settings)


def told(writer: Postgres) -> set[str]:
    return {str(incident) for incident in incidents.open_incidents(writer)}


def test_alerts_of_one_device_or_address_or_pattern_are_one_incident(
    settings: Settings, writer: Postgres, empty_tables: None
) -> None:
    alerts(writer, "device", 4, device="d-1", rate=2)
    alerts(writer, "address", 3, north=45.76402)
    alerts(writer, "pair", 2, device="d-2", north=45.9)
    alerts(writer, "city", 3, north=45.75, east=4.8515625)
    alerts(writer, "wave", settings.watch.burst_alerts)
    done = respond(settings)
    assert done.alerts == 12 + settings.watch.burst_alerts
    assert told(writer) == {
        "device d-1: 4 alerts of 4 customers, 160.00 EUR",
        "address 457640:48000: 3 alerts of 3 customers, 60.00 EUR",
        "pattern wave and hour: 20 alerts of 20 customers, 400.00 EUR",
    }
    assert (respond(settings).alerts, len(told(writer))) == (0, 3)


def test_later_alerts_are_added_and_an_hour_is_the_most_between_them(
    settings: Settings, writer: Postgres, empty_tables: None
) -> None:
    alerts(writer, "first", 3, device="d-1")
    respond(settings)
    alerts(writer, "second", 1, device="d-1", rate=None)
    respond(settings)
    assert told(writer) == {"device d-1: 4 alerts of 3 customers, 60.00 EUR"}
    writer.execute("UPDATE fraud.fraud_alerts SET status = 'dismissed'")
    alerts(writer, "third", 2, device="d-1")
    assert respond(settings).incidents == []


def test_an_old_alert_makes_no_incident_of_what_came_since(
    settings: Settings, writer: Postgres, owner: Postgres, empty_tables: None
) -> None:
    """Four alerts of a device, five days between them, and a new one of a hundred days before."""
    alerts(writer, "seldom", 4, device="d-1")
    apart = "event_time + (event_time - timestamptz '2026-03-01 12:00+00') * 7200"
    owner.execute(f"UPDATE fraud.fraud_alerts SET event_time = {apart}")
    respond(settings)
    assert told(writer) == set()
    alerts(writer, "now", 1, device="d-1")
    alerts(writer, "old", 1, device="d-3")
    owner.execute(
        "UPDATE fraud.fraud_alerts SET event_time = event_time - interval '100 days' WHERE transaction_id = 'old1'"
    )
    assert (respond(settings).incidents, told(writer)) == ([], set())


def test_an_incident_without_new_alerts_closes(
    settings: Settings, writer: Postgres, empty_tables: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerts(writer, "first", 3, device="d-1")
    [number] = respond(settings).incidents
    assert respond(settings).closed == []
    monkeypatch.setattr(alert_groups, "QUIET_SECONDS", 0.0)
    assert respond(settings).closed == [number]


def test_runs_at_the_same_time_share_the_alerts(
    settings: Settings, writer: Postgres, empty_tables: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_groups, "AT_ONCE", 7)
    alerts(writer, "many", 60, device="d-1")
    runs = 3
    gate = threading.Barrier(runs)

    def run(_: int) -> int:
        gate.wait()
        return respond(settings).alerts

    with ThreadPoolExecutor(runs) as pool:
        assert sum(pool.map(run, range(runs))) == 60
    assert "device d-1: 60 alerts of 60 customers, 1,200.00 EUR" in told(writer)
    ((left,),) = writer.execute("SELECT count(*) FROM fraud.fraud_alerts WHERE grouped_at IS NULL").fetchall()
    assert left == 0


def test_a_run_that_dies_leaves_the_alerts_to_the_next(
    settings: Settings, writer: Postgres, empty_tables: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> int:
        raise KeyboardInterrupt

    alerts(writer, "first", 3, device="d-1")
    with monkeypatch.context() as patch:
        patch.setattr(alert_groups, "_incident", die)
        with pytest.raises(KeyboardInterrupt):
            respond(settings)
    assert told(writer) == set()
    assert respond(settings).alerts == 3
    assert told(writer) == {"device d-1: 3 alerts of 3 customers, 60.00 EUR"}


LISTEN = """
import asyncio, json, os
from fraudstream.settings import load_settings
from fraudstream_airflow.alert_response import BELL
from fraudstream_airflow.prepare import connections

(kafka,) = (made for made in connections(load_settings()) if made["conn_id"] == "kafka_default")
os.environ["AIRFLOW_CONN_KAFKA_DEFAULT"] = json.dumps({"conn_type": "kafka", "extra": kafka["extra"]})

async def listen():
    (watcher,) = BELL.watchers
    _, arguments = watcher.trigger.serialize()
    async for value, _ in type(watcher.trigger).create_shared_stream_producer(arguments).open_stream():
        return value.decode()

print("heard", asyncio.run(listen()))
os._exit(0)  # the consumer's thread would go on
"""


def test_the_asset_s_trigger_hears_the_stream_s_bell(settings: Settings, tmp_path: Path) -> None:
    """Airflow's Kafka provider, with the connection that `up` makes, on a real broker."""
    publisher = Publisher(settings.kafka, burst_alerts=1)
    environment = {
        "AIRFLOW_HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(PROJECT_DIR / "plugins"), str(PROJECT_DIR)]),
        "PYTHONUNBUFFERED": "1",
    }
    command = [str(settings.paths.python("airflow")), "-c", LISTEN]
    with subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True) as listener:
        try:
            for _ in range(180):  # a new group hears what is rung from when it joined on
                publisher._ring(21)
                with suppress(subprocess.TimeoutExpired):
                    listener.wait(1)
                    break
        finally:
            listener.kill()
        heard = listener.stdout.read()
    assert publisher._producer.flush(20) == 0
    assert "heard" in heard
    bell = msgspec.json.decode(heard.split("heard ")[1], type=AlertBell)
    assert bell.alerts == 21
