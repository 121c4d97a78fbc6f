"""Purchases with entities, and the refresh of entity risk once more, plainly, for the tests of entity risk."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pandas as pd

from fraudstream.messages.mapping.fields import COORDINATES
from fraudstream.messages.places import on_city_grid
from fraudstream.static_data.entities import WINDOW_DAYS, EntityType
from model.features.entity_risk import ENTITY_COLUMNS, EntityRisk
from tests.unit.model_events import START

CATEGORIES = pd.Series({"p1": "audio", "p2": "audio", "p3": "books"})
#: Of one city and three addresses.
CITY = on_city_grid(52.52, 13.41)
PLACES = [(52.52, 13.41), (-0.00005, 13.41), (89.99994, 13.41), CITY]


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
        entities = {(EntityType.DEVICE, row.device_id)} if row.device_id else set()
        place = row.shipping_latitude, row.shipping_longitude
        if row.shipping_latitude == row.shipping_latitude and place != CITY:  # not NaN
            cell = f"{round(row.shipping_latitude * 10_000)}:{round(row.shipping_longitude * 10_000)}"
            entities.add((EntityType.SHIPPING_ADDRESS, cell))
        entities |= {(EntityType.CARD_TOKEN, row.card_token)} if row.card_token else set()
        entities |= {
            (EntityType.CATEGORY, categories[item["product_id"]])
            for item in (() if row.items_ is None else row.items_)
            if item["product_id"] in categories.index
        }
        uses += [(kind.value, name, row.customer_id, fraud) for kind, name in entities]
    frame = pd.DataFrame(uses, columns=["entity_type", "entity_id", "customer_id", "fraud"])
    groups = frame.groupby(["entity_type", "entity_id"])
    counted = groups.agg(
        transactions=("fraud", "size"), frauds=("fraud", "sum"), customers=("customer_id", "nunique")
    ).reset_index()
    kept = counted[(counted["frauds"] > 0) | (counted["customers"] > 1)].copy()
    known = dict.fromkeys(seen["customer_id"], 0)
    for row in seen.itertuples():
        known[row.customer_id] += verdicts.get(row.Index, False)
    of_customer = components(frame[frame["entity_type"] != EntityType.CATEGORY])
    tied = [
        None if kind == EntityType.CATEGORY else of_customer[groups.get_group((kind, name))["customer_id"].iloc[0]]
        for kind, name in zip(kept["entity_type"], kept["entity_id"], strict=True)
    ]
    kept["component_customers"] = [len(one) if one else None for one in tied]
    kept["component_frauds"] = [sum(known[customer] for customer in one) if one else None for one in tied]
    frauds = sum(verdicts.get(identifier, False) for identifier in seen.index)
    return EntityRisk.from_frame(kept[list(ENTITY_COLUMNS)], 1, len(seen), frauds)


def components(uses: pd.DataFrame) -> dict[str, set[str]]:
    """The component of each customer, of `uses` with entity_type, entity_id and customer_id; none is cut."""
    found = {customer: {customer} for customer in uses["customer_id"]}
    for _, customers in uses.groupby(["entity_type", "entity_id"])["customer_id"]:
        whole = set().union(*(found[customer] for customer in customers))
        found |= dict.fromkeys(whole, whole)
    return found


def with_items(transactions: pd.DataFrame) -> pd.DataFrame:
    """The same with a column `items_`, since `itertuples` has no place for one that is named like a method."""
    return transactions.assign(items_=transactions["items"])


def utc(milliseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(milliseconds))


def purchases(*rows: dict[str, Any]) -> pd.DataFrame:
    usual = {
        "event_time": START,
        "customer_id": "c1",
        "device_id": "shared",
        "card_token": "visa",
        "shipping_latitude": 52.52,
        "shipping_longitude": 13.41,
        "items": [{"product_id": "p1"}],
        "terminal_id": None,
        "amount": 10.0,
        "exchange_rate": 1.0,
    }
    frame = pd.DataFrame([usual | row for row in rows], index=[f"t{number}" for number in range(len(rows))])
    frame["event_time"] = pd.to_datetime(frame["event_time"], utc=True)
    frame["shop_amount"] = frame["amount"] * frame["exchange_rate"].astype(float)
    return frame


def labels(*rows: tuple[str, bool, Any]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["transaction_id", "is_fraud", "labelled_at"])
    frame["labelled_at"] = pd.to_datetime(frame["labelled_at"], utc=True)
    return frame


def random_history(seed: int, rows: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A few entities, used again and again over two months, with labels that come late, twice, and never."""
    random = Random(seed)
    transactions = purchases(
        *(
            {
                "event_time": START + timedelta(milliseconds=random.randrange(60 * 86_400_000)),
                "customer_id": f"c{random.randrange(6)}",
                "device_id": f"d{random.randrange(8)}",
                "card_token": random.choice([None, "visa", "amex", f"k{random.randrange(rows)}"]),
                **dict(zip(COORDINATES, random.choice(PLACES), strict=True)),
                "items": [{"product_id": f"p{random.randrange(1, 5)}"} for _ in range(random.randrange(1, 4))],
                "terminal_id": random.choice([None, "kiosk", "branch"]),
                "amount": round(random.lognormvariate(3, 1), 3),
                "exchange_rate": random.choice([1.0, 0.9235, None]),
            }
            for _ in range(rows)
        )
    )
    known = [
        (identifier, random.random() < 0.7, time + timedelta(milliseconds=random.randrange(20 * 86_400_000)))
        for identifier, time in transactions["event_time"].items()
        for _ in range(random.choice([0, 0, 1, 2, 3]))
    ]
    return transactions, labels(*known)
