"""Dags that a person starts from Airflow's form: a past is imported, and a customer erased once somebody approved.

Before test_readme, whose replay leaves rows of two months in the stream: a past's rollups end where these begin.
"""

from datetime import UTC, datetime, timedelta
from math import isnan
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from confluent_kafka import Producer
from psycopg import IsolationLevel

from fraudstream.ledger import rotation
from fraudstream.local import status
from fraudstream.local.parts.airflow_api import AirflowApi, AirflowApiError
from fraudstream.messages.contracts import Topic, iso_milliseconds
from fraudstream.messages.features import decode_features, unpack
from fraudstream.settings import Settings
from fraudstream.storage.connect import connect
from model.training.collect import Period, retained_messages
from testbed.approvals import answer
from tests.messages import as_bytes, transaction
from tests.polling import poll

WAIT_SECONDS = 600.0
CUSTOMERS, ORDERS, DISPUTES = 4, 40, 4
FORGOTTEN = "shopper-0"
ORDERS_MAPPING = """
[source]
kind = "transaction"
format = "csv"
separator = ";"

[fields]
transaction_id = "Order"
event_time = "Placed at"
customer_id = "Shopper"
amount = "Total"
currency = { constant = "EUR" }
"""
DISPUTES_MAPPING = """
[source]
kind = "label"
format = "csv"

[fields]
transaction_id = "order"
labelled_at = "opened"
is_fraud = { constant = true }
"""
#: Of the past: what was imported, what entity risk reads, and what the rollups have besides the stream's own rows.
IMPORTED = "SELECT transactions, labels, customers, browse_events FROM fraud.history_imports"
KEPT = "SELECT (SELECT count(*) FROM fraud.past_transactions), (SELECT count(*) FROM fraud.past_labels)"
IN_ROLLUPS = """
SELECT (SELECT sum(transactions) FROM fraud.fraud_counts) - (SELECT count(*) FROM fraud.scored_transactions)
"""
OF_CUSTOMER = """
SELECT (SELECT count(*) FROM fraud.scored_transactions WHERE customer_id = %(id)s),
       (SELECT count(*) FROM fraud.past_transactions WHERE customer_id = %(id)s)
"""
NAMES = "SELECT names FROM fraud.feature_sets WHERE feature_set = %(name)s"
CERTIFICATES = """
SELECT reason, requested_by, approved_by, finished_at IS NOT NULL, (counts ->> 'past_transactions')::int
FROM fraud.erasures
"""


@pytest.fixture(scope="module")
def api(platform: Settings) -> AirflowApi:
    return AirflowApi(platform, timeout=WAIT_SECONDS)


