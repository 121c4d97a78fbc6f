"""The embedded Kafka broker (KRaft, one node, on loopback), and the topics on whichever Kafka is used."""

import base64
import subprocess
import time
import uuid
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from fraudstream.contracts import Topic
from fraudstream.errors import FraudstreamError
from fraudstream.files import write_atomically
from fraudstream.local.java import find_java
from fraudstream.local.programs import Program, Watch
from fraudstream.settings import KafkaSettings, Settings

NAME = "kafka"
LOGGING = Path(__file__).with_name("kafka-log4j2.properties")
#: Every topic's records carry the broker's clock: `ingest_time`, and with it every latency, means arrival.
TOPIC_CONFIG = {"message.timestamp.type": "LogAppendTime"}
READY_SECONDS = 180.0
REQUEST_SECONDS = 30.0


class KafkaUnavailableError(FraudstreamError):
    """Kafka doesn't answer, or refuses what we ask."""


def program(settings: Settings) -> Program:
    """The broker, for supervisord."""
    command = (*_java(settings), "kafka.Kafka", str(_properties_file(settings)))
    return Program(NAME, command, settings.paths.kafka, stop_seconds=30, priority=100, url=settings.kafka.bootstrap)


def prepare(settings: Settings) -> None:
    """Writes the broker's configuration and formats its storage once. Raises KafkaUnavailableError."""
    properties = _properties_file(settings)
    data = settings.paths.kafka / "data"
    write_atomically(properties, _properties(settings.kafka, data))
    if (data / "meta.properties").exists():
        return
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    command = [*_java(settings), "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=READY_SECONDS, check=False)
    if done.returncode:
        raise KafkaUnavailableError(f"Kafka's storage {data} can't be formatted: {(done.stderr or done.stdout)[-300:]}")


def wait_ready(settings: Settings, watch: Watch, timeout: float = READY_SECONDS) -> None:
    """Returns when the brokers answer. Raises KafkaUnavailableError after `timeout` seconds.

    `watch` is called between attempts, and raises when there is nothing left to wait for.
    """
    admin = _admin(settings)
    deadline = time.monotonic() + timeout
    while True:
        watch()
        try:
            admin.list_topics(timeout=2.0)
        except KafkaException as error:
            if time.monotonic() > deadline:
                raise KafkaUnavailableError(
                    f"Kafka at {settings.kafka.bootstrap} does not answer ({error.args[0].str()}): "
                    f"read {settings.paths.logs / 'kafka.log'}, or check FRAUDSTREAM_KAFKA__BOOTSTRAP_SERVERS"
                ) from None
        else:
            return


def create_topics(settings: Settings) -> None:
    """Creates the topics that are missing. Existing ones stay as they are: more partitions would move the keys."""
    kafka = settings.kafka
    retention = str(kafka.retention_hours * 3_600_000)
    wanted = [
        NewTopic(
            topic.value,
            num_partitions=kafka.partitions,
            replication_factor=kafka.replication_factor,
            config=TOPIC_CONFIG | {"retention.ms": retention},
        )
        for topic in Topic
    ]
    admin = _admin(settings)  # held: its end would end the requests
    for name, future in admin.create_topics(wanted, request_timeout=REQUEST_SECONDS).items():
        try:
            future.result(timeout=REQUEST_SECONDS + 5)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise KafkaUnavailableError(f"topic {name} can't be created: {error.args[0].str()}") from None


def _admin(settings: Settings) -> AdminClient:
    # The default logger prints every refused connection while the broker starts.
    return AdminClient(settings.kafka.client_config() | {"log_level": 0, "socket.connection.setup.timeout.ms": 3000})


def _properties_file(settings: Settings) -> Path:
    return settings.paths.kafka / "server.properties"


def _java(settings: Settings) -> tuple[str, ...]:
    heap = settings.kafka.heap_mb
    return (
        str(find_java()),
        f"-Xms{min(heap, 256)}m",
        f"-Xmx{heap}m",
        "-XX:+UseSerialGC",
        # The first compiler only: half the CPU time to start (2.9 for 5.8 s), and as fast with 100,000 messages/s.
        "-XX:TieredStopAtLevel=1",
        "-XX:+ExitOnOutOfMemoryError",
        "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={LOGGING}",
        "-cp",
        f"{settings.paths.jars / NAME}/*",
    )


def _properties(kafka: KafkaSettings, data: Path) -> str:
    values = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{kafka.controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://127.0.0.1:{kafka.port},CONTROLLER://127.0.0.1:{kafka.controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{kafka.port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": data,
        "auto.create.topics.enable": "false",
        "log.message.timestamp.type": "LogAppendTime",
        "log.retention.hours": kafka.retention_hours,
        "log.segment.bytes": 128 * 1024 * 1024,
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())
