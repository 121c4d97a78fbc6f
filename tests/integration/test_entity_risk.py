"""The refresh of entity risk in a real Postgres: equal to training's, to the bit, once the stream has read it."""

import json
from datetime import timedelta
from typing import Any, cast

import numpy as np
import pandas as pd
import psycopg
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from fraudstream.settings import EntityRiskSettings, Settings
from fraudstream.static_data.entities import PRIOR_TRANSACTIONS
from fraudstream.static_data.entity_risk import refresh
from model.features.columns import TERMINAL_FEATURES
from model.past.store import insert_transactions
from model.past.transactions import MILLISECONDS, slim
from model.serving.registry import ensure_pretrained
from model.training.entity_history import entity_features_as_of
from model.training.terminal_history import terminal_features_as_of
from spark_jobs.scoring_data import ScoringDataCache
from tests.commands import run_here
from tests.unit.entity_refresh import CATEGORIES, labels, purchases, random_history, refreshed, with_items
from tests.unit.model_events import START

Postgres = psycopg.Connection[Any]
#: Workers are asked only when a model changes, and none does here.
NO_SPARK = cast(SparkSession, None)
HOURLY = EntityRiskSettings(refresh_minutes=60, publication_seconds=60)
MOST = HOURLY.component_customers

pytestmark = pytest.mark.usefixtures("empty_tables")


def store(writer: Postgres, transactions: pd.DataFrame, known: pd.DataFrame) -> None:
    """Puts transactions and labels where the stream's sink would have put them."""
    same: dict[str, Any] = {
        "session_id": "s", "amount": 10, "currency": "EUR", "payment_method": "card", "promo_amount": 0,
        "shipping_fee": 0, "shipping_city": "Berlin", "shipping_country": "DE", "ip_country": "DE", "fraud_score": 0.1,
        "is_fraud": False, "threshold": 0.5, "reasons": "[]", "model_version": "m", "scored_at": START, "late": False,
        "ingest_time": START, "kafka_partition": 0, "batch_id": 0, "counted_in_sales": True,
    }  # fmt: skip
    for number, (identifier, row) in enumerate(transactions.iterrows()):
        values = row.drop("shop_amount").replace(np.nan, None).to_dict() | {
            "items": json.dumps(row["items"]),
            "transaction_id": identifier,
        }
        _insert(writer, "scored_transactions", same | values | {"kafka_offset": number})
    for number, row in enumerate(known.to_dict("records")):
        same = {"source": "analyst", "ingest_time": START, "kafka_partition": 0, "batch_id": 0}
        _insert(writer, "transaction_labels", same | row | {"kafka_offset": number})


def _insert(writer: Postgres, table: str, row: dict[str, Any]) -> None:
    places = ", ".join(["%s"] * len(row))
    writer.execute(f"INSERT INTO fraud.{table} ({', '.join(row)}) VALUES ({places})", list(row.values()))


@pytest.fixture
def shop(settings: Settings, writer: Postgres) -> Postgres:
    """A database with products and a champion."""
    for product, category in CATEGORIES.items():
        row = {"product_id": product, "name": product, "category": category, "list_price": 10}
        _insert(writer, "products", row)
    ensure_pretrained(writer, settings.paths.models)
    return writer


def import_past(writer: Postgres, transactions: pd.DataFrame, known: pd.DataFrame) -> None:
    """Puts transactions and labels where an import of history would have put them."""
    table = pa.Table.from_pandas(transactions.rename_axis("transaction_id").reset_index(), preserve_index=False)
    at = table.schema.get_field_index("event_time")
    table = table.set_column(at, "event_time", table["event_time"].cast(MILLISECONDS))
    named = known.reset_index(drop=True).rename_axis("number").reset_index()
    for column in ("currency", "payment_method", "shipping_city", "shipping_country"):
        table = table.append_column(column, pa.nulls(len(table), pa.string()))
    slimmed = slim(table, transactions["exchange_rate"].to_numpy(float), 0)
    insert_transactions(writer, [slimmed], pa.Table.from_pandas(named, preserve_index=False))


