"""The progress of an import: a bar for whoever sits at a terminal, lines for a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

console = Console(stderr=True)
_LINE_SECONDS = 10.0
_BAR = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"), TimeElapsedColumn())


@contextmanager
def shown(what: str, unit: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Shows on standard error how many are done, whenever it is called with that; the total, at the end.

    `total` is None where nobody knows it before the end.
    """
    done = 0

    def told() -> str:
        return f"{done:,} of {total:,} {unit}" if total is not None else f"{done:,} {unit}"

    def line() -> None:
        console.print(f"{what}: {told()}", highlight=False)

    with Progress(*_BAR, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total, told=told())
        line_at = time.monotonic()

        def show(number: int) -> None:
            nonlocal done, line_at
            done = number
            progress.update(task, completed=done, told=told())
            if not console.is_terminal and time.monotonic() - line_at >= _LINE_SECONDS:
                line_at = time.monotonic()
                line()

        yield show
        if total is not None:
            show(total)
        if not console.is_terminal:
            line()
