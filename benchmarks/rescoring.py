"""The rescoring of a million archived transactions by a model and a policy of 50 rules and 100,000 entries of lists.

    ./fraudctl bench rescoring
    ./fraudctl bench rescoring --transactions 100000

In one process, without servers. The target is two minutes for the million. What making the archive takes isn't counted.
"""

import resource
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.rules import COLUMNS, KINDS, RULES, rules
from fraudstream.archive.reading import Period
from fraudstream.policy.document import Policy
from fraudstream.policy.past_decisions import Entry, compiled
from fraudstream.policy.versions import PolicyVersion
from fraudstream.settings import PROJECT_DIR
from model.features.columns import FEATURE_NAMES
from model.rescoring.rescore import Rescorer
from model.serving.scorer import Scorer
from tests.archived import Archive

END = datetime(2026, 3, 31, tzinfo=UTC)
DAYS = timedelta(days=30)
CHUNK = 50_000
FRAUD_SHARE = 0.02


def main(
    transactions: Annotated[int, typer.Option(help="transactions of the period")] = 1_000_000,
    entries: Annotated[int, typer.Option(help="entries of the lists")] = 100_000,
) -> None:
    """Measure it, and print a line a figure."""
    scorer = Scorer.load(PROJECT_DIR / "model" / "pretrained")
    version = PolicyVersion(1, END, "bench", "bench", END, "", None, Policy(rules=rules(), random_review_share=0.01))
    policy = compiled(version, COLUMNS, KINDS).with_entries(_entries(entries))
    with tempfile.TemporaryDirectory() as folder:
        archive = Archive(Path(folder))
        _fill(archive, transactions)
        period = Period(END - DAYS, END + timedelta(days=1))
        for told, of in ((f"policy of {RULES} rules", policy), ("model's threshold alone", None)):
            began, spent = time.perf_counter(), time.process_time()
            made = Rescorer(scorer, of, END + timedelta(days=30)).rescore(archive.settings, period)
            seconds, cpu = time.perf_counter() - began, time.process_time() - spent
            total = made.total
            print(
                f"{told}: {total.transactions} transactions of {len(made.days)} days in {seconds:.1f} s, {cpu:.1f} "
                f"CPU-s; {total.would_flag} would be flagged, {total.was_flagged} were"
            )
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def _entries(count: int) -> Iterator[Entry]:
    for number in range(count):
        name, of = ("blocked", "d") if number % 2 else ("customers", "c")
        yield name, f"{of}-{number}", END - DAYS / 2, None


def _fill(archive: Archive, transactions: int) -> None:
    chance = np.random.default_rng(1)
    for first in range(0, transactions, CHUNK):
        rows = min(CHUNK, transactions - first)
        times = [END - DAYS * (1 - (first + number) / transactions) for number in range(rows)]
        features = chance.gamma(1, 20, (rows, len(FEATURE_NAMES))).astype("f4")
        ids = archive.transactions(
            times,
            features,
            chance.random(rows).tolist(),
            threshold=0.98,
            device_id=[f"d-{number}" for number in chance.integers(0, 10**6, rows)],
            customer_id=[f"c-{number}" for number in chance.integers(0, 10**6, rows)],
        )
        labelled = [number for number in range(rows) if chance.random() < FRAUD_SHARE]
        delays = chance.exponential(5, len(labelled))
        archive.labels(
            *((ids[n], times[n] + timedelta(days=days), True) for n, days in zip(labelled, delays, strict=True))
        )


if __name__ == "__main__":
    typer.run(main)
