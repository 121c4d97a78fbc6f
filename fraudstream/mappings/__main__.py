"""The commands of `./fraudctl mapping`: `python -m fraudstream.mappings check FILE --sample DATA`, `suggest DATA`."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from fraudstream.errors import UsageError, told_in_one_line
from fraudstream.mappings import check as checks
from fraudstream.mappings.files import Row, read_rows
from fraudstream.mappings.history import write_history
from fraudstream.mappings.suggest import Suggestion, blank, objects, suggest_from, to_mapping, to_toml
from fraudstream.mappings.suggest import suggest as guess
from fraudstream.mappings.topic import newest
from fraudstream.messages.mapping.fields import REQUIRED, Kind
from fraudstream.messages.mapping.file import Mapping, read_mapping
from fraudstream.settings import load_settings

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Mappings: a shop's own messages and files, read as the platform's events (docs/mapping.md).",
    epilog="Example: ./fraudctl mapping suggest orders.csv",
)
_CHECK_EXAMPLES = """
Examples:

  ./fraudctl mapping check orders.toml --sample orders.csv

  ./fraudctl mapping check orders.toml --sample orders.csv --rows 0

  ./fraudctl mapping check orders.toml --topic shop.orders
"""
_SUGGEST_EXAMPLES = """
Examples:

  ./fraudctl mapping suggest orders.csv > orders.toml

  ./fraudctl mapping suggest disputes.jsonl.gz --kind label --out disputes.toml

  ./fraudctl mapping suggest --topic shop.orders --out sources/orders.toml
"""
_CONVERT_EXAMPLES = """
Examples:

  ./fraudctl mapping convert orders.csv --mapping orders.toml --out history

  ./fraudctl mapping convert orders.csv disputes.jsonl --mapping orders.toml --mapping disputes.toml --out history
"""
#: Messages that are looked at of a topic.
MESSAGES = 1_000


@app.command(epilog=_CHECK_EXAMPLES)
def check(
    file: Annotated[Path, typer.Argument(help="mapping, as docs/mapping.md describes it")],
    sample: Annotated[Path | None, typer.Option(help="file or folder with the shop's own data")] = None,
    topic: Annotated[
        str | None, typer.Option(help=f"live topic: its newest {MESSAGES:,} messages are looked at, nothing is changed")
    ] = None,
    rows: Annotated[int, typer.Option(min=0, help="rows of the sample that are looked at; 0: all")] = 100_000,
) -> None:
    """Says for each field where it comes from, which share of the rows has it, and what is refused and why.

    Exit status 1 when a field is missing that must be there.
    """
    with told_in_one_line():
        if (sample is None) == (topic is None):
            raise UsageError("say where the data is: --sample DATA or --topic TOPIC")
        mapping = read_mapping(file)
        data = (
            newest(load_settings().kafka, topic, MESSAGES, mapping.source)
            if topic
            else _rows(sample or Path(), mapping, rows)
        )
        report = checks.check(mapping, data)
        typer.echo("\n".join(checks.lines(report, mapping)))
    raise typer.Exit(1 if report.missing else 0)


@app.command(epilog=_SUGGEST_EXAMPLES)
def suggest(
    data: Annotated[Path | None, typer.Argument(help="file, or folder of parts: JSON, CSV or Parquet")] = None,
    topic: Annotated[
        str | None, typer.Option(help=f"live topic of JSON messages, instead: its newest {MESSAGES:,} are looked at")
    ] = None,
    kind: Annotated[Kind | None, typer.Option(help="what the rows are, where the guess is wrong")] = None,
    out: Annotated[Path | None, typer.Option(help="file to write; else standard output")] = None,
) -> None:
    """Writes a first mapping: format, separator, encoding and fields are guessed from names and values."""
    with told_in_one_line():
        if (data is None) == (topic is None):
            raise UsageError("say what to look at: a file or folder, or --topic TOPIC")
        found = _guess_topic(topic, kind) if topic else guess(data or Path(), kind)
        content = found.content
        to_mapping(content)
        remarks = _remarks(found)
        heading = f"Guessed from {topic or (data or Path()).name}: look it over, then ./fraudctl mapping check"
        text = "".join(f"# {line}\n" for line in (heading, *remarks)) + to_toml(content)
        if out is None:
            typer.echo(text, nl=False)
        elif out.exists():
            raise UsageError(f"{out} exists: delete it, or choose another --out")
        else:
            out.write_text(text)
    for line in remarks:
        typer.echo(line, err=True)


def _remarks(found: Suggestion) -> list[str]:
    """What a person has to look at of a guess, a line each."""
    missing = (name for name in _required(found.content) if name not in found.content["fields"])
    lines = [f"{name} is doubtful: {doubt}" for name, doubt in found.doubts.items()]
    lines += [f"nothing is called like {name}, which must be there: add it under [fields]" for name in missing]
    if found.unused:
        shown = (f"`{path}` ({checks.shown(value)!r})" for path, value in found.unused.items())
        lines.append(f"not mapped: {', '.join(shown)}")
    return lines


@app.command(epilog=_CONVERT_EXAMPLES)
def convert(
    data: Annotated[list[Path], typer.Argument(help="a shop's own files: of transactions, and of labels and browsing")],
    mapping: Annotated[list[Path], typer.Option(help="mapping of each, in the same order")],
    out: Annotated[Path, typer.Option(help="folder of the history; it must be new")],
) -> None:
    """Writes a shop's own files as a history in the platform's form, such as for ./fraudctl train --history."""
    with told_in_one_line():
        if len(data) != len(mapping):
            raise UsageError(
                f"{len(data)} files and {len(mapping)} mappings: say one --mapping for each, in their order"
            )
        if out.exists():
            raise UsageError(f"--out {out} exists: delete it, or choose another folder")
        written = write_history(out, list(zip(data, map(read_mapping, mapping), strict=True)))
        typer.echo(written.told)
        for path, refused in written.refused.items():
            typer.echo("".join(f"refused of {path}: {line}\n" for line in refused.lines()), nl=False)


def _guess_topic(topic: str, kind: Kind | None) -> Suggestion:
    """A guess from a topic's newest messages. Raises DataError when none of them is JSON."""

    def read(source: dict[str, Any]) -> list[dict[str, Any]]:
        return objects(newest(load_settings().kafka, topic, MESSAGES, blank(source).source))

    return suggest_from(read, f"topic {topic}, as JSON,", {"topic": topic, "format": "json"}, kind)


def _rows(sample: Path, mapping: Mapping, rows: int) -> Iterator[Row]:
    return islice(read_rows(sample, mapping), rows or None)


def _required(content: dict[str, Any]) -> tuple[str, ...]:
    return REQUIRED[Kind(content["source"]["kind"])]


if __name__ == "__main__":
    app(prog_name="fraudctl mapping")
