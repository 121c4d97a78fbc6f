"""Kafka's settings: what doesn't fit is refused by name, and every client is told the same."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from fraudstream.errors import SettingsError
from fraudstream.kafka.java import spark_options, write_secrets
from fraudstream.settings import load_settings
from fraudstream.settings.kafka import KafkaAccount, KafkaSettings, Role

PASSWORD = 'p"a\\s s=#é'
KEY = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    file = tmp_path / "some.pem"
    file.write_text(KEY)
    return file


def sasl(**others: object) -> KafkaSettings:
    values = {"bootstrap_servers": "kafka:9094", "security_protocol": "SASL_SSL", "sasl_username": "shop"}
    return KafkaSettings.model_validate(values | {"sasl_password": PASSWORD} | others)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"SECURITY_PROTOCOL": "SASL_SSL"}, "FRAUDSTREAM_KAFKA__BOOTSTRAP_SERVERS"),
        (
            {"SECURITY_PROTOCOL": "SASL_SSL", "BOOTSTRAP_SERVERS": "kafka:1"},
            "FRAUDSTREAM_KAFKA__SASL_USERNAME is empty, and FRAUDSTREAM_KAFKA__SECURITY_PROTOCOL=SASL_SSL",
        ),
        (
            {"SECURITY_PROTOCOL": "SSL", "BOOTSTRAP_SERVERS": "kafka:1", "SSL_CA_FILE": "/nowhere/ca.pem"},
            "FRAUDSTREAM_KAFKA__SSL_CA_FILE=/nowhere/ca.pem can't be read: No such file",
        ),
        (
            {"SECURITY_PROTOCOL": "SSL", "BOOTSTRAP_SERVERS": "kafka:1", "SSL_KEY_FILE": "/nowhere/key.pem"},
            "FRAUDSTREAM_KAFKA__SSL_KEY_FILE=/nowhere/key.pem needs FRAUDSTREAM_KAFKA__SSL_CERTIFICATE_FILE",
        ),
        (
            {"SECURITY_PROTOCOL": "SSL", "BOOTSTRAP_SERVERS": "kafka:1", "STREAM__SSL_CERTIFICATE_FILE": "/no/c.pem"},
            "FRAUDSTREAM_KAFKA__STREAM__SSL_CERTIFICATE_FILE=/no/c.pem needs FRAUDSTREAM_KAFKA__STREAM__SSL_KEY_FILE",
        ),
        (
            {"BOOTSTRAP_SERVERS": "kafka:1", "REPLICATION_FACTOR": "2", "MIN_INSYNC_REPLICAS": "3"},
            "FRAUDSTREAM_KAFKA__MIN_INSYNC_REPLICAS=3 is more than FRAUDSTREAM_KAFKA__REPLICATION_FACTOR=2",
        ),
        ({"REPLICATION_FACTOR": "3"}, "FRAUDSTREAM_KAFKA__REPLICATION_FACTOR=3: the embedded broker is alone"),
        ({"SASL_MECHANISM": "GSSAPI"}, "FRAUDSTREAM_KAFKA__SASL_MECHANISM='GSSAPI'"),
        ({"SHOP__SASL_USERNAME": "x"}, "FRAUDSTREAM_KAFKA__SHOP"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], said: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"FRAUDSTREAM_KAFKA__{name}", value)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_password_is_named_when_it_is_needed() -> None:
    """And not before: a process needs its own role's only."""
    kafka = sasl(sasl_password="", stream={"sasl_username": "scorer"})
    with pytest.raises(SettingsError, match="FRAUDSTREAM_KAFKA__SASL_PASSWORD is empty"):
        kafka.client_config()
    with pytest.raises(SettingsError, match="FRAUDSTREAM_KAFKA__STREAM__SASL_PASSWORD is empty"):
        kafka.as_role(Role.STREAM).client_config()


