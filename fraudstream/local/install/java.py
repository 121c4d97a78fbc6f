"""Finding a Java that Spark 4 and Kafka 4 can run on."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from fraudstream.errors import FraudstreamError

SUPPORTED = (17, 21)
FIX = "install Java 17 or 21 (Debian, Ubuntu: apt install openjdk-17-jre-headless) or set JAVA_HOME to one"


class JavaError(FraudstreamError):
    """No Java, or one of a version that can't run Spark and Kafka."""


def find_java() -> Path:
    """The `java` of JAVA_HOME, else of the PATH, when its version is supported. Raises JavaError."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=str(Path(home) / "bin") if home else None)
    if found is None:
        where = f"in JAVA_HOME={home}" if home else "on the PATH"
        raise JavaError(f"no Java {where}: {FIX}")
    version = _version(found)
    if version not in SUPPORTED:
        raise JavaError(f"{found} is Java {version or 'of an unknown version'}: {FIX}")
    return Path(found)


def _version(java: str) -> int | None:
    shown = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    match = re.search(r'version "(\d+)', shown)
    return int(match[1]) if match else None
