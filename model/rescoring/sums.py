"""Sums of decisions: by event day, and by the age of labels."""

from dataclasses import dataclass, field, fields
from datetime import date, timedelta
from typing import Self

import numpy as np


@dataclass
class _Sums:
    """Numbers that are added up, field by field."""

    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


@dataclass
class Day(_Sums):
    """A day's decisions: counts, and amounts in the shop currency. Columns of fraud.rescored_days."""

    transactions: int = 0
    labelled: int = 0
    frauds: int = 0
    was_flagged: int = 0
    would_flag: int = 0
    both_flagged: int = 0
    was_caught: int = 0
    would_catch: int = 0
    fraud_amount: float = 0.0
    was_flagged_amount: float = 0.0
    would_flag_amount: float = 0.0
    was_caught_amount: float = 0.0
    would_catch_amount: float = 0.0


@dataclass
class Age(_Sums):
    """Decisions about transactions that are of an age, with the labels of that age. Columns of fraud.rescored_ages.

    A transaction without a label counts as honest, so that precision is `caught` of `flagged`.
    """

    transactions: int = 0
    frauds: int = 0
    was_flagged: int = 0
    would_flag: int = 0
    was_caught: int = 0
    would_catch: int = 0


@dataclass(frozen=True)
class Decisions:
    """Rows of a part of the period, arrays of equal length: decisions, what labels say, and amounts.

    `frauds_within` says of each age whether a label of that age says fraud, and `is_aged` whether the row is so old.
    """

    was: np.ndarray
    would: np.ndarray
    labelled: np.ndarray
    fraud: np.ndarray
    amounts: np.ndarray
    frauds_within: dict[timedelta, np.ndarray] = field(default_factory=dict)
    is_aged: dict[timedelta, np.ndarray] = field(default_factory=dict)

    def day(self, rows: np.ndarray) -> Day:
        """The sums of `rows`, bool."""
        was, would, fraud, amounts = (each[rows] for each in (self.was, self.would, self.fraud, self.amounts))
        return Day(
            transactions=len(was),
            labelled=int(self.labelled[rows].sum()),
            frauds=int(fraud.sum()),
            was_flagged=int(was.sum()),
            would_flag=int(would.sum()),
            both_flagged=int((was & would).sum()),
            was_caught=int((was & fraud).sum()),
            would_catch=int((would & fraud).sum()),
            fraud_amount=float(amounts[fraud].sum()),
            was_flagged_amount=float(amounts[was].sum()),
            would_flag_amount=float(amounts[would].sum()),
            was_caught_amount=float(amounts[was & fraud].sum()),
            would_catch_amount=float(amounts[would & fraud].sum()),
        )

    def aged(self, age: timedelta, rows: np.ndarray) -> Age:
        """The sums of those `rows`, bool, that are of an age."""
        rows = rows & self.is_aged[age]
        was, would, fraud = self.was[rows], self.would[rows], self.frauds_within[age][rows]
        return Age(
            transactions=len(was),
            frauds=int(fraud.sum()),
            was_flagged=int(was.sum()),
            would_flag=int(would.sum()),
            was_caught=int((was & fraud).sum()),
            would_catch=int((would & fraud).sum()),
        )


@dataclass
class Rescoring:
    """A period's days and label ages, and how many transactions the model couldn't be given the features of."""

    days: dict[date, Day] = field(default_factory=dict)
    ages: dict[timedelta, Age] = field(default_factory=dict)
    left_out: int = 0
    failures: dict[str, str] = field(default_factory=dict)  # rules that failed on some transactions

    @property
    def total(self) -> Day:
        """All days together."""
        return sum(self.days.values(), Day())
