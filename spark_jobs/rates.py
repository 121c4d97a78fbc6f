"""What the workers' stateful stage needs besides messages: exchange rates, and who was erased.

The stage's plan is fixed at the start, so that they can't be part of it. The driver gives every version to the
executors as a file of Spark's, and each micro-batch names its own.
"""

from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import msgspec
from pyspark import SparkFiles, TaskContext
from pyspark.sql import SparkSession

from fraudstream.erasure.known import NOBODY, Erased
from fraudstream.static_data.currencies import CurrencyRates

#: The local property of Spark's that holds the file's name, and goes with each task of the thread's jobs.
PROPERTY = "fraudstream.for_workers"


class ForWorkers(msgspec.Struct, frozen=True):
    """One version of it."""

    rates: CurrencyRates
    erased: Erased = NOBODY


_decode = msgspec.msgpack.Decoder(ForWorkers).decode


class SharedRates:
    """The driver's side."""

    def __init__(self) -> None:
        self._shared: ForWorkers | None = None
        self._name = ""

    def use(self, spark: SparkSession, rates: CurrencyRates, erased: Erased = NOBODY) -> None:
        """Makes `rates` and `erased` those of the jobs that this thread runs next."""
        context, shared = spark.sparkContext, self._shared
        if shared is None or shared.rates is not rates or shared.erased is not erased:
            self._shared = ForWorkers(rates, erased)
            content = msgspec.msgpack.encode(self._shared)
            self._name = f"for-workers-{sha256(content).hexdigest()[:16]}"
            file = Path(context._temp_dir) / self._name  # executors may fetch it until the context ends
            if not file.exists():
                file.write_bytes(content)
                context.addFile(str(file))
        context.setLocalProperty(PROPERTY, self._name)


def shared_on_worker() -> ForWorkers:
    """What the micro-batch that this task is of was given.

    Raises RuntimeError outside of a task, as where the driver asks a stateful processor for its variables.
    """
    task = TaskContext.get()
    name = task.getLocalProperty(PROPERTY) if task else None
    if not name:
        raise RuntimeError(f"Spark's property {PROPERTY} isn't set: the driver sets it before each micro-batch")
    return _read(SparkFiles.get(name))


@lru_cache(maxsize=2)  # the one in use, and the one before
def _read(path: str) -> ForWorkers:
    return _decode(Path(path).read_bytes())
