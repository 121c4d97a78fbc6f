"""What a new checkpoint begins with: states of buckets from a snapshot's rows, and Kafka from its offsets."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.ledger.gaps import KafkaView
from fraudstream.settings import Settings, load_settings
from fraudstream.snapshots.manifest import Moment
from fraudstream.snapshots.writing import SCHEMA, write
from model.features.profile import PROFILE_LAYOUT
from spark_jobs import beginning, snapshot_profiles
from spark_jobs.bucket_state import Kept, kept_in, state_of
from spark_jobs.checkpoint import Planned
from spark_jobs.ledger import LedgerError

KEYED = pa.schema([("bucket", pa.int32()), *SCHEMA])
kept = st.builds(Kept, st.text(), st.integers(0, 2**53), st.binary())


@given(st.lists(kept, unique_by=lambda row: row.customer_id))
def test_a_bucket_keeps_every_row(rows: list[Kept]) -> None:
    assert kept_in(*state_of(rows)) == (0, rows)


@given(st.lists(kept, min_size=1, unique_by=lambda row: row.customer_id), st.integers(1, 5))
def test_a_bucket_comes_from_a_snapshot_as_it_went_into_one(rows: list[Kept], chunk: int) -> None:
    """Through both of Spark's stages, whichever batches Arrow makes of the rows."""
    batches = [
        pa.RecordBatch.from_pylist([{"bucket": 7} | row._asdict() for row in rows[start : start + chunk]], KEYED)
        for start in range(0, len(rows), chunk)
    ]
    made = beginning._as_state(pa.Table.from_batches(batches))
    assert made["bucket"].to_pylist() == [7]
    (written,) = snapshot_profiles._customers(iter(made.select(["head", "chunks"]).to_batches()))
    assert [Kept(*tuple(row.values())[:3]) for row in written.to_pylist()] == rows
    assert set(written["clock_ms"].to_pylist()) == {0}


def test_a_bucket_without_customers_leaves_no_row() -> None:
    head, chunks = state_of([])
    empty = pa.RecordBatch.from_pydict({"head": [head], "chunks": [chunks]})
    assert list(snapshot_profiles._customers(iter([empty]))) == []


def moment(**fields: object) -> Moment:
    return Moment(**{"layout": PROFILE_LAYOUT, "made_by": "batch 7", "shop_currency": "EUR", "clock_ms": 0} | fields)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings().model_copy(update={"var_dir": tmp_path})


def make(settings: Settings, name: str, **fields: object) -> Path:
    row = pa.RecordBatch.from_pylist([{"customer_id": "c", "expires_ms": 1, "profile": b"p"}], SCHEMA)
    return write(settings.paths.snapshots, name, [row], moment(**fields)).folder


def test_a_sound_snapshot_is_begun_with(settings: Settings) -> None:
    folder = make(settings, "sound")
    assert beginning.open_snapshot(settings, "sound").folder == folder


def test_a_damaged_snapshot_is_refused_with_the_command_that_helps(settings: Settings) -> None:
    (file,) = make(settings, "damaged").glob("profiles/*")
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    problem = r"the snapshot damaged, which can't be used: .*part-00000.*SHA-256.*\./fraudctl rebuild"
    with pytest.raises(LedgerError, match=problem):
        beginning.open_snapshot(settings, "damaged")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [({"layout": PROFILE_LAYOUT + 1}, "layout"), ({"shop_currency": "JPY"}, "JPY"), (None, "No such file")],
)
def test_one_that_does_not_fit_or_is_gone_is_refused(
    settings: Settings, fields: dict[str, object] | None, problem: str
) -> None:
    if fields:
        make(settings, "other", **fields)
    with pytest.raises(LedgerError, match=rf"{problem}.*\./fraudctl rebuild"):
        beginning.open_snapshot(settings, "other")


def test_kafka_is_read_from_the_snapshots_offsets_where_it_still_holds_them() -> None:
    places = [("transactions", 0), ("transactions", 1), ("transactions", 2), ("browse-events", 0)]
    view = KafkaView(dict.fromkeys(places, 5), dict.fromkeys(places, 90), {"transactions": "t", "browse-events": "new"})
    taken = moment(
        offsets={"transactions": {0: 7, 1: 3}, "browse-events": {0: 9}},
        topic_ids={"transactions": "t", "browse-events": "old"},
    )
    assert json.loads(beginning.starting_offsets(view, taken)) == {
        "transactions": {"0": 7, "1": beginning.EARLIEST, "2": beginning.EARLIEST},
        "browse-events": {"0": beginning.EARLIEST},
    }


def test_the_first_micro_batch_reads_it_until_spark_noted_its_end() -> None:
    found = [None, Planned(0, ended=False), Planned(0, ended=True), Planned(1, ended=False)]
    assert [beginning.is_first(planned) for planned in found] == [True, True, False, False]
