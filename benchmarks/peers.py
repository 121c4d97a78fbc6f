"""The same backlog through our job, a hand-written loop in one and in two processes, and quixstreams, side by side.

    ./fraudctl bench peers
    ./fraudctl bench peers -- --events 20000 --customers 2000

The simulated shop sends once. Then each drains what it sent, from Kafka's first message and into an empty table of
scored transactions: with the same features, model, static data and validation. The job does what it always does
(rollups, alerts, labels, dead letters, accounting, topics, features for the archive); a peer writes rows, and drops
what is refused. Kafka and Postgres lie in a folder and on ports of their own. With `--with-quixstreams` that takes its
turn, too, in an environment of its own, made at the first run. CPU is that of the consumer and its children; memory is
the sum of proportional set sizes, looked at once a second. Prints a table, and how many scores differ from the job's,
and why. Ends with 1 when one has another number of rows, or our own accounting finds a difference.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.measuring.accounting import differences
from benchmarks.measuring.code_lines import code_lines
from benchmarks.measuring.drains import (
    PEERS_VARIABLES,
    Drain,
    browsing_by_customer,
    drain_by_job,
    drain_by_peers,
    empty,
)
from benchmarks.measuring.marks import WARM_UP, pace_of
from benchmarks.measuring.order import Browsing, Scored, causes
from benchmarks.measuring.stream import Program, Stream, fresh_stream
from fraudstream.local.install import environments
from fraudstream.messages.contracts import Topic
from fraudstream.settings import PROJECT_DIR
from fraudstream.storage.connect import Postgres

MIB = 2**20
RUNTIME = "peers"
PEERS = PROJECT_DIR / "benchmarks" / "measuring" / "peers"
SHARED = PEERS / "scoring.py"
COLUMNS = (
    *("", f"messages a second; after {WARM_UP:.0%}", f"a CPU-second, with the start; after {WARM_UP:.0%}"),
    *("memory, MiB", "rows", "lines of code", "promises"),
)
_LOOP_PROMISES = (
    "a row at least once, one an id; no order between topics; a crash counts browsing twice, a power cut loses profiles"
)


@dataclass(frozen=True)
class Contestant:
    """A way to drain the backlog: its name, what it promises, and the files that are its own."""

    name: str
    promises: str
    files: Sequence[Path]
    drain: Callable[[Stream, Postgres], Drain]
    is_peer: bool = True

    def lines(self) -> str:
        """Its lines of code, and of what the peers share."""
        own = code_lines(self.files)
        return f"{own} and {code_lines([SHARED])} shared" if self.is_peer else str(own)


JOB = Contestant(
    "our job",
    "each message once in rows, rollups, alerts and ledger, or kept as a dead letter; topics in order of arrival",
    sorted((PROJECT_DIR / "spark_jobs").glob("*.py")),
    drain_by_job,
    is_peer=False,
)


def main() -> None:
    """Sends, drains by turns, and prints the table and the differences."""
    arguments = _arguments()
    with fresh_stream() as stream, stream.connect() as database:
        if arguments.with_quixstreams:
            environments.install(stream.settings, RUNTIME, print)
        stream.send_backlog(arguments.events, arguments.customers)
        print(f"{stream.lag(database)} messages wait, of them {_readable(stream)} for the peers", flush=True)
        browsing = browsing_by_customer(stream)
        drains: dict[str, Drain] = {}
        found: list[str] = []
        table = [_row(COLUMNS), _row(["---"] * len(COLUMNS))]
        for contestant in _contestants(with_quixstreams=arguments.with_quixstreams):
            drains[contestant.name] = drain = contestant.drain(stream, database)
            table.append(_line(contestant, drain))
            print(table[-1], flush=True)
            if contestant is JOB:
                found += differences(stream, database)
            else:
                found += _compare(contestant.name, drains[JOB.name].rows, drain, browsing)
            empty(stream)
        print("\n" + "\n".join(table))
    print("\n".join(found) or "every message of the job accounted for once; the same number of rows from all")
    if found:
        raise SystemExit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=300_000, help="browse events and transactions (300000)")
    parser.add_argument("--customers", type=int, help="of the shop (as many as it has by default)")
    parser.add_argument("--with-quixstreams", action="store_true", help="in an environment of its own")
    return parser.parse_args()


def _contestants(*, with_quixstreams: bool) -> Iterator[Contestant]:
    yield JOB
    loop = [PEERS / "loop.py"]
    yield Contestant("loop, one process", _LOOP_PROMISES, loop, partial(_drain_by_loops, processes=1))
    yield Contestant("loop, two processes", _LOOP_PROMISES, loop, partial(_drain_by_loops, processes=2))
    if with_quixstreams:
        promises = "a row at least once, one an id; topics in order of arrival; state back from its changelog topic"
        yield Contestant("quixstreams", promises, [PEERS / "quix.py"], _drain_by_quixstreams)


def _drain_by_loops(stream: Stream, database: Postgres, processes: int) -> Drain:
    until = json.dumps(_ends(stream))
    programs = []
    for share in range(processes):
        name = f"loop-{share + 1}-of-{processes}"
        own = ("--share", str(share), "--of", str(processes), "--group", f"loops-{processes}")
        folder = ("--folder", str(stream.settings.paths.run / name))
        programs.append(_start(stream, name, "loop", *own, *folder, "--until", until))
    return drain_by_peers(database, programs)


def _drain_by_quixstreams(stream: Stream, database: Postgres) -> Drain:
    folder = stream.settings.paths.run / "quixstreams"
    own = ("--folder", str(folder), "--messages", str(_readable(stream)))
    return drain_by_peers(database, [_start(stream, "quixstreams", "quix", *own, runtime=RUNTIME)])


def _start(stream: Stream, name: str, module: str, *arguments: str, runtime: str = "spark") -> Program:
    module = f"benchmarks.measuring.peers.{module}"
    return stream.run(name, module, *arguments, environment=PEERS_VARIABLES, runtime=runtime)


def _ends(stream: Stream) -> dict[str, list[int]]:
    """The ends of what the peers read, a topic's by partition."""
    ends = stream.ends()
    return {
        topic.value: [end for (name, _), end in sorted(ends.items()) if name == topic]
        for topic in (Topic.BROWSE_EVENTS, Topic.TRANSACTIONS)
    }


