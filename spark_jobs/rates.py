"""Exchange rates on the workers: the stateful stage's plan is fixed at the start, so that they can't be part of it.

The driver gives every version to the executors as a file of Spark's, and each micro-batch names its own.
"""

from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import msgspec
from pyspark import SparkFiles, TaskContext
from pyspark.sql import SparkSession

from fraudstream.static_data.currencies import CurrencyRates

#: The local property of Spark's that holds the file's name, and goes with each task of the thread's jobs.
PROPERTY = "fraudstream.currency_rates"
_decode = msgspec.msgpack.Decoder(CurrencyRates).decode


class SharedRates:
    """The driver's side."""

    def __init__(self) -> None:
        self._shared: CurrencyRates | None = None
        self._name = ""

    def use(self, spark: SparkSession, rates: CurrencyRates) -> None:
        """Makes `rates` those of the jobs that this thread runs next."""
        context = spark.sparkContext
        if rates is not self._shared:
            content = msgspec.msgpack.encode(rates)
            self._name = f"currency-rates-{sha256(content).hexdigest()[:16]}"
            file = Path(context._temp_dir) / self._name  # executors may fetch it until the context ends
            if not file.exists():
                file.write_bytes(content)
                context.addFile(str(file))
            self._shared = rates
        context.setLocalProperty(PROPERTY, self._name)


def rates_on_worker() -> CurrencyRates:
    """The rates of the micro-batch that this task is of.

    Raises RuntimeError outside of a task, as where the driver asks a stateful processor for its variables.
    """
    task = TaskContext.get()
    name = task.getLocalProperty(PROPERTY) if task else None
    if not name:
        raise RuntimeError(f"Spark's property {PROPERTY} isn't set: the driver sets it before each micro-batch")
    return _read(SparkFiles.get(name))


@lru_cache(maxsize=2)  # the one in use, and the one before
def _read(path: str) -> CurrencyRates:
    return _decode(Path(path).read_bytes())
