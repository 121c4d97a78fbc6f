"""Kafka, Airflow and Superset: what they were told, and whether they ask who is there."""

import configparser
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from fraudstream.local.security.finding import Finding, failed, ok, unchecked, warning
from fraudstream.local.security.listeners import is_loopback
from fraudstream.local.security.values import weakness
from fraudstream.settings import Settings

ANSWER_SECONDS = 5
#: Section and option of Airflow's configuration that hold a secret.
AIRFLOW_SECRETS = (("core", "fernet_key"), ("api", "secret_key"), ("api_auth", "jwt_secret"))
#: Options of Airflow that open it, with the values that keep it closed; absent is closed.
AIRFLOW_CLOSED = {
    ("core", "simple_auth_manager_all_admins"): ("false",),
    ("core", "test_connection"): ("disabled",),
    ("api", "expose_config"): ("false", "non-sensitive-only"),
}


def check_kafka(settings: Settings) -> Iterator[Finding]:
    """Plain text only on loopback: in it, everybody on the way reads orders, and can send some."""
    kafka = settings.kafka
    if kafka.embedded:
        yield from _embedded_kafka(settings)
        return
    hosts = [server.strip().rpartition(":")[0].strip("[]") for server in kafka.bootstrap_servers.split(",")]
    remote = [host for host in hosts if not is_loopback(host)]
    if not remote:
        yield ok(f"the brokers ({kafka.bootstrap}) are on this machine")
    elif kafka.uses_tls and not kafka.ssl_verify_hostname:
        yield warning(
            f"any certificate of its CA is taken for that of {', '.join(remote)}",
            "set FRAUDSTREAM_KAFKA__SSL_VERIFY_HOSTNAME=true, and FRAUDSTREAM_KAFKA__BOOTSTRAP_SERVERS to the names in "
            "the brokers' certificates",
        )
    elif kafka.uses_tls:
        yield ok(f"{kafka.security_protocol} to {kafka.bootstrap}")
    else:
        yield warning(
            f"{kafka.security_protocol} to {', '.join(remote)}: messages, and a SASL PLAIN password, cross the network "
            "in plain text",
            "set FRAUDSTREAM_KAFKA__SECURITY_PROTOCOL=SASL_SSL and __SSL_CA_FILE",
        )


def _embedded_kafka(settings: Settings) -> Iterator[Finding]:
    file = settings.paths.kafka / "server.properties"
    if not file.is_file():
        yield unchecked(f"{file} doesn't exist yet", "run ./fraudctl up")
        return
    values = dict(line.split("=", 1) for line in file.read_text().splitlines() if "=" in line)
    addresses = [
        address
        for name in ("listeners", "advertised.listeners")
        for address in values.get(name, "").split(",")
        if address
    ]
    exposed = [address for address in addresses if not is_loopback(_host(address))]
    for address in exposed:
        yield failed(
            f"the embedded broker asks for no password, and {file} has it listen on {address}",
            "./fraudctl down, then up: it writes the file anew, on loopback",
        )
    if not exposed:
        yield ok("the embedded broker, which asks for no password, is on loopback")


def _host(address: str) -> str:
    """`PLAINTEXT://127.0.0.1:9092` without protocol and port; of no host, all interfaces."""
    return address.rpartition("://")[2].rpartition(":")[0].strip("[]") or "0.0.0.0"  # noqa: S104 (what Kafka does)


def check_airflow(settings: Settings) -> Iterator[Finding]:
    """Its keys are set and its own, nothing in its configuration opens it, and its API asks who is there."""
    file = settings.paths.airflow / "airflow.cfg"
    if not file.is_file():
        yield unchecked(f"{file} doesn't exist yet", "run ./fraudctl up")
        return
    config = configparser.ConfigParser(interpolation=None)
    config.read(file)
    again = "./fraudctl up writes it anew"
    problems = [
        failed(f"{section}.{option} in {file} {why}", again)
        for section, option in AIRFLOW_SECRETS
        if (why := weakness(config.get(section, option, fallback="")))
    ]
    problems += [
        failed(f"{section}.{option} = {value} in {file}", again)
        for (section, option), closed in AIRFLOW_CLOSED.items()
        if (value := config.get(section, option, fallback=closed[0])).lower() not in closed
    ]
    if not is_loopback(host := config.get("api", "host", fallback="")):
        problems.append(failed(f"api.host = {host} in {file}: other machines reach Airflow", again))
    problems += [
        failed(f"the password of {user} in {settings.paths.secrets / 'airflow_users.json'} {why}", again)
        for user, password in _users(settings).items()
        if (why := weakness(password))
    ]
    yield from problems
    if not problems:
        yield ok("Airflow's keys and passwords are its own, and its configuration is closed")
    yield from _asks(f"{settings.airflow_url}/api/v2/dags", "Airflow")


def _users(settings: Settings) -> dict[str, str]:
    file = settings.paths.secrets / "airflow_users.json"
    users: dict[str, str] = json.loads(file.read_text()) if file.is_file() else {}
    return users


def check_superset(settings: Settings) -> Iterator[Finding]:
    """Its key is set and its own, and nobody sees data without signing in, unless the settings want that."""
    file = settings.paths.superset / "runtime.json"
    if not file.is_file():
        yield unchecked(f"{file} doesn't exist yet", "run ./fraudctl up")
        return
    runtime = json.loads(file.read_text())
    key_file = Path(runtime["secret_key_file"])
    why = weakness(key_file.read_text().strip()) if key_file.is_file() else "is missing"
    if why:
        yield failed(f"Superset's SECRET_KEY, {key_file}, {why}", "./fraudctl down, delete it, ./fraudctl up")
    else:
        yield ok("Superset's SECRET_KEY is its own")
    if settings.superset.anonymous or runtime["anonymous"]:
        yield warning(
            "everybody who reaches Superset sees the dashboards without signing in",
            "set FRAUDSTREAM_SUPERSET__ANONYMOUS=false, then ./fraudctl down and up",
        )
    else:
        yield from _asks(f"{settings.superset_url}/api/v1/dashboard/", "Superset")


def _asks(url: str, name: str) -> Iterator[Finding]:
    """True when a request without sign-in is refused, or shown nothing."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as answer:  # noqa: S310 (our URL)
            shown = json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            yield ok(f"{name} refuses who hasn't signed in")
        else:
            yield unchecked(f"{url} answers {error.code}", "look again when ./fraudctl status is healthy")
    except (OSError, ValueError):
        yield unchecked(f"{name} doesn't answer", "look again after ./fraudctl up")
    else:
        if shown.get("result") == []:
            yield ok(f"{name} shows nothing to who hasn't signed in")
        else:
            yield failed(f"{url} answers who hasn't signed in", "./fraudctl down, then up: it writes the settings anew")
