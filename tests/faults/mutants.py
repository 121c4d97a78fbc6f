"""Copies of the code with one protection taken out, to prove that the suite notices."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from fraudstream.settings import PROJECT_DIR

PACKAGES = ("fraudstream", "model", "spark_jobs")


@dataclass(frozen=True)
class Mutation:
    """A text in a file, and what takes its place."""

    file: str
    text: str
    instead: str


REPEAT_RECOGNITION = Mutation(
    "spark_jobs/ledger.py",
    "    if stored and stored[0] == offsets_json(ranges):\n        return BatchState.COMMITTED\n",
    "    if stored and stored[0] == offsets_json(ranges):\n        return BatchState.NEW\n",
)
FENCE = Mutation(
    "spark_jobs/fencing.py",
    "    if updated.rowcount == 1:\n        return\n",
    "    if updated.rowcount <= 1:\n        return\n",
)
UNIQUE_KEY = Mutation(
    "spark_jobs/statements.py",
    "ORDER BY transaction_id, ingest_time, kafka_partition, kafka_offset, topic\n"
    "ON CONFLICT (transaction_id) DO NOTHING\n",
    "ORDER BY transaction_id, ingest_time, kafka_partition, kafka_offset, topic\n",
)
RANGE_CHECK = Mutation(
    "spark_jobs/ledger.py",
    "        if reached != r.start:\n",
    "        if reached is None:\n",
)


def mutated(folder: Path, mutation: Mutation) -> Path:
    """The packages in `folder`, mutated. Raises AssertionError when the text isn't there exactly once."""
    for package in PACKAGES:
        shutil.copytree(PROJECT_DIR / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    file = folder / mutation.file
    before = file.read_text()
    assert before.count(mutation.text) == 1, f"{mutation.file} has changed: mend the mutation {mutation}"
    file.write_text(before.replace(mutation.text, mutation.instead))
    return folder
