"""Ten analysts at once on 500 alerts beside a million transactions: how long each page takes, none decided twice.

    ./fraudctl bench desk
    ./fraudctl bench desk -- --transactions 100000 --alerts 100

A real Superset and a real Postgres, in a folder and on ports of their own, so that a running platform isn't touched.
Each analyst, signed in as somebody else, takes one of the first open alerts, looks at it, sometimes at its ring, and
decides; now and then at rules, lists and the log of changes. Between two pages lies a pause, since people read; without
one (`--pause 0`) the figures are those of ten programs. Ends with 1 when an alert is decided twice or lost.
"""

import argparse
import re
import secrets
import subprocess
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import Random
from statistics import quantiles

import psutil

from benchmarks.measuring.stream import BenchmarkError
from fraudstream.local.parts import kafka, postgres, superset
from fraudstream.local.supervisor import Supervisor
from fraudstream.settings import PROJECT_DIR, Settings
from fraudstream.storage.connect import Postgres, connect
from testbed.isolation import isolated_servers
from testbed.person import Person

#: Analysts choose among so many of the first alerts: now and then two choose the same one.
CHOSEN_AMONG = 10
#: A page that is visited with every so many alerts.
VISITS = {"ring": 3, "rules": 5, "lists": 5, "list": 5, "audit": 5}
ADDRESSES = {"rules": "rules/", "lists": "lists/", "list": "lists/blocked", "audit": "audit/"}
ITEM = re.compile(r'name="item" value="(\d+):([^"]+)"')
FOUND = """
SELECT count(*) FILTER (WHERE decided_by <> 'before'),
    count(DISTINCT transaction_id) FILTER (WHERE decided_by <> 'before'), max(revision),
    (SELECT count(*) FROM fraud.fraud_alerts a WHERE status = 'open' AND NOT EXISTS (
        SELECT FROM fraud.analyst_verdicts v WHERE v.transaction_id = a.transaction_id)),
    (SELECT count(*) FROM fraud.alert_claims WHERE released_at IS NULL)
FROM fraud.analyst_verdicts
"""


class Analyst:
    """Somebody at the desk, and how long each of their pages took, in seconds, by its name."""

    def __init__(self, settings: Settings, name: str, password: str, pause: float) -> None:
        self._person = Person(settings.superset_url)
        self._person.get("/login/")
        self._person.post("/login/", username=name, password=password)
        self._chance, self._pause = Random(name), pause
        self.pages: defaultdict[str, list[float]] = defaultdict(list)
        self.outcomes: Counter[str] = Counter()

    def work(self, begin: threading.Barrier) -> None:
        """Decides until no alert waits. Raises BenchmarkError when a page fails."""
        begin.wait()
        while waiting := ITEM.findall(self._page("queue", "")):
            revision, alert = self._chance.choice(waiting[:CHOSEN_AMONG])
            self._page("alert", f"alerts/{alert}")
            for name, every in VISITS.items():
                if self._chance.randrange(every) == 0:
                    self._page(name, f"rings/{alert}" if name == "ring" else ADDRESSES[name])
            self._decide(f"{revision}:{alert}")

    def _decide(self, item: str) -> None:
        begun = time.perf_counter()
        status, _ = self._person.post("/desk/decide", verdict=self._chance.choice(["fraud", "honest"]), item=item)
        self._note("decide, and the queue", begun)
        if status not in {200, 409}:
            raise BenchmarkError(f"deciding {item} was answered with {status}")
        self.outcomes["decided" if status == 200 else "refused"] += 1

    def _page(self, name: str, address: str) -> str:
        begun = time.perf_counter()
        status, page = self._person.get(f"/desk/{address}")
        self._note(name, begun)
        if status != 200:
            raise BenchmarkError(f"/desk/{address} was answered with {status}")
        return page

    def _note(self, name: str, begun: float) -> None:
        self.pages[name].append(time.perf_counter() - begun)
        time.sleep(self._pause * self._chance.uniform(0.5, 1.5))


