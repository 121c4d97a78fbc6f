"""The Spark session of the streaming job."""

import os
import shutil
import sys
from pathlib import Path

import psutil
from pyspark.sql import SparkSession

from fraudstream.errors import FraudstreamError
from fraudstream.settings import Settings

#: Java's default is 1/64 of the machine's memory, which the heap fills with garbage before it is collected as a whole.
HEAP_AT_FIRST_MB = 192
LOGGING = Path(__file__).with_name("log4j2.properties")


def build_session(settings: Settings, master: str) -> SparkSession:
    """Starts Spark on `master`. Raises FraudstreamError when the Kafka connector's jars are missing."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the parallelism is Spark's
    os.environ.setdefault("MALLOC_ARENA_MAX", "2")  # else RocksDB's memory lies in pieces, one arena a thread
    local = master.startswith("local")
    if local:
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = SparkSession.builder.master(master).appName("fraud_scoring_stream")
    scratch = scratch_folder(settings.paths.stream / "scratch")
    for name, value in (_config(settings, scratch) | (_local_config(scratch) if local else {})).items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("WARN")
    return spark


def scratch_folder(root: Path) -> Path:
    """A folder for this process's temporary files, in `root`. Deletes those of drivers that were killed.

    Spark's working copy of the state and RocksDB's library, 35 MB, would stay in the machine's folder for such files.
    """
    for folder in root.glob("[0-9]*"):
        if not psutil.pid_exists(int(folder.name)):
            shutil.rmtree(folder)
    own = root / str(os.getpid())
    own.mkdir(parents=True, exist_ok=True)
    return own


def _config(settings: Settings, scratch: Path) -> dict[str, str]:
    stream = settings.stream
    return {
        "spark.jars": ",".join(_connector_jars(settings)),
        "spark.driver.memory": f"{stream.driver_memory_mb}m",
        # Spark's own regular expression over a Python error's text overflows the default stack (seen).
        # Little free heap: a full collection every few minutes, instead of a heap that grows for an hour.
        # The first compiler alone starts with less CPU time, and drains a backlog with less (docs/measurements.md).
        "spark.driver.extraJavaOptions": (
            f"-Xms{HEAP_AT_FIRST_MB}m -XX:MinHeapFreeRatio=20 -XX:MaxHeapFreeRatio=40 "
            "-Xss4m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError "
            f'-Dlog4j2.configurationFile={LOGGING.as_uri()} "-Djava.io.tmpdir={scratch}"'
        ),
        "spark.ui.enabled": str(stream.spark_ui_port > 0).lower(),
        "spark.ui.port": str(stream.spark_ui_port or 4040),
        "spark.ui.showConsoleProgress": "false",
        # A job of months: keep little of each micro-batch's past in memory.
        "spark.ui.retainedJobs": "20",
        "spark.ui.retainedStages": "40",
        "spark.ui.retainedTasks": "400",
        "spark.sql.ui.retainedExecutions": "10",
        "spark.sql.streaming.numRecentProgressUpdates": "10",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.adaptive.enabled": "false",  # not for streaming, and planning costs time
        "spark.sql.shuffle.partitions": str(stream.state_partitions),
        "spark.sql.streaming.stateStore.providerClass": (
            "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
        ),
        "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled": "true",
        # A bucket is written anew in each micro-batch, so that a large buffer fills with old versions of few keys.
        "spark.sql.streaming.stateStore.rocksdb.writeBufferSizeMB": "8",
        "spark.sql.streaming.minBatchesToRetain": "20",
        # Renames instead of Hadoop's FileContext, whose every file costs child processes (chmod) without libhadoop.
        "spark.sql.streaming.checkpointFileManagerClass": (
            "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
        ),
        "spark.sql.execution.arrow.maxRecordsPerBatch": "10000",
        "spark.python.daemon.module": "spark_jobs.daemon",
        # A new worker of a machine without a free processor needs longer than the default of 15 s to answer.
        "spark.python.authenticate.socketTimeout": "60s",
        # Set by default for one of our two Python stages only, which would then need a second daemon.
        "spark.sql.execution.pyspark.udf.simplifiedTraceback.enabled": "false",
        "spark.redaction.regex": "(?i)secret|password|token|access[.]?key|jaas",
    }


def _local_config(scratch: Path) -> dict[str, str]:
    return {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.local.dir": str(scratch),
    }


def _connector_jars(settings: Settings) -> list[str]:
    folder = settings.paths.jars / "spark-kafka"
    jars = sorted(str(path) for path in folder.glob("*.jar"))
    if not jars:
        raise FraudstreamError(f"no jars in {folder}: run ./fraudctl up, which fetches them")
    return jars
