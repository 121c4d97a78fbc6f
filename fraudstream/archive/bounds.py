"""What the archive holds, as far as Delta's file statistics tell: first and last events, without reading the rows."""

from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable

from fraudstream.archive.lake import Table, open_table
from fraudstream.archive.reading import Period
from fraudstream.settings import Settings

_DAY = f"partition.{Table.TRANSACTIONS.day}"
_FIRST, _LAST = "min.event_time", "max.event_time"
_LOWEST, _HIGHEST = "min.model_version", "max.model_version"


def covered(settings: Settings) -> Period | None:
    """The period from the first to the last archived event; None when nothing is archived. Raises ArchiveError."""
    table = open_table(settings, Table.TRANSACTIONS)
    files = None if table is None else _files(table)
    if files is None or not files.num_rows:
        return None
    first, last = _aware(pc.min(files[_FIRST]).as_py()), _aware(pc.max(files[_LAST]).as_py())
    return Period(first, last.replace(microsecond=999_999))


def served_by(settings: Settings, version: str) -> tuple[datetime, datetime] | None:
    """Event times of the first and the last transaction that a model scored; None without one. Raises ArchiveError.

    Files of this model alone say it themselves. Of those that have others, too, around a promotion, only the days are
    read that could reach further.
    """
    table = open_table(settings, Table.TRANSACTIONS)
    if table is None:
        return None
    files = _files(table)
    files = files.filter(pc.and_(pc.less_equal(files[_LOWEST], version), pc.greater_equal(files[_HIGHEST], version)))
    is_alone = pc.equal(files[_LOWEST], files[_HIGHEST])
    alone, mixed = files.filter(is_alone), files.filter(pc.invert(is_alone))
    found = [_aware(moment) for name in (_FIRST, _LAST) for moment in alone[name].to_pylist()]
    days = {
        day
        for day, first, last in zip(*(mixed[name].to_pylist() for name in (_DAY, _FIRST, _LAST)), strict=True)
        if not found or _aware(first) < min(found) or _aware(last) > max(found)
    }
    if days:
        chosen = ds.field(Table.TRANSACTIONS.day).isin(list(days)) & (ds.field("model_version") == version)
        times = table.to_pyarrow_dataset().to_table(columns=["event_time"], filter=chosen)["event_time"]
        found += [_aware(moment) for moment in pc.min_max(times).as_py().values() if moment is not None]
    return (min(found), max(found)) if found else None


def _files(table: DeltaTable) -> pa.Table:
    files = pa.table(table.get_add_actions(flatten=True))
    return files.filter(pc.greater(files["num_records"], 0))


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
