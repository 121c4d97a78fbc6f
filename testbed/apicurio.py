"""Apicurio Registry of the tests' own: schemas behind Confluent's API, as a shop may keep them.

The one archive that has all of it, 109 MB, is fetched when a test first wants it, beside the jars.
"""

import subprocess
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fraudstream.local.install import jars
from fraudstream.local.install.jars import Jar
from fraudstream.local.install.java import find_java
from fraudstream.settings import Settings
from testbed.isolation import free_port

ORGANISATION, MODULE, REVISION = "io.apicurio", "apicurio-registry-app", "3.0.9"
ARCHIVE = Jar(
    "apicurio",
    f"{MODULE}-{REVISION}-all.tar.gz",
    f"{ORGANISATION}:{MODULE}:{REVISION}",
    "2b28181501a20cbf6efcd77f9b7153908fc01f3d3a7c32024c0bd9e1b04c8a43",
)
START_SECONDS, STOP_SECONDS = 120.0, 20.0
_IVY = f"""
<ivy-module version="2.0" xmlns:m="http://ant.apache.org/ivy/maven">
  <info organisation="fraudstream" module="apicurio"/>
  <configurations><conf name="default"/></configurations>
  <dependencies>
    <dependency org="{ORGANISATION}" name="{MODULE}" rev="{REVISION}" transitive="false" conf="default->default">
      <artifact name="{MODULE}" type="tar.gz" ext="tar.gz" m:classifier="all"/>
    </dependency>
  </dependencies>
</ivy-module>
"""
# Without POMs: those of what it depends on aren't wanted, and its parent's isn't everywhere to be had.
_IVY_SETTINGS = """
<ivysettings>
  <settings defaultResolver="public"/>
  <resolvers><ibiblio name="public" m2compatible="true" usepoms="false"/></resolvers>
</ivysettings>
"""


def install(settings: Settings) -> Path:
    """Fetches the archive and checks it, once; returns the folder that it is unpacked in. Raises JarsError."""
    target = settings.paths.jars / f"{ARCHIVE.folder}-{REVISION}"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=settings.paths.jars, prefix=f".{ARCHIVE.folder}-") as temporary:
            folder = Path(temporary)
            (folder / "settings.xml").write_text(_IVY_SETTINGS)
            jars.run_ivy(settings, _IVY, folder, "-settings", str(folder / "settings.xml"))
            archive = folder / ARCHIVE.coordinates / ARCHIVE.file
            jars.check(ARCHIVE, archive)
            with tarfile.open(archive) as packed:
                packed.extractall(folder / "unpacked", filter="data")
            (folder / "unpacked").rename(target)
    return target


@contextmanager
def apicurio(settings: Settings) -> Iterator[str]:
    """An empty registry on loopback; its URL for clients of Confluent's. It forgets everything at its end.

    Raises JarsError when it can't be fetched, and RuntimeError when it doesn't answer.
    """
    folder, port = install(settings), free_port()
    where = {"http.host": "127.0.0.1", "http.port": port, "management.enabled": "false"}
    options = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx384m")
    defined = [f"-Dquarkus.{name}={value}" for name, value in where.items()]
    log = settings.paths.logs / "apicurio.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [find_java(), *options, *defined, "-jar", folder / f"{MODULE}-{REVISION}-runner.jar"],
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
        _wait(process, url, log)
        yield url
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{url}/subjects", timeout=5).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"Apicurio Registry doesn't answer at {url}: {log.read_text()[-2000:]}")
