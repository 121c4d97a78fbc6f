"""The fast path of a mapping: one function, written for its fields. What it can't read, the slow path explains.

A loop over fields takes half as long again: it asks for each record what is known of each field.
Of a mapping file, only names get into the source, as Python's own literals of texts; all else are variables.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from fraudstream.messages.mapping import values
from fraudstream.messages.mapping.paths import Step, getter_of_steps

#: A function that adds to an event's fields those that a record has.
#: It raises ValueError, TypeError or ArithmeticError where one can't be read.
Fill = Callable[[dict[str, Any], Any], None]
#: A function from records to the fields of each, which raises the same.
ReadList = Callable[[list[Any]], list[dict[str, Any]]]
_NUMBERS = (float, int)


class Simple(NamedTuple):
    """A field whose value is named `key` in an object, or is in that place of a list."""

    name: str
    key: str | int
    convert: Any  # None: a text, as it is
    is_number: bool  # numbers stay as they are, and `convert` is for texts
    missing: frozenset[str]
    nothing: Any


def fill_function(fields: Iterable[tuple[tuple[Step, ...], Simple]]) -> Fill:
    """The function for fields, each with the path of its object."""
    variables = _known()
    lines = ["def fill(event, record):", " pass", *_of_fields(fields, variables)]
    fill: Fill = _compiled(lines, variables)["fill"]
    return fill


def list_function(fields: Iterable[tuple[tuple[Step, ...], Simple]]) -> ReadList:
    """The same for a list of objects with these fields each."""
    variables = _known()
    body = ["if type(record) is not dict:", " raise TypeError", "event = {}", "add(event)"]
    lines = [f"  {line}" for line in body] + [f" {line}" for line in _of_fields(fields, variables)]
    head = ["def read(records):", " events = []", " add = events.append", " for record in records:"]
    read: ReadList = _compiled([*head, *lines, " return events"], variables)["read"]
    return read


def _known() -> dict[str, Any]:
    return {"text": values.text, "getter_of": _getter_of, "NUMBERS": _NUMBERS}


def _compiled(lines: list[str], variables: dict[str, Any]) -> dict[str, Any]:
    exec(compile("\n".join(lines), "<mapping>", "exec"), variables)  # noqa: S102 - names are literals, see above
    return variables


def _of_fields(fields: Iterable[tuple[tuple[Step, ...], Simple]], variables: dict[str, Any]) -> Iterator[str]:
    by_parent: dict[tuple[Step, ...], list[Simple]] = {}
    for parent, simple in fields:
        by_parent.setdefault(parent, []).append(simple)
    for parent, simples in by_parent.items():
        yield from _of_object(parent, simples, variables)


def _of_object(parent: tuple[Step, ...], simples: list[Simple], variables: dict[str, Any]) -> Iterator[str]:
    if parent:
        yield f" inner = {_variable(variables, getter_of_steps(parent))}(record)"
    else:
        yield " inner = record"
    yield " get = inner.get if type(inner) is dict else getter_of(inner)"
    for simple in simples:
        yield from _of_field(simple, variables)


def _of_field(simple: Simple, variables: dict[str, Any]) -> Iterator[str]:
    missing, target = _variable(variables, simple.missing), f"event[{simple.name!r}]"
    yield f" value = get({simple.key!r})"
    yield f" if value is None or (type(value) is str and value in {missing}):"
    yield f"  {target} = {_variable(variables, simple.nothing)}" if simple.nothing is not None else "  pass"
    if simple.convert is None:
        yield " elif type(value) is not str:"
        yield f"  {target} = text(value)"
        yield " elif '\\0' in value:"
        yield "  raise ValueError"
        yield " else:"
        yield f"  {target} = value"
        return
    if simple.is_number:
        yield " elif type(value) in NUMBERS:"
        yield f"  {target} = value"
    yield " else:"
    yield f"  value = {_variable(variables, simple.convert)}(value)"
    yield "  if value is not None:"
    yield f"   {target} = value"


def _variable(variables: dict[str, Any], value: Any) -> str:
    name = f"v{len(variables)}"
    variables[name] = value
    return name


def _getter_of(inner: Any) -> Any:
    if type(inner) is not list:
        return {}.get
    size = len(inner)
    return lambda place: inner[place] if type(place) is int and -size <= place < size else None
