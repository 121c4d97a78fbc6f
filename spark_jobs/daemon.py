"""Spark's Python daemon, with the job's libraries imported before it forks.

The workers share their memory, and a new one (idle ones end after a minute) starts in milliseconds instead of seconds.
Each worker collects garbage after every task; what the libraries made is frozen, so that it isn't walked through again:
that took three quarters of the workers' time.
"""

import gc
import sys

sys.modules["matplotlib"] = None  # type: ignore[assignment] # shap would load it, for plots that nobody draws here

import shap  # noqa: E402, F401 (imported for the workers)
from pyspark.daemon import manager  # noqa: E402

import spark_jobs.mapped_messages  # noqa: E402
import spark_jobs.profiles  # noqa: E402
import spark_jobs.scoring  # noqa: E402, F401
from spark_jobs import columnwise  # noqa: E402

if __name__ == "__main__":
    columnwise.install()
    gc.collect()
    gc.freeze()
    manager()
