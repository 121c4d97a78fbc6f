"""Reads a labelled history of transactions, CSV or Parquet, and refuses what can't be used by column and row."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from fraudstream.errors import FraudstreamError
from model.evaluate.mapping import Mapping, choose

LABELS = {"0": False, "1": True, "false": False, "true": True, "0.0": False, "1.0": True}
ZONE = r"(?:[Zz]|:.*[+-]\d\d(?::?\d\d)?)$"


class HistoryFileError(FraudstreamError):
    """A file with transactions can't be read; the message names the column and the row."""


@dataclass(frozen=True)
class History:
    """Labelled transactions in the order of time; of equal times, in the order of the file. One value a transaction.

    `times` are milliseconds since 1970 in UTC; customers and terminals are integers from 0; the amount's unit is the
    file's.
    """

    times: np.ndarray
    customers: np.ndarray
    terminals: np.ndarray
    amounts: np.ndarray
    frauds: np.ndarray

    def __len__(self) -> int:
        return len(self.times)


def read(path: Path, mapping: Mapping) -> History:
    """Reads the columns that `mapping` or the well-known names say. Raises HistoryFileError or MappingError."""
    table = _table(path, mapping)
    if not table.num_rows:
        raise HistoryFileError(f"{path} has no transaction")
    columns = {role: Column(name, table[role]) for role, name in zip(table.column_names, _names(table), strict=True)}
    identifiers = columns["transaction_id"].identifiers()
    _refuse_repeated(columns["transaction_id"], identifiers)
    times = columns["event_time"].times(mapping.time_format)
    order = np.argsort(times, kind="stable")
    return History(
        times=times[order],
        customers=columns["customer_id"].identifiers()[order],
        terminals=columns["terminal_id"].identifiers()[order],
        amounts=columns["amount"].numbers()[order],
        frauds=columns["is_fraud"].labels()[order],
    )


def _table(path: Path, mapping: Mapping) -> pa.Table:
    """The chosen columns, named by their roles; their names in the file are in the fields' metadata."""
    readers: dict[str, Callable[[Path, Mapping], tuple[pa.Table, dict[str, str]]]] = {
        ".csv": _read_csv,
        ".parquet": _read_parquet,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise HistoryFileError(f"{path} is neither .csv nor .parquet: convert it")
    try:
        table, names = reader(path, mapping)
    except (OSError, pa.ArrowInvalid) as error:
        raise HistoryFileError(f"can't read {path}: {error}") from error
    fields = [pa.field(role, table[name].type, metadata={"name": name}) for role, name in names.items()]
    return pa.table([table[name] for name in names.values()], schema=pa.schema(fields))


def _names(table: pa.Table) -> list[str]:
    return [field.metadata[b"name"].decode() for field in table.schema]


def _read_csv(path: Path, mapping: Mapping) -> tuple[pa.Table, dict[str, str]]:
    """All columns as text, so that a value that is no time or number is found by its row."""
    with pa.csv.open_csv(path) as reader:
        present = reader.schema.names
    names = choose(mapping, present, path)
    wanted = list(names.values())
    options = pa.csv.ConvertOptions(
        include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string()), strings_can_be_null=True
    )
    return pa.csv.read_csv(path, convert_options=options), names


def _read_parquet(path: Path, mapping: Mapping) -> tuple[pa.Table, dict[str, str]]:
    names = choose(mapping, pa.parquet.read_schema(path).names, path)
    return pa.parquet.read_table(path, columns=list(names.values())), names


@dataclass(frozen=True)
class Column:
    """A column of the file under its own name, and what its values mean."""

    name: str
    values: pa.ChunkedArray

    def identifiers(self) -> np.ndarray:
        """Integers from 0, by first appearance. Raises HistoryFileError for a missing value."""
        codes: np.ndarray = pd.factorize(self._pandas())[0]
        self._refuse(codes < 0, "is missing")
        return codes

    def times(self, time_format: str | None) -> np.ndarray:
        """Milliseconds since 1970, int64 [n]; a time without a zone is taken as UTC. Raises HistoryFileError."""
        values = self._pandas()
        if pa.types.is_timestamp(self.values.type) or pa.types.is_date(self.values.type):
            parsed = pd.to_datetime(values, utc=True, errors="coerce")
        elif time_format:
            parsed = pd.to_datetime(values.astype("string"), format=time_format, utc=True, errors="coerce")
        else:
            parsed = _iso_times(values.astype("string"))
        expected = f"a time of the form {time_format}" if time_format else "an ISO 8601 time"
        self._refuse(parsed.isna().to_numpy(), f"is not {expected} (another form: time_format in a mapping file)")
        return parsed.dt.as_unit("ms").astype("int64").to_numpy()

    def numbers(self) -> np.ndarray:
        """Finite numbers, float64 [n]. Raises HistoryFileError for another value."""
        numbers = pd.to_numeric(self._pandas(), errors="coerce").to_numpy(float)
        self._refuse(~np.isfinite(numbers), "is not a number")
        return numbers

    def labels(self) -> np.ndarray:
        """Fraud flags, bool [n], from 0 and 1, or true and false. Raises HistoryFileError."""
        codes, distinct = pd.factorize(self._pandas())
        known = [LABELS.get(str(value).strip().lower()) for value in distinct]
        self._refuse(np.array([*(label is None for label in known), True])[codes], "is not 0, 1, true or false")
        return np.array(known, bool)[codes]

    def _pandas(self) -> pd.Series:
        values: pd.Series = self.values.to_pandas()
        return values

    def _refuse(self, wrong: np.ndarray, problem: str) -> None:
        if wrong.any():
            row = int(np.argmax(wrong))
            raise HistoryFileError(
                f"column {self.name}, row {row + 1}: {self.values[row].as_py()!r} {problem}; "
                f"{int(wrong.sum()):,} such rows (rows count from 1, without the header)"
            )


def _iso_times(text: pd.Series) -> pd.Series:
    """UTC times; NaT for what is none.

    Those with and without a zone are parsed apart, since pandas gives a time without one the zone of the time before;
    and it takes words such as "now".
    """
    text = text.where(text.str.match(r"\d"))
    zoned = text.str.contains(ZONE, regex=True, na=False)
    parts = [pd.to_datetime(part, format="ISO8601", utc=True, errors="coerce") for part in (text[zoned], text[~zoned])]
    return pd.concat(parts).reindex(text.index)


def _refuse_repeated(column: Column, identifiers: np.ndarray) -> None:
    repeated = pd.Series(identifiers).duplicated().to_numpy()
    if repeated.any():
        row = int(np.argmax(repeated))
        first = int(np.argmax(identifiers == identifiers[row]))
        raise HistoryFileError(
            f"column {column.name}, row {row + 1}: {column.values[row].as_py()!r} is already in row {first + 1}; "
            f"{int(repeated.sum()):,} repeated ids: keep one row a transaction"
        )
