"""Profiles behind state and cache, over micro-batches that are committed, repeated, rolled back and lost."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_jobs import change_log
from spark_jobs.change_log import Stored, encode_stored
from spark_jobs.profile_cache import ProfileCache
from spark_jobs.profile_store import ProfileStore

MIB = 2**20
BUCKETS = 2
EXECUTORS = 2


class Variables:
    """Both state variables of all buckets, as a task sees them; `bucket` is the one that it is at."""

    def __init__(self) -> None:
        self.heads: dict[int, tuple[bytes]] = {}
        self.logs: dict[int, list[tuple[bytes]]] = {}
        self.bucket = 0

    def copy(self) -> "Variables":
        made = Variables()
        made.heads, made.logs = dict(self.heads), {bucket: list(log) for bucket, log in self.logs.items()}
        return made

    @property
    def head(self) -> "HeadOf":
        return HeadOf(self)

    @property
    def log(self) -> "LogOf":
        return LogOf(self)


class HeadOf:
    """`ValueState`."""

    def __init__(self, of: Variables) -> None:
        self._of = of

    def get(self) -> tuple[bytes] | None:
        return self._of.heads.get(self._of.bucket)

    def update(self, value: tuple[bytes]) -> None:
        self._of.heads[self._of.bucket] = value


class LogOf:
    """`ListState`."""

    def __init__(self, of: Variables) -> None:
        self._of = of

    def get(self) -> Iterator[tuple[bytes]]:
        return iter(self._of.logs.get(self._of.bucket, []))

    def put(self, values: list[tuple[bytes]]) -> None:
        assert values, "Spark refuses an empty list"
        self._of.logs[self._of.bucket] = list(values)

    def clear(self) -> None:
        self._of.logs.pop(self._of.bucket, None)

    def appendList(self, values: list[tuple[bytes]]) -> None:  # noqa: N802 (Spark's name)
        self._of.logs.setdefault(self._of.bucket, []).extend(values)


class Step:
    """One task attempt: which executor runs it, what it changes, and whether Spark keeps it."""

    def __init__(self, executor: int, changes: dict[int, dict[str, bytes]], *, commits: bool, first: bool) -> None:
        self.executor, self.changes, self.commits, self.first = executor, changes, commits, first


PROFILES = st.builds(
    lambda n, size: encode_stored(Stored(n, bytes([n % 256]) * size)), st.integers(0, 9), st.integers(0, 30_000)
)
CHANGES = st.dictionaries(st.sampled_from([f"c-{n}" for n in range(5)]), PROFILES, max_size=3)
STEPS = st.lists(
    st.builds(
        Step,
        st.integers(0, EXECUTORS - 1),
        st.dictionaries(st.integers(0, BUCKETS - 1), CHANGES, min_size=1),
        commits=st.booleans(),
        first=st.booleans(),
    ),
    max_size=30,
)


@given(STEPS)
def test_the_store_gives_what_was_committed(steps: list[Step]) -> None:
    """Whatever was tried, rolled back or done by another executor in between. Customers of number 9 are over."""
    committed, expected = Variables(), {bucket: {} for bucket in range(BUCKETS)}
    with TemporaryDirectory() as folder:
        caches = [ProfileCache(Path(folder) / str(n), 64 * MIB) for n in range(EXECUTORS)]
        for step in steps:
            cache, task = caches[step.executor], committed.copy()
            cache.reopen(empty=not step.first)
            store = ProfileStore(task.head, task.log, lambda cache=cache: cache)
            after = dict(expected)
            for bucket, changed in step.changes.items():
                task.bucket = bucket
                with store.bucket(bucket) as state:
                    seen = dict(state.customers)
                    change = change_log.change(state.head, state.customers, changed, 0, is_over)
                store.keep(state, change)
                assert living(seen) == living(expected[bucket])
                after[bucket] = seen | changed
            if step.commits:
                committed, expected = task, after
        for cache in caches:
            cache.close()


def is_over(stored: bytes) -> bool:
    return change_log.decode_stored(stored).expires_ms == 9


def living(customers: dict[str, bytes]) -> dict[str, bytes]:
    return {name: stored for name, stored in customers.items() if not is_over(stored)}


def test_a_log_that_is_not_what_its_head_says_is_refused(tmp_path: Path) -> None:
    variables = Variables()
    cache = ProfileCache(tmp_path, MIB)
    store = ProfileStore(variables.head, variables.log, lambda: cache)
    for name in ("c-1", "c-2"):
        with store.bucket(0) as state:
            change = change_log.change(state.head, state.customers, {name: encode_stored(Stored(1, b"p"))}, 0, is_over)
        store.keep(state, change)
    del variables.logs[0][1]
    with store.bucket(0) as state:
        assert set(state.customers) == {"c-1", "c-2"}  # from the cache, which is right
    cache.reopen(empty=True)
    with pytest.raises(change_log.DamagedLogError), store.bucket(0):
        pass
    cache.close()


def test_a_bucket_whose_customers_are_all_over_is_empty(tmp_path: Path) -> None:
    variables = Variables()
    cache = ProfileCache(tmp_path, MIB)
    store = ProfileStore(variables.head, variables.log, lambda: cache)
    for size in (1, 100_000):
        with store.bucket(0) as state:
            over = {"c-1": encode_stored(Stored(9, bytes(size)))}
            change = change_log.change(state.head, state.customers, over, 0, is_over)
        store.keep(state, change)
    assert change.is_whole
    assert not variables.logs.get(0)
    with store.bucket(0) as state:
        assert not state.customers
    cache.close()
