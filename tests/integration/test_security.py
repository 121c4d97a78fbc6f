"""The checks that need real servers: roles in PostgreSQL's catalog, and errors that must not tell a password."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import KafkaException, Producer
from pydantic import SecretStr

from fraudstream.files import write_atomically
from fraudstream.kafka import offsets as kafka_offsets
from fraudstream.kafka.errors import KafkaUnavailableError
from fraudstream.local import status
from fraudstream.local.parts import kafka
from fraudstream.local.parts.part import not_watching
from fraudstream.local.security import database, listeners, values
from fraudstream.local.security.finding import Finding, Outcome
from fraudstream.messages.contracts import INPUT_TOPICS
from fraudstream.settings import Settings
from fraudstream.settings.kafka import KafkaSettings
from fraudstream.storage import roles
from fraudstream.storage.connect import connect
from testbed.isolation import free_port
from tests.polling import poll

Postgres = psycopg.Connection[tuple[object, ...]]
RIGHT, WRONG = "Right-q7Zt2mXw9LkPd4", "Canary-v3Rb8nYc6HsJf1"


@pytest.fixture
def admin(settings: Settings) -> Iterator[Postgres]:
    with connect(settings, settings.postgres.admin, autocommit=True) as connection:
        yield connection


def failures(found: Iterator[Finding]) -> list[str]:
    return [finding.told for finding in found if finding.outcome is Outcome.FAILED]


def test_servers_as_up_makes_them_have_no_failure(settings: Settings) -> None:
    for check in (database.check_access, database.check_roles, listeners.check, values.check_command_lines):
        assert [finding.outcome for finding in check(settings)] == [Outcome.OK], list(check(settings))


@pytest.mark.parametrize(
    ("breakage", "repair", "said"),
    [
        ("ALTER ROLE fraud_writer SUPERUSER", "ALTER ROLE fraud_writer NOSUPERUSER", "role fraud_writer has SUPERUSER"),
        ("ALTER ROLE fraud_reader CREATEDB", "ALTER ROLE fraud_reader NOCREATEDB", "role fraud_reader has CREATEDB"),
        ("ALTER ROLE fraud_owner LOGIN", "ALTER ROLE fraud_owner NOLOGIN", "fraud_owner, which owns the schema, can"),
        ("GRANT fraud_owner TO fraud_reader", "REVOKE fraud_owner FROM fraud_reader", "is a member of fraud_owner"),
        (
            "GRANT pg_write_all_data TO fraud_reader",
            "REVOKE pg_write_all_data FROM fraud_reader",
            "is a member of pg_write_all_data",
        ),
        (
            "GRANT CREATE ON SCHEMA fraud TO fraud_writer",
            "REVOKE CREATE ON SCHEMA fraud FROM fraud_writer",
            "CREATE on",
        ),
    ],
)
def test_a_power_too_many_is_named(settings: Settings, admin: Postgres, breakage: str, repair: str, said: str) -> None:
    admin.execute(breakage)
    try:
        assert any(said in told for told in failures(database.check_roles(settings)))
    finally:
        admin.execute(repair)
    assert failures(database.check_roles(settings)) == []


@pytest.mark.parametrize(
    ("breakage", "said"),
    [
        ("GRANT DELETE ON fraud.stream_offsets TO fraud_writer", "fraud_writer has DELETE on fraud.stream_offsets"),
        ("GRANT CONNECT ON DATABASE fraudstream TO PUBLIC", "PUBLIC has CONNECT on database fraudstream"),
        ("GRANT USAGE ON SCHEMA fraud TO PUBLIC", "PUBLIC has USAGE on schema fraud"),
        ("ALTER ROLE fraud_reader CONNECTION LIMIT -1", "role fraud_reader may take -1 connections"),
        ("ALTER ROLE fraud_reader SET statement_timeout = 0", "don't begin with statement_timeout=15s"),
    ],
)
def test_what_up_puts_right_is_named_before(settings: Settings, admin: Postgres, breakage: str, said: str) -> None:
    admin.execute(breakage)
    found = failures(database.check_roles(settings))
    roles.ensure_roles(settings, {})
    roles.ensure_schema(settings)
    roles.grant_tables(settings)
    assert any(said in told for told in found), found
    assert failures(database.check_roles(settings)) == []


def test_a_wrong_postgres_password_is_not_told(settings: Settings, tmp_path: Path) -> None:
    pg = settings.postgres
    wrong = Settings(var_dir=tmp_path, kafka=settings.kafka, postgres=pg)
    write_atomically(wrong.paths.pgpass, f"*:*:*:{pg.reader}:{WRONG}\n")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed") as raised:
        connect(wrong, pg.reader)
    told = "\n".join([str(raised.value), *status.collect(wrong).problems])
    assert "password authentication failed" in told
    assert WRONG not in told
    assert WRONG not in (settings.paths.logs / "postgres.log").read_text()


@pytest.fixture(scope="module")
def guarded(settings: Settings) -> Iterator[KafkaSettings]:
    """A second broker, which asks for a password (SASL PLAIN)."""
    port, controller = free_port(), free_port()
    own = Settings(var_dir=settings.paths.var / "sasl", kafka=KafkaSettings(port=port, controller_port=controller))
    own.paths.jars = settings.paths.jars
    kafka.prepare(own)
    properties = own.paths.kafka / "server.properties"
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    text = (
        properties.read_text()
        .replace(f"PLAINTEXT://127.0.0.1:{port}", f"SASL_PLAINTEXT://127.0.0.1:{port}")
        .replace("map=PLAINTEXT:PLAINTEXT", "map=SASL_PLAINTEXT:SASL_PLAINTEXT")
        .replace("inter.broker.listener.name=PLAINTEXT", "inter.broker.listener.name=SASL_PLAINTEXT")
    )
    account = f'username="shop" password="{RIGHT}" user_shop="{RIGHT}"'
    write_atomically(
        properties,
        f"{text}sasl.enabled.mechanisms=PLAIN\nsasl.mechanism.inter.broker.protocol=PLAIN\n"
        f"listener.name.sasl_plaintext.plain.sasl.jaas.config={login} {account};\n",
    )
    log = settings.paths.logs / "sasl-kafka.log"
    with log.open("w") as output:
        broker = subprocess.Popen(kafka.part(own).command, stdout=output, stderr=subprocess.STDOUT)
        try:
            kafka.wait_ready(own.model_copy(update={"kafka": account_of(own.kafka, RIGHT)}), not_watching, 60)
            yield own.kafka
        finally:
            broker.terminate()
            broker.wait(30)


def account_of(broker: KafkaSettings, password: str) -> KafkaSettings:
    return KafkaSettings(
        bootstrap_servers=broker.bootstrap,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_username="shop",
        sasl_password=SecretStr(password),
    )


def environment(account: KafkaSettings) -> dict[str, str]:
    """The account as settings of a child process."""
    values = account.model_dump(include={"bootstrap_servers", "security_protocol", "sasl_mechanism", "sasl_username"})
    given = values | {"sasl_password": account.sasl_password.get_secret_value()}
    return os.environ | {f"FRAUDSTREAM_KAFKA__{name.upper()}": value for name, value in given.items()}


def test_a_wrong_kafka_password_is_not_told(
    settings: Settings, guarded: KafkaSettings, capfd: pytest.CaptureFixture[str]
) -> None:
    account = account_of(guarded, WRONG)
    wrong = settings.model_copy(update={"kafka": account})
    with pytest.raises(KafkaUnavailableError) as not_ready:
        kafka.wait_ready(wrong, not_watching, 1)
    with pytest.raises(KafkaUnavailableError) as no_offsets:
        kafka_offsets.latest(account, INPUT_TOPICS, 5)
    failed: list[object] = []
    producer = Producer(account.client_config() | {"error_cb": failed.append})
    with pytest.raises(KafkaException):
        producer.list_topics(timeout=5)
    poll(lambda: producer.poll(0.1) or failed, 20, "the broker refuses the password")
    shown = capfd.readouterr()
    told = "\n".join([str(not_ready.value), str(no_offsets.value), *map(str, failed), shown.out, shown.err])
    assert "uthentication failed" in told
    assert WRONG not in told
    assert WRONG not in repr(wrong)
    assert WRONG not in (settings.paths.logs / "sasl-kafka.log").read_text()


def test_sparks_kafka_source_does_not_tell_the_password(settings: Settings, guarded: KafkaSettings) -> None:
    """The stream's own start, against a broker that refuses it."""
    program = (
        "from fraudstream.settings import load_settings; from spark_jobs.session import build_session;"
        "from spark_jobs.source import read_events; from spark_jobs.batch_size import BatchSize;"
        "from spark_jobs.pace import Pace; from threading import Event;"
        "s = load_settings(); spark = build_session(s, 'local[1]');"
        "frame = read_events(spark, s, BatchSize(20_000), Pace(0, Event())); frame.explain(True);"
        "query = frame.writeStream.format('console').start(); query.awaitTermination()"
    )
    account = account_of(guarded, WRONG)
    done = subprocess.run(
        [settings.paths.python("spark"), "-c", program],
        env=environment(account),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode != 0
    assert "uthentication" in done.stdout + done.stderr
    assert WRONG not in done.stdout + done.stderr
