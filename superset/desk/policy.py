"""The policy at the desk: rules, lists, thresholds and versions, changed by the same functions as on the command line.

Unlike the desk's other modules, these work over a connection of psycopg, of the same role (`fraudstream.policy`).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from desk.decisions import RefusedError
from fraudstream.policy import versions
from fraudstream.policy.changes import Desk
from fraudstream.policy.errors import ChangedMeanwhileError, PolicyError
from fraudstream.policy.versions import PolicyVersion
from fraudstream.settings import Settings, load_settings
from fraudstream.storage.connect import Postgres, session
from model.policy.columns import COLUMNS

_CHANGED = (
    "Somebody changed the policy after this page was loaded. Load it again, look at what is new, and make your "
    "change again if it is still wanted."
)


@dataclass(frozen=True)
class Standing:
    """Where the policy stands: the version at work, and the newest one, which may wait for approval."""

    at_work: PolicyVersion
    newest: PolicyVersion

    @property
    def waits(self) -> bool:
        """Whether the newest version waits for another person."""
        return not self.newest.is_approved


@cache
def settings() -> Settings:
    """The platform's settings, read once."""
    return load_settings()


@contextmanager
def begin(who: str, seen: str = "") -> Iterator[Desk]:
    """Where `who` looks at the policy and changes it, in one transaction.

    `seen` is the version that the page showed, as its form sends it. Raises RefusedError for whatever is refused.
    """
    try:
        with session(settings(), settings().postgres.desk, name="desk") as connection:
            yield Desk(connection, COLUMNS, who, int(seen) if seen.isascii() and seen.isdecimal() else None)
    except ChangedMeanwhileError:
        raise RefusedError(_CHANGED) from None
    except PolicyError as error:
        raise RefusedError(sentence(str(error))) from None


def standing(connection: Postgres) -> Standing:
    """Where the policy stands now."""
    return Standing(versions.at_work(connection), versions.newest(connection))


def saved(at: Desk, arguments: Mapping[str, str]) -> PolicyVersion | None:
    """The version that the form before a page saved, as its address says."""
    number = arguments.get("saved", "")
    if not (number.isascii() and number.isdecimal() and len(number) < 9):
        return None
    return versions.version(at.connection, int(number))


def sentence(text: str) -> str:
    """A message of the command line as a page says it."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
