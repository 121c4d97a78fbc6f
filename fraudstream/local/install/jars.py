"""The jars that no wheel brings: what Spark reads Kafka and writes files with, and the Kafka broker.

`requirements/jars.lock` names every jar with its coordinates and SHA-256. The Ivy inside pyspark fetches them, from
where Ivy gets jars by default; a jar whose hash differs is refused.
"""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fraudstream.errors import FraudstreamError
from fraudstream.local.install.java import find_java
from fraudstream.settings import PROJECT_DIR, Settings

LOCK = PROJECT_DIR / "requirements" / "jars.lock"
#: Jars that are wanted, per folder under `var/jars`; all else in the lock are dependencies of these.
ROOTS = {
    "kafka": ("org.apache.kafka:kafka_2.13:4.2.0", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.3"),
    "spark-files": ("com.globalmentor:hadoop-bare-naked-local-fs:0.1.0",),
    "spark-kafka": ("org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0",),
}
#: Of the streaming job.
SPARK = ("spark-files", "spark-kafka")
HEADER = "# Written by requirements/compile-jars. Folder/file, Maven coordinates, SHA-256.\n"
SECONDS = 600


class JarsError(FraudstreamError):
    """A jar isn't the one that the lock names, or there is nothing to fetch it with."""


class NotFetchedError(JarsError):
    """A jar can't be had from here."""


@dataclass(frozen=True, order=True)
class Jar:
    """A line of the lock."""

    folder: str
    file: str
    coordinates: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.folder}/{self.file} {self.coordinates} {self.sha256}"


def read_lock() -> list[Jar]:
    """The locked jars."""
    jars = []
    for line in LOCK.read_text().splitlines():
        if line and not line.startswith("#"):
            path, coordinates, sha256 = line.split()
            folder, _, file = path.partition("/")
            jars.append(Jar(folder, file, coordinates, sha256))
    return jars


def ready(settings: Settings, folder: str) -> bool:
    """True when `install` has put the locked jars into a folder of `var/jars`."""
    stamp = settings.paths.jars / folder / ".lock"
    return stamp.is_file() and stamp.read_text() == _stamp(folder)


def install(settings: Settings, folder: str) -> None:
    """Fetches a folder's jars, checks each, then puts the folder in place. Raises JarsError."""
    if ready(settings, folder):
        return
    wanted = [jar for jar in read_lock() if jar.folder == folder]
    settings.paths.jars.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.paths.jars, prefix=f".{folder}-") as temporary:
        fetched = Path(temporary) / "fetched"
        _retrieve(settings, (jar.coordinates for jar in wanted), fetched, transitive=False)
        aside = Path(temporary) / folder
        aside.mkdir()
        for jar in wanted:
            source = fetched / jar.coordinates / jar.file
            check(jar, source)
            source.rename(aside / jar.file)
        (aside / ".lock").write_text(_stamp(folder))
        target = settings.paths.jars / folder
        if target.exists():
            shutil.rmtree(target)
        aside.rename(target)


def compile_lock(settings: Settings) -> None:
    """Resolves the roots with all that they depend on, and writes the lock. Jars that pyspark ships are left to it."""
    shipped = {path.name for path in _pyspark_jars(settings).glob("*.jar")}
    jars: list[Jar] = []
    for folder, roots in ROOTS.items():
        left_out = set() if folder == "kafka" else shipped
        with tempfile.TemporaryDirectory() as temporary:
            _retrieve(settings, roots, Path(temporary), transitive=True)
            found = (path for path in Path(temporary).glob("*/*.jar") if path.name not in left_out)
            jars.extend(Jar(folder, path.name, path.parent.name, _sha256(path)) for path in found)
    LOCK.write_text(HEADER + "".join(f"{jar}\n" for jar in sorted(jars)))


def _stamp(folder: str) -> str:
    return "".join(f"{jar}\n" for jar in read_lock() if jar.folder == folder)


def check(jar: Jar, path: Path) -> None:
    """Raises JarsError unless the file at `path` is the locked one."""
    if not path.is_file():
        raise NotFetchedError(f"{jar.file} ({jar.coordinates}) was not fetched: check the network, then run it again")
    found = _sha256(path)
    if found != jar.sha256:
        raise JarsError(f"{jar.file} ({jar.coordinates}) has SHA-256 {found}, the lock says {jar.sha256}: refused")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pyspark_jars(settings: Settings) -> Path:
    return settings.paths.venvs / "spark" / "lib" / "python3.11" / "site-packages" / "pyspark" / "jars"


def _retrieve(settings: Settings, coordinates: Iterable[str], target: Path, *, transitive: bool) -> None:
    """Has Ivy put jars at `target/organisation:module:revision/file.jar`."""
    run_ivy(settings, _ivy_module(coordinates, transitive=transitive), target, "-types", "jar", "bundle")


def run_ivy(settings: Settings, module: str, target: Path, *arguments: str) -> None:
    """Has Ivy put what `module`, an ivy.xml, depends on at `target/organisation:module:revision/file`.

    Raises JarsError.
    """
    ivy = next(_pyspark_jars(settings).glob("ivy-*.jar"), None)
    if ivy is None:
        raise JarsError(
            f"no Ivy in {_pyspark_jars(settings)}: delete {settings.paths.venvs / 'spark'}, run ./fraudctl up"
        )
    settings.paths.logs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "ivy.xml"
        file.write_text(module)
        pattern = f"{target}/[organisation]:[module]:[revision]/[artifact]-[revision](-[classifier]).[ext]"
        command = [str(find_java()), "-jar", str(ivy), "-cache", f"{temporary}/cache", "-ivy", str(file)]
        log = settings.paths.logs / "jars.log"
        with log.open("a") as output:
            done = subprocess.run(
                [*command, *arguments, "-retrieve", pattern],
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=SECONDS,
                check=False,
            )
    if done.returncode:
        raise NotFetchedError(f"fetching jars failed: read {log}, check the network and proxy, then run it again")


def _ivy_module(coordinates: Iterable[str], *, transitive: bool) -> str:
    dependencies = []
    for text in coordinates:
        organisation, module, revision = text.split(":")
        dependencies.append(
            f'<dependency org="{organisation}" name="{module}" rev="{revision}" '
            f'transitive="{str(transitive).lower()}" conf="default->default"/>'
        )
    return (
        '<ivy-module version="2.0"><info organisation="fraudstream" module="jars"/>'
        '<configurations><conf name="default"/></configurations>'
        f"<dependencies>{''.join(dependencies)}</dependencies></ivy-module>"
    )