@pytest.fixture(scope="module")
def form(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What is typed into the form of `import_history`: ten orders of each customer, until yesterday, and disputes."""
    folder = tmp_path_factory.mktemp("shop")
    last = datetime.now(UTC) - timedelta(days=1)
    orders = [
        f"o-{number};{iso_milliseconds(last - timedelta(hours=6 * number))};shopper-{number % CUSTOMERS};19.90"
        for number in range(ORDERS)
    ]
    disputes = [f"o-{number},{iso_milliseconds(last)}" for number in range(ORDERS - DISPUTES, ORDERS)]
    contents = {
        "orders.csv": "\n".join(["Order;Placed at;Shopper;Total", *orders]),
        "orders.toml": ORDERS_MAPPING,
        "disputes.csv": "\n".join(["order,opened", *disputes]),
        "disputes.toml": DISPUTES_MAPPING,
    }
    for name, content in contents.items():
        (folder / name).write_text(content)
    paths = dict(
        zip(("data", "mapping", "labels", "labels_mapping"), (folder / name for name in contents), strict=True)
    )
    return {name: str(path) for name, path in paths.items()} | {"replace": True}


def query(settings: Settings, sql: str, **values: Any) -> list[Any]:
    with connect(settings, settings.postgres.writer) as connection:
        return connection.execute(sql.encode(), values).fetchall()


def trigger(api: AirflowApi, dag: str, run: str, conf: dict[str, Any]) -> None:
    api.call("POST", f"/dags/{dag}/dagRuns", {"logical_date": None, "dag_run_id": run, "conf": conf})


def ended(api: AirflowApi, dag: str, run: str) -> dict[str, str]:
    """The states of a run's tasks at its end."""
    path = f"/dags/{dag}/dagRuns/{run}"
    poll(lambda: api.call("GET", path)["state"] in ("success", "failed"), WAIT_SECONDS, f"the end of {dag}, {run}")
    return {task["task_id"]: task["state"] for task in api.call("GET", f"{path}/taskInstances")["task_instances"]}


def erase(api: AirflowApi, run: str, option: str) -> dict[str, str]:
    """Asks for the erasure, answers as a person does in the UI, and returns the states of the tasks."""
    trigger(api, "erase_customer", run, {"customer": FORGOTTEN, "reason": f"request {run}", "requested_by": "ann"})
    assert answer(api, f"/dags/erase_customer/dagRuns/{run}", "approve", lambda _: option, WAIT_SECONDS)
    return ended(api, "erase_customer", run)


def earlier_purchases(settings: Settings, order: str) -> float:
    """Buys as the customer, and returns how many purchases of the 30 days before the model knew; NaN of a new one."""
    producer = Producer(settings.kafka.client_config())
    now = datetime.now(UTC)
    bought = transaction(transaction_id=order, customer_id=FORGOTTEN, event_time=iso_milliseconds(now))
    producer.produce(Topic.TRANSACTIONS, as_bytes(bought), FORGOTTEN)
    assert producer.flush(60) == 0
    scored = "SELECT FROM fraud.scored_transactions WHERE transaction_id = %(order)s"
    poll(lambda: query(settings, scored, order=order), WAIT_SECONDS, f"the score of {order}")
    since = Period(round(now.timestamp() * 1000))
    found = poll(lambda: told_features(settings, order, since), WAIT_SECONDS, f"the features of {order}")
    return found["transactions_30d"]


def told_features(settings: Settings, order: str, period: Period) -> dict[str, float]:
    """The features that a transaction of `period` was scored with, by name; none before they are published."""
    for message in retained_messages(settings, Topic.TRANSACTION_FEATURES, period):
        if message.key() == order.encode():
            record = decode_features(message.value())
            [(names,)] = query(settings, NAMES, name=record.feature_set)
            return dict(zip(names, unpack([record.features], len(names))[0].tolist(), strict=True))
    return {}


def test_a_form_without_data_is_refused(api: AirflowApi, form: dict[str, Any]) -> None:
    with pytest.raises(AirflowApiError, match=r"(?s)400.*data"):
        trigger(api, "import_history", "without-data", form | {"data": ""})


def test_a_past_is_imported_from_the_form(platform: Settings, api: AirflowApi, form: dict[str, Any]) -> None:
    trigger(api, "import_history", "e2e", form)
    assert ended(api, "import_history", "e2e") == {"import": "success"}
    assert query(platform, IMPORTED) == [(ORDERS, DISPUTES, CUSTOMERS, 0)]
    assert query(platform, KEPT) == [(ORDERS, DISPUTES)]
    assert query(platform, IN_ROLLUPS) == [(ORDERS,)]
    assert earlier_purchases(platform, "live-1") == ORDERS / CUSTOMERS


def test_the_same_form_again_changes_nothing(platform: Settings, api: AirflowApi, form: dict[str, Any]) -> None:
    imported = query(platform, "SELECT * FROM fraud.history_imports")
    trigger(api, "import_history", "again", form | {"replace": False})
    assert ended(api, "import_history", "again") == {"import": "success"}
    assert query(platform, "SELECT * FROM fraud.history_imports") == imported


def test_a_rejected_erasure_leaves_everything(platform: Settings, api: AirflowApi) -> None:
    assert erase(api, "7", "Reject") == {"approve": "success", "erase": "skipped"}
    assert query(platform, OF_CUSTOMER, id=FORGOTTEN) == [(1, ORDERS / CUSTOMERS)]
    assert query(platform, CERTIFICATES) == []


def test_an_approved_erasure_erases_rows_files_and_profile(platform: Settings, api: AirflowApi) -> None:
    assert erase(api, "8", "Approve") == {"approve": "success", "erase": "success"}
    assert query(platform, OF_CUSTOMER, id=FORGOTTEN) == [(0, 0)]
    assert query(platform, CERTIFICATES) == [("request 8", "ann", "admin", True, ORDERS / CUSTOMERS)]
    assert FORGOTTEN not in imported_customers(platform.paths.mapped)
    assert isnan(earlier_purchases(platform, "live-2")), "as of a new customer"


def imported_customers(folder: Path) -> set[str]:
    """Those in the import's own copy of the past."""
    found = [pq.read_table(part, columns=["customer_id"]) for part in folder.glob("*/transactions/*.parquet")]
    assert found
    return {name for table in found for name in table["customer_id"].to_pylist()}


def test_the_platform_is_whole_after_it_all(platform: Settings) -> None:
    poll(lambda: status.collect(platform).healthy, WAIT_SECONDS, "a healthy platform")
    with connect(platform, platform.postgres.writer) as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        assert rotation.compare_next(connection, whole=True).differences == []
