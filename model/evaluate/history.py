"""A labelled history of transactions, from files of any of the usual forms."""

from array import array
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from fraudstream.errors import FraudstreamError
from fraudstream.mappings.files import Row, Unreadable, read_rows
from fraudstream.messages.mapping.compiled import Fields, MappedRecords, UnmappableError
from fraudstream.messages.mapping.file import Mapping
from fraudstream.static_data.currencies import CurrencyRates
from model.evaluate.mapping import OPTIONAL

_NO_RATES = CurrencyRates("")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_LABEL = "is_fraud"


class HistoryFileError(FraudstreamError):
    """A history can't be used; the message names the field, where it stands, and the row."""


@dataclass(frozen=True)
class History:
    """Labelled transactions in the order of time; of equal times, in the order of the file. One value a transaction.

    `times` are milliseconds since 1970 in UTC; customers and terminals are integers from 0; amounts are in one
    currency, the file's or the shop's. `terminals` is None where the file has none. `remarks` say what the file lacks.
    """

    times: np.ndarray
    customers: np.ndarray
    terminals: np.ndarray | None
    amounts: np.ndarray
    frauds: np.ndarray
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.times)


def read(path: Path, mapping: Mapping, rates: CurrencyRates = _NO_RATES) -> History:
    """Reads the rows of `path` as `mapping` says. Raises HistoryFileError, DataError or MappingError.

    Amounts in several currencies are converted with `rates`.
    """
    columns = _Columns(path, mapping)
    for row in read_rows(path, mapping):
        columns.add(row)
    columns.refuse()
    times = np.array(columns.times, np.int64)
    amounts = np.array(columns.amounts) * columns.exchange_rates(rates, times)
    order = np.argsort(times, kind="stable")
    return History(
        times=times[order],
        customers=np.array(columns.customers, np.int64)[order],
        terminals=np.array(columns.terminals, np.int64)[order] if columns.terminal else None,
        amounts=amounts[order],
        frauds=np.array(columns.frauds, bool)[order],
        remarks=tuple(f"no column for {role}: {what}" for role, what in OPTIONAL.items() if role in columns.lacking),
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

    def __init__(self, path: Path, mapping: Mapping) -> None:
        self._path, self._mapping = path, mapping
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
        self.amounts, self.frauds = array("d"), array("b")
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
        self.times.append((event["event_time"] - _EPOCH) // _MILLISECOND)
        self.customers.append(self._customers.of(event["customer_id"]))
        if self.terminal:
            self.terminals.append(self._terminals.of(event[self.terminal]))
        self.amounts.append(event["amount"])
        self.frauds.append(event[_LABEL])
        self.currencies.append(event.get("currency") or self._records.sign(row.record) or "")

    def _is_complete(self, event: Fields, row: Row) -> bool:
        first = self._rows.setdefault(event["transaction_id"], row.number)
        if first != row.number:
            problem = (
                f"transaction_id: {event['transaction_id']!r} is already in row {first}: keep one row a transaction"
            )
            self._refuse("transaction_id", row, problem)
            return False
        for name in (self.terminal, _LABEL):
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
