"""Rules, lists, thresholds and the policy's versions at the desk of a real Superset, over a real Postgres."""

import re
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from fraudstream.policy import lists, versions
from fraudstream.policy.changes import Desk
from fraudstream.policy.document import Kind, Policy, State
from fraudstream.settings import Settings
from fraudstream.storage.connect import connect
from model.policy import backtesting
from testbed.person import Person
from tests.desk import add_alerts

Postgres = psycopg.Connection[tuple[object, ...]]
CONDITION = "amount > 500 AND known_transactions = 0"

pytestmark = pytest.mark.usefixtures("empty_tables")


def write_rule(person: Person, name: str = "big", condition: str = CONDITION) -> tuple[int, str]:
    person.get("/desk/new-rule")
    return person.post("/desk/new-rule", name=name, condition=condition, action="block", last_day="")


def seen(page: str) -> str:
    """The version that a page was made from, as its forms send it."""
    return re.search(r'name="seen" value="(\d+)"', page).group(1)


def test_a_rule_goes_from_the_editor_over_shadow_to_live(analyst: Person, writer: Postgres) -> None:
    assert "There is no rule yet." in analyst.get("/desk/rules/")[1]
    status, page = write_rule(analyst)
    assert (status, "Saved as version 1 of the policy." in page, "To shadow" in page) == (200, True, True)
    for state in ("shadow", "live"):
        status, page = analyst.post("/desk/rules/big/enable", seen=seen(page))
        assert (status, f'">{"in shadow" if state == "shadow" else "live"}</span>' in page) == (200, True)
    made = versions.at_work(writer)
    assert (made.version, made.author, made.policy.rule("big").state) == (3, "analyst", State.LIVE)
    assert CONDITION.replace(">", "&gt;") in analyst.get("/desk/rules/")[1]
    assert analyst.post("/desk/rules/big/retire", seen="3")[0] == 200
    assert versions.at_work(writer).policy.rule("big").state is State.RETIRED
    audited = writer.execute("SELECT who, what, subject FROM fraud.audit_log ORDER BY audit_id").fetchall()
    assert audited == [("analyst", "policy saved", f"policy {number}") for number in range(1, 5)]


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("amunt > 500", "There is no column amunt (do you mean amount?)"),
        ("pg_sleep(10) IS NULL", "The function pg_sleep isn&#39;t allowed"),
        ("amount > (SELECT 1 FROM read_csv('/etc/passwd'))", "A subquery isn&#39;t allowed"),
        ("amount / 0 > 1", "divides by zero"),
        ("amount + 1", "The condition must be true or false"),
        ("device_id IN list('gone')", "There is no list &#39;gone&#39;"),
        ("", "The condition is empty"),
    ],
)
def test_a_bad_condition_is_refused_and_stays_in_the_editor(
    analyst: Person, writer: Postgres, condition: str, told: str
) -> None:
    status, page = write_rule(analyst, condition=condition)
    assert (status, told in page) == (422, True)
    assert 'value="big"' in page
    assert versions.newest(writer).version == 0


def test_the_editor_says_what_a_condition_may_name(analyst: Person, writer: Postgres) -> None:
    lists.create(writer, "blocked", Kind.DEVICE, who="ann")
    page = analyst.get("/desk/new-rule")[1]
    assert "device_id IN list('blocked')" in page
    assert "earlier transactions of the customer" in page


def test_a_changed_condition_makes_a_draft_and_a_late_click_is_refused(analyst: Person, admin: Person) -> None:
    page = write_rule(analyst)[1]
    late = admin.get("/desk/rules/big")[1]
    analyst.post("/desk/rules/big/enable", seen=seen(page))
    status, refused = admin.post("/desk/rules/big/enable", seen=seen(late))
    assert (status, "Somebody changed the policy after this page was loaded." in refused) == (409, True)
    editor = analyst.get("/desk/rules/big/edit")[1]
    status, page = analyst.post(
        "/desk/rules/big/edit", seen=seen(editor), condition="amount > 900", action="block", last_day=""
    )
    assert (status, '">draft</span>' in page, "amount &gt; 900" in page) == (200, True, True)


def test_a_customer_is_spared_for_some_days(analyst: Person, writer: Postgres) -> None:
    page = write_rule(analyst)[1]
    status, page = analyst.post("/desk/rules/big/snooze", seen=seen(page), kind="customer", value="c-1", days="7")
    assert (status, "<b>c-1</b>" in page) == (200, True)
    [snooze] = versions.at_work(writer).policy.rule("big").snoozes
    assert (snooze.kind, snooze.until - datetime.now(UTC) > timedelta(days=6)) == (Kind.CUSTOMER, True)


