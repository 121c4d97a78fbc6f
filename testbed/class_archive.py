"""Spark's classes as the JVM maps them (class data sharing): half of what a driver's start computes is their loading.

Tests start Spark dozens of times. A JVM with other classes, such as Kafka's, or another Java, passes the file over.
"""

import fcntl
import hashlib
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from fraudstream.local.install.java import find_java
from fraudstream.settings import PROJECT_DIR, Settings

MAKE_SECONDS = 300
#: What a driver loads until its first micro-batch ends.
PROGRAM = "testbed.first_batch"
QUIET = "-Xlog:disable -Xlog:all=error:stderr"
#: Classes of pinned jars need no verification, and the room that all of them take is no reason to collect garbage.
TRUSTING = "-XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote -XX:MetaspaceSize=256m"


@contextmanager
def java_options(settings: Settings, python: Path, home: Path) -> Iterator[str]:
    """JAVA_TOOL_OPTIONS with the archive for the Spark in `home`, which that interpreter makes when there is none yet.

    It is made meanwhile: a driver that starts before loads its classes itself.
    """
    archive = settings.paths.jars.resolve() / f"spark-classes-{_key(settings, home)}.jsa"
    environment = os.environ | {"PYTHONPATH": str(PROJECT_DIR), "SPARK_HOME": str(home)}
    with ThreadPoolExecutor(1) as maker:
        made = maker.submit(_make, archive, python, environment)
        yield f"-XX:SharedArchiveFile={archive} {QUIET} {TRUSTING}"
        made.result()


def _key(settings: Settings, home: Path) -> str:
    """A name for this Java and a driver's class path: the JVM takes an archive for the very same files only.

    It is the same for all clones that share environments and jars, whenever each was checked out.
    """
    files = (find_java().resolve(), home, *sorted((settings.paths.jars / "spark-files").resolve().glob("*.jar")))
    path = repr([(str(file), file.stat().st_mtime) for file in files]).encode()
    return hashlib.sha256(path + Path(__file__).with_name("first_batch.py").read_bytes()).hexdigest()[:12]


def _make(archive: Path, python: Path, environment: dict[str, str]) -> None:
    """Makes it unless somebody has, or does so now; it appears when it is whole."""
    with archive.with_name("spark-classes.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        if archive.exists():
            return
        unfinished = archive.with_suffix(".unfinished")
        unfinished.unlink(missing_ok=True)
        options = f"-XX:ArchiveClassesAtExit={unfinished} {QUIET} {TRUSTING}"
        subprocess.run(
            [python, "-m", PROGRAM],
            cwd=PROJECT_DIR,
            env=environment | {"JAVA_TOOL_OPTIONS": options},
            check=True,
            capture_output=True,
            timeout=MAKE_SECONDS,
        )
        unfinished.rename(archive)