@pytest.mark.parametrize("hours", [1, 30, 29 * 24 - 12, 45 * 24 + 5, 80 * 24])
def test_the_stream_joins_what_training_computes(shop: Postgres, hours: int) -> None:
    transactions, known = random_history(hours, 120)
    store(shop, transactions, known)
    as_of = START + timedelta(hours=hours)
    asked = transactions.assign(event_time=pd.Timestamp(as_of + timedelta(seconds=61)))
    asked.index = "asked-" + asked.index
    expected = entity_features_as_of(pd.concat([transactions, asked]), known, CATEGORIES, HOURLY)[len(transactions) :]
    done = refresh(shop, as_of, MOST)
    risk = ScoringDataCache.load(shop, "EUR", shadow=False).current.risk
    assert (risk.version, risk.transactions, risk.frauds) == (done.version, done.transactions, done.frauds)
    assert sum(map(len, risk.entities.values())) == done.entities
    assert np.isnan(expected).all() == (done.transactions == 0)
    assert risk.features(asked, CATEGORIES).tobytes() == expected.tobytes()


@pytest.mark.parametrize("days", [0, 1.25, 21])
def test_a_replay_joins_what_was_known_of_terminals_in_its_own_hour(shop: Postgres, days: float) -> None:
    """With labels that came late, twice and never, some of them after the transaction's hour."""
    transactions, known = random_history(7, 3_000)
    store(shop, transactions, known)
    as_of = START + timedelta(days=60)
    asked = transactions.assign(event_time=pd.Timestamp(as_of - timedelta(days=days)))
    asked.index = "asked-" + asked.index
    expected = terminal_features_as_of(pd.concat([transactions, asked]), known)[len(transactions) :]
    done = refresh(shop, as_of, MOST)
    terminals = ScoringDataCache.load(shop, "EUR", shadow=False).current.risk.terminals
    assert (len(terminals.terminals), done.terminals) == (2, 2)
    assert terminals.features(asked).tobytes() == expected.tobytes()
    assert np.nansum(expected[:, TERMINAL_FEATURES.index("terminal_frauds_30d")]) > 0


@pytest.mark.parametrize("hours", [10 * 24, 29 * 24 - 12, 45 * 24 + 5])
def test_an_imported_past_counts_as_if_the_stream_had_scored_it(shop: Postgres, hours: int) -> None:
    """With labels of it that came before and after it was imported, and transactions that the stream scored, too."""
    transactions, known = random_history(hours, 120)
    known = known.sort_values("labelled_at", kind="stable", ignore_index=True)
    began = transactions["event_time"].sort_values().iloc[70]
    past, live = transactions[transactions["event_time"] < began], transactions[transactions["event_time"] >= began]
    live = pd.concat([past.iloc[:10], live])
    of_past = known["transaction_id"].isin(past.index) & (known["labelled_at"] < began + timedelta(days=9))
    import_past(shop, past, known[of_past])
    store(shop, live, known[~of_past])
    as_of = START + timedelta(hours=hours)
    asked = transactions.assign(event_time=pd.Timestamp(as_of + timedelta(seconds=61)))
    asked.index = "asked-" + asked.index
    expected = entity_features_as_of(pd.concat([transactions, asked]), known, CATEGORIES, HOURLY)[len(transactions) :]
    done = refresh(shop, as_of, MOST)
    risk = ScoringDataCache.load(shop, "EUR", shadow=False).current.risk
    assert done.transactions > 0
    assert risk.features(asked, CATEGORIES).tobytes() == expected.tobytes()
    at_terminals = terminal_features_as_of(pd.concat([transactions, asked]), known)[len(transactions) :]
    assert risk.terminals.features(asked).tobytes() == at_terminals.tobytes()


