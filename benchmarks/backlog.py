"""A backlog of a million events, on servers of its own: bounded batches, bounded memory, and how fast it drains.

    ./fraudctl bench backlog
    ./fraudctl bench backlog --events 100000 --out short.csv
    ./fraudctl bench backlog -- --events 2000000 --customers 1000000 --purchases 20
    ./fraudctl bench backlog -- --without-features
    ./fraudctl bench backlog -- --with-policy
    ./fraudctl bench backlog -- --mapped

The simulated shop sends while no streaming job runs; then the job is started, once, and drains what waits. With
`--purchases` it begins with the profiles of all its customers, each with so many purchases (`made_profiles`); with
`--without-features` nothing is published for the archive, and with `--with-policy` 50 rules and 100,000 list entries
decide; with `--mapped` all comes in a shop's own form, and is mapped (`shop_form`): two runs, with and without, tell
what each costs. Kafka and Postgres lie in a folder and on ports of their own, so that a running platform isn't touched.
Ends with 1 when a batch is larger than the setting allows, or a message is lost, repeated or not accounted for.
"""

import argparse
import time
from pathlib import Path

from benchmarks.measuring import shop_form
from benchmarks.measuring.accounting import differences
from benchmarks.measuring.samples import JOB_PARTS, SERVERS, Sample, Sampler, column
from benchmarks.measuring.stream import BenchmarkError, Stream, fresh_stream
from fraudstream.ledger.figures import MESSAGES
from fraudstream.settings import ENV_PREFIX
from fraudstream.storage.connect import Postgres

WITHOUT_FEATURES = {f"{ENV_PREFIX}ARCHIVE__ENABLED": "false"}
SAMPLE_SECONDS = 2.0
#: The first micro-batches warm up: Java's compiler, and the workers' copy of the profiles.
WARM_UP_BATCHES = 3
DRAIN_SECONDS = 3600.0
MIB = 2**20

ROWS = "SELECT count(*), pg_total_relation_size('fraud.scored_transactions') FROM fraud.scored_transactions"
LEDGER = f"""
    SELECT count(*), sum(messages)::bigint, max(messages),
        extract(epoch FROM max(committed_at) - min(started_at))::float8,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ms), max(duration_ms), sum(dead_lettered)::bigint
    FROM (SELECT *, {MESSAGES} AS messages
          FROM fraud.stream_batches) AS batch
"""  # noqa: S608 (constants)

STEADY = f"""
    SELECT sum(messages) FILTER (WHERE number > %(warm_up)s)::bigint,
        max(committed) FILTER (WHERE number = %(warm_up)s), max(committed)
    FROM (SELECT {MESSAGES} AS messages, extract(epoch FROM committed_at)::float8 AS committed,
              row_number() OVER (ORDER BY batch_id) AS number
          FROM fraud.stream_batches) AS batch
"""  # noqa: S608 (constants)


def main() -> None:
    """Makes the backlog, lets the job drain it, and prints the figures."""
    arguments = _arguments()
    with fresh_stream() as stream, stream.connect() as database:
        if arguments.purchases:
            _make_profiles(stream, arguments.customers or stream.settings.producer.customers, arguments.purchases)
        if arguments.with_policy:
            stream.make_policy()
        stream.send_backlog(arguments.events, arguments.customers)
        if arguments.mapped:
            shop_form.rewrite(stream)
        waiting = stream.lag(database)
        print(f"{waiting} messages wait; the job starts, samples go to {arguments.out}", flush=True)
        started = time.monotonic()
        job = stream.start_job(environment=WITHOUT_FEATURES if arguments.without_features else None)
        with Sampler(stream, job, database, arguments.out) as sampler:
            while sampler.take()["lag"] and time.monotonic() - started < DRAIN_SECONDS:
                time.sleep(SAMPLE_SECONDS)
        seconds = time.monotonic() - started
        job.stop()
        _summarise(sampler.samples, seconds)
        limit = stream.settings.stream.max_offsets_per_trigger
        largest = _tell_batches(database, sampler.samples, limit)
        _tell_steady(database, sampler)
        _tell_servers(database, sampler.samples)
        found = list(differences(stream, database))
        print("accounting: " + ("; ".join(found) or "every message once, distinct ids sent = stored"))
    if found or largest > limit:
        raise SystemExit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000, help="browse events and transactions (1000000)")
    parser.add_argument("--customers", type=int, help="of the shop (as many as it has by default)")
    parser.add_argument("--purchases", type=int, default=0, help="of each customer, before the first event (0)")
    parser.add_argument("--without-features", action="store_true", help="publish no features for the archive")
    parser.add_argument("--with-policy", action="store_true", help="50 rules and 100,000 list entries decide")
    parser.add_argument("--mapped", action="store_true", help="the messages are in a shop's own form")
    parser.add_argument("--out", type=Path, default=Path("backlog.csv"), help="the samples (backlog.csv)")
    return parser.parse_args()


