"""The log of changes in which a bucket's state is kept: a micro-batch appends the profiles that it changed.

A *chunk* is a MessagePack map of customers to `Stored`; of a customer in several chunks the last one counts. When more
was appended than the whole log began with, it is put whole again, without the customers whose time is over: so reading
it costs at most twice what the profiles do, and writing a profile once more than its changes.

The *token* is a hash of all chunks in their order. The head, a value of its own, holds it: it tells whether a copy of
the profiles elsewhere (`spark_jobs/profile_cache.py`) is of this state, and whether the log is what was written.
"""

from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

import msgspec

from fraudstream.errors import FraudstreamError

#: Below it, a log isn't put whole for what was appended: the profiles of a few customers would be, in each micro-batch.
LEAST_APPENDED_BYTES = 64 * 1024
_CHUNK_CUSTOMERS = 1_000
_TOKEN_BYTES = 16


class DamagedLogError(FraudstreamError):
    """A log of changes isn't the one that its head tells of."""


class Stored(msgspec.Struct, array_like=True, frozen=True):
    """A customer in a bucket's state. `expires_ms` is in milliseconds since the epoch."""

    expires_ms: int
    profile: bytes


class Head(msgspec.Struct, array_like=True, frozen=True):
    """What a bucket's state keeps beside its log.

    `clock_ms` is the newest time at which Kafka appended a message that the bucket has seen. `customers` is where
    layout 2 kept them all: empty since the first micro-batch in layout 3. Sizes are in bytes.
    `model.features.profile.STATE_LAYOUT` is of this encoding and the chunks', too.
    """

    clock_ms: int = 0
    customers: dict[str, Stored] = {}
    token: bytes = b""
    whole_bytes: int = 0
    appended_bytes: int = 0


decode_head = msgspec.msgpack.Decoder(Head).decode
encode_head = msgspec.msgpack.Encoder().encode
decode_stored = msgspec.msgpack.Decoder(Stored).decode
encode_stored = msgspec.msgpack.Encoder().encode
_decode_chunk = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode
_encode_chunk = msgspec.msgpack.Encoder().encode

#: Customers with their encoded `Stored`.
Encoded = Mapping[str, bytes]


class Change(NamedTuple):
    """What a micro-batch makes of a log: `chunks` are appended, or with `is_whole` all of it.

    `changed` are the customers that are another way than before, and `gone` those that are in it no more.
    """

    head: Head
    chunks: list[bytes]
    is_whole: bool
    changed: Encoded
    gone: frozenset[str] = frozenset()


def change(
    head: Head,
    known: Encoded,
    changed: Encoded,
    clock_ms: int,
    is_over: Callable[[bytes], bool],
    forgotten: frozenset[str] = frozenset(),
) -> Change:
    """The change of the log of `head`, with the customers `known`, into one in which some are `changed`.

    `is_over` is of an encoded `Stored` that may be left out. Of the `forgotten` only what is `changed` stays: for them
    the log is put whole, so that nothing of before is in it.
    """
    must_be_whole = bool(head.customers or forgotten)
    if not changed and not must_be_whole:
        return Change(msgspec.structs.replace(head, clock_ms=clock_ms), [], False, {})
    chunk = _chunk(changed)
    size = head.appended_bytes + len(chunk)
    if size <= max(head.whole_bytes, LEAST_APPENDED_BYTES) and not must_be_whole:
        return Change(Head(clock_ms, {}, _token([chunk], head.token), head.whole_bytes, size), [chunk], False, changed)
    everyone = {**known, **changed}
    over = {customer for customer, stored in everyone.items() if is_over(stored)}
    kept = {name: stored for name, stored in everyone.items() if name not in over | (forgotten - changed.keys())}
    new, chunks = whole(kept, clock_ms)
    changed = {customer: stored for customer, stored in changed.items() if customer in kept}
    return Change(new, chunks, True, changed, frozenset(everyone.keys() - kept.keys()))


def whole(customers: Encoded, clock_ms: int) -> tuple[Head, list[bytes]]:
    """A log that begins with all `customers`: its head and chunks."""
    entries = iter(customers.items())
    chunks = []
    while part := dict(islice(entries, _CHUNK_CUSTOMERS)):
        chunks.append(_chunk(part))
    return Head(clock_ms, {}, _token(chunks), sum(map(len, chunks))), chunks


def read(head: Head, chunks: Iterable[bytes]) -> dict[str, bytes]:
    """All customers of a log. Raises DamagedLogError when it isn't that of `head`."""
    chunks = list(chunks)
    if (token := _token(chunks)) != head.token:
        raise DamagedLogError(
            f"a bucket's log of changes is damaged: its hash is {token.hex()}, not {head.token.hex()}"
        )
    customers: dict[str, msgspec.Raw] = {}
    for chunk in chunks:
        customers |= _decode_chunk(chunk)
    return {customer: bytes(stored) for customer, stored in customers.items()}


def _chunk(customers: Encoded) -> bytes:
    return _encode_chunk({customer: msgspec.Raw(stored) for customer, stored in customers.items()})


def _token(chunks: Iterable[bytes], token: bytes = b"") -> bytes:
    for chunk in chunks:
        token = blake2b(chunk, digest_size=_TOKEN_BYTES, key=token).digest()
    return token
