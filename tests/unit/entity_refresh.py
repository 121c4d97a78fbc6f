"""The refresh of entity risk once more, plainly: for the tests that hold SQL, stream and training equal to it."""

from datetime import UTC, datetime, timedelta

import pandas as pd

from fraudstream.entities import WINDOW_DAYS, EntityType
from model.entity_risk import ENTITY_COLUMNS, EntityRisk

CATEGORIES = pd.Series({"p1": "audio", "p2": "audio", "p3": "books"})


def refreshed(transactions: pd.DataFrame, labels: pd.DataFrame, categories: pd.Series, as_of: datetime) -> EntityRisk:
    """What a refresh for `as_of` publishes, from the transactions and labels that were there by then."""
    midnight = as_of.replace(hour=0, minute=0, second=0, microsecond=0)
    times = transactions["event_time"]
    seen = transactions[(times >= midnight - timedelta(days=WINDOW_DAYS - 1)) & (times < as_of)]
    verdicts = {}
    for label in labels.sort_values("labelled_at", kind="stable").itertuples():
        if label.labelled_at < as_of:
            verdicts[label.transaction_id] = label.is_fraud
    uses = []
    for row in seen.itertuples():
        fraud = verdicts.get(row.Index, False)
        cell = f"{round(row.shipping_latitude * 10_000)}:{round(row.shipping_longitude * 10_000)}"
        entities = {(EntityType.DEVICE, row.device_id), (EntityType.SHIPPING_ADDRESS, cell)}
        entities |= {(EntityType.CARD_TOKEN, row.card_token)} if row.card_token else set()
        entities |= {
            (EntityType.CATEGORY, categories[item["product_id"]])
            for item in row.items_
            if item["product_id"] in categories.index
        }
        uses += [(kind.value, name, row.customer_id, fraud) for kind, name in entities]
    frame = pd.DataFrame(uses, columns=["entity_type", "entity_id", "customer_id", "fraud"])
    groups = frame.groupby(["entity_type", "entity_id"])
    counted = groups.agg(
        transactions=("fraud", "size"), frauds=("fraud", "sum"), customers=("customer_id", "nunique")
    ).reset_index()
    kept = counted[(counted["frauds"] > 0) | (counted["customers"] > 1)]
    frauds = sum(verdicts.get(identifier, False) for identifier in seen.index)
    return EntityRisk.from_frame(kept[list(ENTITY_COLUMNS)], 1, len(seen), frauds)


def with_items(transactions: pd.DataFrame) -> pd.DataFrame:
    """The same with a column `items_`, since `itertuples` has no place for one that is named like a method."""
    return transactions.assign(items_=transactions["items"])


def utc(milliseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(milliseconds))
