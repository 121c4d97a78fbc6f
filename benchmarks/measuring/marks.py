"""Marks of a consumer on its way through a backlog, and the figures that they give. Pure: no clock or IO."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

#: Until this share of the messages is through, a consumer counts as warming up.
WARM_UP = 0.2


class Mark(NamedTuple):
    """What was done at a time: `at` in seconds since the epoch, messages and CPU-seconds since the consumer's start."""

    at: float
    messages: int
    cpu: float


@dataclass(frozen=True)
class Pace:
    """How fast a consumer was, its start aside, and what it spent; `warm_…` are of what came after the warm-up."""

    messages: int
    rate: float  # a second, from the first message on
    per_cpu: float  # a CPU-second, the process's start included
    warm_rate: float
    warm_per_cpu: float


def pace_of(marks: Sequence[Mark]) -> Pace:
    """The pace between the first mark (nothing done yet) and the last one. Raises ValueError for fewer than two."""
    if len(marks) < 2:
        raise ValueError(f"{len(marks)} marks tell no pace: two are needed")
    first, last = marks[0], marks[-1]
    warm = next(mark for mark in marks if mark.messages >= WARM_UP * last.messages)
    if warm is last:  # all in one piece
        warm = first
    left = last.messages - warm.messages
    return Pace(
        messages=last.messages,
        rate=last.messages / (last.at - first.at),
        per_cpu=last.messages / last.cpu,
        warm_rate=left / (last.at - warm.at),
        warm_per_cpu=left / (last.cpu - warm.cpu),
    )


def together(several: Iterable[Sequence[Mark]]) -> list[Mark]:
    """The marks of processes that share a backlog, as if they were one: at each mark, the sums of all until then."""
    told = sorted((mark, number) for number, marks in enumerate(several) for mark in marks)
    latest: dict[int, Mark] = {}
    summed = []
    for mark, number in told:
        latest[number] = mark
        known = latest.values()
        summed.append(Mark(mark.at, sum(each.messages for each in known), sum(each.cpu for each in known)))
    return summed


def between(known: Sequence[tuple[float, float]], at: float) -> float:
    """A figure at a time, between the (time, figure) before and after it; the nearest outside of them."""
    before = [each for each in known if each[0] <= at][-1:] or known[:1]
    after = [each for each in known if each[0] > at][:1] or known[-1:]
    ((since, first),), ((until, last),) = before, after
    return first + (last - first) * ((at - since) / (until - since) if until > since else 0.0)
