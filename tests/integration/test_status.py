"""`fraudctl status` against real servers: figures from the ledger, and quick answers when parts are dead."""

import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Producer
from fraudstream_airflow import health

from benchmarks.measuring.growth import COLUMNS, Recorder
from benchmarks.measuring.platform import stream_of
from fraudstream.local import status
from fraudstream.local.status import _end_offsets
from fraudstream.messages.contracts import INPUT_TOPICS, Topic
from fraudstream.settings import PostgresSettings, Settings
from fraudstream.settings.kafka import KafkaSettings
from tests.polling import poll

Postgres = psycopg.Connection[tuple[object, ...]]
LEDGER = """
    INSERT INTO fraud.stream_offsets (query, topic, kafka_partition, first_offset, next_offset,
                                      scored, browse_events, labels, dead_lettered, duplicates, flagged, late, lost)
    VALUES ('test', %s, %s, %s, %s, %s, 0, 0, %s, %s, %s, %s, %s)
"""
BATCH = """
    INSERT INTO fraud.stream_batches (query, batch_id, epoch, offsets, scored, late, flagged, browse_events, labels,
                                      dead_lettered, duplicates, model_version, static_version, started_at,
                                      duration_ms, latencies_ms)
    VALUES ('test', %s, 1, '{}', %s, 1, 2, 0, 0, 0, 0, 'm', 1, now(), 10, %s)
"""


def known_ends(settings: Settings) -> dict[tuple[str, int], int] | None:
    ends = _end_offsets(settings)
    return ends if isinstance(ends, dict) else None


@pytest.fixture
def ledger(settings: Settings, writer: Postgres, owner: Postgres, empty_tables: None) -> Iterator[Postgres]:
    """A ledger that has read to the end of Kafka: 10 messages of one partition, after 5 that were lost."""
    ends = poll(lambda: known_ends(settings), 60, "the broker leads its new topics")
    for (topic, partition), end in ends.items():
        read = 15 if (topic, partition) == (Topic.TRANSACTIONS, 0) else 0
        counts = (7, 2, 1, 2, 1, 5) if read else (0,) * 6
        writer.execute(LEDGER, (topic, partition, end - read, end, *counts))
    yield writer
    owner.execute("DELETE FROM fraud.stream_offsets; DELETE FROM fraud.stream_batches")


def test_totals_come_from_the_ledger(settings: Settings, ledger: Postgres) -> None:
    ledger.execute(BATCH, (1, 7, [100.0, 200.0, 300.0, 400.0]))
    totals = status.collect(settings).totals
    assert (totals.ingested, totals.scored, totals.dead_lettered, totals.duplicate) == (10, 7, 2, 1)
    assert (totals.flagged, totals.late, totals.pending, totals.lost) == (2, 1, 0, 5)


def test_the_health_page_tells_the_same_totals(settings: Settings, ledger: Postgres) -> None:
    page = health.collect(settings)["ledger"]["totals"]
    totals = status.collect(settings).totals
    assert (page["read"], page["lost"]) == (totals.ingested, totals.lost) == (10, 5)
    assert (page["scored"], page["flagged"], page["late"]) == (totals.scored, totals.flagged, totals.late)
    assert (page["dead_lettered"], page["duplicates"]) == (totals.dead_lettered, totals.duplicate)


def test_the_health_page_tells_the_same_rates(settings: Settings, ledger: Postgres) -> None:
    ledger.execute(BATCH, (1, 60, [100.0, 200.0, 300.0, 400.0]))
    page, stream = health.collect(settings)["ledger"]["last_minute"], status.collect(settings).stream
    assert (page["messages_per_s"], page["p50_ms"], page["p99_ms"]) == (1.0, 100.0, 300.0)
    assert (stream.input_rows_per_s, stream.latency_p50_ms, stream.latency_p99_ms) == (1.0, 100.0, 300.0)


def test_latency_is_the_median_batchs_p50_and_the_worst_batchs_p99(settings: Settings, ledger: Postgres) -> None:
    for batch, (p50, p99) in enumerate([(100.0, 300.0), (110.0, 900.0), (120.0, 310.0)]):
        ledger.execute(BATCH, (batch, 60, [p50, p50, p99, p99]))
    ledger.execute(BATCH, (9, 0, [0.0, 0.0, 0.0, 0.0]))  # scored nothing: has no latency
    stream = status.collect(settings).stream
    assert (stream.latency_p50_ms, stream.latency_p99_ms) == (110.0, 900.0)
    assert stream.input_rows_per_s == 3.0  # 180 rows in the last 60 s
    assert stream.last_batch_age_s is not None
    assert stream.last_batch_age_s < 60


def test_lag_is_what_kafka_has_and_the_ledger_has_not(settings: Settings, ledger: Postgres) -> None:
    producer = Producer({**settings.kafka.client_config()})
    for topic in INPUT_TOPICS:
        producer.produce(topic.value, b"{}", b"key")
    producer.produce(Topic.SIMULATION_TRUTH.value, b"{}", b"key")  # the stream never reads it
    assert producer.flush(60) == 0
    found = status.collect(settings)
    assert found.stream.lag == found.totals.pending == len(INPUT_TOPICS)


def test_a_stream_that_does_not_run_is_a_problem(settings: Settings) -> None:
    found = status.collect(settings)
    assert not found.healthy
    assert found.stream.state == "stopped"
    assert any(problem.startswith("the stream is stopped") for problem in found.problems)
    assert found.components["kafka"].state == found.components["postgres"].state == "RUNNING"


def test_dead_servers_are_named_and_do_not_hang_it(settings: Settings) -> None:
    nowhere = settings.model_copy(
        update={
            "kafka": KafkaSettings(bootstrap_servers="127.0.0.1:1"),
            "postgres": PostgresSettings(host="127.0.0.1", port=1),
        }
    )
    began = time.monotonic()
    problems = status.collect(nowhere).problems
    assert time.monotonic() - began < 60
    assert any("Kafka at 127.0.0.1:1 doesn't answer" in problem for problem in problems)
    assert any("Postgres at 127.0.0.1:1 doesn't serve fraud_reader" in problem for problem in problems)


def test_a_soak_records_servers_folders_and_the_tables_of_all_databases(
    settings: Settings, ledger: Postgres, tmp_path: Path
) -> None:
    with Recorder(stream_of(settings), tmp_path / "soak.csv") as recorder:
        found = recorder.take()
        recorder.take()
    for part in ("kafka", "postgres"):
        assert found[f"descriptors/{part}"] > found[f"sockets/{part}"] > 0
        assert found[f"threads/{part}"] >= found[f"processes/{part}"] > 0
    assert found["bytes/var/kafka"] > 0
    assert found["files/var/postgres"] > 100
    assert found[f"table/{settings.postgres.database}.fraud.stream_offsets"] > 0
    assert f"rows/{settings.postgres.database}.fraud.scored_transactions" in found
    assert found["messages"] == 10
    lines = (tmp_path / "soak.csv").read_text().splitlines()
    assert lines[0] == ",".join(COLUMNS)
    assert len(lines) > 2 * len(found) - 20