def test_a_rule_shows_its_hits_how_right_it_was_and_why_it_failed(
    analyst: Person, writer: Postgres, owner: Postgres
) -> None:
    write_rule(analyst)
    writer.execute(
        "INSERT INTO fraud.rule_counts VALUES (date_trunc('hour', now()), 'big', 'live', 12, 3, 600), "
        "(date_trunc('hour', now() - interval '47 hours'), 'big', 'live', 8, 1, 400)"
    )
    writer.execute("INSERT INTO fraud.rule_failures VALUES ('big', %s, 1, 'Conversion Error')", (CONDITION,))
    add_alerts(writer, 4)
    owner.execute("UPDATE fraud.fraud_alerts SET matched_rules = '{big}'")
    owner.execute("UPDATE fraud.fraud_alerts SET status = 'confirmed' WHERE transaction_id = 't1'")
    owner.execute("UPDATE fraud.fraud_alerts SET status = 'dismissed' WHERE transaction_id = 't2'")
    page = analyst.get("/desk/rules/big")[1]
    for told in ("failed and was switched off: Conversion Error", "600.00 EUR", "Of the 2 that are decided, frauds: 1"):
        assert told in page
    page = analyst.get("/desk/rules/")[1]
    assert '<td class="number">10.0</td>' in page  # 20 hits in two days
    assert "50 %" in page
    status, page = analyst.post("/desk/rules/big/enable", seen="1", again="yes")
    assert (status, "switched off" in page) == (200, False)
    assert writer.execute("SELECT FROM fraud.rule_failures").fetchall() == []


def test_a_rule_is_tried_on_the_past_by_a_job(analyst: Person, writer: Postgres, settings: Settings) -> None:
    write_rule(analyst)
    page = analyst.post("/desk/rules/big/backtest", days="30")[1]
    assert "It waits to be tried" in page
    analyst.post("/desk/rules/big/backtest", days="30")
    assert backtesting.answer_all(settings, writer) == 1
    assert "It couldn't be tried: nothing is archived yet" in analyst.get("/desk/rules/big")[1]
    assert backtesting.answer_all(settings, writer) == 0


def test_a_change_waits_for_another_person_where_the_policy_says_so(
    analyst: Person, admin: Person, writer: Postgres
) -> None:
    Desk(writer, {}, "ann").apply(Policy(approvals_needed=1), "four eyes")
    page = write_rule(analyst)[1]
    assert "It waits until another person approves it." in page
    assert "yours: somebody else has to approve it" in analyst.get("/desk/policy/")[1]
    status, page = analyst.post("/desk/policy/2/approve")
    assert (status, "another person has to approve it" in page) == (409, True)
    admin.get("/desk/policy/")
    assert admin.post("/desk/policy/2/approve")[0] == 200
    made = versions.at_work(writer)
    assert (made.version, made.author, made.approver) == (2, "analyst", "admin")


def test_approvals_and_reviews_by_chance_are_set_at_the_desk(analyst: Person, admin: Person, writer: Postgres) -> None:
    page = analyst.get("/desk/policy/")[1]
    safeguards = {"random_review": "1,5", "approvals": "1", "comment": "four eyes"}
    status, page = analyst.post("/desk/policy/", seen=seen(page), **safeguards)
    assert (status, "Saved as version 1 of the policy. It decides" in page, 'value="1.5"' in page) == (200, True, True)
    made = versions.at_work(writer)
    assert (made.policy.approvals_needed, made.policy.random_review_share, made.author) == (1, 0.015, "analyst")
    status, page = analyst.post("/desk/policy/", seen="1", random_review="0", approvals="0")
    assert (status, "It waits until another person approves it." in page) == (200, True)
    assert versions.at_work(writer).policy.approvals_needed == 1, "nobody takes the approval away alone"
    admin.get("/desk/policy/")
    admin.post("/desk/policy/2/approve")
    assert versions.at_work(writer).policy == Policy()
    for sent, told in (
        ({"random_review": "101"}, "is no share in per cent"),
        ({"approvals": "2"}, "Choose who approves"),
        ({"seen": "1"}, "Somebody changed the policy"),
    ):
        status, page = analyst.post("/desk/policy/", **{"seen": "2", **safeguards, **sent})
        assert (status, told in page) == (409, True)
    audited = writer.execute("SELECT who, what, subject FROM fraud.audit_log ORDER BY audit_id").fetchall()
    saved = [("analyst", "policy saved", f"policy {number}") for number in (1, 2)]
    assert audited == [*saved, ("admin", "policy approved", "policy 2")]


def test_versions_show_what_differs_and_can_be_gone_back_to(analyst: Person, writer: Postgres) -> None:
    write_rule(analyst)
    write_rule(analyst, "small", "amount < 1")
    page = analyst.get("/desk/policy/2")[1]
    assert '<span class="added">+ name = &#34;small&#34;</span>' in page
    analyst.get("/desk/policy/1")
    status, page = analyst.post("/desk/policy/1/back", comment="too many hits")
    assert (status, "too many hits" in page, "as version 1" in page) == (200, True, True)
    assert [rule.name for rule in versions.at_work(writer).policy.rules] == ["big"]
    page = analyst.get("/desk/audit/?search=policy+3")[1]
    assert page.count("policy saved") == 1


