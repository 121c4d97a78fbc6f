"""Hours of a whole platform of its own: whatever rises without a bound that is named is found, and fails it.

    ./fraudctl bench soak --minutes 195
    ./fraudctl bench soak --minutes 150 --rate 1500 --dashboards --warm-up 70 --out day.csv
    ./fraudctl bench soak --minutes 45 --descriptors 500
    ./fraudctl bench soak_report day.csv --warm-up 70

Starts Kafka, Postgres, Airflow with its Dags, Superset, the simulated shop and the streaming job in a folder and on
ports of their own, so that a running platform isn't touched. Every 10 s it asks, with `--dashboards`, each chart for
its data, and every 30 s it records descriptors, sockets, threads, processes and memory of each part, files and bytes of
each folder, and rows and bytes of each table of the three databases. A file that exists is appended to; it can be read
meanwhile (`soak_report`). With `--descriptors` each process of the job may have no more open than that, so that a leak
ends it within minutes. Ends with 1 when a series is above its bound, the job was started again, or a message was
lost, repeated or not accounted for.
"""

import argparse
import resource
import subprocess
import time
from pathlib import Path

from benchmarks.measuring.accounting import differences
from benchmarks.measuring.growth import Recorder
from benchmarks.measuring.platform import stop_airflow, stream_of, whole_platform
from benchmarks.measuring.stream import BenchmarkError, with_children
from fraudstream.jobs.jobs import jobs
from fraudstream.jobs.slot import Identity
from fraudstream.local.parts.superset import chart_answers
from fraudstream.settings import PROJECT_DIR, Settings

REFRESH_SECONDS = 10.0
SAMPLE_SECONDS = 30.0
TOLD_SECONDS = 300.0
DRAIN_SECONDS = 300.0
#: The first refreshes of entity risk are in it, which come every ten minutes. What is kept for an hour rises for one.
WARM_UP_MINUTES = 20.0


def main() -> None:
    """Runs the soak, and prints what rises."""
    arguments = _arguments()
    with whole_platform(arguments.rate, arguments.customers) as settings:
        print(f"the platform runs in {settings.paths.var}; samples go to {arguments.out}", flush=True)
        before = jobs(settings)["stream"].slot.running
        if before and arguments.descriptors:
            _bound_descriptors(before.pid, arguments.descriptors)
        with Recorder(stream_of(settings), arguments.out) as recorder:
            _watch(settings, recorder, arguments.minutes * 60, dashboards=arguments.dashboards)
        found = [*_restarts(settings, before), *_accounting(settings)]
        print("; ".join(found) or "the job ran in one piece, every message once, distinct ids sent = stored")
        warm_up = min(arguments.warm_up, arguments.minutes / 2)
        report = subprocess.run(
            [settings.paths.python("spark"), "-m", "benchmarks.soak_report", arguments.out, f"--warm-up={warm_up}"],
            cwd=PROJECT_DIR,
            check=False,
        )
    if found or report.returncode:
        raise SystemExit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long, without start and end (60)")
    parser.add_argument("--rate", type=float, default=150.0, help="browse events and transactions a second (150)")
    parser.add_argument("--customers", type=int, default=20_000, help="customers of the shop (20,000)")
    parser.add_argument("--descriptors", type=int, default=0, help="each process of the job may have open (no bound)")
    parser.add_argument("--dashboards", action="store_true", help="ask every chart each 10 s, as open dashboards do")
    parser.add_argument(
        "--warm-up", type=float, default=WARM_UP_MINUTES, help="minutes to leave out of the slopes, at most half (20)"
    )
    parser.add_argument("--out", type=Path, default=Path("soak.csv"), help="the record (soak.csv)")
    arguments = parser.parse_args()
    arguments.out = arguments.out.resolve()
    return arguments


def _bound_descriptors(pid: int, most: int) -> None:
    for process in with_children(pid):
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (most, most))


def _watch(settings: Settings, recorder: Recorder, seconds: float, *, dashboards: bool) -> None:
    """Samples for so long, and tells the state of things every five minutes."""
    begun = time.monotonic()
    sampled = told = -float("inf")
    while (now := time.monotonic()) - begun < seconds:
        if dashboards:
            chart_answers(settings)
        if now - sampled >= SAMPLE_SECONDS:
            sampled = now
            sample = recorder.take()
            if now - told >= TOLD_SECONDS:
                told = now
                print(_line(now - begun, sample), flush=True)
        time.sleep(max(0.0, REFRESH_SECONDS - (time.monotonic() - now)))


def _line(seconds: float, sample: dict[str, float]) -> str:
    descriptors = sum(value for series, value in sample.items() if series.startswith("descriptors/stream"))
    return (
        f"{seconds / 60:.0f} min: {sample['messages']:,.0f} messages, lag {sample['lag']:,.0f}, latency p99 "
        f"{sample['latency_p99_ms']:,.0f} ms, {descriptors:.0f} descriptors of the job, "
        f"{sample['bytes/var'] / 2**20:,.0f} MiB in all"
    )


def _restarts(settings: Settings, before: Identity | None) -> list[str]:
    now = jobs(settings)["stream"].slot.running
    return [] if now and now == before else [f"the job didn't run in one piece: first {before}, now {now}"]


def _accounting(settings: Settings) -> list[str]:
    """Ends the shop, waits for what it sent, and compares."""
    stop_airflow(settings)
    producer = jobs(settings)["producer"].slot
    if producer.running:
        producer.stop(producer.running)
    stream = stream_of(settings)
    with stream.connect() as database:
        deadline = time.monotonic() + DRAIN_SECONDS
        while stream.lag(database):
            if time.monotonic() > deadline:
                raise BenchmarkError(f"a backlog of {stream.lag(database)} messages after {DRAIN_SECONDS:.0f} s")
            time.sleep(0.5)
        return list(differences(stream, database))


if __name__ == "__main__":
    main()
