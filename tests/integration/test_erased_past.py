"""Customers who were erased don't come back by an import, neither of a history nor of a shop's own files."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraudstream.erasure.known import newest
from fraudstream.files import delete
from fraudstream.settings import Settings
from fraudstream.storage.salted import hash_of
from model.past.erased import refuse_newer
from model.past.folder import PastError
from model.past.importing import Options, import_history
from model.past.mapped import import_mapped
from model.training.history import LABELS, HistoryFolder
from tests.importing import delete_past, own_files, write_five_days
from tests.integration.test_sink import one

Postgres = psycopg.Connection[Any]
_ERASED = """
INSERT INTO fraud.erasures (id_hash, salt, reason, requested_by, approved_by, erased_at)
VALUES (%s, 'salt', 'request 1', 'ann', 'bob', %s)
"""

pytestmark = pytest.mark.usefixtures("emptied", "empty_tables", "no_snapshots")


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """A small shop's five days until yesterday."""
    return write_five_days(tmp_path / "history")


@pytest.fixture
def fraudster(history: Path) -> str:
    """A customer with a labelled order."""
    folder = HistoryFolder(history)
    labelled = set(folder.table(LABELS)["transaction_id"])
    orders = folder.table("transactions")
    return str(orders[orders["transaction_id"].isin(labelled)]["customer_id"].iloc[0])


def erase(writer: Postgres, customer: str, at: datetime) -> None:
    """As an erasure notes it."""
    writer.execute(_ERASED, (hash_of("salt", customer), at))


def test_an_erased_customer_is_left_out_of_a_history(
    settings: Settings, writer: Postgres, history: Path, fraudster: str, capsys: pytest.CaptureFixture[str]
) -> None:
    orders = HistoryFolder(history).table("transactions")
    theirs = orders[orders["customer_id"] == fraudster]
    everybody = HistoryFolder(history).everybody().to_pylist()
    erase(writer, fraudster, datetime.now(UTC))

    assert import_history(settings, history, Options())
    assert " rows of customers who were erased" in capsys.readouterr().err
    assert one(writer, "SELECT count(*) FROM fraud.past_transactions") == len(orders) - len(theirs) > 0
    assert one(writer, f"SELECT count(*) FROM fraud.past_transactions WHERE customer_id = '{fraudster}'") == 0
    (snapshot,) = settings.paths.snapshots.iterdir()
    remembered = pa.concat_tables(
        [pq.read_table(part, columns=["customer_id"]) for part in snapshot.rglob("*.parquet")]
    )
    assert fraudster not in remembered["customer_id"].to_pylist() != []
    kept = HistoryFolder(Path(one(writer, "SELECT folder FROM fraud.history_imports")))
    assert fraudster not in kept.everybody().to_pylist(), "a training begins with this folder"
    assert not set(kept.table(LABELS)["transaction_id"]) & set(theirs["transaction_id"])
    assert HistoryFolder(history).everybody().to_pylist() == everybody, "the shop's own files are the shop's"
    assert not import_history(settings, history, Options()), "a repeat changes nothing"


def test_an_erased_customer_is_left_out_of_a_shops_own_files(
    settings: Settings, writer: Postgres, owner: Postgres, history: Path, fraudster: str, tmp_path: Path
) -> None:
    files = own_files(history, tmp_path)
    assert import_mapped(settings, files, Options())[0]
    erase(writer, fraudster, datetime.now(UTC))
    assert not import_mapped(settings, files, Options())[0], "the platform has this past, whoever was erased since"

    delete_past(owner)
    for folder in settings.paths.mapped.iterdir():
        delete(folder)
    assert import_mapped(settings, files, Options())[0]
    (kept,) = settings.paths.mapped.iterdir()
    assert fraudster not in HistoryFolder(kept).everybody().to_pylist()
    assert one(writer, f"SELECT count(*) FROM fraud.past_transactions WHERE customer_id = '{fraudster}'") == 0
    assert not import_mapped(settings, files, Options())[0]


def test_who_came_back_after_the_erasure_is_a_new_customer(
    settings: Settings, writer: Postgres, history: Path, fraudster: str
) -> None:
    erase(writer, fraudster, datetime.now(UTC) - timedelta(days=30))
    assert import_history(settings, history, Options())
    assert one(writer, f"SELECT count(*) FROM fraud.past_transactions WHERE customer_id = '{fraudster}'") > 0


def test_an_erasure_during_the_import_stops_it(writer: Postgres, fraudster: str) -> None:
    begun, _ = newest(writer)
    refuse_newer(writer, begun)
    erase(writer, fraudster, datetime.now(UTC))
    with pytest.raises(PastError, match="a customer was erased meanwhile: nothing is changed, import again"):
        refuse_newer(writer, begun)
