"""A hand-written consumer: confluent-kafka, profiles in LMDB, rows by COPY, then the offsets.

    python -m benchmarks.measuring.peers.loop --folder profiles --until '{"browse-events": [5000, 5100], …}'
    python -m benchmarks.measuring.peers.loop --share 1 --of 2 …

Rows are committed first, then profiles, then offsets. What a crash makes it read again finds the row there; browsing is
counted twice when it dies between profiles and offsets.
"""

import argparse
import gc
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import lmdb
from confluent_kafka import OFFSET_STORED, Consumer, KafkaException, Message, TopicPartition

from benchmarks.measuring.peers.scoring import Arrived, Purchase, Shop, report
from fraudstream.messages.contracts import BrowseEvent
from fraudstream.settings import Settings, load_settings
from model.features.profile import Profile, decode_profile, encode_profile

BATCH = 5_000
MAX_BYTES = 2**32
Place = tuple[str, int]


def main() -> None:
    """Reads this process's share of the partitions up to the offsets that are given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=int, default=0, help="which of the processes this is (0)")
    parser.add_argument("--of", type=int, default=1, help="processes that share the partitions (1)")
    parser.add_argument("--group", default="peer-loop", help="the consumer group, which keeps the offsets (peer-loop)")
    parser.add_argument("--folder", type=Path, required=True, help="of the profiles")
    parser.add_argument("--until", type=json.loads, required=True, help="each topic's ends, by partition, as JSON")
    arguments = parser.parse_args()
    ends = {
        (topic, partition): end
        for topic, of_topic in arguments.until.items()
        for partition, end in enumerate(of_topic)
        if partition % arguments.of == arguments.share  # the same of all topics, so that a customer has one process
    }
    settings = load_settings()
    Loop(settings, arguments.group, arguments.folder).run(ends, arguments.share, arguments.of)


class Loop:
    """The consumer of some partitions, with the profiles of their customers."""

    def __init__(self, settings: Settings, group: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._shop = Shop(settings)
        self._profiles = lmdb.open(str(folder), map_size=MAX_BYTES, sync=False, writemap=True)
        config = settings.kafka.client_config() | {
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
        self._consumer = Consumer(config)

    def run(self, ends: Mapping[Place, int], share: int, of: int) -> None:
        """Reads until each partition's end."""
        reached = dict.fromkeys(ends, 0)
        self._consumer.assign([TopicPartition(*place, OFFSET_STORED) for place in ends])
        gc.freeze()
        done, batch = 0, share
        while any(reached[place] < end for place, end in ends.items()):
            messages = self._consumer.consume(BATCH, timeout=0.5)
            if not messages:
                continue
            if not done:
                report(0, batch - of, ())
            reached |= _offsets_after(messages)
            with self._profiles.begin(write=True) as stored:
                self._shop.write(self._observe(self._in_order(messages), stored), batch)
            self._consumer.commit(
                offsets=[TopicPartition(*place, offset) for place, offset in reached.items()], asynchronous=False
            )
            done += len(messages)
            report(done, batch, [(*place, offset) for place, offset in reached.items()])
            batch += of

    def _in_order(self, messages: Iterable[Message]) -> list[Arrived]:
        """The valid events, as they arrived; within a millisecond by their own time."""
        decoded = []
        for message in messages:
            topic, partition, offset = _place(message)
            at = (partition, offset, message.timestamp()[1])
            decoded.append(self._shop.decode(topic, message.key(), message.value(), at))
        return sorted(filter(None, decoded), key=_order)

    def _observe(self, events: Iterable[Arrived], stored: lmdb.Transaction) -> list[Purchase]:
        """Applies the events to the profiles; the purchases to score."""
        profiles: dict[str, Profile] = {}
        purchases = []
        for arrived in events:
            customer = arrived.event.customer_id
            if customer not in profiles:
                found = stored.get(customer.encode())
                profiles[customer] = Profile() if found is None else decode_profile(bytes(found))
            if purchase := self._shop.observe(profiles[customer], arrived):
                purchases.append(purchase)
        for customer, profile in profiles.items():
            stored.put(customer.encode(), encode_profile(profile))
        return purchases


def _order(arrived: Arrived) -> tuple[int, float, bool, int, int]:
    event = arrived.event
    is_purchase = not isinstance(event, BrowseEvent)
    return arrived.at_ms, event.event_time.timestamp(), is_purchase, arrived.partition, arrived.offset


def _offsets_after(messages: Iterable[Message]) -> dict[Place, int]:
    reached: dict[Place, int] = {}
    for message in messages:
        topic, partition, offset = _place(message)
        reached[topic, partition] = offset + 1
    return reached


def _place(message: Message) -> tuple[str, int, int]:
    if error := message.error():
        raise KafkaException(error)
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None and partition is not None and offset is not None  # noqa: S101 - without an error it has all
    return topic, partition, offset


if __name__ == "__main__":
    main()
