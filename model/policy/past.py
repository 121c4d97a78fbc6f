"""Past transactions for `rules test` and `rules backtest`: from Postgres, and from the archive."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from fraudstream.archive import bounds, reading
from fraudstream.archive.lake import ArchiveError
from fraudstream.archive.reading import Period
from fraudstream.policy import backtest as backtests
from fraudstream.policy import lists, versions
from fraudstream.policy.backtest import Question, Report
from fraudstream.policy.columns import TRANSACTION_COLUMNS
from fraudstream.policy.conditions import Compiled, compile_condition
from fraudstream.policy.document import Rule, State
from fraudstream.policy.engine import ARROW_TYPES, Engine
from fraudstream.policy.errors import ConditionError, PolicyError
from fraudstream.policy.past_decisions import Entry
from fraudstream.settings import Settings
from fraudstream.static_data.entities import sql_address_cell
from fraudstream.storage.connect import Postgres
from model.policy.columns import COLUMNS

NEWEST = 10_000
#: Where Postgres has a column of conditions in another form.
_SPECIAL = {
    "event_time": "(event_time AT TIME ZONE 'UTC')",
    "address_cell": f"({sql_address_cell()})",
    "score": "fraud_score",
}
#: The columns of conditions that fraud.scored_transactions has, as SQL.
FIELDS: dict[str, str] = {
    name: _SPECIAL.get(name, f"{name}::float8" if kind == "DOUBLE" else name)
    for name, kind in TRANSACTION_COLUMNS.items()
} | {"amount": "round(amount * exchange_rate, 4)::float8"}
#: In the archive features have this prefix, since some have the names of a transaction's fields.
FEATURE_PREFIX = "f_"
#: Columns that are read of the archive whatever is asked.
_JOINED = ("transaction_id", "labelled_fraud")
_ENTRIES = """
SELECT list_name, value, added_at, least(removed_at, expires_at)
FROM fraud.list_entries WHERE list_name = ANY(%s)
"""
_NAIVE_ENTRIES = """
SELECT list_name, value, added_at AT TIME ZONE 'UTC', least(removed_at, expires_at) AT TIME ZONE 'UTC'
FROM fraud.list_entries WHERE list_name = ANY(%s)
"""
_LABELS = """
SELECT DISTINCT ON (transaction_id) transaction_id, is_fraud FROM fraud.transaction_labels
ORDER BY transaction_id, labelled_at DESC, label_id DESC
"""


def try_on_newest(connection: Postgres, compiled: Compiled) -> tuple[int, int]:
    """On how many of the newest transactions a condition was tried, and on how many it is true, lists as they are.

    All its columns must be in `FIELDS`. Raises ConditionError when it fails on one.
    """
    names = sorted({*compiled.columns, *(membership.column for membership in compiled.memberships)})
    asked = ", ".join(f"{FIELDS[name]} AS {name}" for name in names) or "true AS row"
    query = f"SELECT {asked} FROM fraud.scored_transactions ORDER BY event_time DESC LIMIT {NEWEST}"  # noqa: S608 (constants)
    rows = connection.execute(query.encode()).fetchall()
    columns: list[Any] = list(zip(*rows, strict=True)) or [[] for _ in names]
    table = pa.table(
        {name: pa.array(list(column), ARROW_TYPES[COLUMNS[name]]) for name, column in zip(names, columns, strict=False)}
        or {"row": pa.nulls(len(rows))}
    )
    for membership in compiled.memberships:
        held = {entry.value for entry in lists.entries(connection, membership.list_name, limit=10_000_000)}
        values = table[membership.column].to_pylist()
        flags = pa.array((None if value is None else value in held for value in values), pa.bool_(), size=len(values))
        table = table.append_column(membership.flag, flags)
    matches, failures = Engine().matches(table, [compiled.sql])
    if failures:
        raise ConditionError(f"the condition fails on one of the newest transactions: {failures[0]}")
    return len(rows), int(np.count_nonzero(matches))


def question(connection: Postgres, compiled: Compiled, rule: Rule, mature: timedelta) -> Question:
    """The question what `rule` would have done beside the rules that are live now."""
    kinds = lists.kinds(connection)
    live = {
        other.name: compile_condition(other.condition, COLUMNS, kinds)
        for other in versions.at_work(connection).policy.rules
        if other.state is State.LIVE and other.name != rule.name
    }
    return Question(compiled, rule.action, mature, live)


def backtest(connection: Postgres, archive: Path | Settings, asked: Question, days: int) -> Report:
    """Answers `asked` from the newest `days` of an archive: a folder of Parquet files, or the platform's own.

    Raises PolicyError when that has not what is needed, ArchiveError when nothing is archived yet.
    """
    naive = connection.execute(_NAIVE_ENTRIES, (sorted(asked.lists()),)).fetchall()
    labels = connection.execute(_LABELS).fetchall()
    ids, verdicts = [row[0] for row in labels], [row[1] for row in labels]
    known = pa.table({"transaction_id": pa.array(ids, pa.string()), "fraud": pa.array(verdicts, pa.bool_())})
    if isinstance(archive, Path):
        table = read_archive(archive, asked.columns(), known, days)
    else:
        table = read_own(archive, asked.columns(), known, days)
    return backtests.run(table, backtests.entries_table(naive), asked)


def entries(connection: Postgres, names: list[str]) -> list[Entry]:
    """All entries that the lists `names` ever had. Raises psycopg.Error."""
    return connection.execute(_ENTRIES, (names,)).fetchall() if names else []


def read_archive(archive: Path, columns: set[str], labels: pa.Table, days: int) -> pa.Table:
    """The newest `days` of the archive's transactions as a backtest needs them. `labels`: transaction_id, fraud."""
    try:
        dataset = ds.dataset(archive, format="parquet", partitioning="hive", exclude_invalid_files=True)
    except (OSError, pa.ArrowInvalid) as error:
        raise PolicyError(f"the archive {archive} can't be read: {error}") from None
    wanted = of_archive(_with_always(columns), set(dataset.schema.names), str(archive))
    with backtests.database() as database:
        database.register("archived", dataset)
        database.register("labels", labels)
        return database.sql(
            f"SELECT {_asked(wanted)}, l.fraud FROM archived a LEFT JOIN labels l USING (transaction_id) "  # noqa: S608 (declared)
            f"WHERE a.event_time >= (SELECT max(event_time) FROM archived) - to_days({days})"
        ).to_arrow_table()


