"""Spark's Python daemon, with the job's libraries imported before it forks.

The workers share their memory, and a new one (idle ones end after a minute) starts in milliseconds instead of seconds.
Each worker collects garbage after every task; what the libraries made is frozen, so that it isn't walked through again:
that took three quarters of the workers' time.
"""

import gc

import shap  # noqa: F401 (imported for the workers)
from pyspark.daemon import manager

import spark_jobs.profiles
import spark_jobs.scoring  # noqa: F401

if __name__ == "__main__":
    gc.collect()
    gc.freeze()
    manager()
