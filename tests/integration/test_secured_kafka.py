"""Producer, streaming job and Airflow's consumer on a broker with TLS, passwords and ACLs: each with its own account.

And what each says, and how soon, when something about that account is wrong.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer

from fraudstream.kafka import access as kafka_access
from fraudstream.kafka import offsets as kafka_offsets
from fraudstream.kafka.acls import RIGHTS, ConsumerGroup, Operation, Resource, Right
from fraudstream.kafka.errors import KafkaRefusedError, KafkaUnavailableError
from fraudstream.kafka.topics import create_topics
from fraudstream.local.doctor import find_server_problems
from fraudstream.local.parts import kafka
from fraudstream.messages.contracts import INPUT_TOPICS, Topic
from fraudstream.settings import PROJECT_DIR, Settings, load_settings
from fraudstream.settings.kafka import Role
from fraudstream.storage.connect import connect
from model.serving.registry import ensure_pretrained
from testbed.isolation import free_port
from tests.secured_kafka import Authority, Certificate, SecuredKafka, prefixed, secured_platform
from tests.streaming import Job, accounted, count

WRONG = "Canary-v3Rb8nYc6HsJf1"
#: What a person who starts something waits for its error, at most.
ERROR_SECONDS = 30.0
#: An ending process is waited for much longer: machines that are shared start one slowly.
END_SECONDS = 300.0
ATTEMPTS_AT_A_TIME = 3
PRODUCE = ("fraudstream.simulator", "produce", "--rate", "4000", "--events", "16000", "--fraud-rate", "0.5")
STREAM = ("spark_jobs.score_transactions", "--master", "local[2,4]")
#: Reads as many messages as its argument says. A question that Kafka leaves without an answer is asked again, and a
#: query that waits for it seems to have nothing left.
READ_ALL = """
import sys
from threading import Event
from fraudstream.settings import load_settings
from spark_jobs.batch_size import BatchSize
from spark_jobs.pace import Pace
from spark_jobs.session import build_session
from spark_jobs.source import read_events

settings, size, read = load_settings(), BatchSize(20_000), []
events = read_events(build_session(settings, "local[1]"), settings, size, Pace(0, Event()))
query = events.writeStream.foreachBatch(lambda frame, _: read.append(frame.count())).start()
size.follow(query)
while sum(read) < int(sys.argv[1]):
    query.processAllAvailable()
query.stop()
print("read", sum(read))
"""
READ_TRANSACTIONS = Right(Resource.TOPIC, Topic.TRANSACTIONS.value, Operation.READ)
WRITE_TRANSACTIONS = Right(Resource.TOPIC, Topic.TRANSACTIONS.value, Operation.WRITE)
WRITE_ALERTS = Right(Resource.TOPIC, Topic.FRAUD_ALERTS.value, Operation.WRITE)
READ_ALERTS = Right(Resource.TOPIC, Topic.FRAUD_ALERTS.value, Operation.READ)
UNPUBLISHED = "SELECT count(*) FROM fraud.stream_batches WHERE published_at IS NULL"
USE_GROUP = Right(Resource.GROUP, ConsumerGroup.AIRFLOW.value, Operation.READ)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Settings, SecuredKafka]]:
    with secured_platform() as made:
        yield made


@pytest.fixture(scope="module")
def settings(servers: tuple[Settings, SecuredKafka]) -> Settings:
    return servers[0]


@pytest.fixture(scope="module")
def broker(servers: tuple[Settings, SecuredKafka]) -> SecuredKafka:
    return servers[1]


def run(module: tuple[str, ...], variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """A module run to its end, as a supervisor runs it, with these settings besides the test's."""
    return subprocess.run(
        [sys.executable, "-m", *module],
        env=os.environ | variables,
        cwd=PROJECT_DIR,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=END_SECONDS,
        check=False,
    )


