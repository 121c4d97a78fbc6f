"""Latency and cost at a steady rate, on servers of its own: Kafka's arrival of a transaction to its row in Postgres.

    ./fraudctl bench latency
    ./fraudctl bench latency -- --minutes 3 --rate 1500
    ./fraudctl bench latency -- --minutes 3 --with-policy
    ./fraudctl bench latency -- --minutes 10 --alternate-policy

The simulated shop sends while the job runs; what is counted begins after a warm-up. Kafka and Postgres lie in a folder
and on ports of their own, so that a running platform isn't touched. With `--alternate-policy` a policy is at work every
other half minute, and both are told beside each other: two runs differ by more than it costs. Ends with 1 when a
message is lost, repeated or not accounted for.
"""

import argparse
import time
from pathlib import Path

from benchmarks.measuring import made_policy
from benchmarks.measuring.accounting import differences
from benchmarks.measuring.samples import JOB_PARTS, SERVERS, Sample, Sampler
from benchmarks.measuring.stream import Program, Stream, fresh_stream, wait_until
from fraudstream.ledger.figures import MESSAGES
from fraudstream.storage.connect import Postgres, connect

SAMPLE_SECONDS = 10.0
START_SECONDS = 180.0
DRAIN_SECONDS = 60.0
#: With `--alternate-policy`: how long a policy is at work, or none is; and what isn't counted after each change.
ALTERNATE_SECONDS = 30.0
SETTLE_SECONDS = 5.0
#: Seconds from arrival to commit, of the transactions that arrived in periods (seconds since the epoch).
LATENCIES = """
    SELECT count(*), percentile_cont(ARRAY[0.5, 0.95, 0.99, 1]) WITHIN GROUP (ORDER BY age)
    FROM (SELECT extract(epoch FROM committed_at - ingest_time)::float8 AS age FROM fraud.scored_transactions
          JOIN unnest(%s::float8[], %s::float8[]) AS period (since, until)
          ON ingest_time >= to_timestamp(since) AND ingest_time < to_timestamp(until)) AS row
"""
BATCHES = f"""
    SELECT count(*), avg({MESSAGES})::float8, percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY duration_ms)
    FROM fraud.stream_batches JOIN unnest(%s::float8[], %s::float8[]) AS period (since, until)
    ON started_at >= to_timestamp(since) AND started_at < to_timestamp(until)
"""  # noqa: S608 (constants)
#: From and until, epoch seconds.
Period = tuple[float, float]


def main() -> None:
    """Sends, watches, and prints the figures."""
    arguments = _arguments()
    with fresh_stream() as stream, stream.connect() as database:
        if arguments.with_policy or arguments.alternate_policy:
            stream.make_policy()
        job = stream.start_job()
        shop = stream.start_shop("--rate", str(arguments.rate))
        wait_until(lambda: _has_rows(database), job, START_SECONDS, "no transaction was scored")
        time.sleep(arguments.warm_up * 60)
        since = time.time()
        alternation = Alternation(stream) if arguments.alternate_policy else None
        samples = _watch(stream, job, database, arguments, alternation)
        until = time.time()
        shop.stop()
        wait_until(lambda: not stream.lag(database), job, DRAIN_SECONDS, "the last messages weren't read")
        job.stop()
        _tell(database, samples, [(since, until)])
        for name, periods in alternation.periods.items() if alternation else ():
            print(f"{name} the policy, {len(periods)} periods")
            _tell_latency(database, periods)
        found = list(differences(stream, database))
        print("accounting: " + ("; ".join(found) or "every message once, distinct ids sent = stored"))
    if found:
        raise SystemExit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0, help="that are counted (30)")
    parser.add_argument("--warm-up", type=float, default=2.0, help="minutes before them (2)")
    parser.add_argument("--rate", type=float, default=150.0, help="browse events and transactions a second (150)")
    parser.add_argument("--with-policy", action="store_true", help="50 rules and 100,000 list entries decide")
    parser.add_argument("--alternate-policy", action="store_true", help="they do every other half minute")
    parser.add_argument("--out", type=Path, default=Path("latency.csv"), help="the samples (latency.csv)")
    return parser.parse_args()


def _has_rows(database: Postgres) -> bool:
    return database.execute("SELECT FROM fraud.scored_transactions LIMIT 1").fetchone() is not None


class Alternation:
    """A policy that is at work, and isn't, by turns. `periods` has those of each that are counted, epoch seconds."""

    def __init__(self, stream: Stream) -> None:
        self._settings = stream.settings
        self._since = time.time()
        self._with = True
        self.periods: dict[str, list[Period]] = {"with": [], "without": []}

    def take(self) -> None:
        """Changes it once its time is over."""
        now = time.time()
        if now - self._since < ALTERNATE_SECONDS:
            return
        self.periods["with" if self._with else "without"].append((self._since + SETTLE_SECONDS, now))
        self._with = not self._with
        with connect(self._settings, self._settings.postgres.writer, name=made_policy.WHO, autocommit=True) as writer:
            made_policy.put_to_work(writer) if self._with else made_policy.take_off(writer)
        self._since = time.time()


def _watch(
    stream: Stream, job: Program, database: Postgres, arguments: argparse.Namespace, alternation: Alternation | None
) -> list[Sample]:
    ends = time.monotonic() + arguments.minutes * 60
    with Sampler(stream, job, database, arguments.out) as sampler:
        sampler.take()
        while (left := ends - time.monotonic()) > 0:
            time.sleep(min(SAMPLE_SECONDS, left))
            sampler.take()
            if alternation:
                alternation.take()
    return sampler.samples


def _tell(database: Postgres, samples: list[Sample], periods: list[Period]) -> None:
    batches = _tell_latency(database, periods)
    seconds = samples[-1]["seconds"] - samples[0]["seconds"]
    spent = {name: samples[-1][f"cpu_{name}"] - samples[0][f"cpu_{name}"] for name in ("job", *JOB_PARTS, *SERVERS)}
    parts = ", ".join(f"{name} {spent[name] / seconds:.2f}" for name in (*JOB_PARTS, *SERVERS))
    print(
        f"  the job takes {spent['job'] / seconds:.2f} of a core, {spent['job'] / batches * 1000:.0f} CPU-ms a "
        f"micro-batch ({parts}); load average {samples[-1]['load']:.1f} at the end"
    )


def _tell_latency(database: Postgres, periods: list[Period]) -> int:
    """Prints what happened in `periods`; the number of their micro-batches."""
    bounds = [list(times) for times in zip(*periods, strict=True)]
    ((rows, (p50, p95, p99, most)),) = database.execute(LATENCIES, bounds).fetchall()
    seconds = sum(until - since for since, until in periods)
    print(
        f"{rows} transactions in {seconds:.0f} s; arrival to row: p50 {p50:.3f} s, p95 {p95:.3f} s, "
        f"p99 {p99:.3f} s, most {most:.3f} s"
    )
    ((batches, messages, (median_ms, slow_ms)),) = database.execute(BATCHES, bounds).fetchall()
    print(
        f"  {batches} micro-batches of {messages:.0f} messages on average; from Spark's call to the commit "
        f"{median_ms:.0f} ms in the median, p99 {slow_ms:.0f} ms"
    )
    return int(batches)


if __name__ == "__main__":
    main()
