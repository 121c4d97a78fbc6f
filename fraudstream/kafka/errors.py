"""Kafka's refusals in a person's words: the cause, and the setting or the right that mends it.

Librdkafka tells a call only that it failed ("Broker transport failure"); why, it tells the client's `error_cb`. So a
client gets `ClientErrors` as its `error_cb`, and whoever sees a call fail asks it for the error to raise.
"""

import re
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from fraudstream.errors import FraudstreamError, RefusedError
from fraudstream.kafka.probe import Finding, probe
from fraudstream.settings.kafka import KafkaSettings


class KafkaUnavailableError(FraudstreamError):
    """Kafka gives no answer in time, or refuses what we ask."""


class KafkaRefusedError(KafkaUnavailableError, RefusedError):
    """Kafka refuses us, or we don't trust it: settings or rights have to change before it goes on."""


Explain = Callable[[KafkaSettings], str]
_E = KafkaError
_AUTHORIZATION = {
    _E.TOPIC_AUTHORIZATION_FAILED: "topic",
    _E.GROUP_AUTHORIZATION_FAILED: "group",
    _E.CLUSTER_AUTHORIZATION_FAILED: "cluster",
}
_UNVERIFIED = re.compile(r"certificate verify failed|certificate could not be verified", re.IGNORECASE)
#: As in `sasl_ssl://host:9092/bootstrap: SSL handshake failed`.
_ADDRESS = re.compile(r"://([^/\s]+:\d+)/")
_TIMES = re.compile(r" \((?:after|in state)[^)]*\)")


class ClientErrors:
    """Collects why a client's connections failed; give it to the client as its `error_cb`."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._refusal: KafkaError | None = None
        self._last = ""

    def __call__(self, error: KafkaError) -> None:
        """Takes a note."""
        if error.code() == _E._ALL_BROKERS_DOWN:  # it says why in other notes
            return
        self._last = _said(error)
        if _is_refusal(error):
            self._refusal = error

    @property
    def refused(self) -> bool:
        """True when a broker, or we, ended the connection for a reason that doesn't pass by itself."""
        return self._refusal is not None

    def forget(self) -> None:
        """Starts anew: a connection came about."""
        self._refusal, self._last = None, ""

    def explain(self, error: BaseException | None = None) -> KafkaUnavailableError:
        """The error to raise after a call failed with `error`."""
        raised = error.args[0] if isinstance(error, KafkaException) else None
        for known in filter(None, (raised, self._refusal)):
            if _is_refusal(known):
                return KafkaRefusedError(_refusal(self._kafka, known))
        if not self._kafka.embedded and (told := _SEEN.get(probe(self._kafka))):
            return KafkaRefusedError(told(self._kafka))
        said = self._last or (_said(raised) if raised else "no answer in time")
        return KafkaUnavailableError(unreachable(self._kafka, said))


def connected(make: Callable[[dict[str, Any]], Any], kafka: KafkaSettings, config: dict[str, Any]) -> Any:
    """Makes a client. Raises KafkaRefusedError when a file that it needs can't be used."""
    try:
        return make(config)
    except KafkaException as error:
        raise ClientErrors(kafka).explain(error) from None


def delivery_failure(kafka: KafkaSettings, error: KafkaError, topic: str | None) -> str:
    """Why a message wasn't delivered."""
    if error.code() == _E.TOPIC_AUTHORIZATION_FAILED:
        return f"Kafka at {kafka.bootstrap} doesn't let {kafka.principal} WRITE topic {topic}: {_GRANT}"
    return _refusal(kafka, error) if _is_refusal(error) else error.str()


def unreachable(kafka: KafkaSettings, said: str) -> str:
    """Nobody answers: `said` is what librdkafka, or Kafka's client, knows of it."""
    advice = "run ./fraudctl up" if kafka.embedded else f"check {kafka.setting('bootstrap_servers')} and the network"
    return f"Kafka at {kafka.bootstrap} doesn't answer ({said}): {advice}"


_GRANT = "./fraudctl kafka-acls prints what to grant"


def _said(error: KafkaError) -> str:
    return _TIMES.sub("", error.str())


def _is_refusal(error: KafkaError) -> bool:
    """True when the error doesn't pass by itself."""
    known = (_UNVERIFIED, *_CAUSES)
    return error.code() in _AUTHORIZATION or any(pattern.search(error.str()) for pattern in known)


