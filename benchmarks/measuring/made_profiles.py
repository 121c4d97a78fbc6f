"""Customers who have bought before: their profiles are made and not sent, so that a large state is there in a minute.

    python -m benchmarks.measuring.made_profiles --customers 1000000 --purchases 20

Writes a snapshot of profiles of the simulated shop's customers, with which the stream's first checkpoint begins. Some
thousand different pasts are computed by the features' own code, and each customer has one of them.
"""

import argparse
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from fraudstream.ledger import gaps, rebuild
from fraudstream.messages.contracts import BROWSE_EVENT_TYPES, QUERY, SCHEMA_VERSION, BrowseEvent, Item, Transaction
from fraudstream.messages.mapping.sources import input_topics
from fraudstream.settings import Settings, load_settings
from fraudstream.settings.kafka import Role
from fraudstream.snapshots.manifest import Moment
from fraudstream.snapshots.writing import SCHEMA, write
from fraudstream.storage.connect import connect
from model.durations import DAY_MS
from model.features.observe import observe_browse, observe_transaction
from model.features.profile import PROFILE_LAYOUT, Profile, encode_profile

PASTS = 2_000
PAST_DAYS = 60
EVENTS_OF_A_SESSION = 8
_BATCH = 50_000
_CITIES = ((52.52, 13.41, "DE"), (48.86, 2.35, "FR"), (47.37, 8.54, "CH"), (51.51, -0.13, "GB"), (40.42, -3.70, "ES"))


def main() -> None:
    """Makes the snapshot, and has the stream begin with it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, required=True)
    parser.add_argument("--purchases", type=int, required=True, help="of each customer")
    arguments = parser.parse_args()
    begin_with(load_settings(), arguments.customers, arguments.purchases)


def begin_with(settings: Settings, customers: int, purchases: int) -> None:
    """Lets the stream's next checkpoint begin with `customers` of `purchases` each."""
    moment = Moment(
        layout=PROFILE_LAYOUT,
        made_by="made_profiles",
        shop_currency=settings.shop.currency,
        clock_ms=round(time.time() * 1000),
    )
    expires_ms = moment.clock_ms + settings.stream.customer_retention_days * DAY_MS
    snapshot = write(settings.paths.snapshots, "made", _batches(customers, purchases, expires_ms), moment)
    view = gaps.look(settings.kafka.as_role(Role.READER), input_topics(settings))
    with connect(settings, settings.postgres.writer, name="made_profiles") as connection:
        rebuild.apply(connection, QUERY, rebuild.plan(connection, view, lambda _: (snapshot, [])))


def _batches(customers: int, purchases: int, expires_ms: int) -> Iterator[pa.RecordBatch]:
    draw = random.Random(7)
    pasts = [encode_profile(_past(draw, purchases)) for _ in range(min(PASTS, customers))]
    for start in range(0, customers, _BATCH):
        names = [f"c-{number:07d}" for number in range(start, min(start + _BATCH, customers))]
        profiles = [draw.choice(pasts) for _ in names]
        yield pa.record_batch([names, [expires_ms] * len(names), profiles], schema=SCHEMA)


def _past(draw: random.Random, purchases: int) -> Profile:
    """A customer's profile after so many sessions that ended in a purchase, over PAST_DAYS."""
    profile = Profile()
    latitude, longitude, country = draw.choice(_CITIES)
    devices, cards = ([f"{kind}-{draw.getrandbits(40)}" for _ in range(3)] for kind in ("d", "k"))
    at = datetime.now(UTC) - timedelta(days=PAST_DAYS)
    for _ in range(purchases):
        at += timedelta(days=PAST_DAYS / (purchases + 1) * draw.uniform(0.6, 1.0))
        session, device = f"s-{draw.getrandbits(48)}", draw.choice(devices)
        for step in range(EVENTS_OF_A_SESSION):
            observe_browse(profile, _event(draw, session, device, at + timedelta(seconds=20 * step)))
        price = round(draw.uniform(5, 200), 2)
        purchase = Transaction(
            schema_version=SCHEMA_VERSION,
            transaction_id=f"tx-{draw.getrandbits(60)}",
            session_id=session,
            customer_id="c",
            event_time=at + timedelta(seconds=20 * EVENTS_OF_A_SESSION),
            amount=price,
            currency="EUR",
            items=[Item(product_id=f"p-{draw.randrange(1000):05d}", quantity=1, unit_price=price)],
            payment_method="card",
            card_token=draw.choice(cards),
            promo_code=None,
            promo_amount=0.0,
            shipping_fee=0.0,
            shipping_city="",
            shipping_country=country,
            shipping_latitude=latitude,
            shipping_longitude=longitude,
            ip_country=country,
            device_id=device,
        )
        observe_transaction(profile, purchase, 1.0)
    return profile


def _event(draw: random.Random, session: str, device: str, at: datetime) -> BrowseEvent:
    return BrowseEvent(
        schema_version=SCHEMA_VERSION,
        event_id="e",
        session_id=session,
        customer_id="c",
        event_type=draw.choice(BROWSE_EVENT_TYPES),
        event_time=at,
        product_id=f"p-{draw.randrange(1000):05d}",
        traffic_source="organic",
        device_id=device,
        device_type="mobile",
    )


if __name__ == "__main__":
    main()
