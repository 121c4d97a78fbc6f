"""A part of the platform, as data: a long-lived process that supervisord keeps running."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: Called while one waits for a part; raises when the part has been given up.
Watch = Callable[[], None]


@dataclass(frozen=True)
class Part:
    """One long-lived process. `command[0]` is an absolute path or on the PATH; no secret may stand in `command`."""

    name: str
    command: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = "TERM"
    stop_seconds: int = 15
    priority: int = 500
    niceness: int = 0  # above 0 for what may wait when processors are short
    url: str | None = None


def not_watching() -> None:
    """The watch over what isn't ours, such as an external server: nobody could give it up."""
