"""`fraudctl evaluate` with labels in a file of their own: none counts before it came."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fraudstream.messages.mapping.file import MappingError
from model.durations import DAY_MS
from model.evaluate.history import History, HistoryFileError, read
from model.evaluate.labels import Labels, LabelsError, Verdict, read_labels
from model.evaluate.mapping import mapping_of
from model.evaluate.protocol import Protocol, split
from tests.unit.test_evaluate import purchases, run

MAPPING = """
[source]
kind = "label"
format = "csv"
[fields]
transaction_id = "order"
labelled_at = "opened"
is_fraud = "verdict"
[labels]
fraud = ["fraud"]
legitimate = ["won"]
"""
DELAY = timedelta(days=3)


def labels_of(folder: Path, *rows: str) -> Labels:
    (folder / "disputes.csv").write_text("\n".join(("order,opened,verdict", *rows, "")))
    (folder / "disputes.toml").write_text(MAPPING)
    return read_labels(folder / "disputes.csv", folder / "disputes.toml")


def orders_of(folder: Path, *rows: str, columns: str = "transaction_id,event_time,customer_id,amount") -> Path:
    path = folder / "orders.csv"
    path.write_text("\n".join((columns, *rows, "")))
    return path


def history_of(*rows: tuple[float, int, bool, float]) -> History:
    """From (day since 1970, customer, fraud, the day of its label), ascending by day."""
    days, customers, frauds, known = (np.array(column) for column in zip(*rows, strict=True))
    times, known = (days * DAY_MS).astype(np.int64), (known * DAY_MS).astype(np.int64)
    return History(times, customers, None, np.ones(len(days)), frauds, known=known)


def test_a_label_in_time_is_as_good_as_one_in_the_row(tmp_path: Path) -> None:
    """The command gives the same figures for a column of labels, and for a file of them that came a day later."""
    rows, disputes, mapping = purchases(), tmp_path / "disputes.csv", tmp_path / "disputes.toml"
    rows.to_csv(tmp_path / "labelled.csv", index=False)
    rows.drop(columns="TX_FRAUD").to_csv(tmp_path / "orders.csv", index=False)
    frauds = rows[rows["TX_FRAUD"] == 1]
    opened = frauds["TX_DATETIME"] + pd.Timedelta(days=1)
    pd.DataFrame({"order": frauds["TRANSACTION_ID"], "opened": opened, "verdict": "fraud"}).to_csv(disputes)
    mapping.write_text(MAPPING)
    options = ("--train-start", "2026-01-10", "--train-days", "14", "--json")
    column = run("--transactions", tmp_path / "labelled.csv", *options)
    other = ("--labels", disputes, "--labels-mapping", mapping)
    file = run("--transactions", tmp_path / "orders.csv", *other, *options)
    assert (file.returncode, file.stdout) == (0, column.stdout), file.stderr
    assert f"{len(frauds)} transactions have a label, the others count as legitimate" in file.stderr


def test_what_came_after_the_test_began_is_not_learnt() -> None:
    history = history_of(
        (1.0, 0, True, 4.9), (1.1, 1, True, 6.0), (1.2, 2, False, 0), (6.0, 3, True, 9.0), (6.5, 4, False, 0)
    )
    parts = split(history, Protocol(date(1970, 1, 2), train_days=2, delay_days=3, test_days=1))
    assert parts.labels.tolist() == [True, False, False]
    assert history.frauds[parts.test].tolist() == [True, False], "the test is of the truth"


def test_a_label_that_comes_late_neither_blocks_a_card_nor_is_a_feature() -> None:
    """Both customers have a fraud on day 1; the label of one came after a day, of the other after five."""
    rows = [(1.0, 0, True, 2.0), (1.1, 1, True, 6.0), (1.2, 2, False, 0)]
    history = history_of(*rows, *((6 + customer / 10, customer, customer == 2, 9.0) for customer in range(3)))
    assert history.frauds_within(DELAY)[:3].tolist() == [True, False, False]
    parts = split(history, Protocol(date(1970, 1, 2), train_days=2, delay_days=3, test_days=1))
    assert set(history.customers[parts.test].tolist()) == {1, 2}


def test_the_latest_test_ends_where_labels_are_known(tmp_path: Path) -> None:
    labels = labels_of(tmp_path, "1,2026-03-10,fraud")
    orders = orders_of(tmp_path, "1,2026-03-01,c,1", "2,2026-03-20,c,1")
    history = read(orders, mapping_of(orders, is_labelled=False), labels=labels)
    assert Protocol.latest(history, 1, 3, 1).test_end == date(2026, 3, 8)


def test_the_newest_of_a_transactions_labels_counts_since_the_first_that_said_so(tmp_path: Path) -> None:
    labels = labels_of(
        tmp_path,
        "a,1970-01-03,fraud",
        "a,1970-01-02,fraud",
        "b,1970-01-02,fraud",
        "b,1970-01-04,won",
        "b,1970-01-05,won",
    )
    assert labels.verdicts == {"a": Verdict(True, DAY_MS), "b": Verdict(False, 3 * DAY_MS)}
    assert labels.until_ms == 4 * DAY_MS


def test_the_labels_go_before_what_a_row_says(tmp_path: Path) -> None:
    labels = labels_of(tmp_path, "1,2026-03-10,won", "9,2026-03-10,fraud")
    columns = "transaction_id,event_time,customer_id,amount,is_fraud"
    orders = orders_of(tmp_path, "1,2026-03-01,c,1,1", "2,2026-03-01,c,1,1", "3,2026-03-01,c,1,", columns=columns)
    history = read(orders, mapping_of(orders, is_labelled=False), labels=labels)
    assert history.frauds.tolist() == [False, True, False]
    assert history.remarks[-1] == "1 labels name no transaction of the file"


def test_labels_that_name_nothing_are_refused_with_both_ids(tmp_path: Path) -> None:
    labels, orders = labels_of(tmp_path, "ch_1,2026-03-10,fraud"), orders_of(tmp_path, "o-1,2026-03-01,c,1")
    with pytest.raises(HistoryFileError, match=r"ids such as 'ch_1', the transactions such as 'o-1'"):
        read(orders, mapping_of(orders, is_labelled=False), labels=labels)


def test_transactions_without_ids_can_have_no_labels_elsewhere(tmp_path: Path) -> None:
    orders = orders_of(tmp_path, "2026-03-01,c,1", columns="event_time,customer_id,amount")
    with pytest.raises(MappingError, match="no column for transaction_id, by which --labels names transactions"):
        mapping_of(orders, is_labelled=False)


@pytest.mark.parametrize(
    ("rows", "told"),
    [(("1,soon,fraud",), "row 1: labelled_at"), (("1,2026-03-01,maybe",), "row 1: is_fraud"), ((), "has no label")],
)
def test_a_label_that_cannot_be_read_is_refused_with_its_row(tmp_path: Path, rows: tuple[str, ...], told: str) -> None:
    with pytest.raises(LabelsError, match=told):
        labels_of(tmp_path, *rows)


def test_the_two_options_go_together(tmp_path: Path) -> None:
    done = run("--transactions", tmp_path / "orders.csv", "--labels", tmp_path / "disputes.csv")
    assert (done.returncode, done.stdout) == (1, "")
    assert "--labels FILE and --labels-mapping FILE go together" in done.stderr
