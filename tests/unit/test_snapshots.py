"""Profile snapshots: what is written is read, and what isn't sound, or doesn't fit, is never begun with."""

import json
import os
import time
from datetime import timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.files import write_atomically
from fraudstream.snapshots.folders import Snapshot, newest_usable, prune, read_manifest, verify
from fraudstream.snapshots.manifest import MANIFEST, PROFILES, Manifest, Moment, SnapshotError, by_topic, dump, load
from fraudstream.snapshots.writing import SCHEMA, draft, seal, write, write_part

MOMENT = Moment(
    layout=2,
    made_by="batch 7",
    shop_currency="EUR",
    clock_ms=1_700_000_000_000,
    generation=1_700_000_000,
    batch_id=7,
    offsets={"transactions": {0: 17, 1: 4}},
    topic_ids={"transactions": "abc"},
)
ROWS = [("c-1", 1, b"\x00\xff"), ("c-2", 2, b""), ("ü", 2**62, b"profile")]


def batch(rows: list[tuple[str, int, bytes]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], SCHEMA)


def make(root: Path, name: str, age: timedelta = timedelta(), moment: Moment = MOMENT) -> Snapshot:
    """A snapshot that was made so long ago."""
    made = write(root, name, [batch(ROWS)], moment)
    manifest = msgspec.structs.replace(made.manifest, made_at=made.manifest.made_at - age)
    write_atomically(made.folder / MANIFEST, dump(manifest))
    return Snapshot(made.folder, manifest)


def usable(root: Path) -> str | None:
    found, _ = newest_usable(root, 2, "EUR")
    return found.name if found else None


def test_what_is_written_is_read(tmp_path: Path) -> None:
    root = tmp_path / "snapshots"
    written = write(root, "first", [batch(ROWS[:1]), batch(ROWS[1:])], MOMENT)
    assert verify(written.folder) == written.manifest
    assert written.manifest.moment == MOMENT
    assert written.manifest.moment.reached == {("transactions", 0): 17, ("transactions", 1): 4}
    assert written.manifest.customers == 3
    table = pq.read_table(written.folder / PROFILES)
    assert [tuple(row.values()) for row in table.to_pylist()] == ROWS
    assert table.schema.names == SCHEMA.names
    assert root.stat().st_mode & 0o777 == 0o700, "customers' data is the owner's alone"
    assert [path.name for path in root.iterdir()] == ["first"], "nothing of the draft is left"


def test_several_processes_may_write_a_part_each(tmp_path: Path) -> None:
    with draft(tmp_path, "first") as folder:
        write_part(folder, 1, [batch(ROWS[1:])])
        write_part(folder, 0, [batch(ROWS[:1])])
        made = seal(folder, tmp_path / "first", MOMENT)
    assert [(part.name, part.rows) for part in made.manifest.parts] == [
        ("profiles/part-00000.parquet", 1),
        ("profiles/part-00001.parquet", 2),
    ]
    assert verify(made.folder).customers == 3


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="columns"):
        write(tmp_path, "first", [pa.RecordBatch.from_pydict({"customer": ["c"]})], MOMENT)
    assert list(tmp_path.iterdir()) == []


def test_a_name_is_used_once(tmp_path: Path) -> None:
    made = make(tmp_path, "first")
    with pytest.raises(SnapshotError, match="already"):
        make(tmp_path, "first")
    assert verify(made.folder) == made.manifest


def test_a_changed_bit_is_found_in_every_file(tmp_path: Path) -> None:
    folder = make(tmp_path, "first").folder
    for file in (folder / MANIFEST, folder / "profiles/part-00000.parquet"):
        whole = file.read_bytes()
        for position in range(0, len(whole), 7):
            damaged = bytearray(whole)
            damaged[position] ^= 1
            file.write_bytes(damaged)
            if file.name != MANIFEST or not _same_json(whole, bytes(damaged)):
                with pytest.raises(SnapshotError, match=file.name):
                    verify(folder)
        file.write_bytes(whole)
    verify(folder)


