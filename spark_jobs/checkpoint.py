"""Reads a query's checkpoint: which Kafka offsets make up a micro-batch, or all of it, to find damage.

`foreachBatch` isn't told; Spark writes them to `offsets/<batch_id>` before it runs the batch, and the offsets where the
query began to `sources/0/0`. Both start with a line that names the format's version.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from py4j.java_gateway import JavaObject
from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from fraudstream.errors import FraudstreamError
from spark_jobs.state_reader import damage, read_buckets

Offsets = dict[tuple[str, int], int]

#: The note of a driver that suspects the checkpoint; Spark passes it over.
SUSPICION = "suspicion"
#: The offsets where the query began.
_FIRST = "sources/0/0"


class CheckpointError(FraudstreamError):
    """The checkpoint can't be read, or isn't in the format that this code knows."""


@dataclass(frozen=True)
class OffsetRange:
    """Offsets `start` (inclusive) to `until` (exclusive) of a topic partition."""

    topic: str
    partition: int
    start: int
    until: int


@dataclass(frozen=True)
class Planned:
    """The newest micro-batch in a checkpoint, by Spark's number."""

    batch_id: int
    ended: bool  # whether Spark noted its end, which comes after our commit: it isn't repeated


def location(folder: str, generation: int) -> str:
    """The place of a generation's checkpoint: the first in `folder` itself, later ones (after a rebuild) beside.

    `folder` is a path or a URL, as `Settings.checkpoint`.

    A generation is a time, so that a folder from before a restored backup is never met again.
    """
    return f"{folder}-{generation}" if generation else folder


class Checkpoint:
    """A query's checkpoint folder, on any file system that Hadoop knows."""

    def __init__(self, spark: SparkSession, location: str) -> None:
        self.location = location
        self._spark = spark
        self._jvm: Any = spark._jvm
        self._session: Any = spark._jsparkSession
        self._last_read: tuple[str, Offsets] | None = None  # an offset file is written once

    def last_planned(self) -> Planned | None:
        """The micro-batch that Spark planned last; None without a checkpoint, or before its first."""
        planned = max(self._batches("offsets"), default=None)
        return None if planned is None else Planned(planned, planned in self._batches("commits"))

    def last_ended(self) -> int | None:
        """The newest micro-batch whose end Spark noted, and so its state; None without one."""
        return max(self._batches("commits"), default=None)

    def _batches(self, folder: str) -> list[int]:
        path = self._path(folder)
        if not self._file_system.exists(path):
            return []
        names = [status.getPath().getName() for status in self._file_system.listStatus(path)]
        return [int(name) for name in names if name.isdigit()]

    def ranges(self, batch_id: int) -> list[OffsetRange]:
        """The offset ranges of a micro-batch, by topic and partition. Raises CheckpointError."""
        before = f"offsets/{batch_id - 1}" if batch_id else _FIRST
        start = self._last_read[1] if self._last_read and self._last_read[0] == before else self._offsets(before)
        until = self._offsets(f"offsets/{batch_id}")
        self._last_read = f"offsets/{batch_id}", until
        first = {} if until.keys() <= start.keys() else self._offsets(_FIRST)
        return [
            OffsetRange(topic, partition, start.get((topic, partition), first.get((topic, partition), 0)), end)
            for (topic, partition), end in sorted(until.items())
        ]

    def read_whole(self) -> None:
        """Reads what a start of the query would, every byte of the state too, by Spark's own reader.

        Spark keeps a checksum of each file and verifies it as it reads; RocksDB does so for each block, changes of the
        state end with a mark, and each bucket's log has a hash. Raises CheckpointError, Py4JJavaError or
        PySparkException.
        """
        self._read_json("metadata", header_lines=0)
        planned, committed = self._batches("offsets"), self._batches("commits")
        if planned:
            self._offsets(_FIRST)
            newest = max(planned)
            self.ranges(newest)
            for batch_id in range(max(0, newest - 1), newest + 1):
                self._read_json(f"offsets/{batch_id}", header_lines=1)
        if committed:
            self._read_json(f"commits/{max(committed)}", header_lines=1)
            if found := damage(read_buckets(self._spark, self.location)):
                raise CheckpointError(f"{len(found)} buckets of {self.location} are damaged, such as {found[0]}")

    def _read_json(self, name: str, header_lines: int) -> None:
        lines = self._read(name).splitlines()
        try:
            documents = [json.loads(line) for line in lines[header_lines:]]
        except ValueError as error:
            raise CheckpointError(f"{self.location}/{name} isn't a file of Spark's: {error}") from error
        if not documents or not all(line.startswith("v") for line in lines[:header_lines]):
            raise CheckpointError(f"{self.location}/{name} isn't a file of Spark's: it begins with {lines[:1]}")

    def take(self, files: Sequence[Path], name: str) -> str:
        """Copies local files into its folder `name`, anew, and returns the place. Raises Py4JJavaError."""
        self.drop(name)
        for file in files:
            local = self._path_class(f"file://{file.resolve()}")  # which Hadoop itself encodes
            self._file_system.copyFromLocalFile(False, True, local, self._path(f"{name}/{file.name}"))
        return f"{self.location}/{name}"

    def drop(self, name: str) -> None:
        """Deletes what `take` made."""
        self._file_system.delete(self._path(name), True)

    def suspicion(self) -> str | None:
        """An earlier driver's note; None when there is none."""
        return self._read(SUSPICION) if self._file_system.exists(self._path(SUSPICION)) else None

    def suspect(self, problem: str) -> None:
        """Leaves a note for the next driver. Raises Py4JJavaError."""
        stream = self._file_system.create(self._path(SUSPICION), True)
        try:
            stream.write(bytearray(problem, "utf-8"))
        finally:
            stream.close()

    def trust(self) -> None:
        """Takes the note back."""
        self._file_system.delete(self._path(SUSPICION), False)

    def _offsets(self, name: str) -> Offsets:
        lines = self._read(name).splitlines()
        try:
            by_topic = json.loads(lines[-1])
            return {
                (topic, int(partition)): offset
                for topic, partitions in by_topic.items()
                for partition, offset in partitions.items()
            }
        except (IndexError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{self.location}/{name} isn't an offset file of Kafka's source: {error}") from error

    def _read(self, name: str) -> str:
        try:
            stream = self._file_system.open(self._path(name))
            try:
                return str(self._io_utils.toString(stream, "UTF-8"))
            finally:
                stream.close()
        except Py4JJavaError as error:
            raise CheckpointError(f"can't read {self.location}/{name}: {error.java_exception}") from error

    def _path(self, name: str) -> JavaObject:
        return self._path_class(f"{self.location}/{name}")

    @cached_property
    def _path_class(self) -> Any:
        """Java's class. Py4J asks for each part of its name, and looks at its members, whenever it is named in full."""
        return self._jvm.org.apache.hadoop.fs.Path

    @cached_property
    def _io_utils(self) -> Any:
        return self._jvm.org.apache.commons.io.IOUtils

    @cached_property
    def _file_system(self) -> JavaObject:
        return self._path("offsets").getFileSystem(self._session.sessionState().newHadoopConf())
