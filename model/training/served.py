"""A history of what was served: features as the stream computed them, from the archive, with labels and truth.

Training on it needs no browsing event and no warm-up, and can't differ from what is scored. It lies in a history folder
of its own form: `served/part-*.parquet` beside `labels` and, on the simulator, `truth`.
"""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fraudstream.archive import bounds, reading
from fraudstream.archive.lake import FEATURE_PREFIX, Table, open_table
from fraudstream.archive.reading import Period
from fraudstream.messages.features import feature_set
from fraudstream.settings import Settings
from model.features.columns import FEATURE_NAMES, SERVED_COLUMNS
from model.training.dataset import Dataset, labels_of, outcomes
from model.training.history import LABELS, SERVED, HistoryFolder

#: The archive is filled hourly: so much of a period's end, or a quarter of it, may be missing.
LAG = timedelta(minutes=90)
#: Feature sets with all features of this code: as they are served now, and from before components were.
_WHOLE = {feature_set(names) for names in (SERVED_COLUMNS, FEATURE_NAMES)}
_PART_ROWS = 200_000
_ROWS = ("transaction_id", "customer_id", "event_time", "shop_amount")


def served_period(settings: Settings, since: datetime, until: datetime) -> Period | None:
    """The part of a period that the archive covers; None when it lacks its beginning, much of its end, or a feature."""
    archived = bounds.covered(settings)
    if archived is None or archived.since > since or archived.until <= since:
        return None
    if until - archived.until > max(LAG, (until - since) / 4):
        return None
    period = Period(since, min(until, archived.until))
    with reading.read(settings, period) as found:
        sets = {name for (name,) in found.project("feature_set").distinct().fetchall()}
    return period if sets and sets <= _WHOLE else None


def write_served(settings: Settings, period: Period, out: Path, labelled_by: datetime | None = None) -> dict[str, int]:
    """Writes the period's transactions and all labels of now, or those made by `labelled_by`, into `out`.

    Returns how many of each.
    """
    (out / SERVED).mkdir(parents=True)
    features = [f'"{FEATURE_PREFIX}{name}"' for name in FEATURE_NAMES]
    rows = 0
    with reading.read(settings, period) as found:
        chosen = found.order("event_time, transaction_id").project(", ".join((*_ROWS, *features)))
        for number, batch in enumerate(chosen.to_arrow_reader(_PART_ROWS)):
            pq.write_table(pa.Table.from_batches([batch]), out / SERVED / f"part-{number:05d}.parquet")
            rows += batch.num_rows
    (out / LABELS).mkdir()
    table = open_table(settings, Table.LABELS)
    labels = table.to_pyarrow_table(columns=["transaction_id", "labelled_at", "is_fraud"]) if table else _NO_LABELS
    if labelled_by:
        labels = labels.filter(pc.less_equal(labels["labelled_at"], pa.scalar(labelled_by, labels["labelled_at"].type)))
    pq.write_table(labels.sort_by("labelled_at"), out / LABELS / "part-00000.parquet")
    return {"transactions": rows, LABELS: labels.num_rows}


_NO_LABELS = pa.schema(
    [("transaction_id", pa.string()), ("labelled_at", pa.timestamp("us", "UTC")), ("is_fraud", pa.bool_())]
).empty_table()


def served_dataset(folder: HistoryFolder) -> Dataset:
    """The dataset of a folder that `write_served` wrote. Raises HistoryError when there is none."""
    rows = folder.table(SERVED).drop_duplicates("transaction_id").set_index("transaction_id")
    rows = rows.sort_values("event_time", kind="stable")
    features = rows[[f"{FEATURE_PREFIX}{name}" for name in FEATURE_NAMES]].to_numpy(np.float64)
    labels = labels_of(folder)
    told = outcomes(folder, rows[["customer_id", "event_time", "shop_amount"]], labels)
    return Dataset(told, features, not folder.has("truth"), labels[labels["transaction_id"].isin(told.index)])