def _same_json(left: bytes, right: bytes) -> bool:
    """A bit among the spaces between two values changes nothing."""
    try:
        return bool(json.loads(left) == json.loads(right))
    except ValueError:
        return False


@pytest.mark.parametrize("name", [MANIFEST, "profiles/part-00000.parquet"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = make(tmp_path, "first").folder
    (folder / name).unlink()
    with pytest.raises(SnapshotError, match=f"{name}.*No such file"):
        verify(folder)


@given(
    st.dictionaries(st.tuples(st.sampled_from(["a", "ü"]), st.integers(0, 40)), st.integers(0, 2**62)),
    st.integers(0, 2**62),
)
def test_a_manifest_keeps_every_offset(offsets: dict[tuple[str, int], int], clock_ms: int) -> None:
    moment = msgspec.structs.replace(MOMENT, offsets=by_topic(offsets), clock_ms=clock_ms)
    manifest = Manifest(made_at=_now(), moment=moment, customers=0, parts=())
    assert load(dump(manifest)) == manifest
    assert load(dump(manifest)).moment.reached == offsets


def _now() -> object:
    return msgspec.convert("2026-11-27T10:00:00Z", Manifest.__annotations__["made_at"])


def test_another_format_is_named(tmp_path: Path) -> None:
    folder = make(tmp_path, "first").folder
    manifest = msgspec.structs.replace(read_manifest(folder), format=9)
    (folder / MANIFEST).write_text(dump(manifest))
    with pytest.raises(SnapshotError, match="format is 9, and this release reads 1"):
        read_manifest(folder)


def test_the_newest_usable_one_is_found_and_the_others_are_told(tmp_path: Path) -> None:
    assert newest_usable(tmp_path / "none", 2, "EUR") == (None, [])
    hours = [timedelta(hours=n) for n in range(8)]
    make(tmp_path, "older", hours[6])
    good = make(tmp_path, "good", hours[5])
    make(tmp_path, "unfit", hours[4], msgspec.structs.replace(MOMENT, batch_id=99))
    make(tmp_path, "other-layout", hours[3], msgspec.structs.replace(MOMENT, layout=3))
    make(tmp_path, "other-currency", hours[2], msgspec.structs.replace(MOMENT, shop_currency="JPY"))
    damaged = make(tmp_path, "damaged", hours[1]).folder / "profiles/part-00000.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    (tmp_path / "unfinished").mkdir()
    (tmp_path / ".draft-1").mkdir()
    found, skipped = newest_usable(
        tmp_path, 2, "EUR", lambda manifest: "is newer than the ledger" if manifest.moment.batch_id == 99 else None
    )
    assert found == good
    reasons = {skip.name: skip.reason for skip in skipped}
    assert list(reasons) == ["unfinished", "damaged", "other-currency", "other-layout", "unfit"]
    assert "No such file" in reasons["unfinished"]
    assert "SHA-256" in reasons["damaged"]
    assert "JPY" in reasons["other-currency"]
    assert "layout 3" in reasons["other-layout"]
    assert reasons["unfit"] == "is newer than the ledger"


def test_old_ones_go_and_what_is_begun_with_stays(tmp_path: Path) -> None:
    for number in range(5):
        make(tmp_path, f"s-{number}", timedelta(days=5 - number))
    (tmp_path / "somebody-elses").mkdir()
    (tmp_path / ".new-draft").mkdir()
    left_over = tmp_path / ".old-draft"
    left_over.mkdir()
    os.utime(left_over, (time.time() - 2 * 24 * 3600,) * 2)
    assert prune(tmp_path, 2, spared={"s-1"}) == ["s-2", "s-0"]
    assert {path.name for path in tmp_path.iterdir()} == {"s-1", "s-3", "s-4", "somebody-elses", ".new-draft"}
    assert usable(tmp_path) == "s-4"
