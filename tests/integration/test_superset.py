"""A real Superset on a real Postgres: every chart answers, and viewers see dashboards and nothing else."""

import json
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
import yaml

from fraudstream.local.parts import superset
from fraudstream.local.supervisor import Supervisor
from fraudstream.settings import PROJECT_DIR, Settings
from fraudstream.storage.connect import connect
from tests.polling import poll

Postgres = psycopg.Connection[tuple[object, ...]]
DASHBOARDS = [yaml.safe_load(path.read_text()) for path in (PROJECT_DIR / "superset/assets/dashboards").glob("*.yaml")]

#: What the stream writes for one ordinary and one flagged transaction, now.
ROWS = """
INSERT INTO fraud.products VALUES ('p1', 'Kettle', 'Home', 20) ON CONFLICT DO NOTHING;
INSERT INTO fraud.scored_transactions
SELECT id, 's-' || id, 'c1', now(), 20, 'EUR', '[]', 'card', NULL, NULL, 0, 0, city, 'FR', 48.9, 2.4, 'FR', 'd1',
       score, score > 0.5, 0.5, '[]', 'v1', now(), false, now(), 0, 0, 1, score <= 0.5
FROM (VALUES ('t1', 'Paris', 0.1), ('t2', 'Lyon', 0.9)) AS given (id, city, score);
INSERT INTO fraud.fraud_counts VALUES (date_bin('10 s', now(), 'epoch'), 2, 1, 40, 20);
INSERT INTO fraud.product_sales (window_start, product_id, units, revenue, batch_id)
VALUES (date_bin('30 s', now(), 'epoch'), 'p1', 1, 20, 1);
INSERT INTO fraud.fraud_locations VALUES (date_bin('60 s', now(), 'epoch'), 'FR', 'Lyon', 45.8, 4.8, 1, 20);
INSERT INTO fraud.fraud_alerts (transaction_id, customer_id, event_time, amount, currency, shipping_city,
                                shipping_country, fraud_score, reasons, model_version)
VALUES ('t2', 'c1', now(), 20, 'EUR', 'Lyon', 'FR', 0.9,
        '[{"text": "card new to this customer"}, {"text": "amount 20.00; usual: 5.00"}]', 'v1');
"""
#: A minute ago, each of 30 categories sold something.
MANY_CATEGORIES = """
INSERT INTO fraud.products SELECT 'p' || n, 'Product ' || n, 'Category ' || n, n FROM generate_series(1, 30) AS n;
INSERT INTO fraud.product_sales (window_start, product_id, units, revenue, batch_id)
SELECT date_bin('30 s', now() - interval '1 minute', 'epoch'), 'p' || n, 1, n, 1 FROM generate_series(1, 30) AS n;
INSERT INTO fraud.fraud_counts VALUES (date_bin('30 s', now() - interval '1 minute', 'epoch'), 30, 0, 465, 0)
"""


