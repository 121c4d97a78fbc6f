"""The profiles of a past: its events' way through the stream's own feature code, on all cores, into a snapshot."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa

from fraudstream.messages.contracts import BrowseEvent
from fraudstream.settings import Settings
from fraudstream.snapshots.writing import SCHEMA, write_part
from fraudstream.static_data.currencies import CurrencyRates
from model.durations import DAY_MS, HOUR_MS
from model.features.profile import encode_profile
from model.features.remembered import Remembered, Retention
from model.training.events import event_ms, events_of
from model.training.history import HistoryFolder
from model.training.shards import counted, in_processes

#: A process holds the profiles of so many customers at most: about 1 GB.
SHARD_CUSTOMERS = 250_000
_BATCH_ROWS = 10_000


@dataclass(frozen=True)
class Rules:
    """What decides, besides the events, what profiles are. Times in milliseconds (since the epoch, where one is)."""

    retention: Retention
    rates: CurrencyRates
    forgotten_before_ms: int  # a profile that expired before is left out: no message can meet it any more

    @classmethod
    def of(cls, settings: Settings, rates: CurrencyRates, clock_ms: int) -> "Rules":
        """Those of the stream when its clock is at `clock_ms`, as in `spark_jobs.profiles`."""
        stream = settings.stream
        retention = Retention(stream.customer_retention_days * DAY_MS, stream.visitor_retention_days * DAY_MS)
        return cls(retention, rates, clock_ms - settings.kafka.retention_hours * HOUR_MS)


def write_profiles(
    draft: Path, folder: HistoryFolder, rules: Rules, processes: int, progress: Callable[[int], None]
) -> None:
    """Writes the profiles of all customers of the history into the draft of a snapshot, a file for each shard.

    Calls `progress` now and then with the number of events done. Raises HistoryError and SnapshotError.
    """
    everybody = folder.everybody()
    shards = max(processes, -(-len(everybody) // SHARD_CUSTOMERS))
    arguments = [
        (draft, number, folder, everybody.take(pa.array(range(number, len(everybody), shards))), rules)
        for number in range(shards)
    ]
    in_processes(_write_shard, arguments, processes, progress)


def _write_shard(draft: Path, number: int, folder: HistoryFolder, mine: pa.Array, rules: Rules) -> None:
    known: dict[str, Remembered] = {str(customer): Remembered() for customer in mine}
    # As the stream's bucket does when Kafka's time of each message is the event's own.
    for _, event, _ in counted(events_of(folder, mine)):
        kept, at = known[event.customer_id], event_ms(event)
        if isinstance(event, BrowseEvent):
            kept.browse(event, at, rules.retention)
        else:
            kept.purchase(event, rules.rates.at(event.currency, at), at, rules.retention)
    write_part(draft, number, _batches(known, rules.forgotten_before_ms))


def _batches(known: dict[str, Remembered], forgotten_before_ms: int) -> Iterator[pa.RecordBatch]:
    remembered = ((name, kept) for name, kept in known.items() if kept.expires_ms >= forgotten_before_ms)
    while some := list(islice(remembered, _BATCH_ROWS)):
        names, kept = zip(*some, strict=True)
        encoded = [encode_profile(each.profile) for each in kept]
        yield pa.record_batch([names, [each.expires_ms for each in kept], encoded], schema=SCHEMA)
