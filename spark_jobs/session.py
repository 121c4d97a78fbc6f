"""The Spark session of the streaming job."""

import os
import sys
from pathlib import Path

import psutil
from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from fraudstream.errors import FraudstreamError
from fraudstream.files import delete
from fraudstream.settings import Settings
from spark_jobs import cluster

#: Of Spark's UI, too, which listens where SPARK_LOCAL_IP says and asks for no password.
LOOPBACK = "127.0.0.1"
#: Java's default is 1/64 of the machine's memory, which the heap fills with garbage before it is collected as a whole.
HEAP_AT_FIRST_MB = 192
#: How often the JVM returns free native memory, milliseconds: glibc keeps the holes in RocksDB's, a MiB more a minute.
#: An older Java doesn't know the option.
TRIM_INTERVAL_MS = 30_000
#: Spark's own regular expression over a Python error's text overflows the default stack (seen).
#: Little free heap: a full collection every few minutes, instead of a heap that grows for an hour.
#: The first compiler alone: the second would save a quarter of the CPU time after some minutes, but takes 20 s of it
#: at first, and half a minute of each `up` (docs/measurements.md). Java gives the first one 48 MB for its code, which
#: Spark fills: then a thread that makes room takes 12 % of a processor.
JVM_OPTIONS = (
    f"-Xms{HEAP_AT_FIRST_MB}m -XX:MinHeapFreeRatio=20 -XX:MaxHeapFreeRatio=40 "
    "-Xss4m -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError "
    f"-XX:+IgnoreUnrecognizedVMOptions -XX:TrimNativeHeapInterval={TRIM_INTERVAL_MS}"
)
#: Of the driver's and the executors' processes.
PROCESS_VARIABLES = {
    "OMP_NUM_THREADS": "1",  # the parallelism is Spark's
    "MALLOC_ARENA_MAX": "2",  # else RocksDB's memory lies in pieces, one arena a thread
}
LOGGING = Path(__file__).with_name("log4j2.properties")


def build_session(settings: Settings, master: str | None, scratch_root: Path | None = None) -> SparkSession:
    """Starts Spark on `master`; None: in the JVM of spark-submit, which started this driver.

    A program beside the stream has a `scratch_root` of its own: a start deletes what drivers left whose process is
    gone, and in another container the stream's may seem to be.

    Raises FraudstreamError when it doesn't start, a setting that the cluster needs is missing, or the jars are.
    """
    scratch = scratch_folder(scratch_root or settings.paths.stream / "scratch")
    local = master is not None and master.startswith("local")
    for name, value in (PROCESS_VARIABLES | {"SPARK_LOCAL_IP": LOOPBACK, "PYSPARK_PYTHON": sys.executable}).items():
        os.environ.setdefault(name, value)
    options = _config(settings)
    if master is not None:
        options |= _driver_config(settings, scratch)
    if local:
        options |= _local_config(settings, scratch)
    else:
        os.environ |= cluster.environment(settings.cluster, os.environ)
        options |= cluster.config(settings.cluster, JVM_OPTIONS, PROCESS_VARIABLES)
        options |= cluster.driver_config(settings.cluster) if master is not None else {}
        if settings.cluster.python_archive:
            cluster.link_environment()
    builder = SparkSession.builder.appName("fraud_scoring_stream")
    for name, value in (options | ({"spark.master": master} if master else {})).items():
        builder = builder.config(name, value)
    try:
        spark = builder.getOrCreate()
        if not local:
            spark.sparkContext.addPyFile(str(cluster.zip_packages(scratch / cluster.ARCHIVE)))
    except Py4JJavaError as error:
        raise FraudstreamError(
            f"Spark doesn't start on {master}: {error.java_exception}; see whether the master runs, and the connection "
            "spark_default and the settings FRAUDSTREAM_CLUSTER__… (docs/cluster.md)"
        ) from error
    spark.sparkContext.setLogLevel("WARN")
    return spark


