"""Steps that wait for one another, run side by side where they can, and show how far they are."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

import psutil
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Step:
    """One step. `run` gets a function that shows what the step is doing; `after` names the steps to wait for."""

    name: str
    run: Callable[[Tell], None]
    after: Sequence[str] = ()


class Display:
    """A line a step: live with a spinner on a terminal, else one line at the start and one at the end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._details: dict[str, str] = {}
        self._tasks: dict[str, TaskID] = {}
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)

    def __enter__(self) -> "Display":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def note(self, text: str) -> None:
        """Shows a line that belongs to no step."""
        self._line("!", text)

    def started(self, name: str) -> None:
        """Shows that a step has begun."""
        self._tasks[name] = self._progress.add_task(name)

    def tell(self, name: str, detail: str) -> None:
        """Shows what a step is doing. A repetition is not shown again."""
        if self._details.get(name) == detail:
            return
        self._details[name] = detail
        if self._console.is_terminal:
            self._progress.update(self._tasks[name], description=f"{name}: {detail}")
        else:
            self._line("…", f"{name}: {detail}")

    def finished(self, name: str, seconds: float) -> None:
        """Shows that a step is done, and how long it took."""
        self._progress.remove_task(self._tasks[name])
        self._line("✓", f"{name} ({seconds:.1f} s)")

    def _line(self, mark: str, text: str) -> None:
        elapsed = time.monotonic() - self._began
        self._progress.console.print(f"{elapsed:6.1f} s {mark} {text}", highlight=False, markup=False, soft_wrap=True)


def run(steps: Sequence[Step], display: Display) -> None:
    """Runs every step once those that it waits for are done. The first failure ends it and is raised.

    The threads are daemons: a failure or Ctrl-C doesn't wait for the others, whose child processes are ended.
    """
    by_name = {step.name: step for step in steps}
    sorter = TopologicalSorter({step.name: step.after for step in steps})
    sorter.prepare()
    ended: queue.SimpleQueue[tuple[str, float, BaseException | None]] = queue.SimpleQueue()
    try:
        while sorter.is_active():
            for name in sorter.get_ready():
                display.started(name)
                threading.Thread(target=_run_one, args=(by_name[name], display, ended), daemon=True).start()
            name, seconds, error = ended.get()
            if error is not None:
                raise error
            display.finished(name, seconds)
            sorter.done(name)
    except BaseException:
        _end_children()
        raise


def _run_one(step: Step, display: Display, ended: "queue.SimpleQueue[tuple[str, float, BaseException | None]]") -> None:
    began = time.monotonic()
    error: BaseException | None = None
    try:
        step.run(lambda detail: display.tell(step.name, detail))
    except BaseException as raised:
        error = raised
    ended.put((step.name, time.monotonic() - began, error))


def _end_children() -> None:
    """Ends what our threads have started. supervisord and what it keeps aren't our children: it is a daemon."""
    children = psutil.Process().children(recursive=True)
    for child in children:
        try:
            child.terminate()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(children, timeout=5)
