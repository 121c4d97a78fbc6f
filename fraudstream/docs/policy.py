"""The section of docs/policy.md that says what a condition may name."""

from collections.abc import Iterator
from textwrap import wrap

from fraudstream.policy.columns import MEANINGS, TYPES_IN_WORDS, columns_with
from fraudstream.policy.conditions import FUNCTIONS
from fraudstream.policy.document import COLUMNS_OF_KIND

WIDTH = 120


def vocabulary() -> str:
    """Columns, functions and kinds of lists, in Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield from ("| column | type | what it is |", "| --- | --- | --- |")
    types = columns_with(())
    yield from (f"| `{name}` | {TYPES_IN_WORDS[types[name]]} | {meaning} |" for name, meaning in MEANINGS.items())
    yield from ("| each feature, but `payment_method` | number | [features.md](features.md) |", "")
    yield from (*wrap(f"Functions: {', '.join(f'`{name}`' for name in sorted(FUNCTIONS.values()))}.", WIDTH), "")
    yield from ("| kind of list | is asked for |", "| --- | --- |")
    for kind, columns in COLUMNS_OF_KIND.items():
        yield f"| `{kind}` | {', '.join(f'`{column}`' for column in columns) or 'nothing yet'} |"
