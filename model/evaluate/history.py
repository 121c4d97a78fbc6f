"""A labelled history of transactions, from files of any of the usual forms."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import numpy as np

from fraudstream.errors import FraudstreamError
from fraudstream.mappings.files import Row, Unreadable, read_rows
from fraudstream.messages.mapping.compiled import Fields, MappedRecords, UnmappableError
from fraudstream.messages.mapping.file import Mapping
from fraudstream.static_data.currencies import CurrencyRates
from model.evaluate.labels import Labels, Verdict, milliseconds
from model.evaluate.mapping import OPTIONAL

_NO_RATES = CurrencyRates("")
_LABEL = "is_fraud"


class HistoryFileError(FraudstreamError):
    """A history can't be used; the message names the field, where it stands, and the row."""


@dataclass(frozen=True)
class History:
    """Labelled transactions in the order of time; of equal times, in the order of the file. One value a transaction.

    `times` are milliseconds since 1970 in UTC; customers and terminals are integers from 0; amounts are in one
    currency, the file's or the shop's. `terminals` is None where the file has none. `known` is when the label of each
    came, in milliseconds since 1970, 0 for as soon as labels are; None where all do. The newest label that there is
    came at `labelled_until`, where that is known. `remarks` say what the file lacks.
    """

    times: np.ndarray
    customers: np.ndarray
    terminals: np.ndarray | None
    amounts: np.ndarray
    frauds: np.ndarray
    remarks: tuple[str, ...] = ()
    known: np.ndarray | None = None
    labelled_until: int | None = None

    def __len__(self) -> int:
        return len(self.times)

    def frauds_before(self, moment_ms: int) -> np.ndarray:
        """Frauds whose label had come at a moment, bool [n]; the others pass for legitimate."""
        return self.frauds if self.known is None else self.frauds & (self.known < moment_ms)

    def frauds_within(self, delay: timedelta) -> np.ndarray:
        """Frauds whose label came within the time that labels are waited for, bool [n]."""
        latest = self.times + delay // timedelta(milliseconds=1)
        return self.frauds if self.known is None else self.frauds & (self.known <= latest)


def read(path: Path, mapping: Mapping, rates: CurrencyRates = _NO_RATES, labels: Labels | None = None) -> History:
    """Reads the rows of `path` as `mapping` says. Raises HistoryFileError, DataError or MappingError.

    Amounts in several currencies are converted with `rates`. With `labels`, a transaction that has none there is what
    its own row says, or else legitimate.
    """
    columns = _Columns(path, mapping, labels)
    for row in read_rows(path, mapping):
        columns.add(row)
    columns.refuse()
    times = np.array(columns.times, np.int64)
    amounts = np.array(columns.amounts) * columns.exchange_rates(rates, times)
    order = np.argsort(times, kind="stable")
    known = np.array(columns.known, np.int64)[order]
    return History(
        times=times[order],
        customers=np.array(columns.customers, np.int64)[order],
        terminals=np.array(columns.terminals, np.int64)[order] if columns.terminal else None,
        amounts=amounts[order],
        frauds=np.array(columns.frauds, bool)[order],
        remarks=(
            *(f"no column for {role}: {what}" for role, what in OPTIONAL.items() if role in columns.lacking),
            *columns.remarks(),
        ),
        known=known if known.any() else None,
        labelled_until=labels.until_ms if labels else None,
    )


@dataclass
class _Refused:
    """Rows refused for one field: how many, and the first."""

    told: str
    count: int = 0


@dataclass
class _Codes:
    """Integers from 0 for identifiers, by first appearance."""

    known: dict[str, int] = field(default_factory=dict)

    def of(self, identifier: str) -> int:
        return self.known.setdefault(identifier, len(self.known))