def main() -> None:
    """Fills the servers, lets the analysts work, and prints the figures."""
    arguments = _arguments()
    with isolated_servers() as settings:
        begun = time.monotonic()
        _fill(settings, arguments.transactions, arguments.alerts)
        made = f"{arguments.transactions} transactions, {arguments.alerts} open alerts"
        print(f"{made}: made in {time.monotonic() - begun:.0f} s", flush=True)
        names, password = [f"analyst-{n}" for n in range(arguments.analysts)], secrets.token_urlsafe(24)
        with _served(settings):
            _add_users(settings, names, password)
            analysts = [Analyst(settings, name, password, arguments.pause) for name in names]
            seconds = _work(analysts)
        _tell(analysts, seconds)
        with connect(settings, settings.postgres.reader, autocommit=True) as database:
            wrong = list(_differences(database, analysts, arguments.alerts))
    print("accounting: " + ("; ".join(wrong) or "every alert decided once, none lost"))
    if wrong:
        raise SystemExit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transactions", type=int, default=1_000_000, help="that are stored (1000000)")
    parser.add_argument("--alerts", type=int, default=500, help="that are open (500)")
    parser.add_argument("--analysts", type=int, default=10, help="at once (10)")
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between two pages of one analyst (0.5)")
    return parser.parse_args()


def _fill(settings: Settings, transactions: int, alerts: int) -> None:
    program = [str(settings.paths.python("spark")), "-m", "benchmarks.measuring.desk_rows"]
    arguments = ["--transactions", str(transactions), "--open", str(alerts)]
    filled = subprocess.run([*program, *arguments], cwd=PROJECT_DIR, capture_output=True, check=False)
    if filled.returncode:
        raise BenchmarkError(f"the tables weren't filled: {filled.stderr.decode()[-2000:]}")


@contextmanager
def _served(settings: Settings) -> Iterator[None]:
    superset.prepare(settings)
    supervisor = Supervisor(settings)
    supervisor.apply([kafka.part(settings), postgres.part(settings), *superset.parts(settings)])
    supervisor.start(superset.NAME)
    superset.wait_healthy(settings)
    yield
    supervisor.stop(superset.NAME)


def _add_users(settings: Settings, names: Sequence[str], password: str) -> None:
    [part] = superset.parts(settings)
    script = PROJECT_DIR / "benchmarks" / "measuring" / "analyst_users.py"
    added = subprocess.run(
        [part.command[0], "-P", str(script), *names],
        input=password.encode(),
        capture_output=True,
        env=dict(part.environment),
        check=False,
    )
    if added.returncode:
        raise BenchmarkError(f"the analysts weren't added: {added.stderr.decode()[-2000:]}")


def _work(analysts: Sequence[Analyst]) -> float:
    """Lets all begin at once; the seconds until the last one has nothing left."""
    begin = threading.Barrier(len(analysts))
    begun = time.monotonic()
    with ThreadPoolExecutor(len(analysts)) as pool:
        for ended in [pool.submit(analyst.work, begin) for analyst in analysts]:
            ended.result()
    return time.monotonic() - begun


def _tell(analysts: Sequence[Analyst], seconds: float) -> None:
    pages = {name: [t for analyst in analysts for t in analyst.pages[name]] for name in analysts[0].pages}
    total = sum(map(len, pages.values()))
    print(
        f"{total} pages in {seconds:.0f} s, {total / seconds:.1f} a second; load average {psutil.getloadavg()[0]:.1f}"
    )
    for name, taken in pages.items():
        parts = quantiles([second * 1000 for second in taken], n=20, method="inclusive")
        print(
            f"  {name}: p50 {parts[9]:.0f} ms, p95 {parts[18]:.0f} ms, most {max(taken) * 1000:.0f} ms, of {len(taken)}"
        )


def _differences(database: Postgres, analysts: Sequence[Analyst], alerts: int) -> Iterator[str]:
    """What contradicts that each alert was decided once."""
    outcomes = sum((analyst.outcomes for analyst in analysts), Counter[str]())
    print(f"  {outcomes['decided']} decided, {outcomes['refused']} refused, since somebody else was quicker")
    ((verdicts, decided, newest, left, held),) = database.execute(FOUND).fetchall()
    for what, found, due in (
        ("answers that said decided", outcomes["decided"], alerts),
        ("verdicts", verdicts, alerts),
        ("alerts with a verdict", decided, alerts),
        ("verdicts of one alert", newest, 1),
        ("alerts without one", left, 0),
        ("claims that are held", held, 0),
    ):
        if found != due:
            yield f"{what}: {found} instead of {due}"


if __name__ == "__main__":
    main()
