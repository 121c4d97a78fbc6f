"""A history's events on all cores: each process takes the customers of one shard after the other."""

import gc
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, wait
from multiprocessing.sharedctypes import Synchronized
from typing import Any, TypeVar

_POLL_SECONDS = 0.5
_COUNTED = 16_384  # events at a time
_count: Callable[[int], None]  # adds to the events that are done, in this process and all others of its pool
Shards = Iterable[tuple[Any, ...]]
Item = TypeVar("Item")
Result = TypeVar("Result")


def in_processes(
    work: Callable[..., Result], shards: Shards, processes: int, progress: Callable[[int], None]
) -> list[Result]:
    """What `work` returns for the arguments of each shard, in their order. One process is this one.

    Calls `progress` now and then with the number of events that `counted` has seen so far, in all processes.
    """
    if processes == 1:
        return _here(work, shards, progress)
    context = multiprocessing.get_context("spawn")
    counter = context.Value("q", 0)
    with ProcessPoolExecutor(processes, context, _prepare_worker, (counter,)) as pool:
        submitted = [pool.submit(work, *arguments) for arguments in shards]
        waiting = set(submitted)
        while waiting:
            waiting = wait(waiting, _POLL_SECONDS).not_done
            progress(counter.value)
        return [shard.result() for shard in submitted]


def counted(events: Iterable[Item]) -> Iterator[Item]:
    """The events, counted for `progress` as they go by; for use in `work` of `in_processes`."""
    for number, event in enumerate(events, 1):
        yield event
        if not number % _COUNTED:
            _count(_COUNTED)


def _here(work: Callable[..., Result], shards: Shards, progress: Callable[[int], None]) -> list[Result]:
    """Without another process, which would import all modules again: a second and a half."""
    global _count
    done = 0

    def count(events: int) -> None:
        nonlocal done
        done += events
        progress(done)

    _count, was_collecting = count, gc.isenabled()
    gc.disable()  # as in a worker
    try:
        return [work(*arguments) for arguments in shards]
    finally:
        if was_collecting:
            gc.enable()


def _prepare_worker(counter: "Synchronized[int]") -> None:
    global _count

    def count(events: int) -> None:
        with counter.get_lock():
            counter.value += events

    _count = count
    gc.disable()  # profiles and events hold no cycles, and looking for some costs a third of the time
