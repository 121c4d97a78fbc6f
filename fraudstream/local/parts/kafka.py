"""The embedded Kafka broker: KRaft, one node, on loopback."""

import base64
import subprocess
import time
import uuid
from pathlib import Path

from fraudstream.files import write_atomically
from fraudstream.kafka import access as kafka_access
from fraudstream.kafka.errors import KafkaRefusedError, KafkaUnavailableError
from fraudstream.local.install.java import find_java
from fraudstream.local.parts.part import Part, Watch
from fraudstream.settings import Settings
from fraudstream.settings.kafka import KafkaSettings, Role

NAME = "kafka"
LOGGING = Path(__file__).with_name("kafka-log4j2.properties")
READY_SECONDS = 180.0
#: Seconds that a Kafka of your own, which should run already, may take to answer.
YOURS_SECONDS = 20.0
#: Seconds that one attempt waits for brokers, between two looks at whether they still run.
ATTEMPT_SECONDS = 4.0


def part(settings: Settings) -> Part:
    """The broker, for supervisord."""
    command = (*_java(settings), "kafka.Kafka", str(_properties_file(settings)))
    return Part(NAME, command, settings.paths.kafka, stop_seconds=30, priority=100, url=settings.kafka.bootstrap)


def prepare(settings: Settings) -> None:
    """Writes the broker's configuration and formats its storage once. Raises KafkaUnavailableError."""
    properties = _properties_file(settings)
    data = settings.paths.kafka / "data"
    write_atomically(properties, _properties(settings.kafka, data))
    if (data / "meta.properties").exists():
        return
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    command = [*_java(settings), "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(properties)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=READY_SECONDS, check=False)
    if done.returncode:
        raise KafkaUnavailableError(f"Kafka's storage {data} can't be formatted: {(done.stderr or done.stdout)[-300:]}")


def wait_ready(settings: Settings, watch: Watch, timeout: float = READY_SECONDS) -> None:
    """Returns when the brokers answer. Raises KafkaUnavailableError after `timeout` seconds; KafkaRefusedError at once.

    `watch` is called between attempts, and raises when there is nothing left to wait for.
    """
    mine = settings.kafka.as_role(Role.ADMIN)
    deadline = time.monotonic() + timeout
    while True:
        watch()
        try:
            kafka_access.connect(mine, ATTEMPT_SECONDS)
        except KafkaRefusedError:
            raise
        except KafkaUnavailableError as error:
            if time.monotonic() > deadline:
                log = f"; read {settings.paths.logs / 'kafka.log'}" if mine.embedded else ""
                raise KafkaUnavailableError(f"{error}{log}") from None
        else:
            return


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