def test_lists_are_made_filled_searched_and_thinned(analyst: Person, writer: Postgres) -> None:
    analyst.get("/desk/lists/")
    analyst.post("/desk/new-list", name="blocked / odd", kind="device", description="never sell to")
    analyst.post("/desk/add-to-list", list="blocked / odd", values="d-1\nd-2", reason="a <b>ring</b>", days="30")
    page = analyst.get("/desk/lists/blocked%20/%20odd")[1]
    assert page.count("a &lt;b&gt;ring&lt;/b&gt;") == 2
    assert page.count("<td>d-1</td>") == 1
    assert "blocked / odd</a>" in analyst.get("/desk/lists/?search=D-2")[1]
    assert "It is on no list." in analyst.get("/desk/lists/?search=d-3")[1]
    analyst.post("/desk/remove-from-list", list="blocked / odd", value="d-1")
    assert [entry.value for entry in lists.entries(writer, "blocked / odd")] == ["d-2"]
    status, page = analyst.post("/desk/add-to-list", list="blocked / odd", values="d-9", reason="", days="30")
    assert (status, "Say why" in page) == (409, True)
    audited = writer.execute("SELECT what FROM fraud.audit_log WHERE who = 'analyst' ORDER BY audit_id").fetchall()
    assert audited == [("list created",), ("list entries added",), ("list entries removed",)]


def test_a_click_on_an_alert_s_page_puts_its_device_on_a_list(analyst: Person, writer: Postgres) -> None:
    add_alerts(writer, 1)
    lists.create(writer, "blocked", Kind.DEVICE, who="ann")
    analyst.get("/desk/alerts/t1")
    for _ in range(2):
        assert analyst.post("/desk/list", transaction_id="t1", list="blocked")[0] == 200
    [entry] = lists.entries(writer, "blocked")
    assert (entry.value, entry.reason, entry.added_by) == ("d1", "alert t1", "analyst")
    assert timedelta(days=29) < entry.expires_at - datetime.now(UTC) <= timedelta(days=30)
    status, page = analyst.post("/desk/list", transaction_id="t1", list="gone")
    assert (status, "There is no list gone" in page) == (409, True)
    audited = writer.execute("SELECT what, \"after\" ->> 'count' FROM fraud.audit_log WHERE who = 'analyst'").fetchall()
    assert audited == [("list entries added", "1")] * 2


def test_thresholds_are_compared_and_saved(analyst: Person, writer: Postgres) -> None:
    assert "Nothing was scored yet." in analyst.get("/desk/thresholds/")[1]
    add_alerts(writer, 10)
    page = analyst.get("/desk/thresholds/")[1]
    assert "for 10 purchases" in page
    rows = dict(re.findall(r'<tr data-score="([\d.]+)" data-alerts="([\d.]+)"', page))
    assert float(rows["0.9"]) > 0
    assert float(rows["0.91"]) == 0
    status, page = analyst.post("/desk/thresholds/", seen="0", review="0.4", block="0.95", comment="fewer")
    assert (status, "Saved as version 1" in page) == (200, True)
    made = versions.at_work(writer)
    assert (made.policy.thresholds.review, made.policy.thresholds.block, made.comment) == (0.4, 0.95, "fewer")
    status, page = analyst.post("/desk/thresholds/", seen="1", review="0.9", block="0.1")
    assert (status, "is below review" in page) == (409, True)


def test_the_desk_s_role_can_not_change_what_was_decided(analyst: Person, settings: Settings) -> None:
    write_rule(analyst)
    with connect(settings, settings.postgres.desk, autocommit=True) as desk:
        for statement in (
            "UPDATE fraud.policy_versions SET document = '{}'",
            "UPDATE fraud.policy_versions SET author = 'nobody'",
            "DELETE FROM fraud.policy_versions",
            "DELETE FROM fraud.list_entries",
            "UPDATE fraud.audit_log SET who = 'nobody'",
            "DELETE FROM fraud.audit_log",
            "UPDATE fraud.backtests SET report = '{}'",
            "UPDATE fraud.rule_counts SET matched = 0",
        ):
            with pytest.raises(InsufficientPrivilege):
                desk.execute(statement)


def test_none_of_it_is_a_viewer_s_or_without_a_token(viewer: Person, analyst: Person, writer: Postgres) -> None:
    for path in ("rules/", "new-rule", "lists/", "thresholds/", "policy/", "audit/"):
        assert viewer.get(f"/desk/{path}")[0] == 403
        assert analyst.get(f"/desk/{path}")[0] == 200
    analyst.post("/desk/new-rule", token=False, name="big", condition=CONDITION, action="block")
    assert versions.newest(writer).version == 0
