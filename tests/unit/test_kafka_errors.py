"""What librdkafka says, word by word as seen, becomes a cause and a setting."""

import socket
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError, KafkaException

from fraudstream.kafka.errors import ClientErrors, KafkaRefusedError, delivery_failure
from fraudstream.settings.kafka import KafkaSettings


@pytest.fixture
def kafka() -> Iterator[KafkaSettings]:
    """A broker that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield KafkaSettings.model_validate(
            {
                "bootstrap_servers": f"127.0.0.1:{server.getsockname()[1]}",
                "security_protocol": "SASL_SSL",
                "sasl_username": "shop",
                "sasl_password": "secret",
            }
        )


SEEN = [
    (
        KafkaError._AUTHENTICATION,
        (
            "sasl_ssl://h:1/bootstrap: SASL authentication error: Authentication failed during authentication due "
            "to invalid credentials with SASL mechanism SCRAM-SHA-512 (after 12ms in state AUTH_REQ)"
        ),
        ("refuses the user shop", "FRAUDSTREAM_KAFKA__SASL_USERNAME", "FRAUDSTREAM_KAFKA__SASL_PASSWORD"),
    ),
    (
        KafkaError._AUTHENTICATION,
        (
            "sasl_ssl://h:1/bootstrap: SASL SCRAM-SHA-256 mechanism handshake failed: Broker: Unsupported SASL "
            "mechanism: broker's supported mechanisms: SCRAM-SHA-512,PLAIN (after 1ms in state AUTH_HANDSHAKE)"
        ),
        ("FRAUDSTREAM_KAFKA__SASL_MECHANISM=SCRAM-SHA-512", "SCRAM-SHA-512,PLAIN"),
    ),
    (
        KafkaError._TRANSPORT,
        (
            "ssl://h:1/bootstrap: Receive failed: error:0A000412:SSL routines::ssl/tls alert bad certificate: SSL "
            "alert number 42 (after 955ms in state APIVERSION_QUERY)"
        ),
        ("FRAUDSTREAM_KAFKA__SSL_CERTIFICATE_FILE is empty", "FRAUDSTREAM_KAFKA__SSL_KEY_FILE"),
    ),
    (
        KafkaError._INVALID_ARG,
        "Failed to create admin client: ssl.key.location failed: error:0A080009:SSL routines::PEM lib",
        ("FRAUDSTREAM_KAFKA__SSL_KEY_FILE", "FRAUDSTREAM_KAFKA__SSL_KEY_PASSWORD"),
    ),
    (
        KafkaError._INVALID_ARG,
        (
            "Failed to create admin client: ssl.ca.location failed: error:05800088:x509 certificate routines::no "
            "certificate or crl found"
        ),
        ("FRAUDSTREAM_KAFKA__SSL_CA_FILE", "holds no certificate"),
    ),
    (KafkaError.GROUP_AUTHORIZATION_FAILED, "Broker: Group authorization failed", ("User:shop", "group", "kafka-acls")),
]


@pytest.mark.parametrize(("code", "text", "parts"), SEEN)
def test_a_refusal_names_cause_and_setting(kafka: KafkaSettings, code: int, text: str, parts: tuple[str, ...]) -> None:
    errors = ClientErrors(kafka)
    errors(KafkaError(code, text))
    assert errors.refused
    told = errors.explain(KafkaException(KafkaError(KafkaError._TRANSPORT, "Failed to get metadata")))
    assert isinstance(told, KafkaRefusedError)
    assert [part for part in parts if part not in str(told)] == []
    assert "ms in state" not in str(told)


def test_a_refusal_is_forgotten_once_a_connection_came_about(kafka: KafkaSettings) -> None:
    errors = ClientErrors(kafka)
    errors(KafkaError(*SEEN[0][:2]))
    errors.forget()
    assert not errors.refused


def test_an_absent_broker_is_no_refusal() -> None:
    kafka = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    errors = ClientErrors(kafka)
    errors(
        KafkaError(
            KafkaError._TRANSPORT, "127.0.0.1:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused"
        )
    )
    errors(KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))
    told = errors.explain()
    assert not isinstance(told, KafkaRefusedError)
    assert "Kafka at 127.0.0.1:1 doesn't answer" in str(told)
    assert "Connection refused" in str(told)
    assert "check FRAUDSTREAM_KAFKA__BOOTSTRAP_SERVERS" in str(told)


def test_an_undelivered_message_names_who_may_not_write_where(kafka: KafkaSettings) -> None:
    refused = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "Broker: Topic authorization failed")
    assert "doesn't let User:shop WRITE topic transactions" in delivery_failure(kafka, refused, "transactions")
    lost = KafkaError(KafkaError._MSG_TIMED_OUT, "Local: Message timed out")
    assert delivery_failure(kafka, lost, "transactions") == "Local: Message timed out"