def test_a_role_has_its_own_account_or_the_common_one() -> None:
    kafka = sasl(stream={"sasl_username": "scorer", "sasl_password": "another"})
    scorer, shop = kafka.as_role(Role.STREAM), kafka.as_role(Role.PRODUCER)
    assert (scorer.client_config()["sasl.username"], scorer.client_config()["sasl.password"]) == ("scorer", "another")
    assert shop.client_config()["sasl.username"] == "shop"
    assert (scorer.principal, shop.principal) == ("User:scorer", "User:shop")
    assert scorer.setting("sasl_password") == "FRAUDSTREAM_KAFKA__STREAM__SASL_PASSWORD"
    assert shop.setting("sasl_password") == "FRAUDSTREAM_KAFKA__SASL_PASSWORD"
    assert scorer.setting("ssl_ca_file") == "FRAUDSTREAM_KAFKA__SSL_CA_FILE"


def test_there_is_an_account_for_each_role() -> None:
    fields = KafkaSettings.model_fields
    assert {name for name in fields if fields[name].annotation is KafkaAccount} == set(Role)


def test_librdkafka_is_told_all_of_it(pem: Path) -> None:
    kafka = sasl(ssl_ca_file=pem, ssl_certificate_file=pem, ssl_key_file=pem, ssl_key_password="key")
    assert kafka.client_config() == {
        "bootstrap.servers": "kafka:9094",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "shop",
        "sasl.password": PASSWORD,
        "ssl.endpoint.identification.algorithm": "https",
        "ssl.ca.location": str(pem),
        "ssl.certificate.location": str(pem),
        "ssl.key.location": str(pem),
        "ssl.key.password": "key",
    }
    assert sasl(ssl_verify_hostname=False).client_config()["ssl.endpoint.identification.algorithm"] == "none"


def test_every_producer_waits_for_all_replicas_and_repeats_nothing() -> None:
    assert KafkaSettings().producer_config().items() >= {"acks": "all", "enable.idempotence": True}.items()


def test_sparks_options_hold_no_secret_and_its_file_all(tmp_path: Path, pem: Path) -> None:
    kafka = sasl(ssl_ca_file=pem, ssl_certificate_file=pem, ssl_key_file=pem)
    secrets = tmp_path / "kafka.properties"
    options = spark_options(kafka, secrets)
    write_secrets(kafka, secrets)
    written = properties(secrets)
    referred = {name: value for name, value in options.items() if value.startswith("${file:")}
    assert referred == {f"kafka.{name}": f"${{file:{secrets}:{name}}}" for name in written}
    assert not any(secret in str(options) for secret in (PASSWORD, "AAAA"))
    assert written["ssl.keystore.key"] == written["ssl.keystore.certificate.chain"] == KEY
    escaped = PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
    assert written["sasl.jaas.config"].endswith(f'ScramLoginModule required username="shop" password="{escaped}";')
    assert secrets.stat().st_mode & 0o777 == 0o600


def properties(file: Path) -> dict[str, str]:
    """A Java properties file, read as Java does."""
    pairs = (line.split("=", 1) for line in file.read_text().splitlines())
    return {name: value.replace("\\\\", "\0").replace("\\n", "\n").replace("\0", "\\") for name, value in pairs}


def test_without_secrets_there_is_no_file(tmp_path: Path) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text("of another time")
    write_secrets(KafkaSettings(), file)
    assert not file.exists()
    assert spark_options(KafkaSettings(), file) == {
        "kafka.bootstrap.servers": "127.0.0.1:9092",
        "kafka.security.protocol": "PLAINTEXT",
    }


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("-----BEGIN RSA PRIVATE KEY-----\n", "isn't a PKCS #8 key"),
        ("-----BEGIN ENCRYPTED PRIVATE KEY-----\n", "KEY_FILE.* is encrypted.* -nocrypt"),
    ],
)
def test_a_key_that_spark_cannot_read_is_refused(tmp_path: Path, pem: Path, key: str, said: str) -> None:
    pem.write_text(key)
    kafka = sasl(ssl_certificate_file=pem, ssl_key_file=pem)
    with pytest.raises(SettingsError, match=said):
        write_secrets(kafka, tmp_path / "kafka.properties")


def test_secrets_are_not_shown() -> None:
    kafka = sasl(stream={"sasl_username": "scorer", "sasl_password": "another"}, ssl_key_password=SecretStr("key"))
    for shown in (repr(kafka), repr(kafka.as_role(Role.STREAM)), str(kafka)):
        assert not any(secret in shown for secret in (PASSWORD, "another", "'key'"))
