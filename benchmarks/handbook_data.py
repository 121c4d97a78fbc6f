"""Makes one Parquet file of the Fraud Detection Handbook's simulated transactions, for `./fraudctl evaluate`.

    ./fraudctl bench handbook_data --data simulated-data-raw/data --out handbook.parquet

Get the daily files first: `git clone https://github.com/Fraud-Detection-Handbook/simulated-data-raw`. They are pickles,
which can run code when opened: take them from the book's own repository, and open no others.
"""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.progress import track

COLUMNS = ["TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_FRAUD"]
IDENTIFIERS = {"CUSTOMER_ID": "int64", "TERMINAL_ID": "int64"}  # the pickles hold them as Python objects


def main(
    data: Annotated[Path, typer.Option(help="folder with the daily .pkl files")],
    out: Annotated[Path, typer.Option(help="Parquet file to write")],
) -> None:
    """Writes the transactions of all days, 1,754,155 of them."""
    days = sorted(data.glob("*.pkl"))
    if not days:
        raise typer.BadParameter(f"no .pkl in {data}", param_hint="--data")
    frames = [pd.read_pickle(day)[COLUMNS] for day in track(days, "reading")]  # noqa: S301 - see the module's docstring
    table = pd.concat(frames, ignore_index=True).astype(IDENTIFIERS)
    table.to_parquet(out, index=False)
    print(f"wrote {len(table):,} transactions with {table['TX_FRAUD'].sum():,} frauds to {out}")


if __name__ == "__main__":
    typer.run(main)
