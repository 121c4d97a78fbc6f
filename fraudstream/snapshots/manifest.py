"""A snapshot's manifest: what its files hold, and the moment that they belong to.

    <snapshots>/<name>/profiles/part-00000.parquet   customer_id string, expires_ms int64, profile binary
    <snapshots>/<name>/manifest.json                 written last: without it the folder is no snapshot

`profile` is of `model.features.profile.encode_profile`, and `expires_ms` when its customer is forgotten, milliseconds
since the epoch. The stream's buckets aren't in it: a customer's bucket is found when a checkpoint begins, so that their
number may change.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime

import msgspec

from fraudstream.errors import FraudstreamError

#: Version of this format. One of another version is refused.
FORMAT = 1
MANIFEST = "manifest.json"
PROFILES = "profiles"

Place = tuple[str, int]


class SnapshotError(FraudstreamError):
    """A snapshot is damaged, isn't one, or can't be written; the message names its folder or file."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A file of profiles. `name` is relative to the snapshot's folder."""

    name: str
    sha256: str
    rows: int
    bytes: int


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """What the profiles of a snapshot are, as its maker knows it."""

    layout: int  # `model.features.profile.PROFILE_LAYOUT`
    made_by: str  # for people, as `batch 1234` or `history import`
    shop_currency: str
    clock_ms: int  # newest time at which a message in the profiles arrived, milliseconds since the epoch
    generation: int | None = None  # of the checkpoint that it was read from; None: of none
    batch_id: int | None = None  # the newest micro-batch in it, by the ledger's number
    offsets: dict[str, dict[int, int]] = {}  # by topic and partition: the first message that isn't in the profiles
    topic_ids: dict[str, str] = {}  # Kafka's, of the topics of `offsets`

    @property
    def reached(self) -> dict[Place, int]:
        """`offsets` by topic and partition."""
        return {
            (topic, partition): offset
            for topic, by_partition in self.offsets.items()
            for partition, offset in by_partition.items()
        }


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot."""

    format: int = FORMAT
    made_at: datetime
    moment: Moment
    customers: int
    parts: tuple[Part, ...]


def by_topic(offsets: Mapping[Place, int]) -> dict[str, dict[int, int]]:
    """Offsets in the form of `Moment.offsets`."""
    nested: dict[str, dict[int, int]] = {}
    for (topic, partition), offset in sorted(offsets.items()):
        nested.setdefault(topic, {})[partition] = offset
    return nested


def dump(manifest: Manifest) -> str:
    """The manifest as JSON, with a hash of its own: a wrong digit in an offset would be believed else."""
    content = msgspec.to_builtins(manifest, str_keys=True)
    return json.dumps({"sha256": _hash(content), "manifest": content}, indent=2, ensure_ascii=False) + "\n"


def load(text: str) -> Manifest:
    """The inverse of `dump`. Raises ValueError that says what is wrong."""
    document = json.loads(text)
    if not isinstance(document, dict) or not isinstance(content := document.get("manifest"), dict):
        raise ValueError("it isn't the manifest of a snapshot")
    if (version := content.get("format")) != FORMAT:
        raise ValueError(f"its format is {version}, and this release reads {FORMAT}")
    if document.get("sha256") != _hash(content):
        raise ValueError("its SHA-256 differs from that of its contents")
    return msgspec.convert(content, Manifest, strict=False)


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
