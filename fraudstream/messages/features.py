"""The messages of the topic `transaction-features`: what a transaction was scored with, in a compact form.

A value is a MessagePack array, in the order of `FeatureRecord`'s fields. `features` holds a float32 (little-endian, an
unknown value is NaN) for each feature of the **feature set**, in its order; `feature_set` is the hash of their names,
which fraud.feature_sets spells out. Key: `transaction_id`. With 125 columns a message has about 650 bytes.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from struct import Struct as Layout

import msgspec
import numpy as np

#: The version that this code reads and writes, each message's first element.
FEATURE_RECORD_VERSION = 1
#: Features as they are sent and archived.
FEATURE_TYPE = np.dtype("<f4")
#: A block of features begins with the bytes of a transaction's; before each stand its partition and offset.
_WIDTH, _PLACE = Layout("<i"), Layout("<iq")


class FeatureRecord(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A scored transaction with its features. New fields are added at the end, with a default."""

    version: int
    transaction_id: str
    event_time_us: int
    """Microseconds since the epoch."""
    batch_id: int
    model_version: str
    policy_version: str | None
    """None where no policy decided: the model's threshold alone did."""
    feature_set: str
    fraud_score: float
    challenger_version: str | None
    challenger_score: float | None
    features: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(FeatureRecord).decode
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def encode_features(record: FeatureRecord) -> bytes:
    """A message's value."""
    return _encode(record)


def decode_features(value: bytes) -> FeatureRecord:
    """The record of a message's value. Raises msgspec.ValidationError for one of another version or form."""
    record = _decode(value)
    if record.version != FEATURE_RECORD_VERSION:
        raise msgspec.ValidationError(
            f"a record of version {record.version}, and this code reads {FEATURE_RECORD_VERSION}: update the reader"
        )
    return record


def feature_set(names: Sequence[str]) -> str:
    """The name of a feature set: 16 hexadecimal digits of the SHA-256 of its features' names in their order."""
    return sha256("\n".join(names).encode()).hexdigest()[:16]


def microseconds(moment: datetime) -> int:
    """Microseconds from the epoch to `moment`, exactly."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def pack(features: np.ndarray) -> list[bytes]:
    """The features of each row of `features`, float [n, features], as a message has them."""
    rows = np.ascontiguousarray(features, FEATURE_TYPE)
    return [row.tobytes() for row in rows]


def unpack(packed: Iterable[bytes], width: int) -> np.ndarray:
    """float32 [n, width] of what `pack` returned. Raises ValueError when a row isn't of `width` features."""
    joined = np.frombuffer(b"".join(packed), FEATURE_TYPE)
    return joined.reshape(-1, width)


def place_number(topics: Sequence[str], topic: str, partition: int) -> int:
    """The number of a topic's partition in a block of transactions of `topics`: the partition's own, if it is one."""
    return partition * len(topics) + topics.index(topic)


def pack_block(rows: Sequence[tuple[int, int, bytes]]) -> bytes:
    """A micro-batch's packed features by place and offset, at least one, as fraud.batch_features keeps them.

    A place is `place_number`'s.
    """
    width = len(rows[0][2])
    return _WIDTH.pack(width) + b"".join(
        _PLACE.pack(partition, offset) + features for partition, offset, features in rows
    )


def unpack_block(block: bytes) -> dict[tuple[int, int], bytes]:
    """What `pack_block` was given, by place and offset. Raises ValueError for a block that was cut."""
    (width,) = _WIDTH.unpack_from(block)
    size = _PLACE.size + width
    if (len(block) - _WIDTH.size) % size:
        raise ValueError(f"a block of {len(block)} bytes isn't of rows of {size}")
    places: dict[tuple[int, int], bytes] = {}
    for start in range(_WIDTH.size, len(block), size):
        partition, offset = _PLACE.unpack_from(block, start)
        places[partition, offset] = block[start + _PLACE.size : start + size]
    return places
