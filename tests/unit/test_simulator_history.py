"""A history has what was asked for, in the contracts' form and in order."""

import gc
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraudstream.messages.contracts import SCHEMAS, Topic, Transaction
from fraudstream.messages.validation import decode
from fraudstream.settings import LACKS
from fraudstream.simulator.history_plan import HistoryError, HistoryPlan
from fraudstream.simulator.messages import encode_table
from fraudstream.simulator.mix import SCENARIO_NAMES
from fraudstream.simulator.recording import open_recording
from fraudstream.storage.tables.static_data import customers, products
from tests.unit.simulated import END, plan, read, written

TRANSACTIONS = 20_000
DAYS = 10
TOPICS = {
    "browse_events": Topic.BROWSE_EVENTS,
    "transactions": Topic.TRANSACTIONS,
    "labels": Topic.TRANSACTION_LABELS,
    "truth": Topic.SIMULATION_TRUTH,
}
#: Optional fields that the simulated shop has no use for, and the version, which is the same in all.
NEVER_SENT = {"schema_version", "shop", "terminal_id"}


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("history")
    written(folder, plan(TRANSACTIONS, DAYS))
    return folder


def test_counts_are_exact(history: Path) -> None:
    truth = read(history, "truth")
    assert len(truth) == len(read(history, "transactions")) == TRANSACTIONS
    assert truth.is_fraud.sum() == TRANSACTIONS * 0.01
    assert set(truth.scenario) == set(SCENARIO_NAMES)
    assert 11 < len(read(history, "browse_events")) / TRANSACTIONS < 13


def test_every_purchase_follows_its_browsing(history: Path) -> None:
    events, purchases = read(history, "browse_events"), read(history, "transactions")
    last = events.groupby("session_id").event_time.max()
    assert (purchases.set_index("session_id").event_time > last.reindex(purchases.session_id)).all()
    owners = events.groupby("session_id").customer_id.first()
    assert (purchases.set_index("session_id").customer_id == owners.reindex(purchases.session_id)).all()


def test_checkout_precedes_most_purchases(history: Path) -> None:
    events, purchases = read(history, "browse_events"), read(history, "transactions")
    checkout = set(events[events.event_type == "begin_checkout"].session_id)
    assert purchases.session_id.isin(checkout).mean() > 0.9


def test_parts_are_in_order_and_do_not_overlap(history: Path) -> None:
    for dataset, column in (("browse_events", "event_time"), ("transactions", "event_time"), ("truth", "event_time")):
        times = read(history, dataset)[column]
        assert times.is_monotonic_increasing
        assert END - timedelta(days=DAYS) <= times.min()
        assert times.max() < END
    for part in (history / "labels").iterdir():
        assert pd.read_parquet(part).labelled_at.is_monotonic_increasing


def test_identifiers_are_unique(history: Path) -> None:
    assert read(history, "browse_events").event_id.is_unique
    assert read(history, "transactions").transaction_id.is_unique
    assert read(history, "transactions").session_id.is_unique


@pytest.mark.parametrize("dataset", TOPICS)
def test_every_row_satisfies_its_contract(history: Path, dataset: str) -> None:
    for part in (history / dataset).iterdir():
        for message in encode_table(TOPICS[dataset], pq.read_table(part).slice(0, 20_000)):
            event: Any = msgspec.json.decode(message.value, type=SCHEMAS[TOPICS[dataset]])
            key = event.transaction_id if dataset in ("labels", "truth") else event.customer_id
            assert message.key == key.encode()


def test_amounts_add_up(history: Path) -> None:
    rows = read(history, "transactions")
    value = rows["items"].map(lambda lines: sum(line["quantity"] * line["unit_price"] for line in lines))
    assert np.allclose(rows.amount, value - rows.promo_amount + rows.shipping_fee, atol=0.011)


def test_columns_are_plain_and_named_as_in_the_contracts(history: Path) -> None:
    for dataset, topic in TOPICS.items():
        schema = pq.read_schema(history / dataset / "part-00000.parquet")
        every = SCHEMAS[topic].__struct_fields__
        assert schema.names == [name for name in every if name not in NEVER_SENT]
        for field in schema:
            assert not pa.types.is_dictionary(field.type)
            assert field.type == pa.timestamp("ms", tz="UTC") or not pa.types.is_timestamp(field.type)
    assert pq.read_schema(history / "customers.parquet").names == [column.name for column in customers.columns]
    assert pq.read_schema(history / "products.parquet").names == [column.name for column in products.columns]


