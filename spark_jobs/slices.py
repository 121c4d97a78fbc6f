"""Slices of a backlog: where a micro-batch ends in each partition when it can't read all that waits.

Spark gives each partition its share of a micro-batch, so that a purchase may be read long before its own browsing. A
slice ends at one time in all partitions: it has what Kafka appended before, and nothing else. No IO of its own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from fraudstream.kafka.offsets import Appended, Place
from fraudstream.messages.contracts import INPUT_TOPICS

Offsets = Mapping[Place, int]

#: A slice of fewer messages than this part of the limit costs another question to Kafka.
ENOUGH = 0.9
#: The length of a first slice, milliseconds, from which the search for its end sets out.
FIRST_SPAN_MS = 1000

#: The first message appended at a time (milliseconds since the epoch) or later; None where there is none.
Lookup = Callable[[Iterable[Place], int], Mapping[Place, Appended | None]]


class Slicer:
    """Cuts slices. What it remembers only saves questions: any other one cuts as well."""

    def __init__(self, limit: Callable[[int], int], lookup: Lookup, topics: Sequence[str] = INPUT_TOPICS) -> None:
        """`limit` says how many messages the next slice may have, of so many.

        Within a millisecond that is too large for one slice, `topics` follow each other: browsing before purchases.
        """
        self._ask_limit = limit
        self._lookup = lookup
        self._topics = topics
        self._reached_ms: int | None = None
        self._span_ms = FIRST_SPAN_MS

    def cut(self, start: Offsets, end: Offsets, horizon_ms: int) -> dict[Place, int]:
        """The end of the next micro-batch in each partition: `end`, or less where all is more than the limit.

        Args:
            start: the first offset to read, of each partition in `end`.
            end: what could be read.
            horizon_ms: no right time is later. A partition with one, which may lie before `start`, gets its share of
                the slice: time says nothing of what follows.
        """
        unread = {place: range(start[place], until) for place, until in end.items() if until > start[place]}
        total = sum(map(len, unread.values()))
        limit = self._ask_limit(total)
        if total <= limit:
            return dict(end)
        untold: dict[Place, int] = {}
        while True:
            told = {place: left for place, left in unread.items() if place not in untold}
            search = _Search(told, max(1, limit - sum(untold.values())), self._lookup, self._topics)
            at = search.run(self._first_ms(told), self._span_ms, horizon_ms)
            found = [place for place in told if search.is_untold(place, at, horizon_ms)]
            if not found:
                break
            untold |= {place: max(1, limit * len(unread[place]) // total) for place in found}
        if at < horizon_ms:
            self._remember(at)
        shares = {place: unread[place].start + min(share, len(unread[place])) for place, share in untold.items()}
        return dict(end) | search.ends(at) | shares

    def _first_ms(self, places: Iterable[Place]) -> int:
        if self._reached_ms is not None:
            return self._reached_ms
        oldest = [first.time_ms for first in self._lookup(places, 0).values() if first]
        return max(0, min(oldest, default=0))

    def _remember(self, at: int) -> None:
        if self._reached_ms is not None:
            self._span_ms = max(1, at - self._reached_ms)
        self._reached_ms = at


class FirstSlice(Slicer):
    """Cuts one slice, and nothing after it: the query ends there, and another one goes on."""

    _begun: Offsets | None = None

    def cut(self, start: Offsets, end: Offsets, horizon_ms: int) -> dict[Place, int]:
        """The end of the first micro-batch; of a later one, its start. A partition may be new meanwhile."""
        self._begun = self._begun or start
        if any(offset > self._begun.get(place, offset) for place, offset in start.items()):
            return dict(start)
        return super().cut(start, end, horizon_ms)


class _Search:
    """The search for the time at which a slice ends, by as few questions as will do."""

    def __init__(self, unread: Mapping[Place, range], limit: int, lookup: Lookup, topics: Sequence[str]) -> None:
        self._unread = unread
        self._limit = limit
        self._topics = topics
        self._lookup = lookup
        self._found: dict[int, Mapping[Place, Appended | None]] = {}

    def run(self, first_ms: int, span_ms: int, horizon_ms: int) -> int:
        """A time before which about `limit` unread messages were appended, and no more: if it can be, else some."""
        low, high = (first_ms if self._count(first_ms) <= self._limit else 0), horizon_ms
        step = span_ms
        while low + step < high:  # gallop
            if self._count(low + step) > self._limit:
                high = low + step
                break
            low, step = low + step, 2 * step
            if self._is_enough(low):
                return low
        if self._count(high) <= self._limit:
            return high
        return self._between(low, high)

    def _between(self, low: int, high: int) -> int:
        """Between a time with few enough messages before it and one with too many."""
        halve = False
        while high - low > 1 and not self._is_enough(low):
            below, above = self._count(low), self._count(high)
            share = 0.5 if halve else (0.97 * self._limit - below) / (above - below)
            at = min(max(low + int(share * (high - low)), low + 1), high - 1)
            if self._count(at) > self._limit:
                high = at
            else:
                low = at
            halve = not halve
        return low if self._count(low) else high

    def ends(self, at: int) -> dict[Place, int]:
        """The end of each partition in the slice that ends at a time."""
        ends = {place: left.start + self._before(place, at) for place, left in self._unread.items()}
        return ends if self._count(at) <= self._limit else self._within(ends)

    def _within(self, ends: dict[Place, int]) -> dict[Place, int]:
        """A part of a millisecond that is more than a slice: topic by topic, partition by partition."""
        room = self._limit
        for place in sorted(ends, key=lambda place: (self._topics.index(place[0]), place)):
            start = self._unread[place].start
            messages = min(ends[place] - start, room)
            ends[place] = start + messages
            room -= messages
        return ends

    def is_untold(self, place: Place, at: int, horizon_ms: int) -> bool:
        """True when time doesn't say what of a partition comes next, since a clock was far ahead.

        One that is only ahead of others, as after an upgrade in a backlog, waits for them.
        """
        first, left = self._found[at][place], self._unread[place]
        return first is not None and first.offset < left.stop and first.time_ms > horizon_ms

    def _is_enough(self, at: int) -> bool:
        return ENOUGH * self._limit <= self._count(at) <= self._limit

    def _count(self, at: int) -> int:
        if at not in self._found:
            self._found[at] = self._lookup(self._unread, at)
        return sum(self._before(place, at) for place in self._unread)

    def _before(self, place: Place, at: int) -> int:
        """Number of a partition's unread messages that were appended before a time."""
        first, left = self._found[at][place], self._unread[place]
        return len(left) if first is None else min(max(first.offset, left.start), left.stop) - left.start
