"""An embedded DuckDB that does nothing but answer conditions over one Arrow table at a time."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa

from fraudstream.policy.errors import ConditionError

if TYPE_CHECKING:
    from fraudstream.policy.conditions import Compiled

#: No file, no network, no extension, no Python variable; and nothing of this can be changed by what runs in it.
CONFIGURATION: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "memory_limit": "256MB",
    "max_temp_directory_size": "0B",
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
    "lock_configuration": True,
}
#: One SELECT may take so long. The work is a few milliseconds; a busy machine is no reason to switch a rule off.
TIMEOUT_SECONDS = 10.0
MAX_ERROR_LENGTH = 300
_BATCH = "batch"
_PREPARED = "asked"
#: After these the database serves nothing more.
_FATAL = (duckdb.FatalException, duckdb.InternalException, duckdb.OutOfMemoryException)


class _Batch:
    """The table that a prepared SELECT reads: another one each time, of the same columns."""

    table: pa.Table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


class Engine:
    """One connection, for one thread. `timeout` is in seconds, for one SELECT."""

    _prepared: tuple[pa.Schema, tuple[str, ...]] | None

    def __init__(self, timeout: float = TIMEOUT_SECONDS) -> None:
        self._timeout = timeout
        self._open()

    def matches(self, table: pa.Table, conditions: Sequence[str]) -> tuple[np.ndarray, dict[int, str]]:
        """Where each condition (compiled SQL) is true: bool [rows, conditions]; and what failed, by its number.

        Unknown is false. A condition that fails is false everywhere, and leaves the others as they are.
        """
        try:
            return self._together(table, conditions), {}
        except duckdb.Error:
            return self._one_by_one(table, conditions)

    def check(self, compiled: "Compiled", columns: Mapping[str, str]) -> None:
        """Raises ConditionError when DuckDB refuses the condition: of wrong types, or not true or false."""
        types = {name: ARROW_TYPES[columns[name]] for name in compiled.columns}
        types |= {membership.flag: pa.bool_() for membership in compiled.memberships} | {"row": pa.bool_()}
        unknown = pa.table({name: pa.nulls(1, type_) for name, type_ in types.items()})
        self._prepared = None
        self._connection.register(_BATCH, unknown)
        try:
            with self._limited():
                ((_, kind, *_),) = self._connection.execute(f"DESCRIBE SELECT ({compiled.sql}) FROM batch").fetchall()  # noqa: S608 (compiled)
                if kind == "BOOLEAN":
                    self._connection.execute(_select([compiled.sql])).fetchall()
        except duckdb.Error as error:
            raise ConditionError(f"the condition can't be evaluated: {told(error)}") from None
        finally:
            self._connection.unregister(_BATCH)
        if kind != "BOOLEAN":
            raise ConditionError(f"the condition must be true or false, and is {kind}: compare it with something")

    def _together(self, table: pa.Table, conditions: Sequence[str]) -> np.ndarray:
        with self._limited():
            self._prepare(table.schema, tuple(conditions))
            self._batch.table = table
            found = self._connection.execute(f"EXECUTE {_PREPARED}").fetchnumpy()
        return np.column_stack([np.asarray(column, bool) for column in found.values()])

    def _prepare(self, schema: pa.Schema, conditions: tuple[str, ...]) -> None:
        """Plans the SELECT of the conditions, once for as long as they are the same, over columns of the same types."""
        if self._prepared == (schema, conditions):
            return
        self._prepared = None
        self._batch.table = schema.empty_table()
        self._connection.register(_BATCH, self._batch)
        self._connection.execute(f"PREPARE {_PREPARED} AS {_select(conditions)}")
        self._prepared = schema, conditions

    def _one_by_one(self, table: pa.Table, conditions: Sequence[str]) -> tuple[np.ndarray, dict[int, str]]:
        """Each condition by itself, and on a database that is sound."""
        matches, failures = np.zeros((table.num_rows, len(conditions)), bool), {}
        self._reopen()
        for number, condition in enumerate(conditions):
            try:
                matches[:, number] = self._together(table, [condition])[:, 0]
            except duckdb.Error as error:
                failures[number] = told(error)
                if isinstance(error, _FATAL):
                    self._reopen()
        return matches, failures

    def _open(self) -> None:
        # The optimizer takes longer than a batch, and would have DuckDB plan what is prepared each time anew.
        self._connection = duckdb.connect(":memory:", config=CONFIGURATION | {"enable_optimizer": False})
        self._batch = _Batch()
        self._prepared = None

    def _reopen(self) -> None:
        self._connection.close()
        self._open()

    @contextmanager
    def _limited(self) -> Iterator[None]:
        timer = threading.Timer(self._timeout, self._connection.interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


#: The Arrow type of each type that a declared column may have.
ARROW_TYPES = {
    "VARCHAR": pa.string(),
    "DOUBLE": pa.float64(),
    "FLOAT": pa.float32(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("ms"),
}


def told(error: duckdb.Error) -> str:
    """The error's first line, without DuckDB's drawing of the place."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:MAX_ERROR_LENGTH]


def _select(conditions: Sequence[str]) -> str:
    # The line break ends whatever could be a comment.
    asked = ", ".join(f"coalesce(({condition}\n), false) AS c{number}" for number, condition in enumerate(conditions))
    return f"SELECT {asked} FROM {_BATCH}"  # noqa: S608 (compiled conditions)
