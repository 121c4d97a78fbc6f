"""Features of the terminal: known fraud among its transactions that are old enough to have been judged.

A terminal is where customers pay: a card terminal, a branch, a merchant on a marketplace. What is known of it is kept
by the hour of its transactions and, of frauds, by the hours in which their label was known. So a transaction is given
what was known in *its own* hour, however fast or late the stream gets to it:

- A window of n days has the n times 24 hours that had ended MATURITY_DAYS before the transaction's hour began: most
  frauds of these are known by then, while newer hours seem to have none.
- A fraud counts when its label had come before the transaction's hour began. An hour begins SETTLING_MS after the
  clock's, when the refresh of the whole hour has been published: there always is one, since its period divides 60.

A fraud of an unusual amount may say nothing of the terminal: whoever took over a customer's account may spend much
anywhere. So those of an ordinary amount, at most ORDINARY times the mean of what was paid at the terminal in the
longest window, are counted by themselves, too. One whose amount isn't known counts as ordinary.

Besides, a terminal's latest hours with a transaction are looked at, however far apart they are: they tell whether fraud
goes on there.

Only terminals with a fraud need to be kept: one that is absent has none. All is NaN of a transaction without a
terminal, while no fraud of the windows is known at any, and where the windows reach back before what is kept.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from fraudstream.static_data.entities import MATURITY_DAYS
from model.durations import HOUR_MS
from model.features.spec import USUAL, FeatureSpec

#: A fraud is of an ordinary amount up to this multiple of the terminal's mean.
ORDINARY = 2.0
#: A refresh has so long to be published: much longer than it takes.
SETTLING_MS = 600_000
_WINDOWS = (1, 7, 30)
_LONGEST = max(_WINDOWS)
#: So many of the terminal's hours, counting those with a transaction only.
_LATEST = {1: "latest hour", 3: "latest 3 hours"}
#: The windows of an hour reach back so many days.
HORIZON_DAYS = MATURITY_DAYS + _LONGEST
_DAY = 24  # hours
_MATURITY = MATURITY_DAYS * _DAY
#: `known_until` of a fraud that no newer label denies.
STILL_KNOWN = 2_932_896 * _DAY  # 9999-12-31
#: `since` of facts that lack nothing.
NEVER = -(2**31)
#: A terminal's hours are keys from its place times this on; that many hours are 7,600 years.
_SPAN = 2**26
_CHUNK = 20_000

_WORDS = {days: f"in the {days} days until a week before" for days in _WINDOWS} | {1: "in the day until a week before"}
_LAST_DAYS = {days: f"{days} days, until {MATURITY_DAYS} before" for days in _WINDOWS} | {1: "1 day, until 7 before"}

TERMINAL_SPECS = (
    *(
        FeatureSpec(f"terminal_frauds_{days}d", "known frauds among the terminal's transactions", "count",
                    _LAST_DAYS[days], f"{{value:known fraud}} at this terminal {_WORDS[days]}{USUAL}")
        for days in _WINDOWS
    ),
    *(
        FeatureSpec(f"terminal_fraud_share_{days}d", "share of known frauds among the terminal's transactions", "share",
                    _LAST_DAYS[days], f"{{value}} of what was paid at this terminal {_WORDS[days]} is known as fraud",
                    f"no known fraud at this terminal {_WORDS[days]}")
        for days in _WINDOWS
    ),
    FeatureSpec("terminal_first_fraud", "since the first hour with a known fraud at the terminal", "days",
                _LAST_DAYS[_LONGEST], f"the first known fraud at this terminal was {{value}} before{USUAL}"),
    FeatureSpec("terminal_last_fraud", "since the last hour with a known fraud at the terminal", "days",
                _LAST_DAYS[_LONGEST], f"the last known fraud at this terminal was {{value}} before{USUAL}"),
    *(
        FeatureSpec(f"terminal_ordinary_frauds_{days}d", "known frauds at the terminal that were of an ordinary amount",
                    "count", _LAST_DAYS[days], f"{{value:known fraud}} of an ordinary amount at this terminal "
                    f"{_WORDS[days]}{USUAL}")
        for days in _WINDOWS
    ),
    *(
        FeatureSpec(f"terminal_ordinary_fraud_share_{days}d",
                    "share of known frauds of an ordinary amount among the terminal's transactions", "share",
                    _LAST_DAYS[days], f"{{value}} of what was paid at this terminal {_WORDS[days]} is known as fraud "
                    "of an ordinary amount", f"no known fraud of an ordinary amount at this terminal {_WORDS[days]}")
        for days in _WINDOWS
    ),
    *(
        FeatureSpec(f"terminal_fraud_share_latest_{hours}",
                    "share of known frauds among the terminal's transactions of its latest hours with any", "share",
                    f"{words}, of {_LAST_DAYS[_LONGEST]}",
                    f"{{value}} of what was paid in this terminal's {words} until a week before is known as fraud",
                    f"no known fraud in this terminal's {words} until a week before")
        for hours, words in _LATEST.items()
    ),
)  # fmt: skip

HOUR_COLUMNS = ("terminal_id", "hour", "transactions", "priced", "cents")
FRAUD_COLUMNS = ("terminal_id", "hour", "known_from", "known_until", "cents", "frauds")


def hour_of(event_ms: np.ndarray) -> np.ndarray:
    """The hour, in hours since 1970, as of which transactions of these times are given features; int64 [n]."""
    hours: np.ndarray = (event_ms - SETTLING_MS) // HOUR_MS
    return hours


@dataclass(frozen=True)
class _Known:
    """Pairs of an asked one and a fraud, by their places; int64 [n] each."""

    asking: np.ndarray
    fraud: np.ndarray


@dataclass(frozen=True)
class TerminalFacts:
    """What is known of terminals, ready to be joined; picklable. All hours are in hours since 1970.

    `hours` (HOUR_COLUMNS) counts a terminal's transactions by their hour, and those with an amount in the shop
    currency, whose cents it adds up; `frauds` (FRAUD_COLUMNS) those among them that are known as frauds in the hours
    [known_from, known_until), each of so many cents. Nothing is known of hours before `since`.
    """

    terminals: pd.Index = field(default_factory=lambda: pd.Index([], dtype=object))
    hours: np.ndarray = field(default_factory=lambda: np.empty((0, 5), np.int64))  # of the terminal's place, in order
    frauds: np.ndarray = field(default_factory=lambda: np.empty((0, 6), np.int64))
    since: int = NEVER

    @classmethod
    def from_frames(cls, hours: pd.DataFrame, frauds: pd.DataFrame, since: int = NEVER) -> "TerminalFacts":
        """Facts from rows of fraud.terminal_hours and fraud.terminal_frauds. Raises KeyError for a missing column."""
        names = pd.Index(hours["terminal_id"].unique(), dtype=object)
        of_hours, of_frauds = (
            _in_order(frame.assign(terminal_id=names.get_indexer(frame["terminal_id"]))[list(columns)])
            for frame, columns in ((hours, HOUR_COLUMNS), (frauds, FRAUD_COLUMNS))
        )
        return cls(names, of_hours, of_frauds, since)

    def features(self, transactions: pd.DataFrame) -> np.ndarray:
        """TERMINAL_FEATURES of each transaction, float64 [n, features]. Needs the columns terminal_id, event_time."""
        found = np.full((len(transactions), len(TERMINAL_SPECS)), np.nan)
        identifiers = transactions["terminal_id"].to_numpy(object)
        rows = np.flatnonzero(pd.notna(identifiers))
        if not len(rows) or not len(self.frauds):
            return found
        times = transactions["event_time"].iloc[rows].astype("datetime64[ms, UTC]").astype("int64").to_numpy()
        place = self.terminals.get_indexer(pd.Index(identifiers[rows]))
        asked, which = np.unique(_keys(place, hour_of(times)), return_inverse=True)
        parts = [self._as_of(asked[start : start + _CHUNK]) for start in range(0, len(asked), _CHUNK)]
        found[rows] = np.concatenate(parts)[which]
        return found

    def _as_of(self, asked: np.ndarray) -> np.ndarray:
        """The features of terminals as of an hour, each a key of `_keys`; float64 [n, features]."""
        hour, end = asked % _SPAN, self._before(asked, 0)
        first = {days: self._before(asked, days) for days in _WINDOWS}
        known = self._known(asked, hour)
        paid = self._sums[end] - self._sums[first[_LONGEST]]
        ordinary = self.frauds[known.fraud, 4] * paid[known.asking, 1].astype(float) <= ORDINARY * paid[known.asking, 2]

        def counted(begins: np.ndarray, chosen: np.ndarray | bool = True) -> tuple[np.ndarray, np.ndarray]:
            """How many known frauds there are in the rows of `hours` from `begins` to `end`, and their share."""
            inside = chosen & (self._row[known.fraud] >= begins[known.asking])
            frauds = np.bincount(known.asking[inside], self.frauds[known.fraud[inside], 5], len(asked))
            transactions = self._sums[end, 0] - self._sums[begins, 0]
            return frauds, np.divide(frauds, transactions, out=np.zeros(len(asked)), where=transactions > 0)

        counts, shares = zip(*(counted(begins) for begins in first.values()), strict=True)
        of_ordinary, share_of_ordinary = zip(*(counted(begins, ordinary) for begins in first.values()), strict=True)
        latest = (counted(np.maximum(end - hours, first[_LONGEST]))[1] for hours in _LATEST)
        since = self._days_since(known, hour)
        found = np.column_stack([*counts, *shares, *since, *of_ordinary, *share_of_ordinary, *latest])
        found[(hour - HORIZON_DAYS * _DAY < self.since) | ~self._any_known(hour)] = np.nan
        return found

    def _before(self, asked: np.ndarray, days: int) -> np.ndarray:
        """The first row of `hours` that isn't n days before the windows' end, nor of an earlier terminal; int64 [n]."""
        return np.searchsorted(self._hour_keys, asked - _MATURITY - days * _DAY)

    def _known(self, asked: np.ndarray, hour: np.ndarray) -> _Known:
        """The frauds of the longest window that were known then."""
        first, last = np.searchsorted(self._fraud_keys, [asked - HORIZON_DAYS * _DAY, asked - _MATURITY])
        repeats = last - first
        asking = np.repeat(np.arange(len(asked)), repeats)
        fraud = np.arange(len(asking)) - np.repeat(np.cumsum(repeats) - repeats - first, repeats)
        known_from, known_until = self.frauds[fraud, 2], self.frauds[fraud, 3]
        known = (known_from <= hour[asking]) & (hour[asking] < known_until)
        return _Known(asking[known], fraud[known])

    def _days_since(self, known: _Known, hour: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Days since the first and the last of these frauds, NaN where there is none; float64 [n] each."""
        first, last = np.full(len(hour), np.inf), np.full(len(hour), -np.inf)
        np.minimum.at(first, known.asking, self.frauds[known.fraud, 1])
        np.maximum.at(last, known.asking, self.frauds[known.fraud, 1])
        first, last = (np.where(np.isfinite(each), (hour - each) / _DAY, np.nan) for each in (first, last))
        return first, last

    def _any_known(self, hour: np.ndarray) -> np.ndarray:
        """Whether any fraud of the longest window was known in these hours, at whatever terminal; bool [n]."""
        began, ended = (np.searchsorted(moments, hour, "right") for moments in self._counting)
        any_known: np.ndarray = began > ended
        return any_known

    @cached_property
    def _counting(self) -> tuple[np.ndarray, np.ndarray]:
        """The hours from which, and until which, each fraud counts; in order."""
        _, at, known_from, known_until, _, _ = self.frauds.T
        begins = np.maximum(known_from, at + _MATURITY + 1)
        ends = np.minimum(known_until, at + _MATURITY + _LONGEST * _DAY + 1)
        proper = begins < ends
        return np.sort(begins[proper]), np.sort(ends[proper])

    @cached_property
    def _hour_keys(self) -> np.ndarray:
        return _keys(self.hours[:, 0], self.hours[:, 1])

    @cached_property
    def _fraud_keys(self) -> np.ndarray:
        return _keys(self.frauds[:, 0], self.frauds[:, 1])

    @cached_property
    def _row(self) -> np.ndarray:
        """The row of `hours` that each fraud is counted in, int64 [frauds]."""
        return np.searchsorted(self._hour_keys, self._fraud_keys)

    @cached_property
    def _sums(self) -> np.ndarray:
        """Transactions, priced and cents of the rows of `hours` before each, and of all; int64 [hours + 1, 3]."""
        return np.vstack([np.zeros((1, 3), np.int64), np.cumsum(self.hours[:, 2:], axis=0)])


def _in_order(rows: pd.DataFrame) -> np.ndarray:
    """Rows by their first two columns, int64 [n, columns]."""
    values = rows.to_numpy(np.int64)
    return values[np.lexsort((values[:, 1], values[:, 0]))]


def _keys(place: np.ndarray, hour: np.ndarray) -> np.ndarray:
    """One number for a terminal's place (-1: it isn't kept) and an hour, in the order of both."""
    keys: np.ndarray = place * _SPAN + hour
    return keys
