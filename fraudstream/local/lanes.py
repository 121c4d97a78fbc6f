"""Commands run side by side: a few at a time, each with its output in a file, shown whole when it has ended."""

import os
import re
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from fraudstream.jobs.niced import niced

POLL_SECONDS = 0.2
#: Between two lines that say how far the running commands are.
PROGRESS_SECONDS = 60.0
#: Exit status when commands were left out, as a shell's after Ctrl-C.
INTERRUPTED = 130
LIGHT_NICENESS = 5
_PERCENT = re.compile(rb"\[ *(\d+)%\]")
_TAIL_BYTES = 2000


@dataclass(frozen=True)
class Command:
    """A program with its arguments, under the name that people know it by.

    A `light` one starts first, in no lane, and gives way to the others.
    """

    name: str
    arguments: tuple[str, ...]
    light: bool = False


@dataclass(frozen=True)
class Result:
    """The end of a command; `status` is None when it wasn't started, because of an interruption."""

    name: str
    status: int | None
    seconds: float
    log: Path

    def __str__(self) -> str:
        """One line of the summary."""
        if self.status is None:
            return f"{self.name:<14} not run"
        how = "passed" if self.status == 0 else f"FAILED with exit status {self.status}"
        return f"{self.name:<14} {how} in {self.seconds / 60:.1f} min ({self.log})"


@dataclass
class _Running:
    """A started command; it leads a process group, as a terminal's foreground command does."""

    name: str
    light: bool
    log: Path
    process: subprocess.Popen[bytes]
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def interrupt(self) -> None:
        """Sends what Ctrl-C sends, to all of its group."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGINT)

    def __str__(self) -> str:
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
            shown = _PERCENT.findall(log.read())
        return f"{self.name}: {int(shown[-1]) if shown else 0} % after {self.seconds / 60:.0f} min"


class _Interruptions:
    """Counts SIGINT, SIGTERM and SIGHUP."""

    def __init__(self) -> None:
        self._came = self._seen = 0

    def note(self, _number: int, _frame: FrameType | None) -> None:
        self._came += 1

    def take(self) -> bool:
        """Tells whether one came since the last call."""
        new, self._seen = self._came > self._seen, self._came
        return new


def run_all(
    commands: Sequence[Command], lanes: int, directory: Path, logs: Path, tell: Callable[[str], None]
) -> list[Result]:
    """Runs all of them in `directory`, `lanes` at a time, also after one has failed. Returns their results, in order.

    Light ones run beside the others.

    Each one's output is in `logs`, and told when it has ended; a failed one's is told last of all, since a record of a
    long run often keeps its end only. Ctrl-C is passed on, to let each clean up; no further one is started then.
    """
    logs.mkdir(parents=True, exist_ok=True)
    waiting, running = deque(sorted(commands, key=lambda each: not each.light)), list[_Running]()
    ended: dict[str, Result] = {}
    told = time.monotonic()
    with _noted_interruptions() as interruptions:
        while waiting or running:
            if interruptions.take():
                waiting.clear()
                for each in running:
                    each.interrupt()
            while waiting and (waiting[0].light or sum(not each.light for each in running) < lanes):
                running.append(_start(waiting.popleft(), directory, logs, tell))
            for each in [each for each in running if each.process.poll() is not None]:
                running.remove(each)
                ended[each.name] = Result(each.name, each.process.returncode, each.seconds, each.log)
                tell(f"--- {ended[each.name]}" if each.process.returncode else _whole(ended[each.name]))
            if time.monotonic() - told > PROGRESS_SECONDS:
                told = time.monotonic()
                tell("… " + ", ".join(map(str, running)))
            time.sleep(POLL_SECONDS)
    for result in ended.values():
        if result.status:
            tell(_whole(result))
    return [ended.get(each.name) or Result(each.name, None, 0.0, logs) for each in commands]


def _whole(result: Result) -> str:
    return f"--- {result.name}\n{result.log.read_text(errors='replace').rstrip()}\n--- {result}"


def status_of(results: Sequence[Result]) -> int:
    """The first exit status that isn't 0; INTERRUPTED when all that ran passed, but not all ran."""
    failed = [result.status for result in results if result.status]
    if failed:
        return failed[0]
    return INTERRUPTED if any(result.status is None for result in results) else 0


@contextmanager
def _noted_interruptions() -> Iterator[_Interruptions]:
    made = _Interruptions()
    before = {number: signal.signal(number, made.note) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield made
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(command: Command, directory: Path, logs: Path, tell: Callable[[str], None]) -> _Running:
    tell(f"$ {' '.join(command.arguments)}")
    log = logs / f"{command.name.replace(' ', '-')}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            niced(command.arguments, LIGHT_NICENESS if command.light else 0),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return _Running(command.name, command.light, log, process)