@contextmanager
def settings_of(variables: Mapping[str, str]) -> Iterator[Settings]:
    """This process's settings, for a while."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield load_settings()
    finally:
        os.environ.clear()
        os.environ.update(before)


def test_the_accounts_of_all_roles_can_do_their_work(broker: SecuredKafka) -> None:
    with settings_of(broker.variables(*Role)) as own:
        assert list(kafka_access.problems(own.kafka, 20)) == []
        plain = own.kafka.model_copy(update={"sasl_mechanism": "PLAIN"})  # which the broker takes of the reader only
        kafka_access.check(plain, Role.READER, 20)
        with pytest.raises(KafkaRefusedError, match="SASL_PASSWORD"):
            kafka_access.check(plain, Role.STREAM, 20)
        create_topics(own.kafka)  # they exist by now, and that is right
        assert list(find_server_problems(own)) == []
        topics = broker.admin().list_topics(timeout=20).topics
        assert set(Topic) <= set(topics)


def test_each_part_works_with_its_own_account_and_tells_no_secret(settings: Settings, broker: SecuredKafka) -> None:
    """The shop sends, the job scores and publishes, Airflow's consumer gets the alerts; then all that is shown."""
    with connect(settings, settings.postgres.writer, autocommit=True) as database:
        ensure_pretrained(database, settings.paths.models)
        sent = run(PRODUCE, broker.variables(Role.PRODUCER))
        assert sent.returncode == 0, sent.stdout
        shown = {"the shop": sent.stdout}
        events, port = settings.paths.var / "spark-events", free_port()
        events.mkdir()
        log = {"enabled": "true", "dir": events.as_uri(), "compress": "false"}
        submit = " ".join(f"--conf spark.eventLog.{name}={value}" for name, value in log.items()) + " pyspark-shell"
        more = {"PYSPARK_SUBMIT_ARGS": submit, "FRAUDSTREAM_STREAM__SPARK_UI_PORT": str(port)}
        with settings_of(broker.variables(Role.STREAM) | more) as own:
            job = Job(own)
        try:
            with settings_of(broker.variables(Role.READER)) as reader:
                ends = kafka_offsets.latest(reader.kafka.as_role(Role.READER), INPUT_TOPICS, 20)
            job.until(lambda: accounted(database) == sum(ends.values()), "all messages")
            job.until(lambda: count(database, UNPUBLISHED) == 0, "all results in Kafka")
            shown |= pages_of_spark(port)
            shown["command lines"] = "\n".join(
                " ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])
            )
        finally:
            status = job.end(signal.SIGTERM)
        assert status == 0, job.log.read_text()[-3000:]
        flagged = count(database, "SELECT count(*) FROM fraud.fraud_alerts")
        assert flagged > 0
    assert len(alerts(broker, flagged)) == flagged
    shown["the job's log"] = job.log.read_text()
    shown |= {str(path): path.read_text(errors="replace") for path in files_of(events, settings.paths.checkpoint)}
    assert "MicroBatchScan" in shown["SQL"]  # the source's plan is among what is looked at
    assert any("SparkListenerSQLExecutionStart" in text for name, text in shown.items() if str(events) in name)
    passwords = broker.passwords.values()
    assert {name for name, text in shown.items() if any(password in text for password in passwords)} == set()
    secrets = settings.paths.stream / "kafka.properties"
    assert broker.passwords[Role.STREAM] in secrets.read_text()
    assert secrets.stat().st_mode & 0o777 == 0o600


def pages_of_spark(port: int) -> dict[str, str]:
    """Spark's UI, and what its REST interface says of environment and plans."""
    url = f"http://127.0.0.1:{port}"
    (application,) = json.loads(page(f"{url}/api/v1/applications"))
    api = f"{url}/api/v1/applications/{application['id']}"
    plans = page(f"{api}/sql?details=true&planDescription=true&length=1000")
    latest = json.loads(plans)[-1]["id"]
    names = ("jobs/", "environment/", "SQL/", "StreamingQuery/", f"SQL/execution/?id={latest}")
    return {
        "SQL": plans,
        "environment": page(f"{api}/environment"),
        **{f"page {name}": page(f"{url}/{name}") for name in names},
    }


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return str(answer.read().decode())


def files_of(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in folder.rglob("*") if path.is_file())


