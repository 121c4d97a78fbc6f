"""The parts' sections of supervisord's configuration."""

from collections.abc import Mapping
from pathlib import Path

from fraudstream.jobs.niced import niced
from fraudstream.local.parts.part import Part

#: Seconds that a part must live before supervisord calls it running.
START_SECONDS = 1
LOG_BYTES = "20MB"
LOG_BACKUPS = 2


def render(part: Part, logs: Path) -> str:
    """The part's section of supervisord's configuration."""
    command = niced(part.command, part.niceness)
    lines = [
        f"[program:{part.name}]",
        f"command={' '.join(_quote(word) for word in command)}",
        f"directory={escape(str(part.directory))}",
        "autostart=false",
        "autorestart=true",
        f"startsecs={START_SECONDS}",
        f"stopsignal={part.stop_signal}",
        f"stopwaitsecs={part.stop_seconds}",
        f"priority={part.priority}",
        "stopasgroup=true",
        "killasgroup=true",
        "redirect_stderr=true",
        f"stdout_logfile={escape(str(log_file(logs, part.name)))}",
        f"stdout_logfile_maxbytes={LOG_BYTES}",
        f"stdout_logfile_backups={LOG_BACKUPS}",
    ]
    if part.environment:
        lines.append(f"environment={render_environment(part.environment)}")
    return "\n".join(lines) + "\n"


def log_file(logs: Path, name: str) -> Path:
    """The file of a part's output."""
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
