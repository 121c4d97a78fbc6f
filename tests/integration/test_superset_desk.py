"""The desk in a real Superset: who may enter, and what its pages and forms do."""

import re

import psycopg
import pytest

from fraudstream.settings import Settings
from testbed.person import Person
from tests.desk import add_alerts

Postgres = psycopg.Connection[tuple[object, ...]]


def ids(page: str) -> list[str]:
    """The alerts of a queue, in order."""
    return re.findall(r'name="item" value="\d+:([^"]+)"', page)


def test_a_viewer_sees_no_desk(viewer: Person, analyst: Person) -> None:
    assert viewer.get("/desk/")[0] == 403
    assert viewer.get("/desk/alerts/t1")[0] == 403
    assert viewer.post("/desk/claim", transaction_id="t1")[0] == 403
    entry = "&#34;/desk/&#34;"
    assert entry not in viewer.get("/dashboard/list/")[1]
    assert entry in analyst.get("/dashboard/list/")[1]


def test_who_is_not_signed_in_is_asked_to(server: Settings) -> None:
    stranger = Person(server.superset_url)
    status, page = stranger.get("/desk/")
    assert (status, "Why it was flagged" in page) == (200, False)
    assert stranger.get("/desk/static/desk.css")[0] == 200


@pytest.mark.usefixtures("empty_tables")
def test_a_form_without_a_token_is_refused(analyst: Person, writer: Postgres) -> None:
    add_alerts(writer, 1)
    analyst.post("/desk/claim", token=False, transaction_id="t1")  # answered with the sign-in
    assert writer.execute("SELECT FROM fraud.alert_claims").fetchall() == []


@pytest.mark.usefixtures("empty_tables")
def test_the_queue_begins_with_the_greatest_expected_loss(analyst: Person, writer: Postgres) -> None:
    assert "Nothing waits." in analyst.get("/desk/")[1]
    add_alerts(writer, 60)
    first = analyst.get("/desk/")[1]
    assert ids(first) == [f"t{n}" for n in range(60, 10, -1)]
    address = re.search(r'rel="next" href="([^"]+)"', first).group(1).replace("&amp;", "&")
    assert ids(analyst.get(f"/desk/{address}")[1]) == [f"t{n}" for n in range(10, 0, -1)]
    assert ids(analyst.get("/desk/?country=FR&least=57")[1]) == ["t60", "t58"]
    assert "No alert fits." in analyst.get("/desk/?country=JP")[1]


@pytest.mark.usefixtures("empty_tables")
def test_a_claim_is_seen_by_others_and_can_be_taken_over(analyst: Person, admin: Person, writer: Postgres) -> None:
    add_alerts(writer, 1)
    assert "Yours until" in analyst.post("/desk/claim", transaction_id="t1")[1]
    assert "<b>analyst</b> works on it" in admin.get("/desk/alerts/t1")[1]
    status, page = admin.post("/desk/decide", verdict="fraud", item="0:t1")
    assert (status, "analyst claimed it at" in page) == (409, True)
    assert "Yours until" in admin.post("/desk/claim", transaction_id="t1", taken_from="analyst")[1]
    assert "<b>admin</b> works on it" in analyst.get("/desk/alerts/t1")[1]


@pytest.mark.usefixtures("empty_tables")
def test_several_are_decided_at_once_and_undone(analyst: Person, admin: Person, writer: Postgres) -> None:
    add_alerts(writer, 4)
    admin.get("/desk/")
    admin.post("/desk/decide", verdict="honest", reason_honest="known_customer", item="0:t1")
    analyst.get("/desk/")
    status, page = analyst.post("/desk/decide", verdict="fraud", reason_fraud="ring", item=["0:t1", "0:t2", "0:t3"])
    assert status == 409
    assert "2 decided as fraud, 1 not" in page
    assert "admin decided honest at" in page
    page = analyst.get("/desk/")[1]
    assert ids(page) == ["t4"]
    numbers = re.findall(r'name="verdict_id" value="(\d+)"', page)
    assert len(numbers) == 2
    assert analyst.post("/desk/undo", verdict_id=numbers)[0] == 200
    assert ids(analyst.get("/desk/")[1]) == ["t4", "t3", "t2"]


