"""The reason why a connection to a broker fails, where librdkafka doesn't tell: one attempt, by Python's own TLS.

Librdkafka says of a certificate only that it "could not be verified", whether its CA is unknown or it is for another
host, and of a broker that speaks TLS to a client without nothing at all.
"""

import socket
import ssl
from enum import Enum

from fraudstream.settings.kafka import KafkaSettings

_SECONDS = 3.0
#: OpenSSL's codes (x509_vfy.h): X509_V_ERR_CERT_HAS_EXPIRED, _HOSTNAME_MISMATCH, _IP_ADDRESS_MISMATCH.
_EXPIRED, _OTHER_NAMES = 10, (62, 64)


class Finding(Enum):
    """Outcomes of an attempt."""

    NOTHING = "nothing wrong"
    UNREACHABLE = "no connection"
    OTHER_HOST = "the certificate is for another host"
    UNKNOWN_CA = "the certificate is of a CA that isn't trusted"
    EXPIRED = "the certificate has expired"
    NO_TLS = "the broker doesn't speak TLS"
    TLS = "the broker speaks TLS, and we don't"


def probe(kafka: KafkaSettings, address: str = "") -> Finding:
    """Connects to `address` (host:port), else to the first bootstrap server, as the settings say."""
    host, _, port = (address or kafka.bootstrap.split(",")[0]).strip().rpartition(":")
    host = host.strip("[]")
    try:
        with socket.create_connection((host, int(port)), _SECONDS) as plain:
            return _shake_hands(_context(kafka), plain, host) if kafka.uses_tls else _listen_for_tls(plain)
    except (OSError, ValueError):
        return Finding.UNREACHABLE


def _shake_hands(context: ssl.SSLContext, plain: socket.socket, host: str) -> Finding:
    try:
        with context.wrap_socket(plain, server_hostname=host):
            return Finding.NOTHING
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in _OTHER_NAMES:
            return Finding.OTHER_HOST
        return Finding.EXPIRED if error.verify_code == _EXPIRED else Finding.UNKNOWN_CA
    except ssl.SSLError as error:
        return Finding.NO_TLS if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE") else Finding.NOTHING


def _listen_for_tls(plain: socket.socket) -> Finding:
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE  # nothing is said over this connection
    try:
        with trusting.wrap_socket(plain):
            return Finding.TLS
    except ssl.SSLError as error:
        # A broker that wants a client certificate says so in TLS's own words.
        return Finding.TLS if "ALERT" in (error.reason or "") else Finding.NOTHING


def _context(kafka: KafkaSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=kafka.ssl_ca_file)
    context.check_hostname = kafka.ssl_verify_hostname
    return context
