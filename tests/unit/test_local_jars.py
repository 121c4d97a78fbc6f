"""The lock of jars."""

from pathlib import Path

import pytest

from fraudstream.local.install import jars
from fraudstream.local.install.jars import ROOTS, Jar, JarsError


def test_the_lock_holds_every_root_and_no_address() -> None:
    locked = jars.read_lock()
    assert {root for roots in ROOTS.values() for root in roots} <= {jar.coordinates for jar in locked}
    assert len({(jar.folder, jar.file) for jar in locked}) == len(locked)
    assert all(len(jar.sha256) == 64 for jar in locked)
    assert "http" not in jars.LOCK.read_text()


def test_another_jar_under_the_same_name_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "kafka.jar"
    path.write_bytes(b"not the one")
    with pytest.raises(JarsError, match=r"kafka\.jar .* refused"):
        jars.check(Jar("kafka", "kafka.jar", "org:kafka:1", "0" * 64), path)