@pytest.mark.usefixtures("empty_tables")
def test_an_alert_tells_its_past_and_what_was_done(analyst: Person, writer: Postgres) -> None:
    add_alerts(writer, 25)
    analyst.get("/desk/alerts/t1")
    analyst.post("/desk/note", transaction_id="t1", note="Called, <b>no answer</b>")
    status, page = analyst.get("/desk/alerts/t1")
    assert status == 200
    for told in (
        "Card new to this customer",
        "usual in this shop: no",
        "same device",
        "as in 2 of 2 earlier purchases",
    ):
        assert told in page
    assert "Called, &lt;b&gt;no answer&lt;/b&gt;" in page
    assert page.count("<circle") == 3
    assert analyst.get("/desk/rings/t1")[1].count("<circle") == 3
    assert analyst.get("/desk/alerts/none")[0] == 404
    assert "There is no transaction none" in analyst.get("/desk/alerts/none")[1]


@pytest.mark.usefixtures("empty_tables")
def test_an_alert_tells_whom_its_device_ties_together(analyst: Person, writer: Postgres) -> None:
    add_alerts(writer, 1)
    assert "tied together" not in analyst.get("/desk/alerts/t1")[1]
    writer.execute(
        """INSERT INTO fraud.entity_risk (entity_type, entity_id, as_of, transactions, frauds, customers, risk,
            component_customers, component_frauds) VALUES ('device', 'd1', now(), 3, 1, 2, 0.1, 7, 4)"""
    )
    page = analyst.get("/desk/alerts/t1")[1]
    assert "3 purchases of 2 customers, 1 of them fraud; over others, 7 customers are tied together" in page
    assert "with 4 known frauds" in page


@pytest.mark.usefixtures("empty_tables")
def test_what_shoppers_type_is_shown_as_text(analyst: Person, writer: Postgres) -> None:
    add_alerts(writer, 2, prefix="<i>t", city="<script>alert(1)</script>")
    for path in ("/desk/", "/desk/alerts/%3Ci%3Et1"):
        status, page = analyst.get(path)
        assert status == 200
        assert "<script>alert" not in page
        assert "<i>t" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


@pytest.mark.usefixtures("empty_tables")
def test_pages_are_private_and_run_our_script_alone(analyst: Person) -> None:
    page = analyst.get("/desk/")[1]
    nonce = re.search(r'<script nonce="([^"]+)" src="/desk/static/desk.js"', page).group(1)
    assert f"'nonce-{nonce}'" in analyst.headers["Content-Security-Policy"]
    assert analyst.headers["Cache-Control"] == "no-store"
    assert page.count("<script") == 1


@pytest.mark.usefixtures("empty_tables")
def test_a_dashboard_s_link_leads_to_the_alert(analyst: Person, writer: Postgres) -> None:
    add_alerts(writer, 1, prefix="t/ü ")
    code = "t/ü 1".encode().hex()
    status, page = analyst.get(f"/desk/open/{code}")
    assert (status, "t/ü 1" in page) == (200, True)
    assert analyst.get("/desk/open/zz")[0] == 404


@pytest.mark.usefixtures("empty_tables")
def test_what_a_shop_does_not_send_is_left_out(analyst: Person, writer: Postgres, owner: Postgres) -> None:
    """Only id, time, customer and amount are required of a transaction."""
    add_alerts(writer, 11)
    owner.execute("INSERT INTO fraud.lists (name, kind, created_by) VALUES ('addresses', 'address_cell', 'x')")
    unknown = "shipping_city = NULL, shipping_country = NULL"
    owner.execute(f"UPDATE fraud.fraud_alerts SET {unknown} WHERE transaction_id IN ('t1', 't11')")
    columns = "items session_id payment_method card_token device_id shipping_fee shipping_latitude shipping_longitude"
    nulls = ", ".join(f"{name} = NULL" for name in (*columns.split(), "ip_country"))
    owner.execute(f"UPDATE fraud.scored_transactions SET {unknown}, {nulls} WHERE transaction_id IN ('t1', 't11')")
    for page in ("/desk/", "/desk/alerts/t1", "/desk/alerts/t11", "/desk/rings/t11"):
        status, shown = analyst.get(page)
        told = re.sub(r'(nonce|name="csrf_token" value)="[^"]*"', "", shown)  # random, and may have these letters
        assert (status, "None" in told, "nan" in told) == (200, False, False), page
    assert "not known of this purchase" in analyst.get("/desk/alerts/t1")[1]
