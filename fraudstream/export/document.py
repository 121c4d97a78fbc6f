"""The page of the export's form, docs/export.md: every dataset's columns, as the files have them."""

from collections.abc import Iterator

import pyarrow as pa

from fraudstream.export.datasets import DATASETS, Dataset
from fraudstream.export.manifest import SCHEMA_VERSION

HEADER = f"""\
# Leaving, with everything

Written by `python -m fraudstream.docs` from `fraudstream/export/`. `./fraudctl history export FOLDER` gives everything
back as Parquet files, which DuckDB, pandas, Spark and most databases read:

```
./fraudctl history export /exports/fraudstream
./fraudctl history export /exports/2026 --since 2026-01-01 --until 2027-01-01
```

The platform may run meanwhile: all files are of one moment. With `--since` and `--until`, which are days in UTC, each
dataset is cut by its own time. What the folder holds is customers' data, and only its owner can enter it.

## The folder

- **A file a day**: `transactions/part-2026-03-01.parquet` has the transactions of that event day (UTC), sorted by time.
  A day without rows has no file. Each dataset's time is named below.
- **`manifest.json`**: schema version ({SCHEMA_VERSION}), whose data it is, and of each file its day, rows, sums, bytes
  and SHA-256. `complete` is false while an export runs, and after one that was interrupted.
- **The books**: of an export of everything, the manifest compares transactions, amounts, labels and dead letters with
  the ledger and the rollups, less what retention deleted. A difference is told, and nothing is left out for it.
- **One platform, one period**: an export of another platform, or with another `--since` or `--until`, is refused there.
  A restored database counts as another platform.
- **The same command again** goes on where an interrupted export was, and renews a finished one: days that changed are
  written, others kept to the byte, and files of days that retention emptied are deleted. To keep those, choose a new
  folder each time.

What isn't in it: browsing events, which the platform doesn't store, and dead letters' own bytes. The features that
transactions were scored with lie in the [archive](archive.md), which is Parquet, too; models in `var/models`.

## Back again

The folder is a history in the platform's own form, so that another platform begins with it, and a model learns from it:

```
./fraudctl history import /exports/fraudstream
./fraudctl train --history /exports/fraudstream --out my-model
```

With the mappings that ship it is a shop's own files, for all commands that take those:

```
./fraudctl history import /exports/fraudstream/transactions --mapping examples/export/transactions.toml \\
    --labels /exports/fraudstream/labels --labels-mapping examples/export/labels.toml
```

## Types

Times are in UTC, to the microsecond. Money in a transaction's currency is the very number that was sent; what the books
add up, in the shop currency, is an exact decimal with four digits. What isn't known is null.
"""


def export_document() -> str:
    """The page, in Markdown."""
    return "\n".join([HEADER, *(line for dataset in DATASETS for line in _section(dataset))])


def _section(dataset: Dataset) -> Iterator[str]:
    summed = f" Summed in the manifest: {', '.join(f'`{name}`' for name in dataset.sums)}." if dataset.sums else ""
    yield from (f"## {dataset.name}", "", f"{dataset.told}. By the day of `{dataset.time}`.{summed}", "")
    yield from ("| column | type | what |", "| --- | --- | --- |")
    for column in dataset.columns:
        yield f"| `{column.name}` | {_type(column.type)} | {column.told.replace('|', chr(92) + '|')} |"
    yield ""


def _type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        inner = kind.value_type
        return f"list of {{{', '.join(inner.names)}}}" if pa.types.is_struct(inner) else f"list of {inner}"
    return "time" if pa.types.is_timestamp(kind) else str(kind)
