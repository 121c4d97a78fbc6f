"""The architecture's picture, with every Dag of dags/ above what it acts on."""

from itertools import zip_longest

from fraudstream.docs.dags import Dag, dags

#: Tags of the Dags that send to Kafka, and of the one that keeps the stream running. The others act on Postgres.
SENDING = frozenset({"producer", "dead-letters"})
RUNNING = frozenset({"spark"})
MARGIN = " " * 12
COLUMNS = (21, 26, 21)
TITLE = " Airflow (dags/, plugins/) "

_BELOW = """\
                     ▼ send                ▼ keeps running            ▼ fill, compare, train
 shop events ──► Kafka: browse-events ──┐                        Postgres, schema fraud
 (simulator,            transactions  ──┼─► spark_jobs ────────►  scored_transactions, fraud_alerts, rollups,
  replay, real)   transaction-labels  ──┘   score_transactions    dead_letters, the ledger ────► Superset
                                                 │
                                                 └──────────────► Kafka: scored-transactions, fraud-alerts,
                                                                  top-products, dead-letters, transaction-features
"""


def picture() -> str:
    """The picture, as a block of code in Markdown."""
    return "\n".join(["```", *_box(dags()), _BELOW + "```"])


def _box(found: list[Dag]) -> list[str]:
    """Airflow's box: a column a target, and an arrow down from each."""
    columns: tuple[list[str], ...] = ([], [], [])
    for dag in found:
        columns[_column(dag)].append(dag.dag_id)
    rows = [
        " ".join(name.ljust(width) for name, width in zip(row, COLUMNS, strict=True))
        for row in zip_longest(*columns, fillvalue="")
    ]
    width = max(map(len, rows)) + 4
    arrows = list("─" * width)
    for start in (8, 30, 57):
        arrows[start] = "┬"
    return [
        f"{MARGIN}┌{TITLE.center(width, '─')}┐",
        *(f"{MARGIN}│  {row.ljust(width - 4)}  │" for row in rows),
        f"{MARGIN}└{''.join(arrows)}┘",
    ]


def _column(dag: Dag) -> int:
    tags = set(dag.tags)
    return 0 if tags & SENDING else 1 if tags & RUNNING else 2
