"""Airflow as this platform runs it: configured, migrated, started and found healthy. Lean, and on loopback only."""

import configparser
import hashlib
import io
import json
import os
import secrets as random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from fraudstream.errors import FraudstreamError
from fraudstream.files import private_folder, write_atomically
from fraudstream.local import secrets
from fraudstream.local.parts.airflow_api import AirflowApi
from fraudstream.local.parts.part import Part, Watch, not_watching
from fraudstream.settings import Settings
from fraudstream.settings.exports import exported_secrets
from fraudstream.storage.connect import connect

HEALTHY_SECONDS = 300
POLL_SECONDS = 0.5
VIEWER = "viewer"
API_SERVER = "airflow-api-server"

#: Airflow's processes: command-line arguments, the order in which supervisord starts them, and their niceness. Dags
#: that were parsed before run without the Dag processor, so that it may be the last to come up.
PARTS = {
    API_SERVER: (("api-server",), 300, 0),
    "airflow-scheduler": (("scheduler", "--skip-serve-logs"), 310, 0),
    "airflow-triggerer": (("triggerer", "--skip-serve-logs"), 310, 0),
    "airflow-dag-processor": (("dag-processor",), 310, 10),
}
#: Processes that Airflow's health report must call healthy before Dags can run.
RUNS_DAGS = ("metadatabase", "scheduler", "triggerer")
PARSES_DAGS = ("dag_processor",)


class AirflowError(FraudstreamError):
    """Airflow could not be prepared or does not become healthy."""


def prepare(settings: Settings) -> None:
    """Writes Airflow's configuration and passwords, and migrates its database. What is done already is skipped.

    Needs the Postgres server, with Airflow's role and database. Raises AirflowError with Airflow's own last words.
    """
    config = configure(settings)
    write_passwords(settings)
    stamp = settings.paths.airflow / "prepared.json"
    wanted = _fingerprint(settings, config)
    if _is_prepared(settings, stamp, wanted):
        return
    revision = _migrate(settings)
    write_atomically(stamp, json.dumps({"fingerprint": wanted, "revision": revision}))


def configure(settings: Settings) -> str:
    """Writes Airflow's configuration, and returns it."""
    private_folder(settings.paths.airflow)
    config = render_config(settings)
    write_atomically(settings.paths.airflow / "airflow.cfg", config)
    return config


def parts(settings: Settings) -> list[Part]:
    """Airflow's four processes. They inherit FRAUDSTREAM_* variables from supervisord, and jobs those from them."""
    python = str(settings.paths.python("airflow"))
    return [
        Part(
            name=name,
            command=(python, "-m", "airflow", *arguments),
            directory=settings.paths.airflow,
            environment=_environment(settings)
            | exported_secrets("kafka", except_for="admin")
            | exported_secrets("notify"),
            priority=priority,
            niceness=niceness,
            url=settings.airflow_url if name == API_SERVER else None,
        )
        for name, (arguments, priority, niceness) in PARTS.items()
    ]


def wait_healthy(
    settings: Settings, components: Sequence[str], watch: Watch = not_watching, seconds: float = HEALTHY_SECONDS
) -> None:
    """Returns when `components` are healthy. Raises AirflowError naming those that aren't after `seconds`.

    `watch` is called between attempts, and raises when there is nothing left to wait for.
    """
    api = AirflowApi(settings)
    deadline = time.monotonic() + seconds
    while unhealthy := api.unhealthy(components):
        watch()
        if time.monotonic() > deadline:
            raise AirflowError(
                f"Airflow is not healthy after {seconds:.0f} s: {', '.join(unhealthy)}; "
                f"read {settings.paths.logs}/airflow-*.log"
            )
        time.sleep(POLL_SECONDS)


def render_config(settings: Settings) -> str:
    """Airflow's configuration file. It holds secrets: write it with mode 0600."""
    parser = configparser.ConfigParser(interpolation=None)
    for section, options in _options(settings).items():
        parser[section] = {name: str(value).replace("%", "%%") for name, value in options.items()}
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


