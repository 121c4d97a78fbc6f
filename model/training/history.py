"""A history directory: its files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fraudstream.settings import ShopSettings
from fraudstream.static_data.currencies import CurrencyRates, Rate, rates_of
from model.training.errors import HistoryError

WARM_UP = "warm_up"
RATES_FILE = "currency_rates.parquet"
BROWSE, TRANSACTIONS, LABELS = "browse_events", "transactions", "labels"
#: Transactions with the features that they were scored with: such a folder has no browsing events.
SERVED = "served"
WARM_UP_DATASETS = (BROWSE, TRANSACTIONS, LABELS)
_TIME = pa.timestamp("ms", "UTC")
_ITEMS = pa.list_(pa.struct([("product_id", pa.string()), ("quantity", pa.int64()), ("unit_price", pa.float64())]))
#: Types of the columns that aren't texts.
COLUMN_TYPES = {"event_time": _TIME, "labelled_at": _TIME, "is_fraud": pa.bool_(), "items": _ITEMS} | dict.fromkeys(
    ("amount", "promo_amount", "shipping_fee", "shipping_latitude", "shipping_longitude"), pa.float64()
)


def read_part(part: Path, columns: Sequence[str], filters: pc.Expression | None = None) -> pa.Table:
    """These columns of a file; one that the shop doesn't have is null."""
    present = set(pq.read_schema(part).names)
    table = pq.read_table(part, columns=[name for name in columns if name in present], filters=filters)
    for name in columns:
        if name not in present:
            table = table.append_column(name, unknown(name, len(table)))
    return table.select(list(columns))


def unknown(column: str, rows: int) -> pa.Array:
    """The values of a column that a shop doesn't have."""
    return pa.nulls(rows, COLUMN_TYPES.get(column, pa.string()))


@dataclass(frozen=True)
class HistoryFolder:
    """A history directory, as the simulator writes it."""

    path: Path

    def parts(self, name: str) -> list[Path]:
        """The files of `name`, such as `transactions`. Raises HistoryError when there are none."""
        parts = sorted((self.path / name).glob("part-*.parquet"))
        if not parts:
            raise HistoryError(
                f"no {name}/part-*.parquet in {self.path}; write a history with "
                "`python -m fraudstream.simulator produce --out DIR`"
            )
        return parts

    def table(self, name: str) -> pd.DataFrame:
        """All rows of `name`, from its parts or from the single file `name.parquet`."""
        single = self.path / f"{name}.parquet"
        tables = [pq.read_table(part) for part in ([single] if single.exists() else self.parts(name))]
        frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
        return frame

    def everybody(self) -> pa.Array:
        """All customers who did something, with those of the warm-up; each once, in order."""
        folders, datasets = (self, self.warm_up), (BROWSE, TRANSACTIONS)
        parts = (part for name in datasets for folder in folders for part in folder.parts_if_any(name))
        found = [pc.unique(pq.read_table(part, columns=["customer_id"]).column(0)).cast(pa.string()) for part in parts]
        distinct = pc.unique(pa.concat_arrays(found))
        return distinct.take(pc.sort_indices(distinct))

    def static(self, name: str) -> pd.DataFrame | None:
        """The rows of customers or products; None for a shop's own history, which has none."""
        return self.table(name) if (self.path / f"{name}.parquet").exists() else None

    @property
    def warm_up(self) -> "HistoryFolder":
        """What came before the history, as far as it is known: maybe nothing."""
        return HistoryFolder(self.path / WARM_UP)

    def begin_with(self, past: "HistoryFolder") -> None:
        """Makes another history a part of the warm-up, by links to its files. Raises OSError."""
        for name in WARM_UP_DATASETS:
            (self.warm_up.path / name).mkdir(parents=True, exist_ok=True)
            parts = past.parts_if_any(name) + past.warm_up.parts_if_any(name)
            for number, part in enumerate(parts):
                (self.warm_up.path / name / f"part-past-{number:05d}.parquet").symlink_to(part.resolve())

    def parts_if_any(self, name: str) -> list[Path]:
        """The files of `name`; none where there are none."""
        return self.parts(name) if self.has(name) else []

    def has(self, name: str) -> bool:
        """True where there are files of `name`."""
        return any((self.path / name).glob("part-*.parquet"))

    def rows(self, name: str) -> int:
        """Number of rows of `name`, from the files' footers."""
        return sum(pq.read_metadata(part).num_rows for part in self.parts(name))

    def rates(self, shop: ShopSettings) -> CurrencyRates:
        """The exchange rates that were collected with it, which the stream joins; else those of the settings.

        Raises CurrencyRatesError.
        """
        path = self.path / RATES_FILE
        if not path.exists():
            return rates_of(shop)
        return CurrencyRates.of(shop.currency, (Rate(**row) for row in pq.read_table(path).to_pylist()))

    def events(self) -> int:
        """Number of browsing events and transactions, with those of the warm-up; of a served one, its transactions."""
        if self.has(SERVED):
            return self.rows(SERVED)
        folders = (self, self.warm_up)
        return sum(each.rows(name) for each in folders for name in (BROWSE, TRANSACTIONS) if each.has(name))
