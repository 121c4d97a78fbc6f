"""The rollups of a past, by the hour or the day: what the stream would hold of it after `apply_retention` thinned it.

A transaction is flagged when its newest label says fraud, since no model decided on it; its session's sales don't
count. Sums are of ten-thousandths of the shop currency, in whole numbers, so that their order doesn't matter.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from model.durations import HOUR_MS
from model.past.transactions import times_ms

#: So many units of what is added up are one of the shop currency: what `round(…, 4)` keeps in SQL.
PER_UNIT = 10_000
_HOUR = ["hour", "shop"]
_SEGMENT = [*_HOUR, "shipping_country", "payment_method", "decision"]
_PLACE = [*_HOUR, "shipping_country", "shipping_city"]
_PRODUCT = [*_HOUR, "product_id"]
_SEGMENT_PRODUCT = [*_SEGMENT, "product_id"]
Frames = dict[str, pd.DataFrame]


@dataclass
class Rollups:
    """The windows of each rollup, added up file by file."""

    frauds: pd.Index
    flagged_sessions: pd.MultiIndex  # (customer, session)
    shop: str  # of a transaction that names none
    last_day: int  # the past's last: the hour at which it begins, since 1970
    _parts: list[Frames] = field(default_factory=list)

    def add(self, table: pa.Table, rates: np.ndarray) -> None:
        """Adds the transactions of a file, each with its exchange rate."""
        rows = table.drop_columns(["items"]).to_pandas()
        rows["hour"] = times_ms(table) // HOUR_MS
        rows["flagged"] = rows["transaction_id"].isin(self.frauds)
        rows["unpriced"] = np.isnan(rates)
        rows["amount"] = _ten_thousandths(rows["amount"].to_numpy(), rates)
        rows["shop"] = rows["shop"].fillna(self.shop)
        session = pd.MultiIndex.from_frame(rows[["customer_id", "session_id"]])
        single = rows["session_id"].isna()  # a session by itself
        counted = ~np.where(single, rows["flagged"], session.isin(self.flagged_sessions))
        segments = rows.assign(**_segments(rows))
        by_day = segments.assign(hour=rows["hour"].where(rows["hour"] >= self.last_day, rows["hour"] // 24 * 24))
        self._parts.append(
            {
                "counts": _counts(rows, _HOUR),
                "segments": _counts(segments, _SEGMENT),
                "locations": _locations(rows),
                "sales": _sales(table, rows, rates, counted, _PRODUCT),
                "segment sales": _sales(table, by_day, rates, counted, _SEGMENT_PRODUCT),
            }
        )

    def windows(self) -> dict[str, pa.Table]:
        """The rows of each table by its name, with `hour` (since 1970) for the window, and money in PER_UNIT parts.

        Windows of `segment_sales`, which has their `seconds`, are days, and hours of the last day: the stream may go on
        in that.
        """
        counts, segments = self._summed("counts", _HOUR), self._summed("segments", _SEGMENT)
        places = self._summed("locations", _PLACE)
        for name in ("latitude", "longitude"):
            places[name] /= places["flagged"]
        sales, of_segments = self._summed("sales", _PRODUCT), self._summed("segment sales", _SEGMENT_PRODUCT)
        of_segments["seconds"] = np.where(of_segments["hour"] < self.last_day, 86_400, 3_600)
        named = {
            "fraud_counts": counts,
            "segment_counts": segments,
            "fraud_locations": places,
            "product_sales": sales,
            "segment_sales": of_segments,
        }
        return {name: pa.Table.from_pandas(frame, preserve_index=False) for name, frame in named.items()}

    def _summed(self, name: str, keys: list[str]) -> pd.DataFrame:
        return pd.concat([part[name] for part in self._parts]).groupby(keys, sort=True).sum().reset_index()


def flagged_sessions(tables: Iterable[pa.Table], frauds: pd.Index) -> pd.MultiIndex:
    """The sessions, of (customer, session), in which there was a fraud."""
    columns = ["customer_id", "session_id"]
    found = [pd.DataFrame(columns=columns)]
    for table in tables:
        rows = table.select(["transaction_id", *columns]).to_pandas()
        found.append(rows.loc[rows["transaction_id"].isin(frauds) & rows["session_id"].notna(), columns])
    return pd.MultiIndex.from_frame(pd.concat(found))


def _ten_thousandths(amounts: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """0 where no rate is known."""
    found: np.ndarray = np.rint(np.nan_to_num(amounts * rates) * PER_UNIT).astype(np.int64)
    return found


def _segments(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Columns that tell segments apart, as `segment_counts` has them: what was flagged counts as reviewed."""
    named = {name: rows[name].fillna("") for name in ("shipping_country", "payment_method")}
    return named | {"decision": rows["flagged"].map({True: "review", False: "allow"})}


def _counts(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    flagged = rows["flagged"]
    columns = {
        **{name: rows[name] for name in keys},
        "transactions": 1,
        "flagged": flagged.astype(np.int64),
        "amount": rows["amount"],
        "flagged_amount": rows["amount"].where(flagged, 0),
        "unpriced": rows["unpriced"].astype(np.int64),
        "flagged_unpriced": (rows["unpriced"] & flagged).astype(np.int64),
    }
    return pd.DataFrame(columns).groupby(keys).sum().reset_index()


def _locations(rows: pd.DataFrame) -> pd.DataFrame:
    """Latitude and longitude are sums here. What a map can't show is left out, as in SQL (`expressions.PLACED`)."""
    place = ["shipping_country", "shipping_city", "shipping_latitude", "shipping_longitude"]
    frauds = rows[rows["flagged"] & rows[place].notna().all(axis=1)]
    columns = {
        **{name: frauds[name] for name in _PLACE},
        "latitude": frauds["shipping_latitude"],
        "longitude": frauds["shipping_longitude"],
        "flagged": frauds["flagged"].astype(np.int64),
        "flagged_amount": frauds["amount"],
    }
    return pd.DataFrame(columns).groupby(_PLACE).sum().reset_index()


def _sales(
    table: pa.Table, rows: pd.DataFrame, rates: np.ndarray, counted: np.ndarray, keys: list[str]
) -> pd.DataFrame:
    items = table["items"].combine_chunks()
    row = np.repeat(np.arange(len(rows)), pc.fill_null(pc.list_value_length(items), 0).to_numpy())
    lines = items.flatten()
    quantity = lines.field("quantity").to_numpy().astype(np.int64)
    price = _ten_thousandths(lines.field("unit_price").to_numpy(), rates[row])
    columns = {
        **{name: rows[name].to_numpy()[row] for name in keys if name != "product_id"},
        "product_id": lines.field("product_id").to_numpy(zero_copy_only=False),
        "units": quantity,
        "revenue": quantity * price,
    }
    return pd.DataFrame(columns)[counted[row]].groupby(keys).sum().reset_index()
