"""Databases, schema and topics on real servers: who may enter, and that migrations and tables agree."""

import subprocess

import psycopg
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from fraudstream.kafka.errors import KafkaUnavailableError
from fraudstream.kafka.topics import RETENTION, TOPIC_CONFIG, create, create_topics, keep_as_set
from fraudstream.local import secrets
from fraudstream.local.parts import postgres
from fraudstream.messages.contracts import Topic
from fraudstream.settings import PostgresSettings, Settings
from fraudstream.storage import migrate, roles
from fraudstream.storage.connect import PostgresUnavailableError, connect, session
from spark_jobs.database import Database


def test_migrations_and_tables_agree(settings: Settings) -> None:
    migrate.check(settings)


def test_setting_up_twice_changes_nothing(settings: Settings) -> None:
    passwords = {role: secrets.read(settings, name) for role, name in secrets.database_roles(settings).items()}
    roles.ensure_roles(settings, passwords)
    roles.ensure_schema(settings)
    migrate.migrate(settings)
    roles.grant_tables(settings)
    create_topics(settings.kafka)


@pytest.mark.parametrize(
    ("role", "database"),
    [
        ("fraud_reader", "airflow"),
        ("fraud_reader", "superset"),
        ("fraud_writer", "superset"),
        ("airflow", "fraudstream"),
        ("superset", "airflow"),
        ("superset", "fraudstream"),
    ],
)
def test_a_role_cannot_enter_anothers_database(settings: Settings, role: str, database: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        connect(settings, role, database)


def test_an_error_names_server_role_and_database_and_what_to_do(settings: Settings) -> None:
    pg = settings.postgres
    with pytest.raises(PostgresUnavailableError) as raised:
        connect(settings, pg.reader, "airflow")
    told = str(raised.value)
    assert told.startswith(f"Postgres at 127.0.0.1:{pg.port} doesn't serve fraud_reader in database airflow (")
    assert "permission denied for database" in told
    assert told.endswith(f"run ./fraudctl up, or read {settings.paths.logs / 'postgres.log'}")
    assert not [name for name in secrets.GENERATORS if secrets.read(settings, name) in told]


def test_a_server_of_others_is_said_to_be_theirs(settings: Settings) -> None:
    elsewhere = settings.model_copy(update={"postgres": PostgresSettings(host="127.0.0.1", port=1)})
    with pytest.raises(PostgresUnavailableError, match=r"Connection refused.*FRAUDSTREAM_POSTGRES__HOST and __PORT$"):
        connect(elsewhere, "fraud_reader")


def test_a_session_bears_its_name(settings: Settings) -> None:
    with session(settings, settings.postgres.reader, name="a test") as connection:
        assert connection.execute("SELECT current_setting('application_name')").fetchone() == ("a test",)


def test_a_session_explains_a_statement_that_was_given_up(settings: Settings) -> None:
    with (
        pytest.raises(PostgresUnavailableError, match=r"fraud_reader in database .*statement timeout"),
        session(
            settings, settings.postgres.reader, name="a test", begins_with={"statement_timeout": "50ms"}
        ) as connection,
    ):
        connection.execute("SELECT pg_sleep(5)")


def test_the_stream_outlives_a_server_that_was_read_only(settings: Settings) -> None:
    """As after a failover: the old connection can only read, and a new one reaches who can write."""
    database, told = Database(settings), []

    def write(connection: psycopg.Connection[tuple[object, ...]]) -> None:
        told.append(database.waiting)
        connection.execute("DELETE FROM fraud.reconciliations WHERE false")

    database.now().execute("SET default_transaction_read_only = on")
    database.patiently("batch 7", write)
    assert told[0] == ""
    assert told[1].startswith("batch 7 waits for Postgres: the server is read-only, as a standby is after a failover")


def test_nobody_enters_without_a_password_or_as_the_owner(settings: Settings) -> None:
    pg = settings.postgres
    for role in (pg.admin, pg.reader, pg.owner):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(host="127.0.0.1", port=pg.port, user=role, dbname=pg.database, passfile="/nonexistent")


def test_the_server_keeps_scram_verifiers_and_its_log_no_password(settings: Settings) -> None:
    with connect(settings, settings.postgres.admin) as connection:
        stored = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolcanlogin").fetchall()
    assert stored
    assert all(str(password).startswith("SCRAM-SHA-256$") for (password,) in stored)
    log = (settings.paths.logs / "postgres.log").read_text()
    assert not [name for name in secrets.GENERATORS if secrets.read(settings, name) in log]


def test_no_secret_stands_on_a_command_line(settings: Settings) -> None:
    shown = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(settings.paths.kafka) in shown
    assert not [name for name in secrets.GENERATORS if secrets.read(settings, name) in shown]


def test_every_topic_exists_with_the_brokers_clock(settings: Settings) -> None:
    admin = AdminClient({**settings.kafka.client_config()})
    topics = admin.list_topics(timeout=10).topics
    assert {topic.value for topic in Topic} <= set(topics)
    resources = [ConfigResource(ResourceType.TOPIC, topic.value) for topic in Topic]
    for resource, answer in admin.describe_configs(resources).items():
        configuration = answer.result(timeout=10)
        assert configuration["message.timestamp.type"].value == "LogAppendTime", resource.name
        assert configuration["retention.ms"].value == str(settings.kafka.retention_hours * 3_600_000)
        assert len(topics[resource.name].partitions) == settings.kafka.partitions


def test_topics_that_exist_keep_what_the_settings_say_now(settings: Settings) -> None:
    admin = AdminClient({**settings.kafka.client_config()})

    def kept() -> dict[str, str]:
        (answer,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, Topic.TRANSACTIONS.value)]).values()
        return {name: answer.result(timeout=10)[name].value for name in RETENTION}

    before = kept()
    keep_as_set(settings.kafka.model_copy(update={"retention_hours": 8, "retention_mb": 64}))
    shorter = kept()
    keep_as_set(settings.kafka.model_copy(update={"retention_mb": 0}))
    unbounded = kept()
    keep_as_set(settings.kafka)
    assert shorter == {
        "retention.ms": str(8 * 3_600_000),
        "segment.ms": str(3_600_000),
        "retention.bytes": str(32 * 2**20),
        "segment.bytes": str(4 * 2**20),
    }
    assert (unbounded["retention.bytes"], unbounded["retention.ms"]) == ("-1", before["retention.ms"])
    assert kept() == before


