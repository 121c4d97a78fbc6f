"""A history's events on all cores: each process takes the customers of one shard after the other."""

import gc
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, wait
from multiprocessing.sharedctypes import Synchronized
from typing import Any, TypeVar

_POLL_SECONDS = 0.5
_COUNTED = 16_384  # events at a time
_counter: "Synchronized[int]"  # of events, shared by the processes of a pool
Item = TypeVar("Item")
Result = TypeVar("Result")


def in_processes(
    work: Callable[..., Result], shards: Iterable[tuple[Any, ...]], processes: int, progress: Callable[[int], None]
) -> list[Result]:
    """What `work` returns for the arguments of each shard, in their order.

    Calls `progress` now and then with the number of events that `counted` has seen so far, in all processes.
    """
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
    """The events, counted for `progress` as they go by; for use in a worker of `in_processes`."""
    for number, event in enumerate(events, 1):
        yield event
        if not number % _COUNTED:
            with _counter.get_lock():
                _counter.value += _COUNTED


def _prepare_worker(counter: "Synchronized[int]") -> None:
    global _counter
    _counter = counter
    gc.disable()  # profiles and events hold no cycles, and looking for some costs a third of the time
