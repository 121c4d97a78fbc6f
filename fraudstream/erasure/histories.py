"""Histories in files without the erased: an imported past, the simulated shop's, what was collected for training."""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fraudstream.failpoints import Failpoint, reach
from fraudstream.settings import Settings

#: Whether what a customer did at a time is of the erased; a time of None: whatever it was.
IsErased = Callable[[str, datetime | None], bool]

_TIME = "event_time"
_CUSTOMER, _TRANSACTION = "customer_id", "transaction_id"
_DRAFT = ".erasing-"


def erase(settings: Settings, is_erased: IsErased) -> int:
    """Takes the rows of the erased out of all Parquet files of the platform's histories; how many it were."""
    paths = settings.paths
    return sum(erase_in(root, is_erased) for root in (paths.past, paths.mapped, paths.training))


def erase_in(root: Path, is_erased: IsErased) -> int:
    """Takes the rows of the erased out of all Parquet files below a folder; how many it were.

    Labels, which name a transaction only, go before the transactions that say whose they are.
    """
    rows = 0
    found = sorted(root.rglob("*.parquet")) if root.is_dir() else []
    files = [file for file in found if not file.name.startswith(_DRAFT)]
    for draft in set(found).difference(files):  # of a run that was killed
        draft.unlink()
    columns = {file: set(pq.read_schema(file).names) for file in files}
    ids = {name for file in files if {_CUSTOMER, _TRANSACTION} <= columns[file] for name in _ids(file, is_erased)}
    for file in files:
        if _CUSTOMER not in columns[file] and _TRANSACTION in columns[file]:
            rows += _rewrite(file, [name not in ids for name in _column(file, _TRANSACTION)])
    for file in files:
        if _CUSTOMER in columns[file]:
            rows += _rewrite(file, [not gone for gone in _erased(file, is_erased)])
    return rows


def _ids(file: Path, is_erased: IsErased) -> Iterator[str]:
    gone = _erased(file, is_erased)
    return (name for name, is_gone in zip(_column(file, _TRANSACTION), gone, strict=True) if is_gone)


def _erased(file: Path, is_erased: IsErased) -> list[bool]:
    customers = _column(file, _CUSTOMER)
    times = _column(file, _TIME) if _TIME in pq.read_schema(file).names else [None] * len(customers)
    return [name is not None and is_erased(name, at) for name, at in zip(customers, times, strict=True)]


def _column(file: Path, name: str) -> list[Any]:
    values: list[Any] = pq.read_table(file, columns=[name])[name].to_pylist()
    return values


def _rewrite(file: Path, keep: list[bool]) -> int:
    gone = len(keep) - sum(keep)
    if gone:
        draft = file.with_name(f"{_DRAFT}{file.name}")
        pq.write_table(pq.read_table(file).filter(pa.array(keep)), draft, compression="zstd")
        draft.chmod(file.stat().st_mode & 0o777)
        reach(Failpoint.IN_ERASURE_HISTORIES)
        draft.replace(file)
    return gone
