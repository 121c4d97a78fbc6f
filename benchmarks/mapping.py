"""Decoding of messages of a shop's own form with a mapping, against those of the platform's own form. Needs nothing.

    ./fraudctl bench mapping
    ./fraudctl bench mapping --messages 20000 --repeats 3

The same purchases in both forms: the shop's has other names, nested objects, seconds since 1970 and minor units. The
target is at most twice the time of our own form. Rounds alternate, and the fastest of each, in CPU time, counts.
"""

import argparse
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

from fraudstream.messages.contracts import Topic, iso_milliseconds
from fraudstream.messages.mapping.decoding import MappedDecoder
from fraudstream.messages.mapping.file import of
from fraudstream.messages.refusal import Rejection
from fraudstream.messages.validation import decode

START = datetime(2026, 3, 1, tzinfo=UTC)
MAPPING = {
    "source": {"kind": "transaction", "format": "json"},
    "fields": {
        "transaction_id": "order.id",
        "session_id": "order.session",
        "customer_id": "order.customer.id",
        "event_time": {"path": "order.created", "time": "epoch_ms"},
        "amount": {"path": "order.total", "unit": "minor"},
        "currency": {"path": "order.currency", "case": "upper"},
        "payment_method": {"path": "order.gateway", "map": {"visa": "card", "pp": "paypal"}},
        "card_token": "order.token",
        "promo_code": "order.coupon",
        "promo_amount": {"path": "order.discount", "default": 0},
        "shipping_fee": {"path": "order.shipping.fee", "default": 0},
        "shipping_city": "order.shipping.city",
        "shipping_country": "order.shipping.country",
        "shipping_latitude": "order.shipping.position[0]",
        "shipping_longitude": "order.shipping.position[1]",
        "ip_country": "order.ip_country",
        "device_id": "order.device",
    },
    "items": {
        "path": "order.lines",
        "product_id": "sku",
        "quantity": "count",
        "unit_price": {"path": "price", "unit": "minor"},
    },
}


def main() -> None:
    """Decodes both, and prints microseconds a message and their ratio."""
    arguments = _arguments()
    numbers = range(arguments.messages)
    own, shops = [_own(number) for number in numbers], [_shops(number) for number in numbers]
    keys = [f"c-{number % 1000}".encode() for number in numbers]
    now_ms = round(START.timestamp() * 1000) + arguments.messages * 1000
    decoder = MappedDecoder(of(MAPPING))

    def decode_own() -> None:
        for key, value in zip(keys, own, strict=True):
            _accepted(decode(Topic.TRANSACTIONS, key, value, now_ms, timedelta(minutes=5)))

    def decode_mapped() -> None:
        for value in shops:
            _accepted(decoder.decode(value))

    rounds = [(_seconds(decode_own), _seconds(decode_mapped)) for _ in range(arguments.repeats)]
    ours, mapped = (min(times) / arguments.messages * 1e6 for times in zip(*rounds, strict=True))
    print(f"own form {ours:.2f} µs a message, mapped {mapped:.2f} µs: {mapped / ours:.2f} times as long (target: 2)")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000, help="of each form (100000)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds (5)")
    return parser.parse_args()


def _seconds(work: Callable[[], None]) -> float:
    """CPU-seconds of it: what else runs on the machine counts less so."""
    started = time.process_time()
    work()
    return time.process_time() - started


def _accepted(event: object) -> None:
    if event is None or isinstance(event, Rejection):
        raise SystemExit(f"a message was refused, which makes the figures worthless: {event}")


def _own(number: int) -> bytes:
    return msgspec.json.encode(
        {
            "schema_version": 1,
            "transaction_id": f"t-{number}",
            "session_id": f"s-{number}",
            "customer_id": f"c-{number % 1000}",
            "event_time": iso_milliseconds(START + timedelta(seconds=number)),
            "amount": 59.97,
            "currency": "EUR",
            "items": [{"product_id": f"p-{line}", "quantity": 1, "unit_price": 19.99} for line in range(3)],
            "payment_method": "card",
            "card_token": f"tok_{number % 1000:x}",
            "promo_code": None,
            "promo_amount": 0,
            "shipping_fee": 4.9,
            "shipping_city": "Bern",
            "shipping_country": "CH",
            "shipping_latitude": 46.95,
            "shipping_longitude": 7.45,
            "ip_country": "CH",
            "device_id": f"d-{number % 1000}",
        }
    )


def _shops(number: int) -> bytes:
    shipping = {"fee": 4.9, "city": "Bern", "country": "CH", "position": [46.95, 7.45]}
    order = {
        "id": f"t-{number}",
        "session": f"s-{number}",
        "customer": {"id": f"c-{number % 1000}"},
        "created": round((START + timedelta(seconds=number)).timestamp() * 1000),
        "total": 5997,
        "currency": "eur",
        "lines": [{"sku": f"p-{line}", "count": 1, "price": 1999} for line in range(3)],
        "gateway": "visa",
        "token": f"tok_{number % 1000:x}",
        "coupon": None,
        "shipping": shipping,
        "ip_country": "CH",
        "device": f"d-{number % 1000}",
    }
    return msgspec.json.encode({"type": "order.paid", "order": order})


if __name__ == "__main__":
    main()
