"""Paths into records: `order.lines[0].sku`, `attributes[name=device].value`, `"a.b".c`."""

import re
from collections.abc import Callable
from typing import Any

Getter = Callable[[Any], Any]
_STEP = re.compile(
    r"""
    (?:(?P<dot>\.)|^)?(?:"(?P<quoted>[^"]*)"|(?P<name>[^."\[\]]+))   # a name
    |\[(?P<index>-?\d+)\]                                            # a place in a list
    |\[(?P<key>[^=\[\]]+)=(?P<value>[^\[\]]*)\]                      # the first object of a list that has a value
    """,
    re.VERBOSE,
)


class PathError(ValueError):
    """A path isn't written as paths are; the message says where."""


Step = str | int | tuple[str, str]


def parse(path: str) -> tuple[Step, ...]:
    """The steps of a path: names, places, and (key, value) of the object looked for. Raises PathError."""
    steps: list[Step] = []
    at = 0
    while at < len(path):
        found = _STEP.match(path, at)
        if not found or (bool(steps) != bool(found["dot"]) and found["index"] is None and found["key"] is None):
            raise PathError(f"can't be read from {path[at:]!r} on; such as order.lines[0].sku or notes[name=device]")
        if found["index"] is not None:
            steps.append(int(found["index"]))
        elif found["key"] is not None:
            steps.append((found["key"], found["value"]))
        else:
            steps.append(found["name"] if found["quoted"] is None else found["quoted"])
        at = found.end()
    if not steps:
        raise PathError("is empty")
    return tuple(steps)


def getter(path: str, *, whole: bool = False) -> Getter:
    """A function from a record to the value at `path`, None where there is none.

    `whole`: the path is a name, whatever it contains, as of a column.
    """
    return getter_of_steps((path,) if whole else parse(path))


def getter_of_steps(steps: tuple[Step, ...]) -> Getter:
    """As `getter`, for a path that is parsed."""
    if len(steps) == 1 and isinstance(steps[0], str):
        name = steps[0]
        return lambda record: record.get(name)
    if all(isinstance(step, str) for step in steps):
        return _through_objects(steps)
    return lambda record: _follow(record, steps)


def getter_of_columns(path: str) -> Getter:
    """As `getter`, but a column that is called like the whole path comes first."""
    try:
        inside = getter(path)
    except PathError:
        return getter(path, whole=True)
    return lambda record: record[path] if path in record else inside(record)


def first_names(path: str) -> set[str]:
    """Names of the columns that a path may begin with."""
    try:
        first = parse(path)[0]
    except PathError:
        return {path}
    return {path, first} if isinstance(first, str) else {path}


def _through_objects(names: tuple[Any, ...]) -> Getter:
    first, *others = names

    def get(record: Any) -> Any:
        value = record.get(first)
        for name in others:
            if type(value) is not dict:
                return None
            value = value.get(name)
        return value

    return get


def _follow(value: Any, steps: tuple[Step, ...]) -> Any:
    for step in steps:
        if type(value) is dict:
            value = value.get(step)  # a place or an object of a list is no name
        elif type(value) is not list or isinstance(step, str):
            return None
        elif isinstance(step, int):
            value = value[step] if -len(value) <= step < len(value) else None
        else:
            key, wanted = step
            value = next((each for each in value if isinstance(each, dict) and str(each.get(key)) == wanted), None)
        if value is None:
            return None
    return value
