"""The roles of a file's columns: by well-known names, or by a mapping file in TOML."""

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

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


class MappingError(FraudstreamError):
    """A column is missing, or a mapping file can't be used; the message names the role or the key."""


class Columns(BaseModel):
    """The file's column for each role; None: the well-known name. `terminal_id` may be a device."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    transaction_id: str | None = None
    event_time: str | None = None
    customer_id: str | None = None
    terminal_id: str | None = None
    amount: str | None = None
    is_fraud: str | None = None


class Mapping(BaseModel):
    """A mapping file. `time_format` has strptime's codes; None: ISO 8601."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time_format: str | None = None
    columns: Columns = Columns()


def read_mapping(path: Path) -> Mapping:
    """Reads a mapping file. Raises MappingError with the key that is wrong."""
    try:
        return Mapping.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MappingError(f"can't read the mapping {path}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        known = ", ".join(("time_format", *(f"columns.{role}" for role in WELL_KNOWN)))
        raise MappingError(f"mapping {path}, key {key}: {first['msg']}; known keys: {known}") from error


def choose(mapping: Mapping, present: list[str], path: Path) -> dict[str, str]:
    """The column of `present` for each role. Raises MappingError when one is missing or two would do."""
    return {role: _column(role, getattr(mapping.columns, role), present, path) for role in WELL_KNOWN}


def _column(role: str, named: str | None, present: list[str], path: Path) -> str:
    candidates = WELL_KNOWN[role] if named is None else (named,)
    found = [name for name in candidates if name in present]
    if len(found) == 1 and present.count(found[0]) == 1:
        return found[0]
    if found:
        raise MappingError(
            f"{path} has several columns for {role} ({', '.join(name for name in present if name in found)}): "
            f"name one in a mapping file, as {role} under [columns]"
        )
    raise MappingError(
        f"{path} has no column {' or '.join(candidates)} for {role}; it has {', '.join(present)}: "
        f"name the right one in a mapping file, as {role} under [columns]"
    )
