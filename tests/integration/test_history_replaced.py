"""An import into a platform that holds something: it asks first, and one that fails or is killed changes nothing."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraudstream.failpoints import IN_IMPORT, Failpoint
from fraudstream.messages.contracts import Topic, iso_milliseconds
from fraudstream.settings import Settings
from fraudstream.snapshots.folders import verify
from model.past.folder import PastError
from model.past.importing import Options, import_history
from model.past.mapped import import_mapped
from spark_jobs import sink
from tests.commands import run_here, run_until
from tests.importing import (
    ROLLED_UP,
    contents,
    delete_past,
    differences,
    importing,
    own_files,
    write_five_days,
)
from tests.integration.test_sink import batch, commit, one, scored
from tests.streaming import become_driver

Postgres = psycopg.Connection[Any]

pytestmark = pytest.mark.usefixtures("emptied", "empty_tables", "no_snapshots")


def test_a_stream_that_has_read_keeps_its_profiles_unless_asked(
    settings: Settings, writer: Postgres, history: Path
) -> None:
    sink.prepare(writer)
    began = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=3)
    rows = [scored(0, event_time=iso_milliseconds(began + timedelta(minutes=1)))]
    commit(writer, become_driver(writer, settings), batch(0, (Topic.TRANSACTIONS, 0, 1)), rows)
    before = contents(writer)
    with pytest.raises(PastError, match=r"the stream has read 1 messages, .*: say --replace if they may become those"):
        import_history(settings, history, Options())
    with pytest.raises(PastError, match=r"the ledger is at 1.*: say --accept-loss to go on without them"):
        import_history(settings, history, Options(replace=True))  # Kafka has no message of it
    assert contents(writer) == before

    assert import_history(settings, history, Options(replace=True, accept_loss=True))
    assert one(writer, "SELECT rollups_until FROM fraud.history_imports") == began
    assert one(writer, f"SELECT count(*) FROM fraud.fraud_counts WHERE window_start >= '{began}'") == 1
    assert differences(writer) == []


def test_another_past_takes_the_place_of_the_first_only_when_asked(
    settings: Settings, writer: Postgres, owner: Postgres, history: Path, tmp_path: Path
) -> None:
    other = write_five_days(tmp_path / "other")
    import_history(settings, other, Options())
    expected = contents(writer)
    delete_past(owner)

    import_history(settings, history, Options())
    with pytest.raises(PastError, match=f"{history} was imported on .* say --replace to put this one in its place"):
        import_history(settings, other, Options())
    assert import_history(settings, other, Options(replace=True))
    found = contents(writer)
    for table in ROLLED_UP:
        assert found[table] == expected[table], table
    assert differences(writer) == []
    assert [folder.name for folder in settings.paths.snapshots.iterdir()] == [
        one(writer, "SELECT snapshot FROM fraud.stream_queries")
    ]


def test_an_import_that_fails_at_its_end_leaves_nothing(
    settings: Settings, writer: Postgres, history: Path, tmp_path: Path
) -> None:
    """A text that Postgres can't hold is found only when everything else is done."""
    broken = write_five_days(tmp_path / "broken")
    part = sorted((broken / "transactions").iterdir())[-1]
    rows = pq.read_table(part).to_pandas()
    rows.loc[0, "device_id"] = "d-\0"
    pq.write_table(pa.Table.from_pandas(rows, preserve_index=False), part)
    before = contents(writer)
    with pytest.raises(PastError, match=r"Postgres refuses the import .*0x00.*: nothing is changed"):
        import_history(settings, broken, Options())
    assert contents(writer) == before
    assert list(settings.paths.snapshots.iterdir()) == []


def test_what_a_killed_import_left_is_cleared_away(
    settings: Settings, writer: Postgres, owner: Postgres, history: Path
) -> None:
    """Killed between its snapshot and its commit: a rebuild would else begin with it."""
    import_history(settings, history, Options())
    snapshot = one(writer, "SELECT snapshot FROM fraud.history_imports")
    delete_past(owner)
    (settings.paths.snapshots / snapshot).rename(settings.paths.snapshots / "history-000000000000")
    assert import_history(settings, history, Options())
    assert [folder.name for folder in settings.paths.snapshots.iterdir()] == [snapshot]
    verify(settings.paths.snapshots / snapshot)


@pytest.mark.parametrize("point", sorted(IN_IMPORT))
def test_an_import_killed_at_any_step_is_repeated_once_and_counts_once(
    settings: Settings, writer: Postgres, owner: Postgres, history: Path, tmp_path: Path, point: Failpoint
) -> None:
    """In the place of another past, with a shop's own files: what is there afterwards is what no kill would leave."""
    other = write_five_days(tmp_path / "other")
    files = own_files(other, tmp_path)
    import_mapped(settings, files, Options())
    expected = contents(writer)
    delete_past(owner)
    import_history(settings, history, Options())

    command = importing(files)
    run_until(f"{point}=kill", *command)
    again = run_here(*command)
    assert again.returncode == 0, again.stderr
    told = "already imported" if point is Failpoint.AFTER_IMPORT_COMMIT else "imported: 300 transactions"
    assert told in again.stdout
    begun = point in {Failpoint.AFTER_IMPORT_PROFILES, Failpoint.BEFORE_IMPORT_COMMIT}
    assert ("this one begins anew" in " ".join(again.stderr.split())) == begun
    found = contents(writer)
    for table in ROLLED_UP:
        assert found[table] == expected[table], table
    assert differences(writer) == []
    kept = one(writer, "SELECT snapshot FROM fraud.history_imports")
    assert [folder.name for folder in settings.paths.snapshots.iterdir()] == [kept]
    assert len(list(settings.paths.mapped.iterdir())) == 1
