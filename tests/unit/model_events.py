"""Events for the tests of features and model."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from fraudstream.messages.contracts import BROWSE_EVENT_TYPES, PAYMENT_METHODS, BrowseEvent, Item, Transaction

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(milliseconds=round(seconds * 1000))


def browse(seconds: float, event_type: str = "page_view", **fields: Any) -> BrowseEvent:
    values: dict[str, Any] = {
        "schema_version": 1,
        "event_id": f"e{seconds}",
        "session_id": "s1",
        "customer_id": "c1",
        "product_id": None,
        "traffic_source": "direct",
        "device_id": "phone",
        "device_type": "mobile",
    }
    return BrowseEvent(event_type=event_type, event_time=at(seconds), **(values | fields))


def purchase(seconds: float, **fields: Any) -> Transaction:
    values: dict[str, Any] = {
        "schema_version": 1,
        "transaction_id": f"t{seconds}",
        "session_id": "s1",
        "customer_id": "c1",
        "amount": 100.0,
        "currency": "EUR",
        "items": [Item(product_id="p1", quantity=1, unit_price=100.0)],
        "payment_method": "card",
        "card_token": "visa",
        "promo_code": None,
        "promo_amount": 0.0,
        "shipping_fee": 0.0,
        "shipping_city": "Berlin",
        "shipping_country": "DE",
        "shipping_latitude": 52.52,
        "shipping_longitude": 13.41,
        "ip_country": "DE",
        "device_id": "phone",
    }
    return Transaction(event_time=at(seconds), **(values | fields))


def random_events(seed: int, count: int) -> list[BrowseEvent | Transaction]:
    """Events of one customer in a haphazard order of time, with repeated transactions and more of all than is kept."""
    random = Random(seed)
    events: list[BrowseEvent | Transaction] = []
    clock = 0.0
    for _ in range(count):
        clock += random.choice([0.5, 20, 400, 4_000, 90_000])
        seconds = clock - random.choice([0, 0, 0, 5, 5_000])
        session = f"s{random.randrange(6)}"
        if random.random() < 0.6:
            product = random.choice([None, f"p{random.randrange(99)}"])
            kind = random.choice(BROWSE_EVENT_TYPES)
            events.append(browse(seconds, kind, session_id=session, product_id=product))
        else:
            events.append(
                purchase(
                    seconds,
                    transaction_id=f"t{random.randrange(count)}",
                    session_id=session,
                    amount=random.choice([0.004, 12.34, 99.99, 1e7]),
                    items=[
                        Item(product_id=f"p{random.randrange(99)}", quantity=random.randrange(1, 9), unit_price=9.99)
                        for _ in range(random.randrange(1, 4))
                    ],
                    payment_method=random.choice(PAYMENT_METHODS),
                    card_token=random.choice([None, f"card{random.randrange(20)}"]),
                    promo_code=random.choice([None, "TEN"]),
                    shipping_country=random.choice(["DE", "FR", "US"]),
                    shipping_latitude=random.uniform(-90, 90),
                    shipping_longitude=random.uniform(-180, 180),
                    device_id=f"device{random.randrange(12)}",
                )
            )
    return events
