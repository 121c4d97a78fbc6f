"""A bucket's state as rows of a snapshot, and back: the one place that knows both."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from spark_jobs import change_log
from spark_jobs.change_log import Encoded, Head, Stored, decode_head, decode_stored, encode_head, encode_stored


class Kept(NamedTuple):
    """A row of a snapshot (`fraudstream.snapshots.writing.SCHEMA`)."""

    customer_id: str
    expires_ms: int
    profile: bytes


def state_of(kept: Iterable[Kept]) -> tuple[bytes, list[bytes]]:
    """The state of a bucket with these customers, each once: the head of its log, encoded, and its chunks.

    Its clock stands at 0 until the next message: one that is behind only forgets silent customers later.
    """
    customers = {customer_id: encode_stored(Stored(expires_ms, profile)) for customer_id, expires_ms, profile in kept}
    head, chunks = change_log.whole(customers, 0)
    return encode_head(head), chunks


def kept_in(head: bytes, chunks: Sequence[bytes] | None) -> tuple[int, list[Kept]]:
    """A bucket's clock, milliseconds since the epoch, and its customers. Raises DamagedLogError."""
    decoded = decode_head(head)
    stored = ((customer, decode_stored(kept)) for customer, kept in customers_of(decoded, chunks).items())
    return decoded.clock_ms, [Kept(customer, kept.expires_ms, kept.profile) for customer, kept in stored]


def customers_of(head: Head, chunks: Sequence[bytes] | None) -> Encoded:
    """A bucket's customers with their encoded `Stored`. Raises DamagedLogError."""
    if head.customers:  # layout 2
        return {customer: encode_stored(stored) for customer, stored in head.customers.items()}
    return change_log.read(head, chunks or [])
