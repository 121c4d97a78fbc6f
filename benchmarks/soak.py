"""An hour at ten times the default rate, on servers of its own: memory, lag, state, latency and disk, every 10 s.

    ./fraudctl bench soak --minutes 60 --rate 1500
    ./fraudctl bench soak --minutes 60 --rate 1500 --customers 2000
    ./fraudctl bench soak --minutes 15 --out short.csv

A profile holds a customer's last 32 purchases, so memory rises until profiles are full: with all 20,000 customers of
the shop for more than an hour. At 1,500 events a second 2,000 make 70 purchases each, on average, in the warm-up.

Starts Kafka, Postgres, the simulated shop and the streaming job in a folder and on ports of their own, so that a
running platform isn't touched; entity risk is refreshed as often as its Dag does. Ends with 1 when a message is lost,
repeated or not accounted for.
"""

import argparse
import time
from datetime import timedelta
from pathlib import Path

from benchmarks.measuring.accounting import differences
from benchmarks.measuring.samples import JOB_PARTS, Sample, Sampler, column
from benchmarks.measuring.stream import Program, Stream, fresh_stream, wait_until
from benchmarks.measuring.trend import trend
from fraudstream.storage.connect import Postgres

SAMPLE_SECONDS = 10.0
#: The first refreshes of entity risk are in it, which come every ten minutes.
WARM_UP_SECONDS = 1200.0
START_SECONDS = 180.0
DRAIN_SECONDS = 300.0
TOLD_SECONDS = 60.0
MIB = 2**20

LATENCIES = """
    SELECT count(*), percentile_cont(ARRAY[0.5, 0.95, 0.99, 1.0]) WITHIN GROUP (
        ORDER BY extract(epoch FROM committed_at - ingest_time)::float8)
    FROM fraud.scored_transactions
    WHERE ingest_time > (SELECT min(ingest_time) FROM fraud.scored_transactions) + make_interval(secs => %s)
"""


def main() -> None:
    """Runs the soak and prints its summary."""
    arguments = _arguments()
    with fresh_stream() as stream, stream.connect() as database:
        job = stream.start_job()
        shop = stream.start_shop("--rate", str(arguments.rate), "--customers", str(arguments.customers))
        wait_until(lambda: _has_batch(database), job, START_SECONDS, "the first micro-batch")
        print(f"the stream runs in {stream.settings.paths.var}; samples go to {arguments.out}", flush=True)
        with Sampler(stream, job, database, arguments.out) as sampler:
            _watch(stream, shop, sampler, arguments.minutes * 60)
            shop.stop()
            wait_until(lambda: stream.lag(database) == 0, job, DRAIN_SECONDS, "the end of the backlog")
        job.stop()
        _summarise(sampler.samples, database, min(WARM_UP_SECONDS, arguments.minutes * 20))
        found = list(differences(stream, database))
        print("accounting: " + ("; ".join(found) or "every message once, distinct ids sent = stored"))
    if found:
        raise SystemExit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long, without start and end (60)")
    parser.add_argument("--rate", type=float, default=1500.0, help="browse events and transactions a second (1500)")
    parser.add_argument("--customers", type=int, default=20_000, help="customers of the shop (20,000)")
    parser.add_argument("--out", type=Path, default=Path("soak.csv"), help="the samples (soak.csv)")
    return parser.parse_args()


def _watch(stream: Stream, shop: Program, sampler: Sampler, seconds: float) -> None:
    """Samples for so long, refreshes entity risk as its Dag does, and tells the state of things each minute."""
    every = timedelta(minutes=stream.settings.entity_risk.refresh_minutes).total_seconds()
    begun = time.monotonic()
    told = refreshed = begun
    while (now := time.monotonic()) - begun < seconds:
        shop.check()
        sample = sampler.take()
        if now - told >= TOLD_SECONDS:
            told = now
            print(_line(sample), flush=True)
        if now - refreshed >= every:
            refreshed = now
            stream.refresh_entity_risk()
        time.sleep(max(0.0, SAMPLE_SECONDS - (time.monotonic() - now)))


def _has_batch(database: Postgres) -> bool:
    return database.execute("SELECT FROM fraud.stream_batches LIMIT 1").fetchone() is not None


def _line(sample: Sample) -> str:
    return (
        f"{sample['seconds']:.0f} s: job {sample['pss_job'] / MIB:.0f} MiB, lag {sample['lag']:.0f}, "
        f"batch {sample['duration_p50_ms']:.0f} ms, latency p50 {sample['latency_p50_ms']:.0f} ms, "
        f"p99 {sample['latency_p99_ms']:.0f} ms, load {sample['load']:.1f}"
    )


def _summarise(samples: list[Sample], database: Postgres, warm_up: float) -> None:
    warm = [sample for sample in samples if sample["seconds"] >= warm_up]
    seconds = column(warm, "seconds")
    print(f"{len(warm)} samples after {warm_up:.0f} s of warm-up, to {seconds[-1]:.0f} s:")
    for name in ("job", *JOB_PARTS, "kafka", "postgres"):
        everything, written = column(warm, f"pss_{name}"), column(warm, f"anon_{name}")
        if not any(everything):
            continue
        line = trend(seconds, written)
        print(
            f"  memory of {name}: mean {_mean(warm, f'pss_{name}') / MIB:.0f} MiB, most {max(everything) / MIB:.0f}; "
            f"without mapped files mean {line.mean / MIB:.0f}, most {max(written) / MIB:.0f}, slope {line}"
        )
    hours = (seconds[-1] - seconds[0]) / 3600
    cores = (warm[-1]["cpu_job"] - warm[0]["cpu_job"]) / (hours * 3600)
    print(f"  CPU of the job: {cores:.2f} of a core; load average {_mean(warm, 'load'):.1f}")
    for name in ("state_rows", "state_memory", "state_files", "lag", "largest_batch", "duration_max_ms", "workers"):
        values = column(warm, name)
        print(f"  {name}: first {values[0]:.0f}, last {values[-1]:.0f}, most {max(values):.0f}")
    for name in ("checkpoint", "logs", "kafka", "postgres"):
        values = column(warm, f"disk_{name}")
        print(
            f"  disk of {name}: {values[0] / MIB:.0f} to {values[-1] / MIB:.0f} MiB, most {max(values) / MIB:.0f} MiB"
        )
    rows, latencies = database.execute(LATENCIES, (warm_up,)).fetchone() or (0, [])
    shown = ", ".join(
        f"{name} {value:.2f} s" for name, value in zip(("p50", "p95", "p99", "most"), latencies, strict=True)
    )
    print(f"  Kafka arrival to row in Postgres, of {rows} transactions: {shown}")
    print(f"  micro-batch: median of medians {_mean(warm, 'duration_p50_ms'):.0f} ms")


def _mean(samples: list[Sample], name: str) -> float:
    values = column(samples, name)
    return sum(values) / len(values)


if __name__ == "__main__":
    main()