def _options(settings: Settings) -> dict[str, dict[str, object]]:
    role = settings.postgres.airflow_database
    return {
        "core": {
            "dags_folder": settings.paths.project / "dags",
            "plugins_folder": settings.paths.project / "plugins",
            "executor": "LocalExecutor",
            "parallelism": settings.airflow.parallelism,
            "load_examples": False,
            "fernet_key": secrets.read(settings, "airflow_fernet_key"),
            "execution_api_server_url": f"{settings.airflow_api_url}/execution/",
            "simple_auth_manager_users": f"{secrets.WEB_USER}:admin,{VIEWER}:viewer",
            "simple_auth_manager_passwords_file": passwords_file(settings),
        },
        "database": {
            "sql_alchemy_conn": settings.dsn(role, role, driver="+psycopg2"),
            "sql_alchemy_conn_async": settings.dsn(role, role, driver="+asyncpg"),
            "load_default_connections": False,
        },
        "api": {
            "host": settings.airflow.listen,
            "port": settings.airflow.port,
            "base_url": settings.airflow_url,
            "workers": 1,
            "secret_key": secrets.read(settings, "airflow_secret_key"),
            "instance_name": "Fraudstream",
        },
        "api_auth": {"jwt_secret": secrets.read(settings, "airflow_jwt_secret")},
        "logging": {"base_log_folder": settings.paths.logs / "airflow"},
        "openlineage": _lineage(settings.airflow.lineage),
        "scheduler": {"enable_health_check": False, "orphaned_tasks_check_interval": 30},
        "dag_processor": {"parsing_processes": 1},
        # A task outlives a restart of the API server.
        "workers": {"max_failed_heartbeats": 60},
    }


def _lineage(place: str) -> dict[str, object]:
    """The OpenLineage provider's options; its listener isn't even imported while it is disabled."""
    if not place:
        return {"disabled": True}
    file = {"type": "file", "log_file_path": place, "append": True}
    transport = file if place.startswith("/") else {"type": "http", "url": place}
    return {"disabled": False, "namespace": "fraudstream", "transport": json.dumps(transport)}


def passwords_file(settings: Settings) -> Path:
    """The users of Airflow's simple auth manager, with their passwords."""
    return settings.paths.secrets / "airflow_users.json"


def write_passwords(settings: Settings) -> None:
    """Airflow itself would make up missing passwords, and print them into its log."""
    file = passwords_file(settings)
    known = json.loads(file.read_text()) if file.exists() else {}
    viewer = known.get(VIEWER) or random.token_urlsafe(secrets.PASSWORD_BYTES)
    users = {secrets.WEB_USER: secrets.read(settings, "airflow_admin"), VIEWER: viewer}
    write_atomically(file, json.dumps(users) + "\n")


def _environment(settings: Settings) -> dict[str, str]:
    return {"AIRFLOW_HOME": str(settings.paths.airflow)}


def _secrets() -> dict[str, str]:
    kafka = exported_secrets("kafka", except_for="admin")
    return kafka | exported_secrets("notify") | exported_secrets("metrics")


def _fingerprint(settings: Settings, config: str) -> str:
    lock = (settings.paths.project / "requirements" / "airflow.txt").read_bytes()
    return hashlib.sha256(lock + config.encode()).hexdigest()


def _is_prepared(settings: Settings, stamp: Path, wanted: str) -> bool:
    """True when this configuration was prepared, and the database still is the one that it was prepared in."""
    if not stamp.exists():
        return False
    done = json.loads(stamp.read_text())
    return bool(done["fingerprint"] == wanted and done["revision"] == _revision(settings))


def _revision(settings: Settings) -> str | None:
    role = settings.postgres.airflow_database
    with connect(settings, role, role) as connection:
        if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return row[0] if row else None


def _migrate(settings: Settings) -> str:
    """Runs the plugin's `prepare` in Airflow's environment. Returns the schema's revision."""
    plugins = settings.paths.project / "plugins"
    search = os.pathsep.join(filter(None, [str(plugins), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [str(settings.paths.python("airflow")), "-m", "fraudstream_airflow.prepare"],
        cwd=settings.paths.project,
        env=os.environ | _environment(settings) | {"PYTHONPATH": search},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise AirflowError(f"Airflow's database can't be migrated: {(done.stderr.splitlines() or ['no output'])[-1]}")
    return done.stdout.splitlines()[-1]
