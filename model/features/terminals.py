"""Features of the terminal: known fraud among its transactions that are old enough to have been judged.

A terminal is where customers pay: a card terminal, a branch, a merchant on a marketplace. What is known of it is kept
by the hour of its transactions and, of frauds, by the hours in which their label was known. So a transaction is given
what was known in *its own* hour, however fast or late the stream gets to it:

- A window of n days has the n times 24 hours that had ended MATURITY_DAYS before the transaction's hour began: most
  frauds of these are known by then, while newer hours seem to have none.
- A fraud counts when its label had come before the transaction's hour began. An hour begins SETTLING_MS after the
  clock's, when the refresh of the whole hour has been published: there always is one, since its period divides 60.

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

#: A refresh has so long to be published: much longer than it takes.
SETTLING_MS = 600_000
_WINDOWS = (1, 7, 30)
_LONGEST = max(_WINDOWS)
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
)  # fmt: skip

HOUR_COLUMNS = ("terminal_id", "hour", "transactions")
FRAUD_COLUMNS = ("terminal_id", "hour", "known_from", "known_until", "frauds")


def hour_of(event_ms: np.ndarray) -> np.ndarray:
    """The hour, in hours since 1970, as of which transactions of these times are given features; int64 [n]."""
    hours: np.ndarray = (event_ms - SETTLING_MS) // HOUR_MS
    return hours


@dataclass(frozen=True)
class TerminalFacts:
    """What is known of terminals, ready to be joined; picklable. All hours are in hours since 1970.

    `hours` (HOUR_COLUMNS) counts a terminal's transactions by their hour, `frauds` (FRAUD_COLUMNS) those among them
    that are known as frauds in the hours [known_from, known_until). Nothing is known of hours before `since`.
    """

    terminals: pd.Index = field(default_factory=lambda: pd.Index([], dtype=object))
    hours: np.ndarray = field(default_factory=lambda: np.empty((0, 3), np.int64))  # of the terminal's place, in order
    frauds: np.ndarray = field(default_factory=lambda: np.empty((0, 5), np.int64))
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
        hour, size = asked % _SPAN, len(asked)
        asking, fraud = self._known(asked, hour)
        at, frauds = self.frauds[fraud, 1], self.frauds[fraud, -1]
        counts, shares = [], []
        for days in _WINDOWS:
            inside = at >= hour[asking] - _MATURITY - days * _DAY
            known = np.bincount(asking[inside], frauds[inside], size)
            first, last = self._window(self._hour_keys, asked, days)
            paid = self._paid[last] - self._paid[first]
            counts.append(known)
            shares.append(np.divide(known, paid, out=np.zeros(size), where=paid > 0))
        first, last = np.full(size, np.inf), np.full(size, -np.inf)
        np.minimum.at(first, asking, at)
        np.maximum.at(last, asking, at)
        since = (np.where(np.isfinite(each), (hour - each) / _DAY, np.nan) for each in (first, last))
        found = np.column_stack([*counts, *shares, *since])
        found[(hour - HORIZON_DAYS * _DAY < self.since) | ~self._any_known(hour)] = np.nan
        return found

    def _known(self, asked: np.ndarray, hour: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of an asked one and a fraud of its longest window that was known then: the places of both."""
        first, last = self._window(self._fraud_keys, asked, _LONGEST)
        repeats = last - first
        asking = np.repeat(np.arange(len(asked)), repeats)
        fraud = np.arange(len(asking)) - np.repeat(np.cumsum(repeats) - repeats - first, repeats)
        known_from, known_until = self.frauds[fraud, 2], self.frauds[fraud, 3]
        known = (known_from <= hour[asking]) & (hour[asking] < known_until)
        return asking[known], fraud[known]

    @staticmethod
    def _window(keys: np.ndarray, asked: np.ndarray, days: int) -> tuple[np.ndarray, np.ndarray]:
        """Where in `keys` the windows of n days begin and end."""
        first, last = np.searchsorted(keys, [asked - _MATURITY - days * _DAY, asked - _MATURITY])
        return first, last

    def _any_known(self, hour: np.ndarray) -> np.ndarray:
        """Whether any fraud of the longest window was known in these hours, at whatever terminal; bool [n]."""
        began, ended = (np.searchsorted(moments, hour, "right") for moments in self._counting)
        any_known: np.ndarray = began > ended
        return any_known

    @cached_property
    def _counting(self) -> tuple[np.ndarray, np.ndarray]:
        """The hours from which, and until which, each fraud counts; in order."""
        _, at, known_from, known_until, _ = self.frauds.T
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
    def _paid(self) -> np.ndarray:
        """How many transactions there are in the rows of `hours` before each, and in all; int64 [hours + 1]."""
        return np.concatenate([[0], np.cumsum(self.hours[:, 2])])


def _in_order(rows: pd.DataFrame) -> np.ndarray:
    """Rows by their first two columns, int64 [n, columns]."""
    values = rows.to_numpy(np.int64)
    return values[np.lexsort((values[:, 1], values[:, 0]))]


def _keys(place: np.ndarray, hour: np.ndarray) -> np.ndarray:
    """One number for a terminal's place (-1: it isn't kept) and an hour, in the order of both."""
    keys: np.ndarray = place * _SPAN + hour
    return keys
