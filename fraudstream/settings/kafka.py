"""Kafka's settings: where it is, who we are to it, and what our topics are like.

`KafkaSettings.client_config` says them in librdkafka's words (every client in Python, and Airflow's connection),
`fraudstream.kafka.java` in those of Kafka's own client (Spark).
"""

from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr, SecretStr, model_validator

from fraudstream.errors import SettingsError
from fraudstream.settings.group import ENV_PREFIX, Group

_PREFIX = f"{ENV_PREFIX}KAFKA__"


class Role(StrEnum):
    """Who uses Kafka. Each may have an account of its own, with the rights in `fraudstream.kafka.acls`."""

    ADMIN = "admin"  # `up`: creates topics
    PRODUCER = "producer"  # the simulated shop, or a replayed recording
    STREAM = "stream"  # the streaming job
    ALERTS = "alerts"  # Airflow's connection, for Dags that wait for alerts
    REPLAY = "replay"  # dead letters, sent again, and analysts' verdicts
    READER = "reader"  # status, reconciliation, rebuilds and training


class KafkaAccount(Group):
    """An account that a client signs in with. Empty for a role: it uses the common account."""

    sasl_username: str = Field("", description="needed with SASL")
    sasl_password: SecretStr = Field(SecretStr(""), description="needed with SASL")
    ssl_certificate_file: Path | None = Field(
        None, description="client certificate with its chain, PEM; for brokers that ask for one (mTLS)"
    )
    ssl_key_file: Path | None = Field(None, description="its private key, PEM (PKCS #8)")
    ssl_key_password: SecretStr = Field(SecretStr(""), description="of an encrypted key; the stream's can't be")

    @property
    def is_given(self) -> bool:
        """True when there is anything in it."""
        return bool(self.sasl_username or self.ssl_certificate_file or self.ssl_key_file)


class KafkaBrokers(Group):
    """The brokers, and the topics on them."""

    bootstrap_servers: str = Field("", description="host:port[,host:port] of your own Kafka; empty: embedded")
    port: int = Field(9092, ge=1, le=65535, description="embedded broker's port, on loopback")
    controller_port: int = Field(9093, ge=1, le=65535, description="embedded KRaft controller's port, on loopback")
    heap_mb: int = Field(384, ge=128, description="embedded broker's Java heap, MiB")
    partitions: int = Field(2, ge=1, le=10_000, description="partitions of each topic that `up` creates")
    replication_factor: int = Field(1, ge=1, le=10, description="replicas of each topic that `up` creates")
    min_insync_replicas: int = Field(
        1, ge=1, le=10, description="replicas that must hold a message before it is acknowledged; set at `up`, too"
    )
    retention_hours: int = Field(
        168, ge=1, description="how long topics keep messages, hours; set at `up`, in your own Kafka of new topics only"
    )
    retention_mb: int = Field(
        20_480,
        ge=0,
        description="the most that each topic keeps, over all its partitions, MiB; 0: all; set at `up`, likewise",
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL; for your own Kafka"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
    )
    ssl_ca_file: Path | None = Field(
        None, description="PEM file of the CA that signed the brokers' certificates; empty: the system's CAs"
    )
    ssl_verify_hostname: bool = Field(
        True, description="whether a broker's certificate must be for the host that we connect to"
    )


