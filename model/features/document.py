"""The page of all features, docs/features.md, from their declarations."""

from collections.abc import Iterator

from model.features.entity_risk import ENTITY_SPECS
from model.features.familiarity import FAMILIARITY_SPECS
from model.features.habits import HABIT_SPECS
from model.features.purchase import PURCHASE_SPECS
from model.features.session import SESSION_SPECS
from model.features.spec import FeatureSpec
from model.features.static import STATIC_SPECS
from model.features.terminals import TERMINAL_SPECS
from model.features.windows import WINDOW_SPECS
from model.serving.example import EXAMPLE
from model.serving.reasons import sentence

_HEAD = """\
# Features

The model's columns, in their order. Written by `python -m fraudstream.docs` from the declarations in
`model/features/`; each block's module holds the function that computes it, too. A feature is NaN where it isn't known,
such as a new device of a customer whose devices aren't known yet. Windows of 7 and 30 days begin at midnight UTC. Money
is in the shop currency: without an exchange rate an amount is NaN, and later sums, means and maxima are without it
([production.md](production.md#currencies)).
Entity risk is as of the last refresh (`FRAUDSTREAM_ENTITY_RISK__REFRESH_MINUTES`), from the labels that had come by
then. What is known of a terminal is as of the beginning of the transaction's own hour.

What raised a flagged transaction's score most is told in words. The last column shows how, for one and the same
purchase in a shop whose currency is EUR. A sentence tells only what is known: without an earlier purchase, nothing is
said of those.
"""

#: Each block's title, module and features, in the order of the columns.
_BLOCKS: tuple[tuple[str, str, tuple[FeatureSpec, ...]], ...] = (
    ("Browsing session", "session.py", SESSION_SPECS),
    ("The customer's earlier transactions", "windows.py", WINDOW_SPECS),
    ("The customer's habits", "habits.py", HABIT_SPECS),
    ("Familiar devices, cards and places", "familiarity.py", FAMILIARITY_SPECS),
    ("The purchase", "purchase.py", PURCHASE_SPECS),
    ("Static data: customers and products", "static.py", STATIC_SPECS),
    ("Entity risk", "entity_risk.py", ENTITY_SPECS),
    ("The terminal", "terminals.py", TERMINAL_SPECS),
)


def features_document() -> str:
    """The page docs/features.md, in Markdown."""
    return "\n".join([_HEAD, *(line for block in _BLOCKS for line in _section(*block))])


def _section(title: str, module: str, specs: tuple[FeatureSpec, ...]) -> Iterator[str]:
    yield from (f"## {title}", "", f"Computed by `model/features/{module}`.", "")
    yield from ("| feature | definition | unit | window | as a reason |", "| --- | --- | --- | --- | --- |")
    for spec in specs:
        words = sentence(spec.name, EXAMPLE)
        yield f"| `{spec.name}` | {spec.definition} | {spec.unit} | {spec.window} | {words} |"
    yield ""
