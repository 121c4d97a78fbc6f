"""The profiles of an imported past: what the stream's bucket makes of the same events, to the bit."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraudstream.messages.contracts import Topic
from fraudstream.settings import Settings
from fraudstream.simulator.history import write_history
from fraudstream.simulator.history_plan import HistoryPlan
from fraudstream.simulator.recording import open_recording
from fraudstream.snapshots import writing
from fraudstream.snapshots.manifest import PROFILES
from fraudstream.static_data.currencies import CurrencyRates, Rate
from model.durations import DAY_MS, HOUR_MS
from model.past import profiles
from model.past.folder import PastError, check
from model.past.profiles import Rules, write_profiles
from model.training.history import HistoryFolder
from spark_jobs.bucket import Limits, Message
from spark_jobs.change_log import decode_stored
from tests.unit.kept_log import KeptLog

END = datetime(2026, 11, 1, 6, tzinfo=UTC)
RATES = CurrencyRates.of("EUR", [Rate("JPY", date(2026, 10, 28), Decimal("0.0061"))])
#: So short that some are forgotten, and some of these come back.
SETTINGS = Settings().model_copy(
    update={
        "stream": Settings().stream.model_copy(update={"customer_retention_days": 2, "visitor_retention_days": 1}),
        "kafka": Settings().kafka.model_copy(update={"retention_hours": 12}),
    }
)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> HistoryFolder:
    """Six days of a small shop with three currencies, one of which has no rate, and a purchase that came twice."""
    folder = tmp_path_factory.mktemp("past") / "history"
    list(write_history(folder, HistoryPlan(42, 400, 200, 2_000, 0.1, 6, END), 1))
    for part in sorted((folder / "transactions").iterdir()):
        rows = pq.read_table(part).to_pandas()
        rows.loc[::5, "currency"] = "JPY"
        rows.loc[1::9, "currency"] = "GBP"
        again = rows.iloc[:3].assign(event_time=rows["event_time"].iloc[:3] + timedelta(seconds=1))
        rows = pd.concat([rows, again]).sort_values("event_time", kind="stable")
        pq.write_table(pa.Table.from_pandas(rows, preserve_index=False), part)
    return HistoryFolder(folder)


def as_bucket(history: HistoryFolder) -> dict[str, tuple[int, bytes]]:
    """Expiry and profile of each customer, as the stream makes them when each message arrives at its own time."""
    hours = SETTINGS.kafka.retention_hours
    limits = Limits(timedelta(minutes=5), 60_000, 2 * DAY_MS, 1 * DAY_MS, hours * HOUR_MS, resume={})
    bucket = KeptLog().bucket(limits, RATES)
    messages = [
        Message(sent.topic, 0, offset, sent.due_ms, sent.key, sent.value)
        for offset, sent in enumerate(open_recording(history.path).messages(None))
        if sent.topic in (Topic.BROWSE_EVENTS, Topic.TRANSACTIONS)
    ]
    list(bucket.handle(messages))
    kept = {name: stored for name, stored in KeptLog().after(bucket).customers.items() if not bucket.is_over(stored)}
    return {name: (decode_stored(stored).expires_ms, decode_stored(stored).profile) for name, stored in kept.items()}


def imported(history: HistoryFolder, folder: Path, processes: int = 1) -> dict[str, tuple[int, bytes]]:
    """The same from a snapshot of the history."""
    seen: list[int] = []
    clock_ms = check(history, round(END.timestamp() * 1000)).last_ms
    with writing.draft(folder, f"by-{processes}") as draft:
        write_profiles(draft, history, Rules.of(SETTINGS, RATES, clock_ms), processes, seen.append)
        rows = pq.read_table(draft / PROFILES).to_pylist()
    assert seen
    assert len({row["customer_id"] for row in rows}) == len(rows)
    return {row["customer_id"]: (row["expires_ms"], row["profile"]) for row in rows}


def test_imported_profiles_are_the_streams_to_the_bit(
    history: HistoryFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = as_bucket(history)
    everybody = set(history.table("browse_events")["customer_id"])
    assert 50 < len(expected) < len(everybody), "some are forgotten"
    assert imported(history, tmp_path) == expected
    monkeypatch.setattr(profiles, "SHARD_CUSTOMERS", 60)
    assert imported(history, tmp_path, processes=2) == expected


@pytest.mark.parametrize(
    ("dataset", "column", "value", "told"),
    [
        ("transactions", "amount", -1.0, r"tx-\w+ has amount -1.0, which the stream would refuse"),
        ("transactions", "customer_id", None, r"tx-\w+ has customer_id None"),
        ("browse_events", "event_type", None, r"e-\S+ has event_type None"),
        ("browse_events", "event_time", END + timedelta(days=1), "which is yet to come"),
    ],
)
def test_what_cannot_be_imported_is_named(
    history: HistoryFolder, tmp_path: Path, dataset: str, column: str, value: Any, told: str
) -> None:
    rows = history.table(dataset).head(20)
    rows[column] = rows[column].astype(object)
    rows.loc[7, column] = value
    for name in ("browse_events", "transactions"):
        (tmp_path / name).mkdir()
        some = rows if name == dataset else history.table(name).head(20)
        pq.write_table(pa.Table.from_pandas(some, preserve_index=False), tmp_path / name / "part-00000.parquet")
    with pytest.raises(PastError, match=told):
        check(HistoryFolder(tmp_path), round(END.timestamp() * 1000))


def test_a_missing_column_is_named(history: HistoryFolder, tmp_path: Path) -> None:
    for name in ("browse_events", "transactions"):
        (tmp_path / name).mkdir()
        table = pa.Table.from_pandas(history.table(name).head(20), preserve_index=False)
        pq.write_table(table.drop_columns("customer_id"), tmp_path / name / "part-00000.parquet")
    with pytest.raises(PastError, match="has no column customer_id; it needs event_id, "):
        check(HistoryFolder(tmp_path), round(END.timestamp() * 1000))


def test_a_damaged_file_is_named(history: HistoryFolder, tmp_path: Path) -> None:
    for name in ("browse_events", "transactions"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part-00000.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(PastError, match=r"browse_events/part-00000.parquet can't be read: "):
        check(HistoryFolder(tmp_path), round(END.timestamp() * 1000))
