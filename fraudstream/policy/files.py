"""A policy as a file, TOML or JSON, to keep it in a repository."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from fraudstream.policy.document import Policy, decode, encode
from fraudstream.policy.errors import PolicyError


def write(policy: Policy, path: Path) -> None:
    """Writes `policy` in the format of the file's suffix. Raises PolicyError."""
    text = as_toml(policy) if _is_toml(path) else json.dumps(encode(policy), indent=2, ensure_ascii=False) + "\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PolicyError(f"{path} can't be written: {error}") from None


def read(path: Path) -> Policy:
    """Reads a policy; what a file leaves out is the default's. Raises PolicyError."""
    loads = tomllib.loads if _is_toml(path) else json.loads
    try:
        document = loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # both decoders' errors are ValueErrors
        raise PolicyError(f"{path} can't be read: {error}") from None
    try:
        return decode(document)
    except PolicyError as error:
        raise PolicyError(f"{path}: {error}") from None


def as_toml(policy: Policy) -> str:
    """The document in TOML, which has no null: what isn't set is left out."""
    document = encode(policy)
    tables = {name: document.pop(name) for name in ("thresholds", "rules")}
    lines = [*_pairs(document), "", "[thresholds]", *_pairs(tables["thresholds"])]
    for rule in tables["rules"]:  # type: ignore[attr-defined] # as `encode` makes it
        snoozes = rule.pop("snoozes")
        lines += ["", "[[rules]]", *_pairs(rule)]
        for snooze in snoozes:
            lines += ["", "[[rules.snoozes]]", *_pairs(snooze)]
    return "\n".join(lines) + "\n"


def _pairs(values: object) -> Iterator[str]:
    assert isinstance(values, Mapping)  # noqa: S101 (as `encode` makes it)
    for name, value in values.items():
        if value is not None:
            yield f"{name} = {_value(name, value)}"


def _value(name: str, value: object) -> str:
    if name in ("expires_at", "until"):
        return datetime.fromisoformat(str(value)).isoformat()
    # A JSON text, number or truth value is TOML's, too, but for one character that JSON needn't escape.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _is_toml(path: Path) -> bool:
    if path.suffix not in (".toml", ".json"):
        raise PolicyError(f"{path} is neither a .toml nor a .json file")
    return path.suffix == ".toml"
