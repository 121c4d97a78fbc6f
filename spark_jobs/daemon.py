"""Spark's Python daemon, with the job's libraries imported before it forks.

The workers share their memory, and a new one (idle ones end after a minute) starts in milliseconds instead of seconds.
Each worker collects garbage after every task; what the libraries made is frozen, so that it isn't walked through again:
that took three quarters of the workers' time.
"""

import gc

from pyspark.daemon import manager

import spark_jobs.mapped_messages
import spark_jobs.profiles
import spark_jobs.scoring
import spark_jobs.scoring_libraries  # noqa: F401 (imported for the workers)
from spark_jobs import columnwise

if __name__ == "__main__":
    columnwise.install()
    gc.collect()
    gc.freeze()
    manager()