def test_labels_come_later_for_all_fraud_and_some_of_the_rest(history: Path) -> None:
    rows = read(history, "truth").merge(read(history, "labels"), on="transaction_id", how="left")
    assert (rows.labelled_at.isna() | (rows.labelled_at > rows.event_time)).all()
    fraud = rows[rows.is_fraud_x]
    assert fraud.is_fraud_y.map(lambda said: said is True).all()
    assert 0.18 < rows[~rows.is_fraud_x].labelled_at.notna().mean() < 0.22
    delay = (fraud.labelled_at - fraud.event_time) / timedelta(days=1)
    friendly = fraud.scenario == "friendly_fraud"
    assert 4 < delay[~friendly].mean() < 6
    assert delay[friendly].mean() > 18


def test_known_people_shop_at_known_products(history: Path) -> None:
    people, goods = (pd.read_parquet(history / name) for name in ("customers.parquet", "products.parquet"))
    assert len(people) == 20_000
    assert len(goods) == 1_000
    assert goods.name.is_unique
    assert goods.category.nunique() >= 20
    assert set(read(history, "transactions").customer_id) <= set(people.customer_id)
    assert set(read(history, "browse_events").product_id.dropna()) <= set(goods.product_id)


def test_the_shop_has_a_daily_rhythm(history: Path) -> None:
    by_hour = read(history, "transactions").event_time.dt.hour.value_counts()
    assert by_hour.max() > 2.5 * by_hour.min()


def test_the_same_plan_gives_the_same_history(tmp_path: Path) -> None:
    what = plan(2_000, 1)
    for name, workers in (("one", 1), ("two", 2)):
        written(tmp_path / name, what, workers)
    for dataset in TOPICS:
        pd.testing.assert_frame_equal(read(tmp_path / "one", dataset), read(tmp_path / "two", dataset))


def test_other_spans_and_seeds_give_other_rows(tmp_path: Path) -> None:
    what = plan(2_000, 1)
    written(tmp_path / "a", what)
    written(tmp_path / "later", replace(what, end=END + timedelta(days=1)))
    written(tmp_path / "seed", replace(what, seed=43))
    a, later, seed = (read(tmp_path / name, "transactions") for name in ("a", "later", "seed"))
    assert not set(a.transaction_id) & set(later.transaction_id)
    assert not a.amount.equals(seed.amount)


def test_a_strangers_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(HistoryError, match=r"thesis\.txt"):
        written(tmp_path, plan(100, 1))
    assert (tmp_path / "thesis.txt").exists()


def test_a_shop_that_goes_on_is_at_its_usual_pace_until_the_end(tmp_path: Path) -> None:
    """Of any length, with or without browsing; and what is under way at the end is left out."""
    what = HistoryPlan(42, 20_000, 1_000, 3_000, 0.01, 0.1, END, goes_on=True, browsing=False)
    written(tmp_path, what)
    times = read(tmp_path, "transactions").event_time
    assert 0.9 * 3_000 < len(times) <= 3_000
    assert times.max() < END
    last = (times >= END - timedelta(days=0.02)).sum()
    assert 0.8 < last / (3_000 * 0.2) < 1.2
    assert read(tmp_path, "browse_events").empty


def test_a_span_too_short_is_refused() -> None:
    with pytest.raises(HistoryError, match="--days"):
        plan(100, 0.1)


class Client:
    """Garbage that a process must not end for its parent, as a client of Kafka: it notes the process that did."""

    def __init__(self, folder: Path) -> None:
        self.cycle = self
        self.folder = folder

    def __del__(self) -> None:
        (self.folder / str(os.getpid())).touch()


def test_a_worker_collects_no_garbage_of_the_process_that_forked_it(tmp_path: Path) -> None:
    ended, begun = tmp_path / "ended", [True]
    ended.mkdir()
    os.register_at_fork(after_in_child=lambda: begun and gc.collect())  # as sooner or later each worker does
    gc.collect()
    gc.disable()
    try:
        Client(ended)
        written(tmp_path / "history", plan(200, 1))
        gc.collect()
    finally:
        begun.clear()
        gc.enable()
    assert [file.name for file in ended.iterdir()] == [str(os.getpid())]


def test_a_shop_may_lack_parts_and_its_messages_are_valid(tmp_path: Path) -> None:
    """The least that a transaction has is left, and the shoppers are the same."""
    whole, lacking = plan(300, 2), replace(plan(300, 2), lacks=frozenset(LACKS))
    for name, what in (("whole", whole), ("lacking", lacking)):
        written(tmp_path / name, what, 1)
    rows = read(tmp_path / "lacking", "transactions")
    assert set(rows.columns) == {"transaction_id", "customer_id", "event_time", "amount", "currency"}
    assert rows.equals(read(tmp_path / "whole", "transactions")[list(rows.columns)])
    assert read(tmp_path / "lacking", "browse_events").empty
    sent = [each for each in open_recording(tmp_path / "lacking").messages(None) if each.topic == Topic.TRANSACTIONS]
    assert len(sent) == len(rows)
    for message in sent:
        found = decode(message.topic, message.key, message.value, message.due_ms, timedelta(minutes=5))
        assert isinstance(found, Transaction)
