"""The page of all events, docs/events.md: each topic's fields, as its JSON Schema has them."""

from collections.abc import Iterator
from inspect import cleandoc
from itertools import groupby
from typing import Any

from fraudstream.messages.contracts import SCHEMAS, Topic, json_schema

HEADER = """\
# Events

Written by `python -m fraudstream.docs` from `fraudstream/messages/contracts.py`. An event is a JSON object in UTF-8,
one a Kafka message. In what the platform reads, a field that may be `null` may be missing, which is the same: it isn't
known, and neither is a feature that needs it. Where words are known, others of printable characters are taken, too:
features count them as one, and tables keep them. Unknown fields are allowed.
[dead-letters.md](dead-letters.md) says what is refused besides, and explains the messages of the topic `dead-letters`.
"""
#: JSON Schema's keywords, as people read them.
_LIMITS = {
    "exclusiveMinimum": "above {:,}",
    "minimum": "from {:,}",
    "maximum": "to {:,.0f}",
    "minLength": "not empty",
    "maxLength": "at most {} characters",
    "minItems": "not empty",
    "maxItems": "at most {}",
    "pattern": "`{}`",
    "description": "{}",
}

Schema = dict[str, Any]


def events_document() -> str:
    """The page, in Markdown. Topics whose messages have one schema share a section."""
    alike = groupby(SCHEMAS, SCHEMAS.__getitem__)
    return "\n".join([HEADER, *(line for _, topics in alike for line in _section(list(topics)))])


def _section(topics: list[Topic]) -> Iterator[str]:
    whole = json_schema(topics[0])
    definitions: dict[str, Schema] = whole["$defs"]
    name = _reference(whole)
    yield from (f"## {', '.join(topics)}", "", cleandoc(definitions[name]["description"]), "")
    yield from (f"JSON Schema: {', '.join(f'[{topic}.json](schemas/{topic}.json)' for topic in topics)}.", "")
    yield from _fields(definitions[name])
    for other, definition in definitions.items():
        if other != name:
            yield from (f"`{other}`: {cleandoc(definition['description'])}", "")
            yield from _fields(definition)


def _fields(definition: Schema) -> Iterator[str]:
    yield from ("| field | type | limits |", "| --- | --- | --- |")
    for name, schema in definition["properties"].items():
        yield f"| `{name}` | {_type(schema)} | {'; '.join(_limits(schema)).replace('|', chr(92) + '|')} |"
    yield ""


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        return _reference(schema)
    if "anyOf" in schema:
        return " or ".join(_type(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}"
    return str(schema.get("format", schema["type"]))


def _limits(schema: Schema) -> Iterator[str]:
    yield from (words.format(schema[key]) for key, words in _LIMITS.items() if key in schema)
    for choice in schema.get("anyOf", ()):
        yield from _limits(choice)


def _reference(schema: Schema) -> str:
    return str(schema["$ref"].rpartition("/")[2])
