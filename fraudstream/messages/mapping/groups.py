"""The fast path of a mapping: fields of one object, read in one loop. What it can't read, the slow path explains."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from fraudstream.messages.mapping import values
from fraudstream.messages.mapping.paths import Getter, Step, getter_of_steps

_NUMBERS = (float, int)


class Simple(NamedTuple):
    """A field whose value is named `key` in an object, or is in that place of a list."""

    name: str
    key: str | int
    convert: Any  # None: a text, as it is
    is_number: bool  # numbers stay as they are, and `convert` is for texts
    missing: frozenset[str]
    nothing: Any


@dataclass(frozen=True, slots=True)
class Group:
    """Fields of one object, which `parent` leads to; None: the record itself."""

    parent: Getter | None
    fields: tuple[Simple, ...]

    def fill(self, event: dict[str, Any], record: Any) -> None:
        """Adds the fields that have a value. Raises ValueError, TypeError or OverflowError where one can't be read."""
        inner = record if self.parent is None else self.parent(record)
        get = inner.get if type(inner) is dict else _getter_of(inner)
        for name, key, convert, is_number, missing, nothing in self.fields:
            value = get(key)
            if value is None:
                value = nothing
            elif type(value) is str:
                if value in missing:
                    value = nothing
                elif convert is not None:
                    value = convert(value)
                elif "\0" in value:
                    raise ValueError("a NUL character")
            elif not is_number or type(value) not in _NUMBERS:
                value = values.text(value) if convert is None else convert(value)
            if value is not None:
                event[name] = value


def _getter_of(inner: Any) -> Any:
    if type(inner) is not list:
        return {}.get
    size = len(inner)
    return lambda place: inner[place] if type(place) is int and -size <= place < size else None


def grouped(fields: Iterable[tuple[tuple[Step, ...], Simple]]) -> tuple[Group, ...]:
    """The fields by the path of their object."""
    by_parent: dict[tuple[Step, ...], list[Simple]] = {}
    for parent, simple in fields:
        by_parent.setdefault(parent, []).append(simple)
    return tuple(
        Group(getter_of_steps(parent) if parent else None, tuple(simple)) for parent, simple in by_parent.items()
    )
