"""Messages of a shop's own form on the stream's workers, against those of the platform's own form. Needs nothing.

    ./fraudctl bench mapping
    ./fraudctl bench mapping --messages 20000 --repeats 3

The same purchases in both forms: the shop's has other names, nested objects, milliseconds since 1970 and minor units.
Our own form is decoded once, in the stage of the profiles; a shop's is mapped before, and handed over in our form. All
that a worker does for that counts: from Kafka's bytes to an event, and to the features of the purchase. The target is
at most twice the time of our own form. Rounds alternate, and the fastest of each, in CPU time, counts.
"""

import argparse
import gc
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import msgspec
import pyarrow as pa

from benchmarks.measuring.shop_form import MAPPINGS, ORDERS
from fraudstream.mappings.suggest import to_toml
from fraudstream.messages.contracts import Topic, iso_milliseconds
from fraudstream.messages.mapping.fields import Kind
from fraudstream.messages.mapping.live import event_of
from fraudstream.messages.mapping.sources import LiveSource
from fraudstream.messages.refusal import Rejection
from fraudstream.messages.validation import decode
from fraudstream.static_data.currencies import CurrencyRates
from model.durations import DAY_MS
from spark_jobs.bucket import Bucket, Limits, Message
from spark_jobs.bucket import Kind as OutcomeKind
from spark_jobs.mapped_messages import _GIVEN, _create_mapping

LIMITS = Limits(
    timedelta(minutes=5),
    allowed_lateness_ms=60_000,
    customer_retention_ms=400 * DAY_MS,
    visitor_retention_ms=30 * DAY_MS,
    ingest_skew_ms=DAY_MS,
    resume={},
)
BATCH_ROWS = 10_000
START = datetime(2026, 3, 1, tzinfo=UTC)


def main() -> None:
    """Does it with both, and prints microseconds a message and their ratio."""
    arguments = _arguments()
    numbers = range(arguments.messages)
    own = _own_messages(numbers)
    given = _batches([_shops(number) for number in numbers], own[0].ingest_ms)
    source = LiveSource(ORDERS, Kind.TRANSACTION, Path("orders.toml"), to_toml(MAPPINGS[ORDERS]))
    map_batch = _create_mapping([source], LIMITS.max_future)

    def decode_own() -> None:
        for _, _, _, ingest_ms, key, value, *_ in own:
            _accepted(decode(Topic.TRANSACTIONS, key, value, ingest_ms, LIMITS.max_future))

    def decode_mapped() -> None:
        for message in _mapped(map_batch, given):
            _accepted(event_of(message.fate or "", message.value, message.detail))

    gc.freeze()
    gc.disable()  # as on the workers, which collect after a task
    _compare("to an event", arguments.repeats, len(own), decode_own, decode_mapped)
    _compare(
        "to features and profiles",
        arguments.repeats,
        len(own),
        lambda: _profiled(own),
        lambda: _profiled(_mapped(map_batch, given)),
    )


def _compare(what: str, repeats: int, messages: int, own: Callable[[], None], mapped: Callable[[], None]) -> None:
    rounds = [(_seconds(own), _seconds(mapped)) for _ in range(repeats)]
    ours, shops = (min(times) / messages * 1e6 for times in zip(*rounds, strict=True))
    print(f"{what}: own form {ours:.2f} µs a message, mapped {shops:.2f} µs: {shops / ours:.2f} times (target: 2)")


def _profiled(messages: Iterable[Message]) -> None:
    """One bucket of customers whom nobody has met takes them."""
    for outcome in Bucket({}, 0, LIMITS, CurrencyRates("EUR")).handle(messages):
        if outcome.kind != OutcomeKind.TRANSACTION:
            raise SystemExit(f"a message became {outcome.kind}, which makes the figures worthless: {outcome.detail}")


def _mapped(map_batch: Callable[[pa.Array], pa.Array], given: list[pa.Array]) -> Iterator[Message]:
    """The messages as the stage of the profiles gets them."""
    offsets = count()
    for batch in given:
        mapped, ingest_ms = map_batch(batch), batch.field("ingest_ms")[0].as_py()
        columns = (mapped.field(name).to_pylist() for name in ("key", "value", "fate", "detail"))
        for key, value, fate, detail in zip(*columns, strict=True):
            yield Message(ORDERS, 0, next(offsets), ingest_ms, key, value, None, True, fate, detail)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000, help="of each form (100000)")
    parser.add_argument("--repeats", type=int, default=5, help="rounds (5)")
    return parser.parse_args()


def _own_messages(numbers: range) -> list[Message]:
    ingest_ms = round((START + timedelta(seconds=len(numbers))).timestamp() * 1000)
    return [
        Message(Topic.TRANSACTIONS, 0, number, ingest_ms, f"c-{number % 1000}".encode(), _own(number))
        for number in numbers
    ]


def _batches(values: list[bytes], ingest_ms: int) -> list[pa.Array]:
    """As Spark hands them over."""
    rows = [dict(zip(_GIVEN, (ORDERS, None, value, len(value), ingest_ms), strict=True)) for value in values]
    kinds = (pa.string(), pa.binary(), pa.binary(), pa.int32(), pa.int64())
    kind = pa.struct(list(zip(_GIVEN, kinds, strict=True)))
    return [pa.array(rows[place : place + BATCH_ROWS], kind) for place in range(0, len(rows), BATCH_ROWS)]


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
