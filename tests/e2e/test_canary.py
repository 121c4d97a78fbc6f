"""Secrets planted in the settings, and the generated ones, appear nowhere but in the private files made for them."""

import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition

from fraudstream.jobs.jobs import AIRFLOW_ALONE
from fraudstream.local.leftovers import our_processes
from fraudstream.local.parts import superset
from fraudstream.local.parts.airflow_api import AirflowApi, AirflowApiError
from fraudstream.local.security import files
from fraudstream.settings import Settings
from fraudstream.settings.exports import secret_variables
from fraudstream.storage.connect import connect
from tests.commands import fraudctl
from tests.planted import Canaries, canaries

WAIT_SECONDS = 60.0
#: What Airflow tells an administrator; `~` stands for all.
AIRFLOW_PAGES = (
    "/connections?limit=1000",
    "/variables?limit=1000",
    "/plugins",
    "/providers",
    "/jobs",
    "/dags?limit=1000",
    "/eventLogs?limit=1000",
    "/dags/~/dagRuns?limit=1000",
    "/dags/~/dagRuns/~/taskInstances?limit=1000",  # with their rendered fields
    "/dags/~/dagRuns/~/taskInstances/~/xcomEntries?limit=1000",
)
SUPERSET_PAGES = (
    "/api/v1/database/",
    "/api/v1/database/1",
    "/api/v1/database/1/connection",
    "/api/v1/dataset/",
    "/api/v1/dashboard/",
    "/api/v1/chart/?q=(page_size:100)",
    "/api/v1/query/",
    "/api/v1/log/",
    "/api/v1/security/users/",
)


@pytest.fixture(scope="module")
def secrets(platform: Settings) -> Canaries:
    """All of them; none may be so short that it would be found by chance."""
    found = canaries(platform)
    assert set(secret_variables()) <= set(found.places)
    assert len(found.places) >= 12
    assert min(map(len, found.places.values())) >= 20
    return found


@pytest.fixture(scope="module")
def airflow(platform: Settings) -> AirflowApi:
    return AirflowApi(platform)


def get(url: str, token: str = "") -> bytes:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=WAIT_SECONDS) as answer:
        return bytes(answer.read())


def test_the_search_finds_what_it_looks_for(secrets: Canaries) -> None:
    for place, value in secrets.places.items():
        assert place in secrets.seen_in(f"x{value}y")
        assert place in secrets.seen_in(f"\\x{value.encode().hex()}")
    assert secrets.seen_in("nothing of them") == set()


def test_no_file_but_the_private_ones_has_a_secret(platform: Settings, secrets: Canaries) -> None:
    """Logs of every part and task, checkpoint and event logs, data files: all of `var`, but environments and jars."""
    private = set(files.private_files(platform))
    looked_at, seen = 0, {}
    for path in _files(platform.paths.var):
        if path in private:
            continue
        try:
            places = secrets.seen_in(path.read_bytes())
        except FileNotFoundError:
            continue  # a checkpoint's, and replaced meanwhile
        looked_at += 1
        seen |= {str(path): places} if places else {}
    logs = {path.stem for path in platform.paths.logs.glob("*.log")}
    assert {"kafka", "postgres", "superset", "stream", "producer", "airflow-scheduler"} <= logs
    assert looked_at > 100
    assert seen == {}


def _files(folder: Path) -> Iterator[Path]:
    """Its files, and those of its folders; unlike `rglob`, not troubled by a folder that vanishes meanwhile."""
    for where, _, names in os.walk(folder):
        yield from (path for name in names if (path := Path(where) / name).is_file())


