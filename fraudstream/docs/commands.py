"""The page of all commands, docs/commands.md, from the command line itself."""

import re
from collections.abc import Iterator
from typing import Any

import typer

from fraudstream.cli.main import app
from fraudstream.cli.shell import PASS_THROUGH

HEADER = """\
# Commands

Written by `python -m fraudstream.docs` from `fraudstream/cli/`; `./fraudctl COMMAND --help` says the same. A failure is
one line with what failed, which value, and what to do, and an exit status that isn't 0.
"""
#: How an example is announced in a command's help.
EXAMPLE = re.compile(r"^Examples?: *", re.MULTILINE)


def commands() -> dict[str, Any]:
    """The commands that people call, by name."""
    found = typer.main.get_command(app).commands  # type: ignore[attr-defined] # a group, which Typer doesn't say
    return {name: command for name, command in found.items() if not command.hidden}


def examples(text: str) -> list[str]:
    """The examples in a command's help, as a shell takes them."""
    return [line.strip() for part in EXAMPLE.split(text)[1:] for line in part.splitlines() if "./fraudctl" in line]


def commands_document() -> str:
    """The page, in Markdown."""
    return "\n".join([HEADER, *(line for name, command in commands().items() for line in _section(name, command))])


def _section(name: str, command: Any) -> Iterator[str]:
    text = command.help or ""
    yield from (f"## {name}", "", EXAMPLE.split(text)[0].strip(), "")
    yield from ("```", *examples(text), "```", "")
    # What a command hands to another program, that program's help explains.
    if command.context_settings != PASS_THROUGH and command.params:
        yield from ("| argument | what |", "| --- | --- |")
        yield from (f"| {_names(parameter)} | {_explained(parameter)} |" for parameter in command.params)
        yield ""


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}`" + (" …" if parameter.nargs == -1 else "")
    return ", ".join(f"`{option}`" for option in parameter.opts)


def _explained(parameter: Any) -> str:
    default = parameter.default
    shown = f" Default: {default}." if default not in (None, "", False) else ""
    return f"{parameter.help}{shown}".replace("|", r"\|")