def alerts(broker: SecuredKafka, wanted: int) -> list[bytes | None]:
    """What a consumer gets that is made of Airflow's connection, as JSON in its database."""
    with settings_of(broker.variables(Role.ALERTS)) as own:
        extra = json.loads(json.dumps(own.kafka.as_role(Role.ALERTS).consumer_config(ConsumerGroup.AIRFLOW)))
    consumer = Consumer(extra | {"auto.offset.reset": "earliest"})
    consumer.subscribe([Topic.FRAUD_ALERTS.value])
    found: list[bytes | None] = []
    deadline = time.monotonic() + 60
    while len(found) < wanted and time.monotonic() < deadline:
        if (message := consumer.poll(1)) is not None:
            assert message.error() is None
            found.append(message.key())
    consumer.close()
    return found


@dataclass(frozen=True)
class Wrong:
    """Something about an account that is wrong: settings, or a missing right; and what the error has to name."""

    said: tuple[str, ...]
    variables: Mapping[str, str]
    lacking: Right | None = None
    refused: bool = True


def wrongs(role: Role, broker: SecuredKafka, lacking: Right) -> dict[str, Wrong]:
    port = broker.sasl_bootstrap.rpartition(":")[2]
    stranger = Authority(broker.authority.file.parent / "stranger")
    nobody = f"localhost:{free_port()}"
    own = f"FRAUDSTREAM_KAFKA__{role.upper()}__SASL"
    return {
        "wrong password": Wrong(
            (f"refuses the user {role}", f"{own}_USERNAME", f"{own}_PASSWORD"),
            {f"{role.upper()}__SASL_PASSWORD": WRONG},
        ),
        "unknown CA": Wrong(
            ("of a CA that isn't trusted", "FRAUDSTREAM_KAFKA__SSL_CA_FILE", str(stranger.file)),
            {"SSL_CA_FILE": str(stranger.file)},
        ),
        "another host": Wrong(
            ("is for another host", "FRAUDSTREAM_KAFKA__BOOTSTRAP_SERVERS"), {"BOOTSTRAP_SERVERS": f"127.0.0.1:{port}"}
        ),
        "missing right": Wrong((f"doesn't let User:{role}", str(lacking.operation), lacking.name), {}, lacking),
        "nobody there": Wrong(
            (f"Kafka at {nobody} doesn't answer", "refused", "FRAUDSTREAM_KAFKA__BOOTSTRAP_SERVERS"),
            {"BOOTSTRAP_SERVERS": nobody},
            refused=False,
        ),
    }


KINDS = ("wrong password", "unknown CA", "another host", "missing right", "nobody there")
#: Who tries what is wrong, how it ends then, and a right that it needs.
STARTS = {
    Role.PRODUCER: (PRODUCE, 1, WRITE_TRANSACTIONS),
    Role.STREAM: (STREAM, os.EX_CONFIG, READ_TRANSACTIONS),
}
#: "Nobody there" is waited for long, so one of them tries it.
ATTEMPTS = [(kind, role) for kind in KINDS for role in STARTS if (kind, role) != ("nobody there", Role.PRODUCER)]


@dataclass(frozen=True)
class Attempt:
    """An attempt to work with something wrong: the error of the check, and the end of the program."""

    wrong: Wrong
    error: pytest.ExceptionInfo[KafkaUnavailableError]
    seconds: float
    ended: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def attempts(broker: SecuredKafka) -> dict[tuple[str, Role], Attempt]:
    """All attempts, some at a time: they mostly wait, and none is in another's way."""

    def attempt(own: Settings, variables: Mapping[str, str], wrong: Wrong, role: Role) -> Attempt:
        with broker.without(role, wrong.lacking) if wrong.lacking else nullcontext():
            began = time.monotonic()
            with pytest.raises(KafkaUnavailableError) as error:
                kafka_access.check(own.kafka, role, 5)
            return Attempt(wrong, error, time.monotonic() - began, run(STARTS[role][0], variables))

    prepared = []  # before any begins: settings are read from this process's environment
    for kind, role in ATTEMPTS:
        wrong = wrongs(role, broker, STARTS[role][2])[kind]
        variables = broker.variables(role) | prefixed(wrong.variables)
        with settings_of(variables) as own:
            prepared.append((own, variables, wrong, role))
    with ThreadPoolExecutor(ATTEMPTS_AT_A_TIME) as pool:
        return dict(zip(ATTEMPTS, pool.map(attempt, *zip(*prepared, strict=True)), strict=True))


