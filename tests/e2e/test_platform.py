"""The platform as its users meet it: `up`, what they look at, what they break, `down`, `up` again."""

import json
import time
from typing import Any

import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from fraudstream.local import status as local_status
from fraudstream.local.leftovers import our_processes
from fraudstream.local.parts import superset
from fraudstream.local.parts.airflow_api import AirflowApi
from fraudstream.local.supervisor import Supervisor
from fraudstream.messages.contracts import Topic
from fraudstream.settings import Settings
from fraudstream.storage.connect import connect
from tests.commands import fraudctl
from tests.messages import as_bytes, transaction
from tests.polling import poll

WAIT_SECONDS = 120.0
ACCOUNTING = """
SELECT (SELECT sum(scored) FROM fraud.stream_offsets) - (SELECT count(*) FROM fraud.scored_transactions),
       (SELECT sum(dead_lettered) FROM fraud.stream_offsets) - (SELECT count(*) FROM fraud.dead_letters),
       (SELECT sum(labels) FROM fraud.stream_offsets) - (SELECT count(*) FROM fraud.transaction_labels),
       (SELECT sum(transactions) FROM fraud.fraud_counts) - (SELECT count(*) FROM fraud.scored_transactions)
"""


def status() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(fraudctl("status", "--json").stdout)
    return found


def wait_for_health(settings: Settings) -> None:
    """Asks as the command does, which would begin with a process each time."""
    poll(lambda: local_status.collect(settings).healthy, WAIT_SECONDS, "a healthy platform")


def query(settings: Settings, sql: str) -> Any:
    with connect(settings, settings.postgres.writer) as connection:
        return connection.execute(sql).fetchone()


def scored(settings: Settings) -> int:
    return int(query(settings, "SELECT count(*) FROM fraud.scored_transactions")[0])


def test_status_says_healthy_and_has_every_field(platform: Settings) -> None:
    wait_for_health(platform)
    found = status()
    assert found["healthy"], found["problems"]
    assert {"kafka", "postgres", "superset", "airflow-scheduler"} <= set(found["components"])
    assert all({"state", "pid", "url"} <= set(component) for component in found["components"].values())
    assert found["stream"]["latency_p50_ms"] > 0
    assert {"state", "last_batch_age_s", "lag", "input_rows_per_s", "latency_p99_ms"} <= set(found["stream"])
    assert found["totals"]["scored"] > 0
    names = {"ingested", "scored", "flagged", "dead_lettered", "late", "duplicate", "pending"}
    assert names <= set(found["totals"])


def test_dags_load_and_the_two_long_ones_run(platform: Settings) -> None:
    api = AirflowApi(platform)
    assert api.call("GET", "/importErrors")["total_entries"] == 0
    for dag in ("event_producer", "fraud_scoring_stream"):
        assert api.call("GET", f"/dags/{dag}/dagRuns?state=running")["total_entries"] == 1
    api.call("POST", "/dags/apply_retention/dagRuns", {"logical_date": None, "dag_run_id": "e2e", "conf": {}})


def test_transactions_keep_coming(platform: Settings) -> None:
    before = scored(platform)
    poll(lambda: scored(platform) > before + 20, WAIT_SECONDS, "20 more scored transactions")


def test_topics_carry_what_the_contract_says(platform: Settings) -> None:
    consumer = Consumer(platform.kafka.client_config() | {"group.id": "e2e", "enable.auto.commit": False})
    known = consumer.list_topics(timeout=10).topics
    assert {topic.value for topic in Topic} <= set(known)
    consumer.assign([TopicPartition(Topic.SCORED_TRANSACTIONS, p, 0) for p in known["scored-transactions"].partitions])
    message = consumer.poll(WAIT_SECONDS)
    consumer.close()
    assert message is not None
    value = json.loads(message.value() or b"")
    assert message.key() == value["transaction_id"].encode()
    assert 0 <= value["fraud_score"] <= 1
    assert value["event_time"].endswith("Z")


