"""An export beside the books: what the ledger and the rollups say of all time, what retention deleted, and the rest."""

from decimal import Decimal

from fraudstream.export.manifest import Book, Exported
from fraudstream.export.reading import Postgres
from fraudstream.ledger import figures

_RETIRED = "SELECT table_name, figure, total FROM fraud.retired_totals"
_COUNTED = "SELECT coalesce(sum(amount), 0) FROM fraud.fraud_counts"


def books(connection: Postgres, exported: dict[str, Exported]) -> list[Book]:
    """The figures of an export of everything, compared. Raises psycopg.Error."""
    totals = figures.totals(connection)
    retired = {(table, figure): Decimal(total) for table, figure, total in connection.execute(_RETIRED)}
    ((windows,),) = connection.execute(_COUNTED).fetchall()
    amounts = Decimal(windows) + retired.get(("fraud_counts", "amount"), Decimal(0))
    lines = (
        ("transactions", totals.scored, exported["transactions"].rows, ("scored_transactions", "rows")),
        ("amounts", amounts, _sum(exported["transactions"], "shop_amount"), ("scored_transactions", "amount")),
        ("labels", totals.labels, exported["labels"].rows, ("transaction_labels", "rows")),
        ("dead letters", totals.dead_lettered, _sum(exported["dead_letters"], "messages"), ("dead_letters", "rows")),
    )
    return [
        Book(figure=figure, books=Decimal(counted), exported=Decimal(ours), retired=retired.get(key, Decimal(0)))
        for figure, counted, ours, key in lines
    ]


def _sum(exported: Exported, name: str) -> Decimal:
    return exported.sums.get(name, Decimal(0))
