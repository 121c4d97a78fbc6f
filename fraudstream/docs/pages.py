"""Which pages and sections of docs/ are generated, and by which function."""

import json
from collections.abc import Callable
from pathlib import Path

from fraudstream.dead_letters.document import dead_letters_document
from fraudstream.docs.commands import commands_document
from fraudstream.docs.dags import dags_table
from fraudstream.docs.dashboards import sections
from fraudstream.docs.events import events_document
from fraudstream.docs.picture import picture
from fraudstream.docs.policy import vocabulary
from fraudstream.errors import FraudstreamError
from fraudstream.export.document import export_document
from fraudstream.kafka import acls
from fraudstream.messages.contracts import SCHEMAS, json_schema
from fraudstream.settings import PROJECT_DIR
from fraudstream.settings.reference import reference
from fraudstream.storage import grants
from fraudstream.watch import metrics
from model.features.document import features_document

DOCS = PROJECT_DIR / "docs"

#: Pages that are generated as a whole.
PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands_document,
    "dead-letters.md": dead_letters_document,
    "events.md": events_document,
    "export.md": export_document,
    "features.md": features_document,
    "settings.md": reference,
}
#: Sections between markers, each by its page and name.
SECTIONS: dict[tuple[str, str], Callable[[], str]] = {
    ("architecture.md", "picture"): picture,
    ("architecture.md", "dags"): dags_table,
    ("kafka.md", "rights"): acls.table,
    ("metrics.md", "metrics"): metrics.table,
    ("policy.md", "vocabulary"): vocabulary,
    ("security.md", "rights"): grants.rights_table,
    **{("dashboards.md", slug): write for slug, write in sections().items()},
}


class MarkerError(FraudstreamError):
    """A page lacks the markers between which a section is written."""


def stale() -> dict[Path, str]:
    """The files that differ from the code, each with the text that it should have. Raises MarkerError."""
    return {path: text for path, text in documents().items() if not path.exists() or path.read_text() != text}


def documents() -> dict[Path, str]:
    """Every file with generated text, with the text that it should have. Raises MarkerError."""
    written = {DOCS / name: write() for name, write in PAGES.items()}
    written |= {
        DOCS / "schemas" / f"{topic}.json": json.dumps(json_schema(topic), indent=2) + "\n" for topic in SCHEMAS
    }
    for (page, name), write in SECTIONS.items():
        path = DOCS / page
        written[path] = put(written.get(path) or path.read_text(), page, name, write())
    return written


def put(text: str, page: str, name: str, section: str) -> str:
    """`text` with `section` between its markers. Raises MarkerError when they aren't there once each."""
    begin, end = markers(name)
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise MarkerError(f"docs/{page} needs the lines {begin} and {end}, once each, around the section {name}")
    head, rest = text.split(begin)
    _, tail = rest.split(end)
    return f"{head}{begin}\n\n{section.strip()}\n\n{end}{tail}"


def markers(name: str) -> tuple[str, str]:
    """The lines, invisible in the page, between which the section `name` stands."""
    return f"<!-- {name}: written by `python -m fraudstream.docs` -->", f"<!-- end of {name} -->"
