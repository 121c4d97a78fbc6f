"""Features of the terminal: known fraud among its transactions that are old enough to have been judged.

A terminal is where customers pay: a card terminal, a branch, a merchant on a marketplace. What is known of it is kept
by the day of its transactions and, of frauds, by the days on which their label was known. So a transaction is given
what was known on *its own* day, however fast or late the stream gets to it:

- A window of n days has the n days that had ended MATURITY_DAYS before the transaction's day began: most frauds of
  these are known by then, while newer days seem to have none.
- A fraud counts when its label had come before the transaction's day began. A day begins SETTLING_MS after midnight,
  UTC, when the refresh of midnight has long been published.

Only terminals with a fraud need to be kept: one that is absent has none. All is NaN of a transaction without a
terminal, while no fraud of the windows is known at any, and where the windows reach back before what is kept.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from fraudstream.static_data.entities import DAY_MS, MATURITY_DAYS
from model.durations import HOUR_MS
from model.features.spec import USUAL, FeatureSpec

SETTLING_MS = HOUR_MS
_WINDOWS = (1, 7, 30)
_LONGEST = max(_WINDOWS)
#: The windows of a day reach back so many days.
HORIZON_DAYS = MATURITY_DAYS + _LONGEST
#: `known_until` of a fraud that no newer label denies.
STILL_KNOWN = 2_932_896  # 9999-12-31
#: `since` of facts that lack nothing.
NEVER = -(2**31)
_DAYS_AT_HAND = 64

_WORDS = {days: f"in the {days} days until a week before" for days in _WINDOWS} | {1: "on the day a week before"}
_LAST_DAYS = {days: f"{days} days, until {MATURITY_DAYS} before" for days in _WINDOWS} | {1: "1 day, 7 before"}

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
    FeatureSpec("terminal_first_fraud", "since the first day with a known fraud at the terminal", "days",
                _LAST_DAYS[_LONGEST], f"the first known fraud at this terminal was {{value}} before{USUAL}"),
    FeatureSpec("terminal_last_fraud", "since the last day with a known fraud at the terminal", "days",
                _LAST_DAYS[_LONGEST], f"the last known fraud at this terminal was {{value}} before{USUAL}"),
)  # fmt: skip

DAY_COLUMNS = ("terminal_id", "day", "transactions")
FRAUD_COLUMNS = ("terminal_id", "day", "known_from", "known_until", "frauds")


def day_of(event_ms: np.ndarray) -> np.ndarray:
    """The day, in days since 1970, as of which transactions of these times are given features; int64 [n]."""
    days: np.ndarray = (event_ms - SETTLING_MS) // DAY_MS
    return days


@dataclass(frozen=True)
class TerminalFacts:
    """What is known of terminals, ready to be joined; picklable. All days are in days since 1970.

    `days` (DAY_COLUMNS) counts a terminal's transactions by their day, `frauds` (FRAUD_COLUMNS) those among them that
    are known as frauds on the days [known_from, known_until). Nothing is known of days before `since`.
    """

    terminals: pd.Index = field(default_factory=lambda: pd.Index([], dtype=object))
    days: np.ndarray = field(default_factory=lambda: np.empty((0, 3), np.int64))  # with the terminal's place, as below
    frauds: np.ndarray = field(default_factory=lambda: np.empty((0, 5), np.int64))
    since: int = NEVER
    _as_of: dict[int, np.ndarray] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def from_frames(cls, days: pd.DataFrame, frauds: pd.DataFrame, since: int = NEVER) -> "TerminalFacts":
        """Facts from rows of fraud.terminal_days and fraud.terminal_frauds. Raises KeyError for a missing column."""
        names = pd.Index(days["terminal_id"].unique(), dtype=object)
        of_days, of_frauds = (
            frame.assign(terminal_id=names.get_indexer(frame["terminal_id"]))[list(columns)].to_numpy(np.int64)
            for frame, columns in ((days, DAY_COLUMNS), (frauds, FRAUD_COLUMNS))
        )
        return cls(names, of_days, of_frauds, since)

    def features(self, transactions: pd.DataFrame) -> np.ndarray:
        """TERMINAL_FEATURES of each transaction, float64 [n, features]. Needs the columns terminal_id, event_time."""
        found = np.full((len(transactions), len(TERMINAL_SPECS)), np.nan)
        identifiers = transactions["terminal_id"].to_numpy(object)
        rows = np.flatnonzero(pd.notna(identifiers))
        if not len(rows) or not len(self.frauds):
            return found
        times = transactions["event_time"].iloc[rows].astype("datetime64[ms, UTC]").astype("int64").to_numpy()
        today, place = day_of(times), self.terminals.get_indexer(pd.Index(identifiers[rows]))
        for day in np.unique(today):
            of_day = today == day
            found[rows[of_day]] = self._on(int(day))[place[of_day]]
        return found

    def _on(self, day: int) -> np.ndarray:
        """The features of all terminals as of a day, and last those of one that isn't kept; [terminals + 1, features].

        Kept for the next transactions of the day: in the stream, all of a micro-batch are of one or two.
        """
        if day not in self._as_of:
            if len(self._as_of) >= _DAYS_AT_HAND:
                self._as_of.clear()
            self._as_of[day] = self._computed(day)
        return self._as_of[day]

    def _computed(self, day: int) -> np.ndarray:
        end, size = day - MATURITY_DAYS, len(self.terminals) + 1
        _, at, known_from, known_until, _ = self.frauds.T
        frauds = self.frauds[(known_from <= day) & (day < known_until) & (at >= end - _LONGEST) & (at < end)]
        if day - HORIZON_DAYS < self.since or not len(frauds):
            return np.full((size, len(TERMINAL_SPECS)), np.nan)
        days = self.days[(self.days[:, 1] >= end - _LONGEST) & (self.days[:, 1] < end)]
        counts, shares = [], []
        for window in _WINDOWS:
            known, all_of_them = (_sums(rows[rows[:, 1] >= end - window], size) for rows in (frauds, days))
            counts.append(known)
            shares.append(np.divide(known, all_of_them, out=np.zeros(size), where=all_of_them > 0))
        of, at = frauds[:, 0], frauds[:, 1]
        first, last = np.full(size, np.inf), np.full(size, -np.inf)
        np.minimum.at(first, of, at)
        np.maximum.at(last, of, at)
        since = (np.where(np.isfinite(each), day - each, np.nan) for each in (first, last))
        return np.column_stack([*counts, *shares, *since])


def _sums(rows: np.ndarray, size: int) -> np.ndarray:
    """Sums of the last column by the first, a terminal's place; float64 [size]."""
    return np.bincount(rows[:, 0], rows[:, -1], size)
