"""The same with quixstreams: both topics concatenated, which it reads in the order of arrival, and its own state store.

    python -m benchmarks.measuring.peers.quix --folder state --messages 10100

The state lies in RocksDB with a changelog topic. At each checkpoint (every 5 s, as it is by default) it flushes the
sink, then the changelog, and commits the offsets: at least once.
"""

import argparse
import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quixstreams import Application, State, message_context
from quixstreams.sinks import BaseSink

from benchmarks.measuring.peers.scoring import Arrived, Purchase, Shop, report
from fraudstream.messages.contracts import Topic
from fraudstream.settings import load_settings
from model.features.profile import Profile, decode_profile, encode_profile


class Rows(BaseSink):
    """The sink: purchases wait for a checkpoint, and are scored and committed together."""

    def __init__(self, shop: Shop) -> None:
        super().__init__()
        self._shop = shop
        self._waiting: list[Purchase] = []
        self._batch = 0
        self.progress = Progress()

    def add(self, value: Purchase, *_: Any, **__: Any) -> None:
        """Keeps one for the next checkpoint."""
        self._waiting.append(value)

    def flush(self) -> None:
        """Commits what waits."""
        self._shop.write(self._waiting, self._batch)
        self._waiting.clear()
        self.progress.tell(self._batch)
        self._batch += 1


class Progress:
    """Counts of what was processed, and where each partition stands."""

    def __init__(self) -> None:
        self.messages = 0
        self._reached: dict[tuple[str, int], int] = {}

    def count(self, topic: str, partition: int, offset: int) -> None:
        """Counts a message."""
        if not self.messages:
            report(0, -1, ())
        self.messages += 1
        self._reached[topic, partition] = offset + 1

    def tell(self, batch: int) -> None:
        """Reports what a checkpoint wrote."""
        report(self.messages, batch, [(*place, offset) for place, offset in self._reached.items()])


def main() -> None:
    """Reads so many messages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="of the state")
    parser.add_argument("--messages", type=int, required=True, help="in both topics")
    arguments = parser.parse_args()
    settings = load_settings()
    shop = Shop(settings)
    rows = Rows(shop)

    def count(topic: str, partition: int, offset: int) -> None:
        rows.progress.count(topic, partition, offset)
        if rows.progress.messages == arguments.messages:
            app.stop()

    app = Application(
        settings.kafka.bootstrap,
        consumer_group="peer-quix",
        auto_offset_reset="earliest",
        state_dir=arguments.folder,
        on_message_processed=count,
    )
    build(app, shop, (Topic.BROWSE_EVENTS.value, Topic.TRANSACTIONS.value)).sink(rows)
    gc.freeze()
    app.run()


def build(app: Any, shop: Shop, topics: Sequence[str]) -> Any:
    """The dataframe of purchases to score."""

    def decode(value: bytes | None, key: bytes | None, timestamp: int, _: Any) -> Arrived | None:
        context = message_context()
        return shop.decode(context.topic, key, value, (context.partition, context.offset, timestamp))

    def observe(arrived: Arrived, state: State) -> Purchase | None:
        found = state.get_bytes("profile")
        profile = Profile() if found is None else decode_profile(found)
        purchase = shop.observe(profile, arrived)
        state.set_bytes("profile", encode_profile(profile))
        return purchase

    browsing, purchases = (app.dataframe(app.topic(topic, value_deserializer="bytes")) for topic in topics)
    events = browsing.concat(purchases).apply(decode, metadata=True).filter(_is_there)
    return events.apply(observe, stateful=True).filter(_is_there)


def _is_there(value: object) -> bool:
    return value is not None


if __name__ == "__main__":
    main()
