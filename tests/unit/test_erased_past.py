"""A past without the customers who were erased: whose rows go, in which folder, and when."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fraudstream.erasure.known import NOBODY, Erased
from fraudstream.simulator.history import write_history
from fraudstream.simulator.history_plan import HistoryPlan
from fraudstream.storage.salted import hash_of
from model.past.erased import without_erased
from model.past.folder import PastError
from model.training.history import BROWSE, LABELS, TRANSACTIONS, HistoryFolder

NOW = datetime(2026, 6, 1, tzinfo=UTC)
NAME = "f" * 64


@pytest.fixture
def past(tmp_path: Path) -> HistoryFolder:
    """A small shop's five days until NOW."""
    list(write_history(tmp_path / "history", HistoryPlan(7, 300, 200, 300, 0.05, 5, NOW), 1))
    return HistoryFolder(tmp_path / "history")


@pytest.fixture
def mapped(tmp_path: Path) -> Path:
    """Where the platform keeps histories of its own."""
    return tmp_path / "var" / "mapped"


def erased(*names: str, at: datetime = NOW) -> tuple[tuple[int, datetime | None], Erased]:
    """The erasures of these customers."""
    return (len(names), at), Erased.of(("salt", hash_of("salt", name), at) for name in names)


def buyer(past: HistoryFolder) -> str:
    """A customer with a labelled order."""
    orders, labels = past.table(TRANSACTIONS), past.table(LABELS)
    return str(orders[orders["transaction_id"].isin(labels["transaction_id"])]["customer_id"].iloc[0])


def test_rows_and_labels_of_the_erased_go_from_a_copy(mapped: Path, past: HistoryFolder) -> None:
    gone, everybody, orders = buyer(past), past.everybody().to_pylist(), past.table(TRANSACTIONS)
    theirs = set(orders[orders["customer_id"] == gone]["transaction_id"])
    with without_erased(mapped, past, NAME, erased(gone)) as cleaned:
        assert cleaned.rows > len(theirs) > 0
    assert cleaned.folder.path.parent == mapped
    assert cleaned.folder.everybody().to_pylist() == [name for name in everybody if name != gone]
    assert not theirs & set(cleaned.folder.table(LABELS)["transaction_id"])
    assert past.everybody().to_pylist() == everybody, "the shop's own files are the shop's"


def test_a_history_of_the_platform_itself_loses_the_rows(mapped: Path, past: HistoryFolder) -> None:
    ours = HistoryFolder(mapped / "ours")
    mapped.mkdir(parents=True)
    past.path.rename(ours.path)
    gone = buyer(ours)
    with without_erased(mapped, ours, NAME, erased(gone)) as cleaned:
        assert cleaned.folder.path == ours.path
    assert gone not in ours.everybody().to_pylist()


def test_nothing_is_copied_where_nobody_was_erased(mapped: Path, past: HistoryFolder) -> None:
    for erasures in (((0, None), NOBODY), erased("somebody else")):
        with without_erased(mapped, past, NAME, erasures) as cleaned:
            assert (cleaned.folder, cleaned.rows) == (past, 0)
    assert not list(mapped.glob("*"))


def test_what_a_customer_did_after_the_erasure_stays(mapped: Path, past: HistoryFolder) -> None:
    gone = buyer(past)
    with without_erased(mapped, past, NAME, erased(gone, at=NOW - timedelta(days=30))) as cleaned:
        for name in (TRANSACTIONS, BROWSE, LABELS):
            assert cleaned.folder.rows(name) == past.rows(name)


def test_a_past_of_nobody_else_is_refused_and_leaves_no_copy(mapped: Path, past: HistoryFolder) -> None:
    everybody = erased(*past.everybody().to_pylist())
    refused = pytest.raises(PastError, match="were erased: nothing of it can be imported")
    with refused, without_erased(mapped, past, NAME, everybody):
        pass
    assert not list(mapped.iterdir())
