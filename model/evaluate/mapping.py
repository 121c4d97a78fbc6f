"""The roles of a file's columns: by well-known names, or by a mapping file in TOML."""

import tomllib
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from fraudstream.errors import FraudstreamError

#: Each role's names that need no mapping: the platform's own and those of the Fraud Detection Handbook.
WELL_KNOWN = {
    "transaction_id": ("transaction_id", "TRANSACTION_ID"),
    "event_time": ("event_time", "TX_DATETIME"),
    "customer_id": ("customer_id", "CUSTOMER_ID"),
    "terminal_id": ("device_id", "terminal_id", "TERMINAL_ID"),
    "amount": ("amount", "TX_AMOUNT"),
    "is_fraud": ("is_fraud", "TX_FRAUD"),
}
#: Roles that a file may lack, and what comes of it.
OPTIONAL = {
    "transaction_id": "the row's number is the id, so that a repeated transaction isn't noticed",
    "terminal_id": "evaluated without the terminal's features",
}
NO_COLUMN = ""


class MappingError(FraudstreamError):
    """A column is missing, or a mapping file can't be used; the message names the role or the key."""


class TimeUnit(StrEnum):
    """Units of times that are numbers; the values are pandas' names."""

    DAYS = "days"
    HOURS = "hours"
    MINUTES = "minutes"
    SECONDS = "seconds"
    MILLISECONDS = "milliseconds"
    MICROSECONDS = "microseconds"
    NANOSECONDS = "nanoseconds"


class Columns(BaseModel):
    """The file's column for each role; None: the well-known name; NO_COLUMN: none, where the role is optional.

    One column may have several roles. `terminal_id` may be a device.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    transaction_id: str | None = None
    event_time: str | None = None
    customer_id: str | None = None
    terminal_id: str | None = None
    amount: str | None = None
    is_fraud: str | None = None


class Mapping(BaseModel):
    """A mapping file: columns, and how the file writes texts, times, numbers and labels. None: found out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoding: str | None = None
    separator: str | None = Field(None, min_length=1, max_length=1)
    decimal: str | None = Field(None, pattern=r"^[.,]$")
    time_format: str | None = None
    time_unit: TimeUnit | None = None
    time_start: date | datetime = date(1970, 1, 1)
    time_zone: str = "UTC"
    fraud_values: tuple[str, ...] = ()
    legitimate_values: tuple[str, ...] = ()
    columns: Columns = Columns()

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, name: str | None) -> str | None:
        try:
            "".encode(name or "utf-8")
        except LookupError:
            raise ValueError(f"{name!r} is no encoding of Python's, such as latin-1, cp1252 or utf-16") from None
        return name

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (OSError, ValueError, KeyError):
            raise ValueError(f"{name!r} is no time zone, such as Europe/Zurich or UTC") from None
        return name


def read_mapping(path: Path) -> Mapping:
    """Reads a mapping file. Raises MappingError with the key that is wrong."""
    try:
        return Mapping.model_validate(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MappingError(f"can't read the mapping {path}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        keys = [name for name in Mapping.model_fields if name != "columns"]
        known = ", ".join((*keys, *(f"columns.{role}" for role in WELL_KNOWN)))
        raise MappingError(f"mapping {path}, key {key}: {first['msg']}; known keys: {known}") from error


def choose(mapping: Mapping, present: list[str], path: Path) -> dict[str, str]:
    """The column of `present` for each role; an optional role that has none is left out.

    Spaces around a name in the file don't count. Raises MappingError when a column is missing or two would do.
    """
    chosen = {role: _column(role, getattr(mapping.columns, role), present, path) for role in WELL_KNOWN}
    return {role: name for role, name in chosen.items() if name is not None}


def _column(role: str, named: str | None, present: list[str], path: Path) -> str | None:
    if named == NO_COLUMN and role in OPTIONAL and NO_COLUMN not in present:
        return None
    candidates = WELL_KNOWN[role] if named is None else (named,)
    found = [name for name in present if name.strip() in candidates]
    if len(found) == 1:
        return found[0]
    if found:
        raise MappingError(
            f"{path} has several columns for {role} ({', '.join(found)}): "
            f"name one in a mapping file, as {role} under [columns]"
        )
    if named is None and role in OPTIONAL:
        return None
    raise MappingError(
        f"{path} has no column {' or '.join(candidates)} for {role}; it has {', '.join(present)}: "
        f"name the right one in a mapping file, as {role} under [columns]"
    )
