"""The profiles of a state partition's buckets: a log of changes in Spark's state, and the workers' cache before it."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pyspark import SparkFiles, TaskContext
from pyspark.sql.streaming.stateful_processor import ListState, ValueState

from spark_jobs.bucket_state import customers_of
from spark_jobs.change_log import Change, Encoded, Head, decode_head, encode_head
from spark_jobs.profile_cache import ProfileCache

_FOLDER = "profile-cache"


@dataclass(frozen=True)
class BucketState:
    """A bucket before a micro-batch."""

    number: int
    head: Head
    customers: Encoded


class ProfileStore:
    """The buckets of one task's partition. Head and log are the state variables, which follow the current bucket."""

    def __init__(self, head: ValueState, log: ListState, open_cache: Callable[[], ProfileCache]) -> None:
        """`open_cache` is called when a first bucket is asked for: what Spark's driver makes has none to ask for."""
        self._head, self._log, self._open_cache = head, log, open_cache

    @contextmanager
    def bucket(self, number: int) -> Iterator[BucketState]:
        """The bucket that the task is at. Raises DamagedLogError or DamagedCacheError."""
        stored = self._head.get()
        head = decode_head(stored[0]) if stored else Head()
        cached = self._cache.snapshot(number, head.token)
        if cached is None:
            yield BucketState(number, head, self._load(number, head))
            return
        with closing(cached):
            yield BucketState(number, head, cached)

    def begin(self, head: bytes, chunks: list[bytes]) -> None:
        """Makes the bucket that the task is at that of a head, encoded, with its log."""
        self._log.put([(chunk,) for chunk in chunks])
        self._head.update((head,))

    def keep(self, before: BucketState, change: Change) -> None:
        """Keeps the change in Spark's state; the cache is of it, whether Spark commits it or not."""
        if change.is_whole and not change.chunks:  # nobody is left; Spark refuses an empty list
            self._log.clear()
        elif change.is_whole:
            self._log.put([(chunk,) for chunk in change.chunks])
        elif change.chunks:
            self._log.appendList([(chunk,) for chunk in change.chunks])
        self._head.update((encode_head(change.head),))
        if change.head.token != before.head.token:
            self._cache.update(before.number, before.head.token, change)

    def _load(self, number: int, head: Head) -> Encoded:
        """All customers of a bucket that isn't in the cache: then they are."""
        customers = customers_of(head, [chunk for (chunk,) in self._log.get()] if head.token else None)
        self._cache.fill(number, head.token, customers)
        return customers

    @cached_property
    def _cache(self) -> ProfileCache:
        return self._open_cache()


_caches: dict[Path, ProfileCache] = {}  # LMDB allows a process to open a file once


def cache_of_task(max_bytes: int) -> ProfileCache:
    """The cache of the task's partition on this executor; empty for each attempt but a task's first.

    Raises RuntimeError outside of a task.
    """
    task = TaskContext.get()
    if task is None:
        raise RuntimeError("profiles are cached by Spark's tasks only")
    folder = Path(SparkFiles.getRootDirectory()).resolve() / _FOLDER / str(task.partitionId())
    if folder not in _caches:
        _caches[folder] = ProfileCache(folder, max_bytes)
    _caches[folder].reopen(empty=task.attemptNumber() > 0)
    return _caches[folder]