def _make_profiles(stream: Stream, customers: int, purchases: int) -> None:
    begun = time.monotonic()
    maker = stream.run(
        "made-profiles",
        *("benchmarks.measuring.made_profiles", "--customers", str(customers), "--purchases", str(purchases)),
    )
    if maker.process.wait():
        raise BenchmarkError(f"no profiles were made: {maker.log.read_text()[-2000:]}")
    print(f"made {customers} profiles of {purchases} purchases in {time.monotonic() - begun:.0f} s", flush=True)


def _summarise(samples: list[Sample], seconds: float) -> None:
    print(f"drained {seconds:.0f} s after the job's launch; load average {samples[-1]['load']:.1f} at the end")
    for name in ("job", *JOB_PARTS, "kafka", "postgres"):
        values = column(samples, f"pss_{name}")
        half = max(values[: len(values) // 2 + 1])
        print(f"  memory of {name}: most {max(values) / MIB:.0f} MiB, in the first half {half / MIB:.0f} MiB")


def _tell_batches(database: Postgres, samples: list[Sample], limit: int) -> int:
    """Prints what the ledger says; returns the largest batch, messages."""
    row = database.execute(LEDGER).fetchone()
    if row is None or not row[0]:
        raise BenchmarkError("the ledger is empty")
    batches, messages, largest, seconds, median_ms, slowest_ms, refused = row
    cpu = samples[-1]["cpu_job"]
    parts = ", ".join(f"{name} {samples[-1][f'cpu_{name}'] / cpu:.0%}" for name in JOB_PARTS)
    print(
        f"  {messages} messages, {refused} of them dead letters, in {batches} batches, the largest {largest} (at most "
        f"{limit}); a batch takes {median_ms / 1000:.2f} s in the median, {slowest_ms / 1000:.2f} s at most\n"
        f"  {messages / seconds:.0f} messages/s from the first batch's start to the last one's commit; "
        f"{cpu:.0f} CPU-s of the job with its start, {messages / cpu:.0f} messages a CPU-s ({parts})"
    )
    return int(largest)


def _tell_steady(database: Postgres, sampler: Sampler) -> None:
    """Prints how fast it was once it was warm."""
    row = database.execute(STEADY, {"warm_up": WARM_UP_BATCHES}).fetchone()
    if not row or not row[0]:  # so few micro-batches that it never was
        return
    messages, since, until = row
    cpu = sampler.at(until, "cpu_job") - sampler.at(since, "cpu_job")
    print(
        f"  from batch {WARM_UP_BATCHES + 1} on: {messages / (until - since):.0f} messages/s, "
        f"{messages / cpu:.0f} messages a CPU-s, {cpu / (until - since):.2f} processors busy"
    )


def _tell_servers(database: Postgres, samples: list[Sample]) -> None:
    """Prints what Kafka and Postgres spent while the job drained, and how much disk a message and a row take."""
    rows, row_bytes = database.execute(ROWS).fetchone() or (0, 0)
    spent = {name: samples[-1][f"cpu_{name}"] - samples[0][f"cpu_{name}"] for name in SERVERS}
    print(
        f"  Postgres spent {spent['postgres']:.0f} CPU-s for {rows} transactions, {rows / spent['postgres']:.0f} a "
        f"CPU-s; a row takes {row_bytes / rows:.0f} bytes with its indexes; Kafka spent {spent['kafka']:.0f} CPU-s"
    )


if __name__ == "__main__":
    main()
