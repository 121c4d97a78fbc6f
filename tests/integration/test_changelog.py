"""Spark's reader of the state's changes, on files that were cut: it raises, and never goes on with a part of them."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from py4j.java_gateway import JavaGateway
from py4j.protocol import Py4JJavaError
from pyspark.java_gateway import launch_gateway

CHANGES = 16
#: LZ4's own mark of the end, an empty block, behind the last change and the changelog's mark.
LZ4_TRAILER = 21
STATE = "org.apache.spark.sql.execution.streaming.state"
CHECKPOINTING = "org.apache.spark.sql.execution.streaming.checkpointing"


@pytest.fixture(scope="module")
def jvm(mapped_classes: None) -> Iterator[Any]:
    """Spark's classes alone: no session."""
    gateway: JavaGateway = launch_gateway()  # type: ignore[no-untyped-call]
    yield gateway.jvm
    gateway.shutdown()


@pytest.fixture
def manager(jvm: Any, tmp_path: Path) -> Any:
    """Spark's access to the files of a checkpoint, as `spark_jobs/session.py` chooses it."""
    path, conf = jvm.org.apache.hadoop.fs.Path(str(tmp_path)), jvm.org.apache.hadoop.conf.Configuration()
    return _package(jvm, CHECKPOINTING).FileSystemBasedCheckpointFileManager(path, conf)


def _package(jvm: Any, name: str) -> Any:
    for part in name.split("."):
        jvm = getattr(jvm, part)
    return jvm


def _codec(jvm: Any) -> Any:
    return jvm.org.apache.spark.io.LZ4CompressionCodec(jvm.org.apache.spark.SparkConf(False))


def write(jvm: Any, manager: Any, file: Path) -> None:
    path = jvm.org.apache.hadoop.fs.Path(str(file))
    writer = _package(jvm, STATE).StateStoreChangelogWriterV2(manager, path, _codec(jvm))
    for number in range(CHANGES):
        writer.put(f"bucket-{number}".encode(), os.urandom(3000))  # random, so that it fills several blocks of LZ4
    writer.commit()


def read(jvm: Any, manager: Any, file: Path) -> int:
    """Number of changes in the file."""
    path = jvm.org.apache.hadoop.fs.Path(str(file))
    reader = (
        _package(jvm, STATE).StateStoreChangelogReaderFactory(manager, path, _codec(jvm)).constructChangelogReader()
    )
    found = 0
    while reader.hasNext():
        reader.next()
        found += 1
    reader.closeIfNeeded()
    return found


def test_a_cut_changelog_is_never_read_to_a_good_end(jvm: Any, manager: Any, tmp_path: Path) -> None:
    """Without the checksum file that Hadoop keeps beside it, as a disk that lost both would leave it."""
    whole = tmp_path / "1.changelog"
    write(jvm, manager, whole)
    assert read(jvm, manager, whole) == CHANGES
    content, cut, read_anyway = whole.read_bytes(), tmp_path / "2.changelog", {}
    for length in {*range(0, len(content), 4999), *range(len(content) - 26, len(content))}:
        cut.write_bytes(content[:length])
        with suppress(Py4JJavaError):
            read_anyway[len(content) - length] = read(jvm, manager, cut)
    assert all(found == CHANGES for found in read_anyway.values()), read_anyway
    assert all(missing <= LZ4_TRAILER for missing in read_anyway), "only what comes behind the last change's end"