def request(
    server: Settings, path: str, token: str = "", body: dict[str, object] | None = None, *, raw: bool = False
) -> tuple[int, Any]:
    """Status and JSON, or with `raw` the bytes, of an answer of Superset's API."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(server.superset_url + path, data, headers)) as answer:
            return answer.status, answer.read() if raw else json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, None


def sign_in(server: Settings, username: str, password: str) -> str:
    account: dict[str, object] = {"username": username, "password": password, "provider": "db"}
    return str(request(server, "/api/v1/security/login", body=account)[1]["access_token"])


@pytest.fixture
def viewer(server: Settings) -> str:
    return sign_in(server, superset.VIEWER, (server.paths.superset / "viewer_password").read_text())


@pytest.fixture
def admin(server: Settings) -> str:
    account = json.loads(server.paths.credentials.read_text())["superset"]
    return sign_in(server, account["username"], account["password"])


def rows_of(server: Settings, token: str, chart: str) -> list[dict[str, Any]]:
    number = charts_by_name(server, token)[chart]
    rows = request(server, f"/api/v1/chart/{number}/data/?force=true", token)[1]["result"][0]["data"]
    return [dict(row) for row in rows]


def first_row(server: Settings, token: str, chart: str) -> dict[str, Any]:
    return rows_of(server, token, chart)[0]


@pytest.mark.usefixtures("empty_tables")
def test_without_data_totals_are_zero_and_no_chart_fails(server: Settings) -> None:
    answers = {answer.chart.name: answer for answer in superset.chart_answers(server)}
    assert {answer.problem for answer in answers.values()} == {""}
    assert {answers[name].rows for name in ("Scored", "Flagged", "Revenue", "Latest alerts")} == {1}


@pytest.mark.usefixtures("empty_tables")
def test_every_chart_shows_what_was_scored(server: Settings, writer: Postgres, admin: str) -> None:
    writer.execute(ROWS)
    superset.wait_for_charts(server, seconds=0)
    assert first_row(server, admin, "Scored") == {"transactions_total": 2}
    assert first_row(server, admin, "Flag rate") == {"flag_rate_total": 0.5}
    assert first_row(server, admin, "Best sellers, newest 30 minutes or filter") == {
        "product": "Kettle",
        "units_total": 1,
        "revenue_total": 20.0,
    }
    assert first_row(server, admin, "Where flagged transactions ship to, newest hour or filter")["place"] == "Lyon, FR"
    alert = first_row(server, admin, "Latest alerts")
    assert alert["Why it was flagged"] == "Card new to this customer · Amount 20.00"


@pytest.mark.usefixtures("empty_tables")
def test_the_ring_and_the_bars_add_up_to_the_revenue(server: Settings, writer: Postgres, admin: str) -> None:
    writer.execute(MANY_CATEGORIES)
    [revenue] = rows_of(server, admin, "Revenue")
    ring = rows_of(server, admin, "Revenue by category, newest 30 minutes or filter")
    bars = rows_of(server, admin, "Revenue per 30 seconds, by category")
    assert len(ring) == 9
    assert sum(row["revenue_total"] for row in ring) == revenue["revenue_total"] == sum(range(1, 31))
    assert sum(row["revenue_total"] or 0 for row in bars) == sum(range(1, 31))
    assert sum(row["revenue_total__contribution"] for row in ring) == pytest.approx(1)


def test_what_people_do_is_logged_and_what_charts_repeat_is_not(server: Settings, admin: str) -> None:
    role = server.postgres.superset_database
    with connect(server, role, role, autocommit=True) as metadata:
        before = {number for (number,) in metadata.execute("SELECT id FROM logs")}
        charts = request(server, "/api/v1/chart/?q=(page_size:100)", admin)[1]["result"]
        for chart in charts:
            assert request(server, f"/api/v1/chart/{chart['id']}/data/?force=true", admin)[0] == 200
        list(superset.chart_answers(server))  # as a dashboard asks for them
        request(server, "/api/v1/dashboard/export/?q=!(1)", admin, raw=True)
        rows = metadata.execute("SELECT id, action FROM logs").fetchall()
    logged = {action for number, action in rows if number not in before}
    assert not {action for action in logged if "data" in action}, "charts' refreshes"
    assert any("export" in action for action in logged)


def test_dashboards_refresh_themselves(server: Settings, admin: str) -> None:
    for asset in DASHBOARDS:
        board = request(server, f"/api/v1/dashboard/{asset['slug']}", admin)[1]["result"]
        assert json.loads(board["json_metadata"])["refresh_frequency"] == asset["metadata"]["refresh_frequency"]


def test_viewers_see_the_dashboards(server: Settings, viewer: str) -> None:
    boards = request(server, "/api/v1/dashboard/", viewer)[1]["result"]
    assert {board["slug"] for board in boards} == {asset["slug"] for asset in DASHBOARDS}


@pytest.mark.parametrize("path", ["/api/v1/database/", "/api/v1/dataset/", "/api/v1/query/", "/api/v1/security/users/"])
def test_viewers_see_nothing_else(server: Settings, viewer: str, path: str) -> None:
    status, answer = request(server, path, viewer)
    assert status in {401, 403} or answer["result"] == []


def test_nobody_sees_anything_without_signing_in(server: Settings) -> None:
    assert request(server, "/api/v1/dashboard/fraud-monitor")[0] in {401, 403, 404}
    status, answer = request(server, "/api/v1/chart/")
    assert status == 401 or answer["result"] == []


def as_browsers_ask(server: Settings, admin: str, chart: str) -> dict[str, Any]:
    """The query context that a dashboard's page sends for a chart."""
    number = charts_by_name(server, admin)[chart]
    saved = request(server, f"/api/v1/chart/{number}", admin)[1]["result"]
    [board] = saved["dashboards"]
    context: dict[str, Any] = json.loads(saved["query_context"])
    context["form_data"] |= {"slice_id": number, "dashboardId": board["id"]}
    return context | {"force": True}