def scratch_folder(root: Path) -> Path:
    """A folder for this process's temporary files, in `root`. Deletes those of drivers that were killed.

    Spark's working copy of the state and RocksDB's library, 35 MB, would stay in the machine's folder for such files.
    """
    for folder in root.glob("[0-9]*"):
        if not psutil.pid_exists(int(folder.name)):
            delete(folder)
    own = root / str(os.getpid())
    own.mkdir(parents=True, exist_ok=True)
    return own


def _driver_config(settings: Settings, scratch: Path) -> dict[str, str]:
    """Options that the driver's JVM has to start with; one that spark-submit started has it from there."""
    return {
        "spark.jars": ",".join(_jars(settings, "spark-kafka")),
        "spark.driver.memory": f"{settings.stream.driver_memory_mb}m",
        "spark.driver.extraJavaOptions": (
            f'{JVM_OPTIONS} -Dlog4j2.configurationFile={LOGGING.as_uri()} "-Djava.io.tmpdir={scratch}"'
        ),
    }


def _config(settings: Settings) -> dict[str, str]:
    stream = settings.stream
    options = {
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
        # Each task makes its projections anew: to write the code of one, only to find it compiled before, takes longer
        # than to interpret it for the few rows of a micro-batch. Whole stages are compiled as ever.
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.sql.shuffle.partitions": str(stream.state_partitions),
        "spark.sql.streaming.stateStore.providerClass": (
            "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
        ),
        "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled": "true",
        # A bucket is written anew in each micro-batch, so that a large buffer fills with old versions of few keys.
        "spark.sql.streaming.stateStore.rocksdb.writeBufferSizeMB": "8",
        "spark.sql.streaming.minBatchesToRetain": "20",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "10000",
        # What Spark and Python hand each other at a time: 10,000 messages may have 1.2 GiB.
        "spark.sql.execution.arrow.maxBytesPerBatch": str(16 * 1024 * 1024),
        "spark.python.daemon.module": "spark_jobs.daemon",
        # A new worker of a machine without a free processor needs longer than the default of 15 s to answer.
        "spark.python.authenticate.socketTimeout": "60s",
        # Set by default for one of our two Python stages only, which would then need a second daemon.
        "spark.sql.execution.pyspark.udf.simplifiedTraceback.enabled": "false",
        "spark.redaction.regex": "(?i)secret|password|token|access[.]?key|jaas",
    }
    if not stream.spark_ui_port:
        # Each micro-batch's plan is written down for the UI, several times and in full.
        options |= {"spark.sql.ui.explainMode": "simple", "spark.sql.maxPlanStringLength": "0"}
    if settings.checkpoint.startswith(("/", "file:")):
        # Renames instead of Hadoop's FileContext, whose every file costs child processes (chmod) without libhadoop.
        # Other file systems keep Spark's choice: a rename in an object store isn't atomic.
        options["spark.sql.streaming.checkpointFileManagerClass"] = (
            "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
        )
    return options


def _local_config(settings: Settings, scratch: Path) -> dict[str, str]:
    return {
        # By Java's own calls. Hadoop, without libhadoop, starts a process (chmod) for each file of the checkpoint.
        "spark.driver.extraClassPath": ":".join(_jars(settings, "spark-files")),
        "spark.hadoop.fs.file.impl": "com.globalmentor.apache.hadoop.fs.BareLocalFileSystem",
        "spark.driver.host": LOOPBACK,
        "spark.driver.bindAddress": LOOPBACK,
        "spark.local.dir": str(scratch),
    }


def _jars(settings: Settings, name: str) -> list[str]:
    folder = settings.paths.jars / name
    jars = sorted(str(path) for path in folder.resolve().glob("*.jar"))
    if not jars:
        raise FraudstreamError(f"no jars in {folder}: run ./fraudctl up, which fetches them")
    return jars