def _refusal(kafka: KafkaSettings, error: KafkaError) -> str:
    """Message about an error for which `_is_refusal`."""
    said = _said(error)
    if what := _AUTHORIZATION.get(error.code()):
        return f"Kafka at {kafka.bootstrap} doesn't let {kafka.principal} use a {what} ({said}): {_GRANT}"
    if _UNVERIFIED.search(said):
        address = _ADDRESS.search(said)
        return _SEEN.get(probe(kafka, address[1] if address else ""), _authority)(kafka)
    explain = next(explain for pattern, explain in _CAUSES.items() if pattern.search(said))
    return f"{explain(kafka)} (Kafka's client says: {said})"


def _mechanism(kafka: KafkaSettings) -> str:
    return (
        f"Kafka at {kafka.bootstrap} doesn't know {kafka.setting('sasl_mechanism')}={kafka.sasl_mechanism}: "
        "set it to one that the brokers allow"
    )


def _credentials(kafka: KafkaSettings) -> str:
    return (
        f"Kafka at {kafka.bootstrap} refuses the user {kafka.sasl_username}: check {kafka.setting('sasl_username')} "
        f"and {kafka.setting('sasl_password')}, and that this user has {kafka.sasl_mechanism} credentials"
    )


def _host_name(kafka: KafkaSettings) -> str:
    return (
        f"the certificate of Kafka at {kafka.bootstrap} is for another host: set "
        f"{kafka.setting('bootstrap_servers')} to a name that stands in it"
    )


def _authority(kafka: KafkaSettings) -> str:
    trusted = kafka.ssl_ca_file or "empty, the system's CAs"
    return (
        f"the certificate of Kafka at {kafka.bootstrap} is of a CA that isn't trusted: set "
        f"{kafka.setting('ssl_ca_file')} ({trusted}) to the PEM file of the CA that signed it"
    )


def _protocol(kafka: KafkaSettings) -> str:
    return (
        f"Kafka at {kafka.bootstrap} doesn't speak {kafka.security_protocol} on that port: check "
        f"{kafka.setting('security_protocol')} and {kafka.setting('bootstrap_servers')}"
    )


def _client_certificate(kafka: KafkaSettings) -> str:
    given = f"={kafka.ssl_certificate_file}" if kafka.ssl_certificate_file else " is empty"
    return (
        f"Kafka at {kafka.bootstrap} wants a client certificate of a CA that it trusts, and "
        f"{kafka.setting('ssl_certificate_file')}{given}: set it and {kafka.setting('ssl_key_file')} to one"
    )


def _key(kafka: KafkaSettings) -> str:
    return (
        f"the private key {kafka.setting('ssl_key_file')}={kafka.ssl_key_file} can't be opened: it has to be PEM, and "
        f"{kafka.setting('ssl_key_password')} its password, if it has one"
    )


def _no_certificate(field: str) -> Explain:
    return lambda kafka: f"{kafka.setting(field)}={getattr(kafka, field)} holds no certificate: it has to be PEM"


def _expired(kafka: KafkaSettings) -> str:
    return f"the certificate of Kafka at {kafka.bootstrap} has expired: its administrator has to renew it"


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE | re.DOTALL)


#: By what a connection of our own showed.
_SEEN: dict[Finding, Explain] = {
    Finding.OTHER_HOST: _host_name,
    Finding.UNKNOWN_CA: _authority,
    Finding.EXPIRED: _expired,
    Finding.NO_TLS: _protocol,
    Finding.TLS: _protocol,
}
#: By what librdkafka says, most telling first: what it means.
_CAUSES: dict[re.Pattern[str], Explain] = {
    _pattern(r"unsupported sasl mechanism|mechanism.{0,40}not enabled|enabled mechanisms are"): _mechanism,
    _pattern(r"authentication fail|sasl authentication error|sasl.*(invalid|bad) credentials"): _credentials,
    _pattern(r"plaintext broker listener|wrong version number|record layer failure"): _protocol,
    _pattern(
        r"connecting to an? (ssl|sasl) listener|incorrect security\.protocol|broker might require sasl"
    ): _protocol,
    _pattern(
        r"alert (bad certificate|certificate required|unknown ca|handshake failure|certificate unknown|.*expired)"
    ): (_client_certificate),
    _pattern(r"ssl\.key\.location failed|ssl\.key\.password"): _key,
    _pattern(r"ssl\.certificate\.location failed"): _no_certificate("ssl_certificate_file"),
    _pattern(r"ssl\.ca\.location failed"): _no_certificate("ssl_ca_file"),
}