def test_a_shops_own_topic_is_created_once_as_the_stream_needs_it(settings: Settings) -> None:
    name = "shop.created"
    assert create(settings.kafka, [name]) == [name]
    assert create(settings.kafka, [name]) == []
    admin = AdminClient(settings.kafka.client_config())
    resource = ConfigResource(ResourceType.TOPIC, name)
    (answer,) = admin.describe_configs([resource]).values()
    found = answer.result(timeout=10)
    assert {key: found[key].value for key in TOPIC_CONFIG} == TOPIC_CONFIG
    admin.delete_topics([name])[name].result(timeout=10)
    with pytest.raises(KafkaUnavailableError, match="topic a b can't be created"):
        create(settings.kafka, ["a b"])


def test_a_topic_that_nobody_created_does_not_appear(settings: Settings) -> None:
    producer = Producer(settings.kafka.client_config() | {"message.timeout.ms": 3000})
    producer.produce("transacions", b"{}")
    producer.flush(10)
    assert "transacions" not in AdminClient({**settings.kafka.client_config()}).list_topics(timeout=10).topics


def test_the_data_folder_is_private_and_its_parents_unchanged(settings: Settings) -> None:
    assert settings.paths.postgres.stat().st_mode & 0o777 == 0o700
    assert settings.paths.var.stat().st_mode & 0o777 == 0o700  # as mkdtemp made it
    assert settings.paths.postgres.stat().st_uid == settings.paths.var.stat().st_uid


def test_the_bundled_psql_answers(settings: Settings) -> None:
    command = [str(postgres.binary("psql")), "--dbname", settings.dsn("fraud_reader"), "-Atc", "SELECT 6 * 7"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "42\n"