class KafkaSettings(KafkaAccount, KafkaBrokers):
    """Where Kafka is. Without `bootstrap_servers`, `up` starts an embedded single broker (KRaft)."""

    admin: KafkaAccount = KafkaAccount()
    producer: KafkaAccount = KafkaAccount()
    stream: KafkaAccount = KafkaAccount()
    alerts: KafkaAccount = KafkaAccount()
    replay: KafkaAccount = KafkaAccount()
    reader: KafkaAccount = KafkaAccount()

    #: Whose account this is, when it isn't the common one: for messages that name a setting.
    _role: Role | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.min_insync_replicas > self.replication_factor:
            raise ValueError(
                f"{_PREFIX}MIN_INSYNC_REPLICAS={self.min_insync_replicas} is more than "
                f"{_PREFIX}REPLICATION_FACTOR={self.replication_factor}: nothing could ever be written"
            )
        if self.embedded and self.security_protocol != "PLAINTEXT":
            raise ValueError(
                f"{_PREFIX}SECURITY_PROTOCOL={self.security_protocol} is for a Kafka of your own: "
                f"set {_PREFIX}BOOTSTRAP_SERVERS, too"
            )
        if self.embedded and self.replication_factor > 1:
            raise ValueError(
                f"{_PREFIX}REPLICATION_FACTOR={self.replication_factor}: the embedded broker is alone; "
                f"set {_PREFIX}BOOTSTRAP_SERVERS to a Kafka of your own"
            )
        accounts = [(_PREFIX, self), *((f"{_PREFIX}{role.upper()}__", getattr(self, role)) for role in Role)]
        if self.uses_sasl and not any(account.sasl_username for _, account in accounts):
            raise ValueError(
                f"{_PREFIX}SASL_USERNAME is empty, and {_PREFIX}SECURITY_PROTOCOL={self.security_protocol} needs "
                "sasl_username and sasl_password"
            )
        if self.uses_tls:
            _check_file(f"{_PREFIX}SSL_CA_FILE", self.ssl_ca_file)
            for prefix, account in accounts:
                _check_certificate(prefix, account)
        return self

    @property
    def embedded(self) -> bool:
        """True when `up` runs the broker itself."""
        return not self.bootstrap_servers

    @property
    def bootstrap(self) -> str:
        """Addresses to which clients connect."""
        return self.bootstrap_servers or f"127.0.0.1:{self.port}"

    @property
    def uses_sasl(self) -> bool:
        """True when clients sign in with a name and a password."""
        return self.security_protocol.startswith("SASL")

    @property
    def uses_tls(self) -> bool:
        """True when the connection is encrypted."""
        return self.security_protocol.endswith("SSL")

    @property
    def principal(self) -> str:
        """Who we are to the brokers' authorizer."""
        if self.uses_sasl:
            return f"User:{self.sasl_username}"
        if self.uses_tls and self.ssl_certificate_file:
            return f"User:<subject of {self.ssl_certificate_file}>"
        return "User:ANONYMOUS"

    def as_role(self, role: Role) -> Self:
        """The same settings with the role's own account in place of the common one, when it has one."""
        account: KafkaAccount = getattr(self, role)
        if not account.is_given:
            return self
        mine = self.model_copy(update={name: getattr(account, name) for name in KafkaAccount.model_fields})
        mine._role = role
        return mine

    def setting(self, name: str) -> str:
        """The environment's name of one of the fields, the role's own where it has an account of its own."""
        own = self._role if name in KafkaAccount.model_fields else None
        return f"{_PREFIX}{own.upper() + '__' if own else ''}{name.upper()}"

    def check_account(self) -> None:
        """Raises SettingsError naming what is missing for signing in."""
        if not self.uses_sasl:
            return
        for name, value in (
            ("sasl_username", self.sasl_username),
            ("sasl_password", self.sasl_password.get_secret_value()),
        ):
            if not value:
                raise SettingsError(
                    f"{self.setting(name)} is empty, and {_PREFIX}SECURITY_PROTOCOL={self.security_protocol} needs it"
                )

    def client_config(self) -> dict[str, str]:
        """Librdkafka's connection properties, also for Airflow's Kafka connection. Raises SettingsError."""
        self.check_account()
        config = {"bootstrap.servers": self.bootstrap, "security.protocol": self.security_protocol}
        if self.uses_sasl:
            config |= {
                "sasl.mechanism": self.sasl_mechanism,
                "sasl.username": self.sasl_username,
                "sasl.password": self.sasl_password.get_secret_value(),
            }
        if self.uses_tls:
            config |= {"ssl.endpoint.identification.algorithm": "https" if self.ssl_verify_hostname else "none"}
            files = {
                "ssl.ca.location": self.ssl_ca_file,
                "ssl.certificate.location": self.ssl_certificate_file,
                "ssl.key.location": self.ssl_key_file,
            }
            config |= {name: str(path) for name, path in files.items() if path}
            if self.ssl_key_file and (password := self.ssl_key_password.get_secret_value()):
                config["ssl.key.password"] = password
        return config

    def consumer_config(self, group: str) -> dict[str, Any]:
        """Librdkafka's properties of a consumer, whose work and not a clock says when an offset is done with."""
        return {**self.client_config(), "group.id": str(group), "enable.auto.commit": False}

    def producer_config(self) -> dict[str, Any]:
        """Librdkafka's properties of every producer: all replicas in sync acknowledge; no message twice by itself."""
        return {**self.client_config(), "acks": "all", "enable.idempotence": True}


def _check_certificate(prefix: str, account: KafkaAccount) -> None:
    certificate, key = account.ssl_certificate_file, account.ssl_key_file
    if bool(certificate) != bool(key):
        given, missing = ("SSL_KEY_FILE", "SSL_CERTIFICATE_FILE") if key else ("SSL_CERTIFICATE_FILE", "SSL_KEY_FILE")
        raise ValueError(f"{prefix}{given}={key or certificate} needs {prefix}{missing}, too")
    _check_file(f"{prefix}SSL_CERTIFICATE_FILE", certificate)
    _check_file(f"{prefix}SSL_KEY_FILE", key)


def _check_file(setting: str, path: Path | None) -> None:
    if path is None:
        return
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise ValueError(f"{setting}={path} can't be read: {error.strerror}") from None
