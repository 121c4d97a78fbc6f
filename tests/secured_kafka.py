"""A broker that asks who is there: SASL_SSL and mTLS listeners, certificates of its own, and rights by ACL."""

import os
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe

import trustme
from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from fraudstream.files import write_atomically
from fraudstream.kafka.acls import RIGHTS, Right
from fraudstream.kafka.topics import create_topics
from fraudstream.local import secrets
from fraudstream.local.down import down
from fraudstream.local.install import jars
from fraudstream.local.parts import kafka, postgres
from fraudstream.local.supervisor import Supervisor
from fraudstream.local.up import Up
from fraudstream.settings import Settings, load_settings
from fraudstream.settings.kafka import KafkaSettings, Role
from testbed.isolation import free_port, isolated_settings

ROOT = "root"
ANSWER_SECONDS = 60.0
START_SECONDS = 240.0  # it takes 5 on an idle machine


@dataclass(frozen=True)
class Certificate:
    """PEM files: the chain, and its key (PKCS #8)."""

    chain: Path
    key: Path


class Authority:
    """A CA of the test's own."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(self.file)

    def issue(self, name: str, *hosts: str, password: str = "") -> Certificate:
        """A certificate for `CN=name` and `hosts`."""
        issued = self._authority.issue_cert(*hosts or (name,), common_name=name)
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        made.chain.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        secrecy: KeySerializationEncryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        made.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secrecy))
        return made


class SecuredKafka:
    """The broker, and its administrator's means: users and ACLs."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.authority = Authority(folder / "certificates")
        self.passwords = {role: token_urlsafe(24) for role in Role}
        self._settings = settings
        self._folder = folder
        self._sasl_port, self._tls_port, self._controller_port = free_port(), free_port(), free_port()
        self._root = self.authority.issue(ROOT)
        self.log = folder / "broker.log"

    @property
    def sasl_bootstrap(self) -> str:
        """Where users with passwords come in."""
        return f"localhost:{self._sasl_port}"

    @property
    def tls_bootstrap(self) -> str:
        """Where client certificates are asked for."""
        return f"localhost:{self._tls_port}"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Starts the broker; stops it at the end."""
        own = Settings(
            var_dir=self._folder,
            kafka=KafkaSettings(port=self._tls_port, controller_port=self._controller_port, heap_mb=256),
        )
        own.paths.jars = self._settings.paths.jars
        kafka.prepare(own)  # formats the storage; the configuration is this broker's own
        write_atomically(own.paths.kafka / "server.properties", self._properties(own.paths.kafka / "data"))
        with self.log.open("w") as output:
            broker = subprocess.Popen(kafka.part(own).command, stdout=output, stderr=subprocess.STDOUT)
            try:
                self._wait(broker)
                yield
            finally:
                broker.kill()  # nothing on its disk is needed any more
                broker.wait()

    def admin(self) -> AdminClient:
        """The super user's client."""
        return AdminClient(
            {
                "bootstrap.servers": self.tls_bootstrap,
                "security.protocol": "SSL",
                "ssl.ca.location": str(self.authority.file),
                "ssl.certificate.location": str(self._root.chain),
                "ssl.key.location": str(self._root.key),
                "log_level": 0,
            }
        )

    def create_users(self) -> None:
        """One user per role, named like it."""
        wanted = [
            UserScramCredentialUpsertion(
                role.value, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), password.encode()
            )
            for role, password in self.passwords.items()
        ]
        admin = self.admin()
        for answer in admin.alter_user_scram_credentials(wanted).values():
            answer.result(ANSWER_SECONDS)

    def grant(self, role: Role, rights: Iterable[Right]) -> None:
        """Adds ACLs for the role's user."""
        admin = self.admin()
        for answer in admin.create_acls([_binding(role, right) for right in rights]).values():
            answer.result(ANSWER_SECONDS)

    def revoke(self, role: Role, right: Right) -> None:
        """Takes one away again."""
        wanted = _binding(role, right)
        same = (wanted.restype, wanted.name, wanted.resource_pattern_type, wanted.principal, wanted.host)
        admin = self.admin()
        only = AclBindingFilter(*same, wanted.operation, wanted.permission_type)
        for answer in admin.delete_acls([only]).values():
            assert answer.result(ANSWER_SECONDS), f"{role} didn't have {right}"

    @contextmanager
    def without(self, role: Role, right: Right) -> Iterator[None]:
        """The role lacks one of its rights for a while."""
        self.revoke(role, right)
        try:
            yield
        finally:
            self.grant(role, [right])

    def variables(self, *roles: Role) -> dict[str, str]:
        """The settings, by their names in the environment, of a client that knows these roles' passwords only."""
        accounts = {
            f"{role.upper()}__{name}": value
            for role in roles
            for name, value in (("SASL_USERNAME", role.value), ("SASL_PASSWORD", self.passwords[role]))
        }
        return prefixed(
            {
                "BOOTSTRAP_SERVERS": self.sasl_bootstrap,
                "SECURITY_PROTOCOL": "SASL_SSL",
                "SSL_CA_FILE": str(self.authority.file),
            }
            | accounts
        )

    @contextmanager
    def variables_set(self, *roles: Role) -> Iterator[None]:
        """`variables`, in this process's environment."""
        before = dict(os.environ)
        os.environ.update(self.variables(*roles))
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)

    def _properties(self, data: Path) -> str:
        server = self.authority.issue("server", "localhost")
        keystore = self._folder / "certificates" / "keystore.pem"
        write_atomically(keystore, server.key.read_text() + server.chain.read_text())
        plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        values = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@localhost:{self._controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"SASL_SSL://localhost:{self._sasl_port},SSL://localhost:{self._tls_port},"
            f"CONTROLLER://localhost:{self._controller_port}",
            "advertised.listeners": f"SASL_SSL://localhost:{self._sasl_port},SSL://localhost:{self._tls_port}",
            "listener.security.protocol.map": "SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:SSL",
            "inter.broker.listener.name": "SSL",
            "listener.name.ssl.ssl.client.auth": "required",
            "listener.name.controller.ssl.client.auth": "required",
            "ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": keystore,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.authority.file,
            "sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
            "listener.name.sasl_ssl.plain.sasl.jaas.config": (
                f'{plain} user_{Role.READER}="{self.passwords[Role.READER]}";'
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{ROOT};User:server",
            "log.dirs": data,
            "auto.create.topics.enable": "false",
            "log.segment.bytes": 16 * 1024 * 1024,
            "num.network.threads": 2,
            "num.io.threads": 2,
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "broker.session.timeout.ms": 60_000,  # else one that gets little time is fenced
        }
        return "".join(f"{name}={value}\n" for name, value in values.items())

    def _wait(self, broker: subprocess.Popen[bytes]) -> None:
        admin, deadline = self.admin(), time.monotonic() + START_SECONDS
        while True:
            try:
                admin.list_topics(timeout=2)
            except KafkaException:
                assert broker.poll() is None, self.log.read_text()[-3000:]
                assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            else:
                return


def _binding(role: Role, right: Right) -> AclBinding:
    return AclBinding(
        ResourceType[right.resource.name],
        right.name,
        ResourcePatternType.LITERAL,
        f"User:{role}",
        "*",
        AclOperation[right.operation],
        AclPermissionType.ALLOW,
    )


def prefixed(values: Mapping[str, str]) -> dict[str, str]:
    """Kafka's settings by their names in the environment."""
    return {f"FRAUDSTREAM_KAFKA__{name}": value for name, value in values.items()}


@contextmanager
def secured_kafka(folder: Path) -> Iterator[SecuredKafka]:
    """A broker with one user per role, each with the rights that `RIGHTS` says, and nothing else."""
    broker = SecuredKafka(load_settings(), folder)
    with broker.running():
        broker.create_users()
        for role, rights in RIGHTS.items():
            broker.grant(role, rights)
        yield broker


@contextmanager
def secured_platform() -> Iterator[tuple[Settings, SecuredKafka]]:
    """The broker, its topics, and a Postgres with its schema, as `fraudctl up` makes them. The passwords aren't set."""
    with isolated_settings() as own, secured_kafka(own.paths.var / "secured") as broker:
        secrets.ensure(own)
        for folder in jars.SPARK:
            jars.install(own, folder)
        try:
            Supervisor(own).apply([postgres.part(own)])
            up = Up(own)
            up.postgres(_say_nothing)
            up.schema(_say_nothing)
            with broker.variables_set(*Role):
                create_topics(load_settings().kafka)
            yield own, broker
        finally:
            down(own, _say_nothing)


def _say_nothing(_: str) -> None:
    """Progress isn't shown in tests."""
