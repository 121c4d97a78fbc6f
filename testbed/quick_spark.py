"""Spark as its package has it, but with pyspark's files in place of a zip of them.

Spark gives its Python processes that zip, and each of them compiles anew what it imports from it: a second a start.
"""

import hashlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fraudstream.settings import Settings
from testbed import class_archive

FIND_SECONDS = 60
#: By its location alone: an import of it would take a second.
FIND_SPARK = "import importlib.util; print(importlib.util.find_spec('pyspark').origin)"


@contextmanager
def variables(settings: Settings) -> Iterator[dict[str, str]]:
    """Variables of the environment with which Spark starts sooner, in the tests' own environment as in the platform's.

    Both have the same version, so that one archive of classes fits.
    """
    python = settings.paths.python("spark")
    where = subprocess.run([python, "-c", FIND_SPARK], check=True, capture_output=True, text=True, timeout=FIND_SECONDS)
    home = _make(settings.paths.jars.resolve(), Path(where.stdout.strip()).resolve().parent)
    with class_archive.java_options(settings, python, home) as options:
        yield {"SPARK_HOME": str(home), "JAVA_TOOL_OPTIONS": options}


def _make(folder: Path, package: Path) -> Path:
    installed = f"{package} {package.stat().st_mtime}"
    home = folder / f"spark-home-{hashlib.sha256(installed.encode()).hexdigest()[:12]}"
    libraries = home / "python" / "lib"
    (libraries / "pyspark.zip").mkdir(parents=True, exist_ok=True)
    links = {home / name: package / name for name in ("bin", "jars")}
    links |= {libraries / zipped.name: zipped for zipped in (package / "python" / "lib").glob("py4j-*.zip")}
    for link, target in (links | {libraries / "pyspark.zip" / "pyspark": package}).items():
        with suppress(FileExistsError):
            link.symlink_to(target)
    return home