def read_own(settings: Settings, columns: set[str], labels: pa.Table, days: int) -> pa.Table:
    """The same of the platform's own archive. Of transactions that `labels` hasn't, the archive's labels count."""
    period = bounds.covered(settings)
    if period is None:
        raise ArchiveError("nothing is archived yet: the Dag archive_transactions runs each hour")
    end = period.until + timedelta(seconds=1)
    with reading.read(settings, Period(max(period.since, end - timedelta(days=days)), end)) as archived:
        wanted = of_archive(_with_always(columns), set(archived.columns), settings.archive_url)
        sources = dict.fromkeys([*_JOINED, *_sources(wanted)])
        table = archived.select(*(f'"{name}"' for name in sources)).to_arrow_table()
    with backtests.database() as database:
        database.register("archived", table)
        database.register("labels", labels)
        return database.sql(
            f"SELECT {_asked(wanted)}, coalesce(l.fraud, a.labelled_fraud) AS fraud "  # noqa: S608 (declared)
            "FROM archived a LEFT JOIN labels l USING (transaction_id)"
        ).to_arrow_table()


def _with_always(columns: set[str]) -> list[str]:
    return sorted({*columns, *backtests.ALWAYS} - {"fraud"})


def of_archive(columns: list[str], held: set[str], archive: str) -> dict[str, tuple[str, str]]:
    """For each of `columns` of conditions its source among `held`, and the SQL that makes it of a relation `a`.

    Raises PolicyError when `archive` lacks one.
    """
    wanted = {name: _of_archive(name) for name in columns}
    if missing := sorted(source for source in _sources(wanted) if source not in held):
        raise PolicyError(f"the archive {archive} has no column {', '.join(missing)}")
    return wanted


def _sources(wanted: dict[str, tuple[str, str]]) -> list[str]:
    found = [source for source, _ in wanted.values()]
    return [*found, "shipping_longitude"] if "shipping_latitude" in found else found


def _asked(wanted: dict[str, tuple[str, str]]) -> str:
    return ", ".join(f'{sql} AS "{name}"' for name, (_, sql) in wanted.items())


def _of_archive(name: str) -> tuple[str, str]:
    """A column of the archive, and the SQL that makes the column `name` of it."""
    if name in _OF_ARCHIVE:
        return _OF_ARCHIVE[name]
    if name in TRANSACTION_COLUMNS:
        return name, f'a."{name}"'
    column = f'a."{FEATURE_PREFIX}{name}"'
    return f"{FEATURE_PREFIX}{name}", f"CASE WHEN isnan({column}) THEN NULL ELSE {column} END"


_OF_ARCHIVE = {
    "score": ("fraud_score", "a.fraud_score"),
    "money": ("shop_amount", "a.shop_amount"),
    "event_time": ("event_time", "make_timestamp(epoch_us(a.event_time))"),  # without its zone, UTC
    "address_cell": ("shipping_latitude", sql_address_cell("a.")),
}
