"""The Fraud Detection Handbook's data through the whole platform, on servers of its own: past, model, live stream.

    ./fraudctl bench handbook_data --data simulated-data-raw/data --out handbook.parquet
    ./fraudctl bench handbook --data handbook.parquet
    ./fraudctl bench handbook --data handbook.parquet --since 2018-06-01 --trials 1

What came before the book's test week (2018-08-08 to 14) is a shop's past: its dates are moved by whole weeks, so that
the test week ends within the last week. It is imported with the preset of examples/shops, and trained on; the model is
promoted, and the test week replayed through the live stream, as fast as it goes. Average precision is of the rows in
Postgres, and of the transactions that `./fraudctl evaluate` tests: without those of cards known as compromised.
"""

import os
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from sklearn.metrics import average_precision_score

from benchmarks.measuring.stream import Stream, fresh_stream, wait_until
from fraudstream.messages.mapping.fields import Kind
from fraudstream.messages.mapping.file import read_mapping
from fraudstream.settings import PROJECT_DIR, Settings
from fraudstream.storage.connect import connect
from model.evaluate.history import read
from model.evaluate.protocol import Protocol, split
from model.past.importing import Options
from model.past.mapped import Files, import_mapped
from model.serving.registry import promote, register
from model.training.train import options_from, read_histories, train_and_write

PRESET = PROJECT_DIR / "examples" / "shops" / "handbook" / "transactions.toml"
TRAIN_START, TEST_START, TEST_END = date(2018, 7, 25), date(2018, 8, 8), date(2018, 8, 15)
WEEK = timedelta(days=7)
REPLAY_SECONDS = 1_800.0
_SCORES = "SELECT transaction_id, fraud_score FROM fraud.scored_transactions"


def main(
    data: Annotated[Path, typer.Option(help="Parquet file that `bench handbook_data` wrote")],
    since: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="first day of the past")] = datetime(2018, 4, 1),
    trials: Annotated[int, typer.Option(min=1, help="parameters to try; 1: only the defaults")] = 8,
    processes: Annotated[int, typer.Option(min=0, help="processes that compute features; 0: one a core")] = 0,
    model: Annotated[Path | None, typer.Option(help="folder of a model of an earlier run; else one is trained")] = None,
    keep: Annotated[Path | None, typer.Option(help="folder for the trained model, to be kept")] = None,
) -> None:
    """Imports, trains, replays, and prints seconds and average precision."""
    processes = processes or os.cpu_count() or 1
    with fresh_stream() as stream, TemporaryDirectory() as made:
        folder, shift = Path(made), (datetime.now(UTC).date() - TEST_END) // WEEK * WEEK
        table = _shifted(pd.read_parquet(data), since, shift)
        mapping = folder / "transactions.toml"
        mapping.write_text(PRESET.read_text().replace('format = "csv"', 'format = "parquet"'))
        is_past = (table["TX_DATETIME"] < pd.Timestamp(TEST_START) + shift).to_numpy()
        parts = {"whole": table, "past": table[is_past], "week": table[~is_past]}
        for name, part in parts.items():
            part.to_parquet(folder / f"{name}.parquet", index=False)
        import_past(stream.settings, folder / "past.parquet", mapping, processes)
        if model is None:
            train(stream.settings, keep or folder / "model", trials, processes)
        promote_model(stream.settings, model or keep or folder / "model")
        replay(stream, folder / "week.parquet", mapping)
        tell(stream.settings, folder / "whole.parquet", mapping, table["TRANSACTION_ID"].astype(str).to_numpy(), shift)


def _shifted(table: pd.DataFrame, since: datetime, shift: timedelta) -> pd.DataFrame:
    """The transactions from `since` until the end of the test week, in the order of time, `shift` later."""
    times = table["TX_DATETIME"]
    chosen = table[(times >= since) & (times < pd.Timestamp(TEST_END))].sort_values("TX_DATETIME", kind="stable")
    return chosen.assign(TX_DATETIME=chosen["TX_DATETIME"] + shift)


def import_past(settings: Settings, past: Path, mapping: Path, processes: int) -> None:
    """Imports it, as `./fraudctl history import` does, and prints how long that took."""
    started = time.monotonic()
    files = (Files("--mapping", past, mapping, Kind.TRANSACTION),)
    _, written = import_mapped(settings, files, Options(processes))
    print(f"imported in {time.monotonic() - started:.0f} s: {written.told}", flush=True)


def train(settings: Settings, out: Path, trials: int, processes: int) -> None:
    """Trains on what was imported, as `./fraudctl train` does."""
    started = time.monotonic()
    (history,) = settings.paths.mapped.iterdir()
    trained = train_and_write(read_histories([history], processes), out, options_from(42, trials))
    names = ", ".join(name for name in trained.metadata.features if name.startswith("terminal"))
    print(f"trained in {time.monotonic() - started:.0f} s, with {names} among others", flush=True)


def promote_model(settings: Settings, model: Path) -> None:
    """Makes a model the champion."""
    with connect(settings, settings.postgres.writer, name="bench", autocommit=True) as writer:
        promote(writer, register(writer, model, settings.paths.models).version)


def replay(stream: Stream, week: Path, mapping: Path) -> None:
    """Sends the test week as fast as it goes, and waits until all of it is scored."""
    job = stream.start_job()
    started = time.monotonic()
    shop = stream.start_shop("--replay", str(week), "--mapping", str(mapping), "--speed", "0")
    if shop.process.wait():
        raise SystemExit(shop.log.read_text()[-2000:])
    with stream.connect() as database:
        wait_until(lambda: stream.lag(database) == 0, job, REPLAY_SECONDS, "the test week is scored")
    print(f"replayed and scored in {time.monotonic() - started:.0f} s, with the job's start", flush=True)
    job.stop()


def tell(settings: Settings, whole: Path, mapping: Path, identifiers: np.ndarray, shift: timedelta) -> None:
    """Prints average precision of the rows in Postgres, of what `./fraudctl evaluate` tests."""
    history = read(whole, read_mapping(mapping))
    tested = split(history, Protocol(TRAIN_START + shift, 7, 7, 7)).test
    with connect(settings, settings.postgres.reader, name="bench") as database:
        scores = dict(database.execute(_SCORES).fetchall())
    found = np.array([scores.get(identifier, np.nan) for identifier in identifiers[tested]])
    scored = ~np.isnan(found)
    precision = average_precision_score(history.frauds[tested][scored], found[scored])
    print(
        f"{scored.sum():,} of {len(tested):,} tested transactions are scored ({len(scores):,} rows in Postgres), with "
        f"{history.frauds[tested][scored].sum()} frauds: average precision {precision:.3f}"
    )


if __name__ == "__main__":
    typer.run(main)