def test_the_table_says_how_many_and_how_risky(shop: Postgres) -> None:
    bought = [{"customer_id": f"c{number}", "card_token": f"k{number}"} for number in range(8)]
    bought += [{"device_id": "alone", "shipping_latitude": 1.0, "card_token": None, "items": []}]
    store(shop, purchases(*bought), labels(("t0", True, START), ("t1", True, START), ("t1", False, START)))
    refresh(shop, START + timedelta(hours=1), MOST)
    rows = shop.execute("SELECT entity_type, entity_id, transactions, frauds, customers, risk FROM fraud.entity_risk")
    base = 1 / 9
    rate = (1 + PRIOR_TRANSACTIONS * base) / (8 + PRIOR_TRANSACTIONS)
    assert sorted(rows.fetchall()) == [
        ("card_token", "k0", 1, 1, 1, (1 + PRIOR_TRANSACTIONS * base) / (1 + PRIOR_TRANSACTIONS)),
        ("category", "audio", 8, 1, 8, rate),
        ("device", "shared", 8, 1, 8, rate),
        ("shipping_address", "525200:134100", 8, 1, 8, rate),
    ]


@pytest.mark.parametrize("hours", [30, 45 * 24 + 5])
def test_components_are_those_of_a_plain_search(shop: Postgres, hours: int) -> None:
    transactions, known = random_history(hours, 120)
    store(shop, transactions, known)
    as_of = START + timedelta(hours=hours)
    refresh(shop, as_of, MOST)
    risk = ScoringDataCache.load(shop, "EUR", shadow=False).current.risk
    expected = refreshed(with_items(transactions), known, CATEGORIES, as_of)
    np.testing.assert_array_equal(risk.served(transactions, CATEGORIES), expected.served(transactions, CATEGORIES))


def test_what_too_many_share_ties_nobody(shop: Postgres) -> None:
    """Customers 0 to 3 have one address, 0 and 1 a device, 1 and 4 a card."""
    bought = [{"customer_id": f"c{n}", "device_id": f"d{max(n, 1)}", "card_token": f"k{n % 3}"} for n in range(4)]
    bought[0] |= {"card_token": "k9"}
    bought += [{"customer_id": "c4", "device_id": "d4", "card_token": "k1", "shipping_latitude": 1.0}]
    store(shop, purchases(*({**one, "items": []} for one in bought)), labels(("t4", True, START)))
    rows = "SELECT entity_type, entity_id, component_customers, component_frauds FROM fraud.entity_risk ORDER BY 1, 2"
    refresh(shop, START + timedelta(hours=1), 3)
    assert shop.execute(rows).fetchall() == [
        ("card_token", "k1", 3, 1),
        ("device", "d1", 3, 1),
        ("device", "d4", 3, 1),
        ("shipping_address", "10000:134100", 3, 1),
        ("shipping_address", "525200:134100", None, None),
    ]
    refresh(shop, START + timedelta(hours=1), 5)
    assert [row[2:] for row in shop.execute(rows).fetchall()] == [(5, 1)] * 5


def test_only_a_new_refresh_is_read_again(shop: Postgres) -> None:
    cache = ScoringDataCache.load(shop, "EUR", shadow=False)
    before = cache.current
    assert before.risk.version == 0
    store(shop, *random_history(1, 20))
    done = refresh(shop, START + timedelta(days=40), MOST)
    after = cache.refresh(shop, NO_SPARK)
    assert after.risk.version == done.version
    assert after.static is before.static
    assert cache.refresh(shop, NO_SPARK) is after


def test_the_command_that_the_dag_runs(shop: Postgres) -> None:
    store(shop, *random_history(1, 20))
    as_of = START + timedelta(days=40, minutes=7)
    done = run_here("fraudstream.static_data.entity_risk", "--as-of", f"{as_of:%Y-%m-%dT%H:%M:%SZ}")
    assert done.returncode == 0, done.stderr
    assert f"as of {as_of - timedelta(minutes=7):%Y-%m-%d %H:%M} UTC" in done.stdout
    stored = shop.execute("SELECT as_of, entities FROM fraud.entity_risk_versions").fetchone()
    assert stored is not None
    assert stored[0] == as_of - timedelta(minutes=7)
    assert shop.execute("SELECT count(*) FROM fraud.entity_risk").fetchone() == (stored[1],)
