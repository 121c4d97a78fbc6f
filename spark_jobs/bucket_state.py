"""A bucket's state as rows of a snapshot, and back: the one place that knows both."""

from collections.abc import Iterable
from typing import NamedTuple

from spark_jobs.bucket import _decode_state, _encode_state, _State, _Stored


class Kept(NamedTuple):
    """A row of a snapshot (`fraudstream.snapshots.writing.SCHEMA`)."""

    customer_id: str
    expires_ms: int
    profile: bytes


def state_of(kept: Iterable[Kept]) -> bytes:
    """The state of a bucket with these customers, each once.

    Its clock stands at 0 until the next message: one that is behind only forgets silent customers later.
    """
    customers = {customer_id: _Stored(expires_ms, profile) for customer_id, expires_ms, profile in kept}
    return _encode_state(_State(0, customers))


def kept_in(state: bytes) -> tuple[int, list[Kept]]:
    """A bucket's clock, milliseconds since the epoch, and its customers."""
    decoded = _decode_state(state)
    stored = decoded.customers.items()
    return decoded.clock_ms, [Kept(customer_id, kept.expires_ms, kept.profile) for customer_id, kept in stored]