@pytest.mark.parametrize(("kind", "role"), ATTEMPTS)
def test_an_error_comes_soon_and_names_cause_and_setting(
    attempts: dict[tuple[str, Role], Attempt], kind: str, role: Role
) -> None:
    """Before the shop sends, and before the job starts Spark, which then refuses to start: no crash loop."""
    made = attempts[kind, role]
    assert isinstance(made.error.value, KafkaRefusedError) == made.wrong.refused
    assert made.seconds < ERROR_SECONDS
    shown = made.ended.stdout
    assert made.ended.returncode == STARTS[role][1], shown
    for told in (str(made.error.value), shown.splitlines()[-1]):
        assert [part for part in made.wrong.said if part not in told] == []
    assert WRONG not in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    ("role", "right"), [(Role.STREAM, WRITE_ALERTS), (Role.ALERTS, READ_ALERTS), (Role.ALERTS, USE_GROUP)]
)
def test_a_missing_right_is_named(broker: SecuredKafka, role: Role, right: Right) -> None:
    with broker.without(role, right), settings_of(broker.variables(*Role)) as own:
        (told,) = find_server_problems(own)
    for part in (f"User:{role}", right.operation, right.name, "kafka-acls.sh"):
        assert part in told


def test_up_and_status_name_a_wrong_password(settings: Settings, broker: SecuredKafka) -> None:
    variables = broker.variables(Role.ADMIN, Role.READER)
    wrong = prefixed({"ADMIN__SASL_PASSWORD": WRONG, "READER__SASL_PASSWORD": WRONG})
    with settings_of(variables | wrong) as own:
        began = time.monotonic()
        with pytest.raises(KafkaRefusedError, match="FRAUDSTREAM_KAFKA__ADMIN__SASL_PASSWORD"):
            kafka.wait_ready(own, lambda: None)
        assert time.monotonic() - began < ERROR_SECONDS
        with pytest.raises(KafkaUnavailableError, match="FRAUDSTREAM_KAFKA__READER__SASL_PASSWORD"):
            kafka_offsets.latest(own.kafka.as_role(Role.READER), INPUT_TOPICS, 5)


def test_a_client_certificate_is_enough(broker: SecuredKafka) -> None:
    """No password anywhere: the shop sends as the certificate's subject."""
    certificate = broker.authority.issue(Role.PRODUCER.value, password=WRONG)
    variables = by_certificate(broker, certificate) | prefixed({"SSL_KEY_PASSWORD": WRONG})
    before = sizes(broker)
    sent = run(("fraudstream.simulator", "produce", "--events", "50"), variables)
    assert sent.returncode == 0, sent.stdout
    assert sum(sizes(broker).values()) > sum(before.values())
    missing = run(PRODUCE, without_certificate(variables))
    assert missing.returncode == 1
    assert "FRAUDSTREAM_KAFKA__SSL_CERTIFICATE_FILE is empty" in missing.stdout.splitlines()[-1]


def test_spark_signs_in_with_a_client_certificate(settings: Settings, broker: SecuredKafka) -> None:
    certificate = broker.authority.issue(Role.STREAM.value)
    variables = by_certificate(broker, certificate)
    wanted = sum(sizes(broker).values())
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(wanted)],
        env=os.environ | variables,
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        timeout=END_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"read {wanted}" in done.stdout.splitlines(), done.stderr[-3000:]


def by_certificate(broker: SecuredKafka, certificate: Certificate) -> dict[str, str]:
    return prefixed(
        {
            "BOOTSTRAP_SERVERS": broker.tls_bootstrap,
            "SECURITY_PROTOCOL": "SSL",
            "SSL_CA_FILE": str(broker.authority.file),
            "SSL_CERTIFICATE_FILE": str(certificate.chain),
            "SSL_KEY_FILE": str(certificate.key),
        }
    )


def without_certificate(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if not name.endswith(("CERTIFICATE_FILE", "KEY_FILE"))}


def sizes(broker: SecuredKafka) -> kafka_offsets.Offsets:
    """How many messages each partition of the input topics has."""
    with settings_of(broker.variables(Role.READER)) as own:
        return kafka_offsets.latest(own.kafka.as_role(Role.READER), INPUT_TOPICS, 20)


def test_every_role_is_tried() -> None:
    assert set(RIGHTS) == set(Role)
