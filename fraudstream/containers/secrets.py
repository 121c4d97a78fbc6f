"""A container's secrets: checked once, and put where the platform looks for them.

The engine mounts each secret that docker-compose.yaml gives a service as a file, named as under `var/secrets/`. A
container's own `var/secrets/` is in memory, and holds no secret of another part.
"""

import base64
import binascii
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from fraudstream.errors import FraudstreamError
from fraudstream.files import private_folder, write_atomically
from fraudstream.local import secrets
from fraudstream.local.parts import airflow, superset
from fraudstream.local.security.values import weakness
from fraudstream.settings import Settings

#: Folder where the engine mounts secrets.
GIVEN = Path("/run/secrets")
AIRFLOW_VIEWER = "airflow_viewer"
SUPERSET_VIEWER = "superset_viewer"
SUPERSET_ANALYST = "superset_analyst"
#: Secret by which Spark's master, workers and driver know each other; natively there is no cluster.
SPARK = "spark_secret"
#: Natively the passwords of viewers and analyst are made by Airflow's and Superset's set-up, which here begins anew at
#: each start.
NAMES = (*secrets.GENERATORS, AIRFLOW_VIEWER, SUPERSET_VIEWER, SUPERSET_ANALYST, SPARK)
SPARK_PROPERTIES = """\
spark.authenticate true
spark.authenticate.secret {secret}
spark.network.crypto.enabled true
spark.master.rest.enabled false
"""
FERNET_KEY = "airflow_fernet_key"
FERNET_BYTES = 32


class ExampleSecretError(FraudstreamError):
    """A secret is missing, an example, or easy to guess; the message has a line for each."""


def variable(name: str) -> str:
    """The secret's name in `.env`: AIRFLOW_FERNET_KEY, FRAUD_WRITER_PASSWORD."""
    return name.upper() if name.endswith(("_key", "_secret")) else f"{name.upper()}_PASSWORD"


def check(given: Path) -> None:
    """Raises ExampleSecretError with a line for each secret in the folder that can't be used."""
    values = {name: (given / name).read_text() if (given / name).is_file() else "" for name in NAMES}
    problems = list(_problems(values))
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems)
        raise ExampleSecretError(
            f"the stack doesn't start with these secrets of .env:\n{lines}\n"
            "Fill in what .env.example leaves open: deploy/generate-secrets .env"
        )


def _problems(values: Mapping[str, str]) -> Iterator[str]:
    places = defaultdict(list)
    for name, value in values.items():
        if why := weakness(value):
            yield f"{variable(name)} {why}"
        elif name == FERNET_KEY and not _is_fernet_key(value):
            yield f"{variable(name)} is not {FERNET_BYTES} bytes in URL-safe base64"
        else:
            places[value].append(variable(name))
    yield from (f"{' and '.join(same)} are the same" for same in places.values() if len(same) > 1)


def _is_fernet_key(value: str) -> bool:
    try:
        return len(base64.b64decode(value, altchars=b"-_", validate=True)) == FERNET_BYTES
    except binascii.Error:
        return False


def install(settings: Settings, given: Path) -> None:
    """Copies the secrets that this container was given, and writes what the platform makes of them."""
    found = {name: (given / name).read_text() for name in NAMES if (given / name).is_file()}
    folder = private_folder(settings.paths.secrets)
    for name in secrets.GENERATORS:
        if name in found:
            write_atomically(folder / name, found[name])
    secrets.write_pass_file(settings)
    if AIRFLOW_VIEWER in found:
        users = {airflow.VIEWER: found[AIRFLOW_VIEWER]}
        write_atomically(airflow.passwords_file(settings), json.dumps(users) + "\n")
    if SUPERSET_VIEWER in found:
        write_atomically(superset.password_file(settings, superset.VIEWER), found[SUPERSET_VIEWER])
    if SUPERSET_ANALYST in found:
        write_atomically(superset.password_file(settings, superset.ANALYST), found[SUPERSET_ANALYST])
    if SPARK in found:
        write_atomically(spark_properties_file(settings), SPARK_PROPERTIES.format(secret=found[SPARK]))


def spark_properties_file(settings: Settings) -> Path:
    """Properties of master and workers, and `FRAUDSTREAM_CLUSTER__PROPERTIES_FILE` of the driver."""
    return settings.paths.secrets / "spark.properties"