def charts_by_name(server: Settings, token: str) -> dict[str, int]:
    charts = request(server, "/api/v1/chart/?q=(page_size:100)", token)[1]["result"]
    return {chart["slice_name"]: chart["id"] for chart in charts}


CHANGES = """
INSERT INTO fraud.model_versions (version, status, artifact, sha256, features, threshold, metrics, trained_at,
                                  registered_at, promoted_at)
VALUES ('m-1', 'archived', '', '', '{}', 0.5, '{}', now(), '2026-03-01 10:00+00', '2026-03-01 10:00+00'),
       ('m-2', 'champion', '', '', '{}', 0.5, '{}', now(), '2026-03-01 11:00+00', '2026-03-01 12:00+00'),
       ('m-3', 'challenger', '', '', '{}', 0.5, '{}', now(), '2026-03-01 13:00+00', NULL);
INSERT INTO fraud.policy_versions (policy_version, author, approved_at, comment, rolled_back_to, document)
VALUES (1, 'ann', '2026-03-01 14:00+00', 'about somebody', NULL, '{}'), (2, 'ann', NULL, '', NULL, '{}'),
       (3, 'ann', '2026-03-01 15:00+00', '', 1, '{}')
"""


@pytest.mark.usefixtures("empty_tables")
def test_viewers_see_what_was_changed_on_the_chart_over_time(
    server: Settings, writer: Postgres, viewer: str, admin: str
) -> None:
    context = as_browsers_ask(server, admin, "Flagged transactions per 10 seconds")

    def marked() -> list[tuple[int, str]]:
        status, answer = request(server, "/api/v1/chart/data", viewer, context)
        assert status == 200
        found = answer["result"][0]["annotation_data"]["Changes"]["records"]
        return sorted((each["start_dttm"] // 3_600_000, each["short_descr"]) for each in found)

    first = int(datetime(2026, 3, 1, 10, tzinfo=UTC).timestamp()) // 3600
    told = (
        "Model m-1 promoted",
        "Challenger m-2",
        "Model m-2 promoted",
        "Challenger m-3",
        "Policy 1",
        "Policy 3, back to 1",
    )
    writer.execute(CHANGES)
    poll(lambda: marked() == [(first + n, text) for n, text in enumerate(told)], 60, "the changes are marked")
    writer.execute("UPDATE fraud.model_versions SET version = 'm-4' WHERE version = 'm-3'")
    poll(lambda: (first + 3, "Challenger m-4") in marked(), 60, "a change is marked")
    assert len(marked()) == len(told)


SQL_METRIC = {
    "expressionType": "SQL",
    "label": "m",
    "sqlExpression": "(SELECT count(*) FROM ts_stat('SELECT to_tsvector(name) FROM fraud.products'))",
}
SQL_COLUMN = {"expressionType": "SQL", "label": "c", "sqlExpression": "query_to_xml('SELECT 1', true, true, '')::text"}
#: What a viewer might add to a saved chart's query.
FORGED = [
    {"metrics": [SQL_METRIC]},
    {"columns": [SQL_COLUMN]},
    {"orderby": [[SQL_METRIC, True]]},
    {"extras": {"where": "pg_sleep(1) IS NOT NULL"}},
    {"extras": {"having": "pg_sleep(1) IS NOT NULL"}},
    {"filters": [{"col": SQL_COLUMN, "op": "IS NOT NULL"}]},
    {"filters": [{"col": "transactions", "op": "==", "val": 1}]},
    {"filters": [{"col": "transactions", "op": "IN", "val": ["1"]}]},
    {"filters": [{"col": "country", "op": "NOT IN", "val": ["FR"]}]},
    {"filters": [{"col": "country", "op": "IN", "val": [1]}]},
    {"filters": [{"col": "country", "op": "IN", "val": "FR"}]},
    {"filters": [{"col": "country", "op": "IN", "val": ["F" * 201]}]},
    {"filters": [{"col": SQL_COLUMN | {"label": "country"}, "op": "IN", "val": ["FR"]}]},
    {"filters": [{"col": "event_time", "op": "TEMPORAL_RANGE", "val": "Last hour"}]},
    {"granularity": "event_time", "time_range": "Last hour"},
    {"columns": ["newest_age_ms"]},
    {"post_processing": [{"operation": "cum", "options": {"operator": "sum", "columns": {}}}]},
    {"post_processing": [{"operation": "contribution", "options": {"columns": ["transactions_total"]}}]},
    {"result_type": "samples"},
    {"result_type": "query"},
    {
        "annotation_layers": [
            {
                "name": "a",
                "annotationType": "EVENT",
                "sourceType": "table",
                "value": 1,
                "show": True,
                "showMarkers": False,
                "style": "solid",
            }
        ]
    },
    {
        "annotation_layers": [
            {
                "name": "a",
                "annotationType": "EVENT",
                "sourceType": "NATIVE",
                "value": 1,
                "show": True,
                "showMarkers": False,
            }
        ]
    },
]


def test_viewers_get_what_a_saved_chart_asks_for(server: Settings, viewer: str, admin: str) -> None:
    charts = request(server, "/api/v1/chart/?q=(page_size:100)", admin)[1]["result"]
    for chart in {chart["viz_type"]: chart["slice_name"] for chart in charts}.values():  # one of each kind
        status, _ = request(server, "/api/v1/chart/data", viewer, as_browsers_ask(server, admin, chart))
        assert status == 200, chart


@pytest.mark.parametrize("forged", FORGED, ids=str)
def test_a_query_that_is_not_a_saved_charts_is_refused_for_viewers(
    server: Settings, viewer: str, admin: str, forged: dict[str, object]
) -> None:
    context = as_browsers_ask(server, admin, "Scored")
    context["queries"][0] |= forged
    assert request(server, "/api/v1/chart/data", viewer, context)[0] == 403


#: *Last hour* ends with the whole second, in which a row's window may begin.
THIS_HOUR = "DATEADD(DATETIME('now'), -1, hour) : DATEADD(DATETIME('now'), 1, hour)"
#: What shoppers may call a country, beside real ones: nothing of it is more than a name.
ODD = ["'; SELECT 1 --", "{{ 1 / 0 }}", "%s %(x)s", ":x", "\\", "\\'"]


@pytest.mark.usefixtures("empty_tables")
def test_viewers_filter_a_dashboard(server: Settings, writer: Postgres, viewer: str, admin: str) -> None:
    writer.execute(ROWS)
    for countries, scored in ((["FR"], 2), (["FR", *ODD], 2), (ODD, 0)):
        context = as_browsers_ask(server, admin, "Scored")
        context["queries"][0]["filters"] = [{"col": "country", "op": "IN", "val": countries}]
        status, answer = request(server, "/api/v1/chart/data", viewer, context)
        assert (status, answer["result"][0]["data"]) == (200, [{"transactions_total": scored}])


@pytest.mark.usefixtures("empty_tables")
def test_viewers_choose_the_time_of_a_dashboard(server: Settings, writer: Postgres, viewer: str, admin: str) -> None:
    writer.execute(ROWS)
    for time_range, scored in ((THIS_HOUR, 2), ("2020-01-01 : 2020-01-02", 0)):
        context = as_browsers_ask(server, admin, "Scored")
        context["queries"][0]["time_range"] = time_range
        status, answer = request(server, "/api/v1/chart/data", viewer, context)
        assert (status, answer["result"][0]["data"]) == (200, [{"transactions_total": scored}])


def choices(server: Settings, admin: str, column: str) -> dict[str, Any]:
    """The query context that a page sends for what its filter of a column offers."""
    board = request(server, "/api/v1/dashboard/fraud-monitor", admin)[1]["result"]
    for each in json.loads(board["json_metadata"])["native_filter_configuration"]:
        for target in each["targets"]:
            if target.get("column") == {"name": column}:
                form = {"dashboardId": board["id"], "type": "NATIVE_FILTER", "native_filter_id": each["id"]}
                query = {"columns": [column], "metrics": [], "filters": [], "orderby": [], "row_limit": 1000}
                datasource = {"id": target["datasetId"], "type": "table"}
                return {"datasource": datasource, "queries": [query], "form_data": form, "force": True}
    raise LookupError(column)


@pytest.mark.usefixtures("empty_tables")
def test_viewers_see_what_a_filter_offers_and_nothing_else_of_it(
    server: Settings, writer: Postgres, viewer: str, admin: str
) -> None:
    writer.execute(ROWS)
    context = choices(server, admin, "country")
    status, answer = request(server, "/api/v1/chart/data", viewer, context)
    assert (status, answer["result"][0]["data"]) == (200, [{"country": "FR"}])
    asked = context["queries"][0]
    for forged in ({"columns": ["shop"]}, {"columns": [SQL_COLUMN]}, {"metrics": ["count"]}, {"metrics": [SQL_METRIC]}):
        assert request(server, "/api/v1/chart/data", viewer, context | {"queries": [asked | forged]})[0] == 403
    other = as_browsers_ask(server, admin, "Latest alerts")["datasource"]
    assert request(server, "/api/v1/chart/data", viewer, context | {"datasource": other})[0] == 403


def test_a_query_of_another_dataset_or_of_no_chart_is_refused_for_viewers(
    server: Settings, viewer: str, admin: str
) -> None:
    context = as_browsers_ask(server, admin, "Scored")
    other = as_browsers_ask(server, admin, "Latest alerts")
    assert request(server, "/api/v1/chart/data", viewer, context | {"datasource": other["datasource"]})[0] == 403
    assert request(server, "/api/v1/chart/data", viewer, context | {"form_data": {}})[0] == 403
    form = {"dashboardId": context["form_data"]["dashboardId"], "type": "NATIVE_FILTER", "native_filter_id": "x"}
    assert request(server, "/api/v1/chart/data", viewer, context | {"form_data": form})[0] == 403


def test_charts_answer_while_eight_queries_try_to_sleep(server: Settings, viewer: str, admin: str) -> None:
    """Not refused, since an administrator sends them: Postgres lets nobody of Superset sleep."""
    asleep = as_browsers_ask(server, admin, "Scored")
    asleep["queries"][0]["extras"] = {"where": "pg_sleep(30) IS NULL"}
    ordinary = as_browsers_ask(server, admin, "Scored")
    with ThreadPoolExecutor(8) as pool:
        sleepers = [pool.submit(request, server, "/api/v1/chart/data", admin, asleep) for _ in range(8)]
        began = time.monotonic()
        assert request(server, "/api/v1/chart/data", viewer, ordinary)[0] == 200
        assert time.monotonic() - began < 10
        assert {sleeper.result()[0] for sleeper in sleepers} == {400}


def test_the_session_cookie_follows_links_and_no_forms_of_others(server: Settings) -> None:
    with urllib.request.urlopen(f"{server.superset_url}/login/") as answer:
        [cookie] = [value for value in answer.headers.get_all("Set-Cookie") if value.startswith("session=")]
    assert {"SameSite=Lax", "HttpOnly"} <= set(cookie.split("; "))


def test_the_charts_connection_can_not_write(server: Settings) -> None:
    with (
        connect(server, server.postgres.charts) as connection,
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
    ):
        connection.execute("DELETE FROM fraud.fraud_counts")


def test_the_page_loads_nothing_from_elsewhere(server: Settings) -> None:
    with urllib.request.urlopen(f"{server.superset_url}/login/") as answer:
        policy = answer.headers["Content-Security-Policy"]
    assert "//" not in policy.replace("nonce-", "")


def test_the_map_has_tiles(server: Settings) -> None:
    with urllib.request.urlopen(f"{server.superset_url}/tiles/1/0/0.png") as answer:
        assert (answer.headers["Content-Type"], answer.read(4)) == ("image/png", b"\x89PNG")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{server.superset_url}/tiles/1/2/0.png")


def test_a_second_start_changes_nothing(server: Settings, admin: str) -> None:
    before = request(server, "/api/v1/chart/?q=(page_size:100)", admin)[1]["result"]
    supervisor = Supervisor(server)
    supervisor.stop(superset.NAME)
    supervisor.start(superset.NAME)
    superset.wait_healthy(server)
    after = request(server, "/api/v1/chart/?q=(page_size:100)", admin)[1]["result"]
    changed = {chart["id"]: chart["changed_on_utc"] for chart in after}
    assert changed == {chart["id"]: chart["changed_on_utc"] for chart in before}