def test_no_command_line_has_a_secret(secrets: Canaries) -> None:
    lines = "\n".join(" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))
    assert "kafka.Kafka" in lines
    assert secrets.seen_in(lines) == set()


def test_only_processes_that_sign_in_somewhere_inherit_a_secret(platform: Settings, secrets: Canaries) -> None:
    seen = {}
    for process in our_processes(platform):
        try:
            environment, line = process.environ(), " ".join(process.cmdline())
        except psutil.Error:
            continue  # it has ended meanwhile
        if places := secrets.seen_in("\n".join(environment.values())):
            seen[line] = places
    others = [line for line in seen if any(name in line for name in ("kafka.Kafka", "bin/postgres", "gunicorn"))]
    assert others == []
    inherited = set().union(*seen.values())
    assert {name for name in inherited if not name.startswith(("FRAUDSTREAM_KAFKA__", *AIRFLOW_ALONE))} == set()
    of_jobs = set().union(*(places for line, places in seen.items() if "airflow" not in line))
    assert {name for name in of_jobs if name.startswith(AIRFLOW_ALONE)} == set()
    assert {name for name in inherited if name.startswith("FRAUDSTREAM_KAFKA__ADMIN__")} == set()


def test_no_answer_of_airflow_has_a_secret(airflow: AirflowApi, secrets: Canaries) -> None:
    for page in AIRFLOW_PAGES:
        assert secrets.seen_in(json.dumps(airflow.call("GET", page))) == set(), page
    with pytest.raises(AirflowApiError, match="403"):
        airflow.call("GET", "/config")


def test_no_log_of_a_task_has_a_secret(airflow: AirflowApi, secrets: Canaries) -> None:
    known = airflow.call("GET", "/dags/~/dagRuns/~/taskInstances?limit=1000")["task_instances"]
    tasks = [task for task in known if task["try_number"]]
    assert tasks
    for task in tasks:
        path = f"/dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}/taskInstances/{task['task_id']}/logs"
        log = airflow.call("GET", f"{path}/{task['try_number']}?full_content=true")
        assert secrets.seen_in(json.dumps(log)) == set(), path


def test_airflow_masks_what_a_connection_holds(airflow: AirflowApi, secrets: Canaries) -> None:
    password = secrets.places["FRAUDSTREAM_KAFKA__SASL_PASSWORD"]
    connection = {
        "connection_id": "canary",
        "conn_type": "kafka",
        "password": password,
        "extra": json.dumps({"bootstrap.servers": "127.0.0.1:1", "sasl.password": password}),
    }
    airflow.call("POST", "/connections", connection)
    try:
        shown = json.dumps(airflow.call("GET", "/connections/canary"))
        assert "sasl.password" in shown
        assert secrets.seen_in(shown) == set()
    finally:
        airflow.call("DELETE", "/connections/canary")


def test_no_answer_of_superset_has_a_secret(platform: Settings, secrets: Canaries) -> None:
    token, _ = superset._charts(platform)
    for page in SUPERSET_PAGES:
        assert secrets.seen_in(get(platform.superset_url + page, token)) == set(), page
    [uri] = [
        database["sqlalchemy_uri"]
        for database in [json.loads(get(f"{platform.superset_url}/api/v1/database/1/connection", token))["result"]]
    ]
    assert uri.startswith(f"postgresql+psycopg2://{platform.postgres.charts}@127.0.0.1")


def test_no_row_of_any_database_has_a_secret(platform: Settings, secrets: Canaries) -> None:
    """Dead letters, the ledger, Airflow's and Superset's own tables; in these, secrets are encrypted or hashed."""
    pg = platform.postgres
    for database in (pg.database, pg.airflow_database, pg.superset_database):
        # No lock outlives its table: a writer that locks them in another order would wait for this, and this for it.
        with connect(platform, pg.admin, database, autocommit=True) as connection:
            tables = _tables(connection)
            assert len(tables) > 15
            for schema, table in tables:
                with connection.cursor().copy(f'COPY "{schema}"."{table}" TO STDOUT') as rows:
                    for row in rows:
                        assert secrets.seen_in(bytes(row)) == set(), f"{database}: {schema}.{table}"


def _tables(connection: psycopg.Connection[Any]) -> list[tuple[str, str]]:
    """Schema and name of each, but of other sessions' temporary tables: these lock or drop them at their commits."""
    return connection.execute(
        "SELECT schemaname, tablename FROM pg_tables"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND schemaname NOT LIKE 'pg_temp%'"
    ).fetchall()


def test_no_kafka_message_has_a_secret(platform: Settings, secrets: Canaries) -> None:
    seen: dict[str, int] = {}
    for topic, content in _messages(platform):
        seen[topic] = seen.get(topic, 0) + 1
        assert secrets.seen_in(content) == set(), topic
    assert {"browse-events", "transactions", "scored-transactions"} <= set(seen)


def _messages(platform: Settings) -> Iterator[tuple[str, bytes]]:
    """Every message that Kafka holds now: key, value and headers."""
    consumer = Consumer(platform.kafka.client_config() | {"group.id": "canary", "enable.auto.commit": False})
    try:
        places = [
            TopicPartition(topic, partition, 0)
            for topic, found in consumer.list_topics(timeout=10).topics.items()
            for partition in found.partitions
            if not topic.startswith("__")
        ]
        ends = {(place.topic, place.partition): consumer.get_watermark_offsets(place)[1] for place in places}
        left = {place for place, end in ends.items() if end > 0}
        consumer.assign(places)
        while left:
            for message in consumer.consume(10_000, timeout=0.2):
                topic, partition, offset = message.topic(), message.partition(), message.offset()
                assert topic is not None
                assert partition is not None
                assert offset is not None
                if offset + 1 >= ends[topic, partition]:
                    left.discard((topic, partition))
                headers = b"".join(value or b"" for _, value in message.headers() or ())
                yield topic, (message.key() or b"") + b"\n" + (message.value() or b"") + b"\n" + headers
    finally:
        consumer.close()


def test_no_page_of_sparks_ui_has_a_secret(platform: Settings, secrets: Canaries) -> None:
    ui = f"http://127.0.0.1:{platform.stream.spark_ui_port}"
    [application] = json.loads(get(f"{ui}/api/v1/applications"))
    pages = ["/environment/", "/StreamingQuery/", "/SQL/", "/executors/", "/jobs/", "/stages/", "/storage/"]
    pages.append(f"/api/v1/applications/{application['id']}/environment")
    for page in pages:
        shown = get(ui + page)
        assert shown, page
        assert secrets.seen_in(shown) == set(), page


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("status", "--json"),
        ("env",),
        ("doctor",),
        ("doctor", "--security"),
        ("doctor", "--security", "--json"),
        ("logs", "stream", "-n", "100000"),
    ],
)
def test_no_command_tells_a_secret(platform: Settings, secrets: Canaries, arguments: tuple[str, ...]) -> None:
    done = fraudctl(*arguments)
    assert done.stdout + done.stderr
    assert secrets.seen_in(done.stdout + done.stderr) == set()


def test_the_running_platform_is_closed(platform: Settings) -> None:
    done = fraudctl("doctor", "--security", "--json")
    told = json.loads(done.stdout)
    assert told["secure"], told
    assert {finding["outcome"] for finding in told["findings"]} == {"ok"}, told
