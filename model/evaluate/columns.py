"""The meaning of a column's values: identifiers, times, amounts and labels, each refused by column and row."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from model.evaluate.files import HistoryFileError
from model.evaluate.mapping import Mapping, MappingError, TimeUnit

LABELS = {"0": False, "1": True} | {
    word: truth
    for truth, words in ((False, ("false", "f", "no", "n")), (True, ("true", "t", "yes", "y")))
    for word in words
}
_ISO_TIME = r"\d{4}-\d|\d{8}(?:$|[Tt ])"
_ZONE = r"(?:[Zz]|[Tt ]\d\d.*[+-]\d\d(?::?\d\d)?)$"
_EPOCH_UNITS = {
    TimeUnit.SECONDS: 1, TimeUnit.MILLISECONDS: 10**3, TimeUnit.MICROSECONDS: 10**6, TimeUnit.NANOSECONDS: 10**9,
}  # fmt: skip
_EPOCH = (1_000_000_000, 1_900_000_000)  # seconds: 2001 to 2030; in days and hours written as 2030010112 it is later
_YEARS = (1678, 2261)  # pandas' nanoseconds; beyond are placeholders such as 9999-12-31
_POINT = r"^[+-]?(?:\d+|\d{1,3}(?:,\d{3})+)?(?:\.\d*)?$"
_COMMA = r"^[+-]?(?:\d+|\d{1,3}(?:\.\d{3})+)?(?:,\d*)?$"


@dataclass(frozen=True)
class Column:
    """A column of the file under its own name, and what its values mean."""

    name: str
    values: pa.ChunkedArray

    def identifiers(self) -> np.ndarray:
        """Integers from 0, by first appearance. Raises HistoryFileError for a missing value, or one that is a list."""
        if pa.types.is_nested(self.values.type):
            raise HistoryFileError(f"column {self.name} holds {self.values.type}: an identifier is a text or a number")
        codes: np.ndarray = pd.factorize(self._pandas())[0]
        self._refuse(codes < 0, "is missing")
        return codes

    def times(self, mapping: Mapping) -> np.ndarray:
        """Milliseconds since 1970, int64 [n]; a time without a zone is in the mapping's. Raises HistoryFileError."""
        kind = self.values.type
        if mapping.time_unit:
            parsed = self._counted(mapping.time_unit, pd.Timestamp(mapping.time_start))
            expected = f"a number of {mapping.time_unit} since {mapping.time_start}"
        elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            parsed, expected = pd.to_datetime(self._pandas(), errors="coerce"), "a time"
        elif mapping.time_format:
            parsed, expected = self._formatted(mapping.time_format), f"a time of the form {mapping.time_format}"
        elif unit := self._epoch_unit():
            parsed, expected = self._counted(unit, pd.Timestamp(0)), f"a number of {unit} since 1970"
        else:
            return self._iso_times(mapping.time_zone)
        return self._milliseconds(_in_utc(parsed, mapping.time_zone), expected)

    def numbers(self, mapping: Mapping) -> np.ndarray:
        """Finite numbers, float64 [n]. Raises HistoryFileError for another value, or for several currencies."""
        numbers = _numeric(self._pandas())
        if not np.isfinite(numbers).all() or mapping.decimal == ",":
            numbers = self._written_numbers(mapping.decimal)
        self._refuse(
            ~np.isfinite(numbers), "is not a number (decimal in a mapping file says whether , or . begins cents)"
        )
        return numbers

    def labels(self, mapping: Mapping) -> np.ndarray:
        """Fraud flags, bool [n], from the mapping's values, or from 0 and 1 and the like. Raises HistoryFileError."""
        codes, distinct = pd.factorize(self._pandas())
        own = dict.fromkeys(map(_word, mapping.legitimate_values), False)
        meanings = own | dict.fromkeys(map(_word, mapping.fraud_values), True) or LABELS
        known = [meanings.get(_word(value)) for value in distinct]
        self._refuse(
            np.array([*(label is None for label in known), True])[codes],
            "is not 0, 1, true or false, yes or no (others: fraud_values and legitimate_values in a mapping file)",
        )
        return np.array(known, bool)[codes]

    def refuse_repeated(self, identifiers: np.ndarray) -> None:
        """Raises HistoryFileError when an identifier occurs twice."""
        repeated = pd.Series(identifiers).duplicated().to_numpy()
        if repeated.any():
            row = int(np.argmax(repeated))
            first = int(np.argmax(identifiers == identifiers[row]))
            raise HistoryFileError(
                f"column {self.name}, row {row + 1}: {self.values[row].as_py()!r} is already in row {first + 1}; "
                f'{int(repeated.sum()):,} repeated ids: keep one row a transaction, or set transaction_id = "" in a '
                "mapping file where the file has no id"
            )

    def _iso_times(self, zone: str) -> np.ndarray:
        """Those with and without a zone are parsed apart, since pandas gives the latter the zone of the one before."""
        text = self._text().str.replace(r"\[.*\]$|\s+(?=[+-]\d\d:?\d\d$)", "", regex=True)
        text = text.str.replace(r"\s*(?:UTC|GMT)$", "Z", regex=True)
        text = text.where(text.str.match(_ISO_TIME))  # pandas takes words such as "now", and 743 for a year
        zoned = text.str.contains(_ZONE, regex=True, na=False)
        parts = [
            pd.to_datetime(text[zoned], format="ISO8601", utc=True, errors="coerce"),
            _in_utc(pd.to_datetime(text[~zoned], format="ISO8601", errors="coerce"), zone),
        ]
        return self._milliseconds(pd.concat(parts).reindex(text.index), "an ISO 8601 time")

    def _formatted(self, time_format: str) -> pd.Series:
        try:
            zoned = "%z" in time_format
            parsed: pd.Series = pd.to_datetime(self._text(), format=time_format, utc=zoned, errors="coerce")
        except (ValueError, re.error) as error:
            raise MappingError(
                f"time_format {time_format!r} in the mapping can't be used: {error}; it has strptime's codes, such as "
                '%d.%m.%Y %H:%M; numbers need time_unit instead, such as time_unit = "seconds"'
            ) from error
        return parsed

    def _counted(self, unit: TimeUnit, start: pd.Timestamp) -> pd.Series:
        """`start` and a number of units later; NaT for no number, and for one that is too large."""
        numbers = _numeric(self._pandas())
        milliseconds = numbers * (pd.Timedelta(1, unit.value) / pd.Timedelta(1, "ms"))
        possible = np.isfinite(milliseconds) & (np.abs(milliseconds) < 2.0**53)
        moved = np.where(possible, milliseconds, 0).round().astype(np.int64).astype("timedelta64[ms]")
        begin = np.datetime64(start.tz_convert("UTC").tz_localize(None) if start.tzinfo else start, "ms")
        times = pd.Series((begin + moved).astype("datetime64[ms]"))
        return times.where(possible).dt.tz_localize("UTC") if start.tzinfo else times.where(possible)

    def _epoch_unit(self) -> TimeUnit | None:
        """The unit in which all values are seconds since 1970 that can't be a date written in digits."""
        numbers = _numeric(self._pandas())
        for unit, factor in _EPOCH_UNITS.items():
            if ((numbers >= _EPOCH[0] * factor) & (numbers < _EPOCH[1] * factor)).all():
                return unit
        return None

    def _milliseconds(self, parsed: pd.Series, expected: str) -> np.ndarray:
        years = parsed.dt.year
        unusable = parsed.isna() | (years < _YEARS[0]) | (years > _YEARS[1])
        self._refuse(
            unusable.to_numpy(),
            f"is not {expected} between {_YEARS[0]} and {_YEARS[1]} (another form: time_format, or time_unit for "
            "numbers, in a mapping file; a placeholder: remove the row)",
        )
        milliseconds: np.ndarray = parsed.dt.as_unit("ms").astype("int64").to_numpy()
        return milliseconds

    def _written_numbers(self, decimal: str | None) -> np.ndarray:
        """Amounts as people write them: $1.50, ($3.00), 1'000.00, 1.234,50 €, 3.00-; NaN for what is none."""
        if not pa.types.is_string(self.values.type) and not pa.types.is_large_string(self.values.type):
            return _numeric(self._pandas())
        texts = pc.replace_substring_regex(self.values, r"^\s+|\s+$|[\pZ'\x{2019}_]", "")
        symbols = pc.replace_substring_regex(texts, r"[^\p{Sc}A-Z]", "")
        texts = pc.replace_substring_regex(texts, r"\p{Sc}|^[A-Z]{3}|[A-Z]{3}$|(\))[A-Z]{3}$", r"\1")
        texts = pc.replace_substring_regex(texts, "\N{MINUS SIGN}", "-")
        texts = pc.replace_substring_regex(texts, r"^\(\+?([\d.,]+)\)$|^([\d.,]+)-$", r"-\1\2")
        marks = {".": _POINT, ",": _COMMA}
        fits = {mark: pc.match_substring_regex(texts, marks[mark]) for mark in ([decimal] if decimal else marks)}
        wrong = {mark: pc.sum(pc.invert(fit)).as_py() or 0 for mark, fit in fits.items()}
        if wrong.get(".") == wrong.get(",") == 0 and pc.any(pc.match_substring(texts, ",")).as_py():
            raise HistoryFileError(
                f"column {self.name}: , and . may each begin the cents, as in {self._example(texts)!r}: "
                'say decimal = "." or "," in a mapping file'
            )
        mark = min(wrong, key=lambda each: wrong[each])
        plain = pc.replace_substring(texts, "," if mark == "." else ".", "")
        plain = pc.if_else(fits[mark], pc.replace_substring(plain, ",", "."), None)
        numbers = _numeric(plain.to_pandas())
        currencies = sorted(name for name in pc.unique(symbols).to_pylist() if name)
        if len(currencies) > 1 and np.isfinite(numbers).all():
            raise HistoryFileError(f"column {self.name} has amounts in {', '.join(currencies)}: convert them to one")
        return numbers

    def _example(self, texts: pa.ChunkedArray) -> object:
        return self.values[pc.index(pc.match_substring(texts, ","), True).as_py()].as_py()

    def _text(self) -> pd.Series:
        return self._pandas().astype("string").str.strip()

    def _pandas(self) -> pd.Series:
        values = self.values
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        found: pd.Series = values.to_pandas()
        return found

    def _refuse(self, wrong: np.ndarray, problem: str) -> None:
        if wrong.any():
            row = int(np.argmax(wrong))
            raise HistoryFileError(
                f"column {self.name}, row {row + 1}: {self._told(row)} {problem}; "
                f"{int(wrong.sum()):,} such rows (rows count from 1, without the header)"
            )

    def _told(self, row: int) -> str:
        """A value as it is in the file; an instant that Python can't hold, as Arrow writes it."""
        try:
            return repr(self.values[row].as_py())
        except (ValueError, OverflowError):
            return str(self.values[row].cast(pa.string()).as_py())


def _in_utc(times: pd.Series, zone: str) -> pd.Series:
    """Times without a zone as `zone`'s clock showed them: the second pass of an hour that came twice, if in doubt."""
    if times.dt.tz is None:
        times = times.dt.tz_localize(zone, ambiguous=np.zeros(len(times), bool), nonexistent="shift_forward")
    converted: pd.Series = times.dt.tz_convert("UTC")
    return converted


def _numeric(values: pd.Series) -> np.ndarray:
    """Numbers, float64 [n]; NaN for what is none."""
    numbers: np.ndarray = pd.to_numeric(values, errors="coerce").to_numpy(float)
    return numbers


def _word(value: object) -> str:
    """A label in one spelling: 1 for 1.0 and 1.00."""
    text = str(value).strip().lower()
    number = text.rstrip("0").removesuffix(".") if "." in text else text
    return number or "0"