class _Columns:
    """The columns of a history, filled row by row. What can't be used is counted, and refused at the end."""

    def __init__(self, path: Path, mapping: Mapping, labels: Labels | None) -> None:
        self._path, self._mapping, self._labels = path, mapping, labels
        self._records = MappedRecords(mapping)
        self._rows: dict[str, int] = {}
        self._refused: dict[str, _Refused] = {}
        self._customers, self._terminals = _Codes(), _Codes()
        terminals = (name for name in ("terminal_id", "device_id") if name in mapping.fields)
        self.terminal = next(terminals, None)
        identifier = mapping.field("transaction_id")
        self.lacking = {"transaction_id"} if identifier is None or identifier.row else set()
        self.lacking |= set() if self.terminal else {"terminal_id"}
        self.times, self.customers, self.terminals = array("q"), array("q"), array("q")
        self.amounts, self.frauds, self.known = array("d"), array("b"), array("q")
        self.currencies: list[str] = []

    def add(self, row: Row) -> None:
        """Adds a row, or counts why it can't be used."""
        if isinstance(row.record, Unreadable):
            self._refuse("", row, row.record)
            return
        try:
            event = self._records.event(row.record, row.number)
        except UnmappableError as error:
            self._refuse(error.field, row, str(error))
            return
        if event is not None and self._is_complete(event, row):
            self._append(event, row)

    def refuse(self) -> None:
        """Raises HistoryFileError for what was refused, or when nothing is left."""
        for refused in self._refused.values():
            raise HistoryFileError(f"{self._path}, {refused.told}; {refused.count:,} such rows")
        if not self.times:
            raise HistoryFileError(f"{self._path} has no transaction")
        if self._labels and not self._labels.verdicts.keys() & self._rows.keys():
            named, own = next(iter(self._labels.verdicts)), next(iter(self._rows))
            raise HistoryFileError(
                f"no label of {self._labels.path} names a transaction of {self._path}: the labels have ids such as "
                f"{named!r}, the transactions such as {own!r}; map both to the same"
            )

    def remarks(self) -> Iterator[str]:
        """What is to be known of the labels."""
        if self._labels:
            unknown = len(self._labels.verdicts.keys() - self._rows.keys())
            yield f"{len(self._labels.verdicts) - unknown:,} transactions have a label, the others count as legitimate"
            if unknown:
                yield f"{unknown:,} labels name no transaction of the file"

    def exchange_rates(self, rates: CurrencyRates, times: np.ndarray) -> np.ndarray:
        """Units of the shop currency for one of each row's, float64 [n]; 1 when all rows are in one currency."""
        different = set(self.currencies)
        if "currency" not in self._mapping.fields:
            different.discard("")  # amounts with and without their sign
        if len(different) <= 1:
            return np.ones(len(times))
        found = rates.column(np.array(self.currencies, object), times)
        missing = np.flatnonzero(np.isnan(found))
        if len(missing):
            first = int(missing[0])
            raise HistoryFileError(
                f"{self._path}, row {first + 1}: the currency {self.currencies[first]!r} has no exchange rate into "
                f"{rates.shop_currency or 'another currency'} at its event time ({len(missing):,} such rows): add it "
                "to the file of FRAUDSTREAM_SHOP__CURRENCY_RATES (docs/production.md), or convert the amounts to one"
            )
        return found

    def _append(self, event: Fields, row: Row) -> None:
        verdict = self._verdict(event)
        self.times.append(milliseconds(event["event_time"]))
        self.customers.append(self._customers.of(event["customer_id"]))
        if self.terminal:
            self.terminals.append(self._terminals.of(event[self.terminal]))
        self.amounts.append(event["amount"])
        self.frauds.append(verdict.is_fraud)
        self.known.append(verdict.known_ms)
        self.currencies.append(event.get("currency") or self._records.sign(row.record) or "")

    def _verdict(self, event: Fields) -> Verdict:
        """What is true of a transaction, by the labels or by its own row."""
        if self._labels and (found := self._labels.verdicts.get(event["transaction_id"])):
            return found
        at = event.get("labelled_at")
        return Verdict(event.get(_LABEL, False), milliseconds(at) if at else 0)

    def _is_complete(self, event: Fields, row: Row) -> bool:
        first = self._rows.setdefault(event["transaction_id"], row.number)
        if first != row.number:
            problem = (
                f"transaction_id: {event['transaction_id']!r} is already in row {first}: keep one row a transaction"
            )
            self._refuse("transaction_id", row, problem)
            return False
        for name in (self.terminal, None if self._labels else _LABEL):
            if name and name not in event:
                source = self._mapping.field(name)
                remedy = (
                    "say default, or leave the field out" if name == self.terminal else "leave out what has no label"
                )
                self._refuse(name, row, f"{name} (from {source.told if source else ''}): has no value; {remedy}")
                return False
        return True

    def _refuse(self, name: str, row: Row, problem: str) -> None:
        self._refused.setdefault(name, _Refused(f"{row.told}: {problem}")).count += 1