def test_retention_is_applied_to_everything_that_runs(platform: Settings) -> None:
    """Its run was triggered above."""
    api, run = AirflowApi(platform), "/dags/apply_retention/dagRuns/e2e"
    poll(lambda: api.call("GET", run)["state"] in ("success", "failed"), WAIT_SECONDS, "the end of apply_retention")
    tasks = api.call("GET", f"{run}/taskInstances")["task_instances"]
    done = dict.fromkeys(("retire", "retire_archive", "clean_airflow"), "success")
    assert {task["task_id"]: task["state"] for task in tasks} == done


def test_every_chart_answers(platform: Settings) -> None:
    superset.wait_for_charts(platform, WAIT_SECONDS)


def test_a_bad_message_is_refused_and_the_good_one_behind_it_scored(platform: Settings) -> None:
    producer = Producer(platform.kafka.client_config())
    producer.produce(Topic.TRANSACTIONS, b'{"schema_version": 1, "amount": NaN}', b"c-e2e")
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    good = transaction(transaction_id="tx-e2e", customer_id="c-e2e", event_time=now)
    producer.produce(Topic.TRANSACTIONS, as_bytes(good), b"c-e2e")
    assert producer.flush(60) == 0
    stored = "SELECT 1 FROM fraud.scored_transactions WHERE transaction_id = 'tx-e2e'"
    poll(lambda: query(platform, stored), WAIT_SECONDS, "the good message")
    assert query(platform, "SELECT reason FROM fraud.dead_letters WHERE key = 'c-e2e'") == ("NOT_FINITE",)


@pytest.mark.parametrize("name", ["airflow-triggerer", "superset", "kafka", "postgres"])
def test_a_killed_component_comes_back(platform: Settings, name: str) -> None:
    """As the stream does: test_airflow_faults kills that."""
    supervisor = Supervisor(platform)
    pid = status()["components"][name]["pid"]
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        process.kill()

    def restarted() -> bool:
        now = supervisor.states()[name]
        return now.state == "RUNNING" and now.pid != pid

    poll(restarted, WAIT_SECONDS, f"{name} to be restarted")
    assert status()["components"][name]["pid"] == supervisor.states()[name].pid


def test_the_platform_is_whole_after_it_all(platform: Settings) -> None:
    wait_for_health(platform)
    before = scored(platform)
    poll(lambda: scored(platform) > before + 20, WAIT_SECONDS, "more scored transactions")
    assert query(platform, ACCOUNTING) == (0, 0, 0, 0)


def test_no_secret_is_on_a_command_line_or_in_a_log(platform: Settings) -> None:
    secrets = {path.name: path.read_text().strip() for path in platform.paths.secrets.iterdir() if path.is_file()}
    lines = "\n".join(" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))
    logs = list(platform.paths.logs.rglob("*.log"))
    for name, secret in secrets.items():
        assert (platform.paths.secrets / name).stat().st_mode & 0o077 == 0, name
        if "\n" in secret or name in ("credentials.json", "pgpass"):
            continue
        assert secret not in lines, f"{name} is on a command line"
        assert not [log for log in logs if secret in log.read_text(errors="replace")], f"{name} is in a log"


def test_everything_listens_on_loopback(platform: Settings) -> None:
    ours = {process.pid for process in our_processes(platform)}
    listening = [c.laddr for c in psutil.net_connections("inet") if c.status == psutil.CONN_LISTEN and c.pid in ours]
    ports = {platform.kafka.port, platform.postgres.port, platform.airflow.port, platform.superset.port}
    assert ports <= {address.port for address in listening}
    assert {address.ip for address in listening} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def test_down_leaves_nothing_and_up_carries_on(platform: Settings) -> None:
    before = scored(platform)
    assert fraudctl("down").returncode == 0
    assert our_processes(platform) == []
    done = fraudctl("up")
    assert done.returncode == 0, done.stdout + done.stderr
    assert scored(platform) > before
    assert query(platform, ACCOUNTING) == (0, 0, 0, 0)
