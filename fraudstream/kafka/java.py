"""Kafka's settings in the words of Kafka's own (Java) client, as Spark uses it.

Spark shows a source's options in its UI, plans and event log. So no secret is among ours: they refer to a file, mode
0600, which Kafka's client reads itself (its FileConfigProvider) in the driver and in every executor.
"""

import re
from pathlib import Path

from fraudstream.errors import SettingsError
from fraudstream.files import write_atomically
from fraudstream.settings.kafka import KafkaSettings

_PROVIDER = "org.apache.kafka.common.config.provider.FileConfigProvider"
_LOGIN_MODULES = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}
_PKCS8 = re.compile(r"-----BEGIN (ENCRYPTED )?PRIVATE KEY-----")
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def spark_options(kafka: KafkaSettings, secrets: Path) -> dict[str, str]:
    """Spark's options for the connection. `secrets` is the file of `write_secrets`; executors read it, too."""
    options = {"bootstrap.servers": kafka.bootstrap, "security.protocol": kafka.security_protocol}
    if kafka.uses_sasl:
        options["sasl.mechanism"] = kafka.sasl_mechanism
    if kafka.uses_tls:
        options["ssl.endpoint.identification.algorithm"] = "https" if kafka.ssl_verify_hostname else ""
        if kafka.ssl_ca_file:
            options |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": str(kafka.ssl_ca_file.resolve())}
        if kafka.ssl_key_file:
            options["ssl.keystore.type"] = "PEM"
    if names := _secrets(kafka):
        options |= {"config.providers": "file", "config.providers.file.class": _PROVIDER}
        options |= {name: f"${{file:{secrets.resolve()}:{name}}}" for name in names}
    return {f"kafka.{name}": value for name, value in options.items()}


def write_secrets(kafka: KafkaSettings, secrets: Path) -> None:
    """Writes what `spark_options` refers to; deletes an earlier file when there is nothing. Raises SettingsError."""
    kafka.check_account()
    found = _secrets(kafka)
    if not found:
        secrets.unlink(missing_ok=True)
        return
    write_atomically(secrets, "".join(f"{name}={_escape(value)}\n" for name, value in found.items()))


def _secrets(kafka: KafkaSettings) -> dict[str, str]:
    found = {}
    if kafka.uses_sasl:
        found["sasl.jaas.config"] = (
            f'{_LOGIN_MODULES[kafka.sasl_mechanism]} required username="{_quote(kafka.sasl_username)}" '
            f'password="{_quote(kafka.sasl_password.get_secret_value())}";'
        )
    if kafka.uses_tls and kafka.ssl_certificate_file and kafka.ssl_key_file:
        found["ssl.keystore.certificate.chain"] = kafka.ssl_certificate_file.read_text()
        found["ssl.keystore.key"] = _private_key(kafka, kafka.ssl_key_file)
    return found


def _private_key(kafka: KafkaSettings, file: Path) -> str:
    text = file.read_text()
    header = _PKCS8.search(text)
    if not header:
        raise SettingsError(
            f"{kafka.setting('ssl_key_file')}={file} isn't a PKCS #8 key, and Kafka's client in Spark reads no other: "
            f"openssl pkcs8 -topk8 -in {file} -out new.key"
        )
    if header[1]:
        # PBES2, openssl's only kind for years, is a SecretKeyFactory that Java 17 hasn't.
        raise SettingsError(
            f"{kafka.setting('ssl_key_file')}={file} is encrypted, which Kafka's client in Spark can't read: make a "
            f"copy of mode 0600 without a password: openssl pkcs8 -topk8 -nocrypt -in {file} -out new.key"
        )
    return text[header.start() :]


def _quote(value: str) -> str:
    """For a JAAS string."""
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _escape(value: str) -> str:
    """For a value of a Java properties file, in UTF-8."""
    escaped = value.translate(_ESCAPES)
    return f"\\{escaped}" if escaped.startswith(" ") else escaped
