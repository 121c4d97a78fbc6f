"""Long-lived programs, as data: what supervisord keeps running for us."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fraudstream.jobs.niced import niced

#: Called while one waits for a program; raises when the program has been given up.
Watch = Callable[[], None]
#: Seconds that a program must live before supervisord calls it running.
START_SECONDS = 1
LOG_BYTES = "20MB"
LOG_BACKUPS = 2


@dataclass(frozen=True)
class Program:
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


def render(program: Program, logs: Path) -> str:
    """The program's section of supervisord's configuration."""
    command = niced(program.command, program.niceness)
    lines = [
        f"[program:{program.name}]",
        f"command={' '.join(_quote(word) for word in command)}",
        f"directory={escape(str(program.directory))}",
        "autostart=false",
        "autorestart=true",
        f"startsecs={START_SECONDS}",
        f"stopsignal={program.stop_signal}",
        f"stopwaitsecs={program.stop_seconds}",
        f"priority={program.priority}",
        "stopasgroup=true",
        "killasgroup=true",
        "redirect_stderr=true",
        f"stdout_logfile={escape(str(log_file(logs, program.name)))}",
        f"stdout_logfile_maxbytes={LOG_BYTES}",
        f"stdout_logfile_backups={LOG_BACKUPS}",
    ]
    if program.environment:
        lines.append(f"environment={render_environment(program.environment)}")
    return "\n".join(lines) + "\n"


def log_file(logs: Path, name: str) -> Path:
    """Where a program's output goes."""
    return logs / f"{name}.log"


def render_environment(environment: Mapping[str, str]) -> str:
    """The value of an `environment` line. Supervisord knows no escapes there: quotes must be of the other kind."""
    pairs = []
    for name, value in sorted(environment.items()):
        mark = "'" if '"' in value else '"'
        if mark in value:
            raise ValueError(f"supervisord can't take both kinds of quotes in one value: {name}")
        pairs.append(f"{name}={mark}{escape(value)}{mark}")
    return ",".join(pairs)


def escape(text: str) -> str:
    """Supervisord expands `%(name)s` in every value, and starts a comment at ` ;`."""
    if "\n" in text or " ;" in text:
        raise ValueError(f"supervisord can't take a value with a line break or ' ;': {text!r}")
    return text.replace("%", "%%")


def _quote(word: str) -> str:
    """Quotes for supervisord's shlex, in which a backslash escapes inside double quotes."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escape(escaped) + '"'