def _readable(stream: Stream) -> int:
    return sum(map(sum, _ends(stream).values()))


def _line(contestant: Contestant, drain: Drain) -> str:
    pace = pace_of(drain.marks)
    cells = (
        contestant.name,
        f"{pace.rate:,.0f}; {pace.warm_rate:,.0f}",
        f"{pace.per_cpu:,.0f}; {pace.warm_per_cpu:,.0f}",
        f"{drain.memory / MIB:,.0f}",
        f"{len(drain.rows):,}",
        contestant.lines(),
        contestant.promises,
    )
    return _row(cells)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _compare(
    name: str, ours: Mapping[str, Scored], drain: Drain, browsing: Mapping[str, Sequence[Browsing]]
) -> Iterator[str]:
    """Prints how a peer's rows differ from the job's; yields what must not be."""
    if missing := ours.keys() ^ drain.rows.keys():
        yield f"{name}: {len(missing)} transactions aren't in both its rows and the job's, such as {min(missing)}"
    both = ours.keys() & drain.rows.keys()
    differing = [drain.rows[each] for each in both if drain.rows[each].score != ours[each].score]
    decided = sum(drain.rows[each].is_fraud != ours[each].is_fraud for each in both)
    why = causes(differing, browsing, drain.stands)
    told = "; ".join(f"{count} {cause}" for cause, count in why.most_common()) or "equal to the bit"
    print(
        f"{name}: {len(differing)} of {len(both)} scores differ from the job's, {decided} decisions: {told}", flush=True
    )


if __name__ == "__main__":
    main()
