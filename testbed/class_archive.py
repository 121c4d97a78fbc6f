"""Spark's classes as the JVM maps them (class data sharing): half of what a driver's start computes is their loading.

Tests start Spark dozens of times. A JVM with other classes, such as Kafka's, or another Java, passes the file over.
"""

import fcntl
import hashlib
import os
import subprocess
from pathlib import Path

from fraudstream.local.install.java import find_java
from fraudstream.settings import PROJECT_DIR, Settings

MAKE_SECONDS = 300
#: What a driver loads until its first micro-batch, more or less.
PROGRAM = """
from fraudstream.settings import load_settings
from spark_jobs.session import build_session
spark = build_session(load_settings(), "local[1]")
spark.range(100).repartition(2).selectExpr("sum(id)").collect()
spark.readStream.format("rate").load().writeStream.format("noop").trigger(once=True).start().awaitTermination()
spark.stop()
"""
#: By its location alone: an import of it would take a second.
FIND_SPARK = "import importlib.util; print(importlib.util.find_spec('pyspark').origin)"
QUIET = "-Xlog:disable -Xlog:all=error:stderr"


def java_options(settings: Settings, python: Path) -> str:
    """JAVA_TOOL_OPTIONS with the archive for that interpreter's Spark, which is made when there is none yet."""
    folder = settings.paths.jars.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"spark-classes-{_key(settings, python)}.jsa"
    with (folder / "spark-classes.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.exists():
            _make(archive, python)
    return f"-XX:SharedArchiveFile={archive} {QUIET}"


def _key(settings: Settings, python: Path) -> str:
    """A name for this Java and a driver's class path: the JVM takes an archive for the very same files only."""
    where = subprocess.run([python, "-c", FIND_SPARK], check=True, capture_output=True, text=True, timeout=MAKE_SECONDS)
    files = (find_java().resolve(), Path(where.stdout.strip()), *(settings.paths.jars / "spark-files").glob("*.jar"))
    return hashlib.sha256(repr([(str(file), file.stat().st_mtime) for file in files]).encode()).hexdigest()[:12]


def _make(archive: Path, python: Path) -> None:
    options = f"-XX:ArchiveClassesAtExit={archive} {QUIET}"
    subprocess.run(
        [python, "-c", PROGRAM],
        cwd=PROJECT_DIR,
        env=os.environ | {"JAVA_TOOL_OPTIONS": options, "PYTHONPATH": str(PROJECT_DIR)},
        check=True,
        capture_output=True,
        timeout=MAKE_SECONDS,
    )
