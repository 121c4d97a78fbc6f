"""Incidents in words: the title and the text of a message to people."""

from collections.abc import Sequence

from fraudstream.watch.checks import Severity
from fraudstream.watch.incidents import Incident

#: A title is a mail's subject, or the first line on a phone.
TITLE_LENGTH = 100


def title(incidents: Sequence[Incident]) -> str:
    """The most important of them, and how many more there are."""
    first, *more = sorted(incidents, key=_rank)
    told = f"Fraudstream, {_state(first)}: {first}"
    if len(told) > TITLE_LENGTH:
        told = told[: TITLE_LENGTH - 1] + "…"
    return f"{told} (and {len(more)} more)" if more else told


def text(incidents: Sequence[Incident]) -> str:
    """A line each, and what to do."""
    lines = [
        f"{_state(incident)}, {incident.opened_at:%Y-%m-%d %H:%M} UTC, number {incident.incident_id}: {incident}"
        for incident in sorted(incidents, key=_rank)
    ]
    return "\n".join([*lines, "", "./fraudctl incidents NUMBER says that you look after it."])


def is_over(incidents: Sequence[Incident]) -> bool:
    """True when all of them are closed."""
    return all(incident.closed_at for incident in incidents)


def _state(incident: Incident) -> str:
    return "over" if incident.closed_at else str(incident.severity)


def _rank(incident: Incident) -> tuple[bool, bool, int]:
    return bool(incident.closed_at), incident.severity != Severity.CRITICAL, incident.incident_id
