"""From a Spark connection, as the provider defines it, to the master and options of a driver that we launch here."""

import re
import shlex
from dataclasses import dataclass
from typing import Any

from fraudstream.errors import FraudstreamError

LOCAL_RETRIES = 4
MASTER = re.compile(r"local\[[^\]]+\]|yarn|(spark|k8s)://.+")
BARE_LOCAL = re.compile(r"local(?:\[(\d+|\*)\])?")


class SparkConnectionError(FraudstreamError):
    """A Spark connection describes what can't work here; the message names the connection and the field."""


@dataclass(frozen=True)
class SparkTarget:
    """A place where a driver runs its tasks."""

    master: str
    configuration: dict[str, str]

    @property
    def submit_arguments(self) -> str:
        """The value of PYSPARK_SUBMIT_ARGS, by which a plain Python driver gets `configuration`."""
        options = (f"--conf {shlex.quote(f'{key}={value}')}" for key, value in sorted(self.configuration.items()))
        return " ".join([*options, "pyspark-shell"])


def spark_target(
    conn_id: str, conn_type: str, host: str | None, port: int | None, extra: dict[str, Any]
) -> SparkTarget:
    """Reads a connection's fields by the rules of the provider's SparkSubmitHook.

    Raises SparkConnectionError for a deploy mode other than `client`, an unknown master, or Kerberos fields.
    """
    mode = extra.get("deploy-mode") or "client"
    if mode != "client":
        raise SparkConnectionError(
            f"connection {conn_id!r}: deploy-mode {mode!r}, but FRAUDSTREAM_CLUSTER__DEPLOY_MODE is 'client', "
            "with which the driver is a process on this machine; set both to the same"
        )
    for field in ("keytab", "principal"):
        if extra.get(field):
            raise SparkConnectionError(
                f"connection {conn_id!r}: {field!r} is not used here; run kinit for this user and leave it empty"
            )
    options = {"spark.yarn.queue": extra.get("queue"), "spark.kubernetes.namespace": extra.get("namespace")}
    return SparkTarget(_master(conn_id, conn_type, host, port), {key: value for key, value in options.items() if value})


def cluster_manager(conn_id: str, conn_type: str, host: str | None, port: int | None) -> str:
    """The kind of cluster that runs drivers submitted in deploy mode `cluster`: `k8s` or `yarn`.

    Raises SparkConnectionError for any other master.
    """
    master = _master(conn_id, conn_type, host, port)
    manager = master.partition(":")[0]
    if manager not in {"k8s", "yarn"}:
        raise SparkConnectionError(
            f"connection {conn_id!r}: {master} runs no Python driver of its own; use k8s://… or yarn, or set "
            "FRAUDSTREAM_CLUSTER__DEPLOY_MODE to 'client'"
        )
    return manager


def _master(conn_id: str, conn_type: str, host: str | None, port: int | None) -> str:
    is_url = conn_type == "spark" and host and ("://" in host or not port)
    master = str(host) if is_url else f"{conn_type}://{host or ''}"
    master = f"{master}:{port}" if port else master
    if bare := BARE_LOCAL.fullmatch(master):
        # Spark gives up a whole local query at a task's first failure unless told how often to retry.
        master = f"local[{bare.group(1) or 1},{LOCAL_RETRIES}]"
    if not MASTER.fullmatch(master):
        raise SparkConnectionError(
            f"connection {conn_id!r}: {master!r} is not a Spark master; set its host (and port) to local[2,4], "
            "spark://HOST with port 7077, yarn, or k8s://https://HOST with a port"
        )
    return master
