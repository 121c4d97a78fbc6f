"""A Spark cluster's further needs: our code and its environment on every executor, and the way to the driver.

Nothing here knows which cluster it is: standalone, YARN or Kubernetes, each leaves out what it has no use for.
"""

import shlex
import socket
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile

from pyspark.sql import SparkSession

from fraudstream.errors import FraudstreamError
from fraudstream.settings import PROJECT_DIR, ClusterSettings

#: What executors import. The driver brings its own, so that a worker never runs another version of it.
PACKAGES = ("fraudstream", "model", "spark_jobs")
ARCHIVE = "fraudstream.zip"
#: Where executors unpack a packed environment, in their working directory.
UNPACKED = "environment"


def environment(cluster: ClusterSettings, inherited: Mapping[str, str]) -> dict[str, str]:
    """The driver's variables that say what runs on executors, and with which properties Spark starts.

    Spark would put whatever a session is configured with on its command line; the properties stay in their file.
    Raises FraudstreamError when the file can't be read.
    """
    python = f"./{UNPACKED}/bin/python" if cluster.python_archive else cluster.python
    variables = {"PYSPARK_PYTHON": python or inherited.get("PYSPARK_PYTHON") or sys.executable}
    if file := cluster.properties_file:
        if not file.is_file():
            raise FraudstreamError(f"there is no file {file}: mend FRAUDSTREAM_CLUSTER__PROPERTIES_FILE")
        rest = inherited.get("PYSPARK_SUBMIT_ARGS", "pyspark-shell")
        variables["PYSPARK_SUBMIT_ARGS"] = f"--properties-file {shlex.quote(str(file))} --load-spark-defaults {rest}"
    return variables


def link_environment() -> None:
    """Creates a link `environment` to the driver's own environment, because executors look for that name.

    Spark starts the same Python in the driver too, when it plans a query with state, and unpacks the archive for
    executors (and for a driver in the cluster) only.
    """
    link = Path(UNPACKED)
    if not link.exists():
        link.unlink(missing_ok=True)  # of an environment that is gone
        link.symlink_to(sys.prefix)


def config(cluster: ClusterSettings, jvm_options: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Spark's configuration of the executors. `variables` are of their environment, and their Python's."""
    options = {
        # Tasks import what Spark sends them; the daemon that workers are forked from wouldn't, and starts before them.
        "spark.executorEnv.PYTHONPATH": ARCHIVE,
        "spark.executor.instances": str(cluster.executors),
        "spark.executor.cores": str(cluster.executor_cores),
        "spark.cores.max": str(cluster.executors * cluster.executor_cores),  # a standalone cluster's way to say it
        "spark.executor.memory": f"{cluster.executor_memory_mb}m",
        "spark.executor.memoryOverhead": f"{cluster.executor_overhead_mb}m",
        "spark.executor.extraJavaOptions": jvm_options,
        "spark.executor.syncLogLevel.enabled": "true",
        # The first micro-batch decides where state lies: it waits for all executors, for half a minute at most.
        "spark.scheduler.minRegisteredResourcesRatio": "1.0",
        # State stays where it is for months, unless a task would wait so long for the executor that has it.
        "spark.locality.wait": "500ms",
        # Less than the job's own heartbeat may take: a silent executor is given up before the whole job is.
        "spark.network.timeout": "40s",
        "spark.network.timeoutInterval": "10s",
    }
    options |= {f"spark.executorEnv.{name}": value for name, value in variables.items()}
    if cluster.python_archive:
        options["spark.archives"] = f"{cluster.python_archive}#{UNPACKED}"
    return options


def driver_config(cluster: ClusterSettings) -> dict[str, str]:
    """The address of a driver that isn't itself in the cluster, for executors. Raises FraudstreamError without one."""
    if not cluster.driver_host:
        raise FraudstreamError(
            "set FRAUDSTREAM_CLUSTER__DRIVER_HOST to the name or address by which the cluster reaches this machine"
        )
    return {
        "spark.driver.host": cluster.driver_host,
        "spark.driver.bindAddress": cluster.driver_bind_address or cluster.driver_host,
    }


def check_shared(spark: SparkSession, location: str, cluster: ClusterSettings) -> None:
    """Raises FraudstreamError when executors don't see what the driver writes to the checkpoint's folder.

    Else each machine would keep its part of the state to itself. Only for folders: a URL names one place for all.
    """
    folder = Path(location.removeprefix("file://"))
    if not folder.is_absolute():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=folder, prefix=".shared-") as written:
        slots = cluster.executors * cluster.executor_cores
        seen = spark.sparkContext.parallelize([written.name] * slots, slots).map(_look).collect()
    if blind := sorted({host for host, sees in seen if not sees}):
        raise FraudstreamError(
            f"{', '.join(blind)} doesn't see what the driver writes to {folder}: set FRAUDSTREAM_STREAM__CHECKPOINT to "
            "a folder or URL that driver and executors share"
        )


def _look(file: str) -> tuple[str, bool]:
    return socket.gethostname(), Path(file).exists()


def zip_packages(path: Path) -> Path:
    """Writes our packages' modules into an archive that Python imports from. Returns `path`."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for package in PACKAGES:
            for module in sorted((PROJECT_DIR / package).rglob("*.py")):
                archive.write(module, module.relative_to(PROJECT_DIR))
    return path
