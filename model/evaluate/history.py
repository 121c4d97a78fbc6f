"""A labelled history of transactions, from files of any of the usual forms."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.evaluate.columns import Column
from model.evaluate.files import HistoryFileError, read_table
from model.evaluate.mapping import OPTIONAL, Mapping

__all__ = ["History", "HistoryFileError", "read"]


@dataclass(frozen=True)
class History:
    """Labelled transactions in the order of time; of equal times, in the order of the file. One value a transaction.

    `times` are milliseconds since 1970 in UTC; customers and terminals are integers from 0; the amount's unit is the
    file's. `terminals` is None where the file has none. `remarks` say what the file lacks.
    """

    times: np.ndarray
    customers: np.ndarray
    terminals: np.ndarray | None
    amounts: np.ndarray
    frauds: np.ndarray
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.times)


def read(path: Path, mapping: Mapping) -> History:
    """Reads the columns that `mapping` or the well-known names say. Raises HistoryFileError or MappingError."""
    table = read_table(path, mapping)
    if not table.rows:
        raise HistoryFileError(f"{path} has no transaction")
    columns = {role: Column(table.names[role], values) for role, values in table.columns.items()}
    if "transaction_id" in columns:
        columns["transaction_id"].refuse_repeated(columns["transaction_id"].identifiers())
    times = columns["event_time"].times(mapping)
    order = np.argsort(times, kind="stable")
    return History(
        times=times[order],
        customers=columns["customer_id"].identifiers()[order],
        terminals=columns["terminal_id"].identifiers()[order] if "terminal_id" in columns else None,
        amounts=columns["amount"].numbers(mapping)[order],
        frauds=columns["is_fraud"].labels(mapping)[order],
        remarks=tuple(f"no column for {role}: {what}" for role, what in OPTIONAL.items() if role not in columns),
    )
