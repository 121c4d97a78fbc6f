"""The page of all features, docs/features.md, from their declarations."""

from model.features.specs import ENTITY_SPECS, STATEFUL_SPECS, STATIC_SPECS, FeatureSpec

_HEAD = """\
# Features

What the model looks at, in the order of its columns. Written by `python -m fraudstream.docs` from
`model/features/specs.py`; `model/features/observe.py`, `model/features/static.py` and `model/features/entity_risk.py`
say how each is computed. A feature is NaN where it isn't known, such as a new device of a customer whose devices aren't
known yet. Windows of 7 and 30 days begin at midnight UTC. Entity risk is as of the last refresh
(`FRAUDSTREAM_ENTITY_RISK__REFRESH_MINUTES`), from the labels that had come by then.
"""


def features_document() -> str:
    """The document, in Markdown."""
    return "\n".join(
        [
            _HEAD,
            "## From the customer's events",
            "",
            *_table(STATEFUL_SPECS),
            "## From static data",
            "",
            *_table(STATIC_SPECS),
            "## From entity risk",
            "",
            *_table(ENTITY_SPECS),
        ]
    )


def _table(specs: tuple[FeatureSpec, ...]) -> list[str]:
    rows = (f"| `{spec.name}` | {spec.definition} | {spec.unit} | {spec.window} |" for spec in specs)
    return ["| feature | definition | unit | window |", "| --- | --- | --- | --- |", *rows, ""]
