"""The desk's queries, pictures and words."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.static_data.entities import CELLS_PER_DEGREE
from tests.desk import decisions, drawing, queue, ring, sessions, transaction, words

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
TYPED = st.text(max_size=60)


def purchase(hours_ago: float, amount: float, **others: object) -> Mapping[str, object]:
    usual = {
        "event_time": NOW - timedelta(hours=hours_ago),
        "amount": Decimal(str(amount)),
        "exchange_rate": Decimal(1),
        "shop_amount": amount,
        "card_token": "k1",
        "device_id": "d1",
        "payment_method": "card",
        "shipping_city": "Lyon",
        "shipping_country": "FR",
        "labelled_fraud": None,
        "is_fraud": False,
    }
    return usual | others


# --- the queue ----------------------------------------------------------------------------------------------------


@given(st.dictionaries(st.sampled_from([*queue.Choice.__dataclass_fields__, "other"]), TYPED))
def test_whatever_stands_in_an_address_is_a_parameter_and_never_sql(typed: dict[str, str]) -> None:
    choice = queue.Choice.of(typed)
    sql, values = queue.statement(choice, "alice", 50)
    known = queue.Choice(view=choice.view, sort=choice.sort)
    begin, _, end = queue.statement(known, "alice", 50)[0].rpartition(" ORDER BY ")
    assert sql.startswith(begin)
    assert sql.endswith(f" ORDER BY {end}")
    assert set(values) >= {"limit", "me"}


@given(st.builds(queue.Choice, country=TYPED, customer=TYPED, rule=TYPED, sort=st.sampled_from([*queue.SORTS])))
def test_an_address_says_what_was_chosen(choice: Any) -> None:
    said = queue.Choice.of(dict(parse_qsl(choice.address())))
    assert said == queue.Choice.of({name: getattr(choice, name) for name in choice.__dataclass_fields__})


def test_another_choice_begins_at_its_first_page() -> None:
    assert queue.Choice(after="5 t1", country="FR").address(sort="oldest") == "sort=oldest&country=FR"


@pytest.mark.parametrize("after", ["", "x t1", "1", "nan' t1", "9x Z t1", "NULL t", "² t1"])
def test_a_place_that_is_none_begins_at_the_first_page(after: str) -> None:
    for choice in (queue.Choice(sort="newest", after=after), queue.Choice(view="decided", after=after)):
        assert "last" not in queue.statement(choice, "alice", 50)[1]


def test_pages_follow_each_other_in_the_order_of_the_index() -> None:
    sql, values = queue.statement(queue.Choice(sort="oldest", after="2026-01-01T00:00:00.000000Z t 1"), "alice", 50)
    assert "(a.event_time, a.transaction_id) > (CAST(:sorted_by AS timestamptz), :last)" in sql
    assert sql.endswith("ORDER BY a.event_time ASC, a.transaction_id ASC LIMIT :limit")
    assert values["last"] == "t 1"


@pytest.mark.parametrize("item", ["", "t1", ":t1", "-1:t1", "1:", "x:t1", "²:t1", "9999999999:t1"])
def test_what_no_page_sends_is_refused(item: str) -> None:
    with pytest.raises(decisions.RefusedError, match="load it again"):
        decisions.Judged.parse(item)


def test_an_id_may_hold_a_colon() -> None:
    assert decisions.Judged.parse("3:a:b") == decisions.Judged("a:b", 3)


# --- what is usual ------------------------------------------------------------------------------------------------


def told(now: Mapping[str, object], past: list[Mapping[str, object]]) -> dict[str, tuple[str, bool]]:
    return {what: (said, odd) for what, said, odd in transaction.usual(now, past)}


def test_what_is_usual_is_told_against_this_purchase() -> None:
    past = [purchase(hours, 20 + hours) for hours in (3, 30, 300)]
    now = purchase(0, 500.0, card_token="k9", device_id="d1", shipping_city="Oslo", shipping_country="NO")
    assert told(now, past) == {
        "Earlier purchases": ("3 purchases in 12 days; the last one 3 hours before", False),
        "Amount": ("10.0 times the usual 50.00; the most so far was 320.00", True),
        "Device": ("as in 3 of 3 earlier purchases", False),
        "Card": ("first time; 3 earlier purchases with 1 other", True),
        "Ships to": ("first time; 3 earlier purchases with 1 other", True),
        "Paid by": ("as in 3 of 3 earlier purchases", False),
    }


def test_a_young_customer_s_purchases_are_told_in_hours() -> None:
    past = [purchase(0.1, 20.0), purchase(2, 20.0)]
    said, _ = told(purchase(0, 20.0), past)["Earlier purchases"]
    assert said == "2 purchases in 2 hours; the last one 6 minutes before"
    picture = drawing.amounts(purchase(0, 20.0), past)
    assert picture and ":" in picture.first, "both are of one day"


def test_frauds_are_nobody_s_habit() -> None:
    fraud = purchase(1, 900.0, labelled_fraud=True, card_token="k9")
    now = purchase(0, 900.0, card_token="k9")
    assert told(now, []) == {"Earlier purchases": ("none known", True)}
    assert told(now, [fraud]) == {"Earlier purchases": ("none but 1 known fraud", True)}
    assert told(purchase(0, 20.0, card_token="k9"), [fraud, purchase(2, 20.0)])["Card"][1]


def test_an_amount_without_a_rate_is_not_compared() -> None:
    now = purchase(0, 20.0, exchange_rate=None)
    assert told(now, [purchase(1, 20.0)])["Amount"] == ("can't be compared: no exchange rate", False)
    assert drawing.amounts(now, [purchase(1, 20.0)]) is None


def test_an_address_is_the_cell_of_entity_risk() -> None:
    assert transaction.CELLS_PER_DEGREE == CELLS_PER_DEGREE
    for north, east, name in (
        (48.85661, -0.00006, "488566:-1"),
        (0.00004, 2.0, "0:20000"),
        (None, 2.0, None),
        (48.5, 2.25, None),
    ):
        assert transaction.cell_name({"shipping_latitude": north, "shipping_longitude": east}) == name


# --- pictures and words -------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(1, 10_000), st.floats(0.01, 1e7)), max_size=40), st.floats(0.01, 1e7))
def test_every_dot_lies_in_the_picture(past: list[tuple[int, float]], amount: float) -> None:
    rows = [purchase(hours, amount) for hours, amount in sorted(past)]
    picture = drawing.amounts(purchase(0, amount), rows)
    if picture is None:
        assert not rows
        return
    assert len(picture.dots) == len(rows) + 1
    assert picture.dots[-1].kind == "now"
    assert all(picture.left <= dot.x <= picture.right for dot in picture.dots)
    assert all(0 < dot.y <= picture.bottom for dot in picture.dots)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 3), st.floats(0, 1e6)), max_size=60))
def test_a_ring_shows_what_the_purchase_is_tied_to_once_each(others: list[tuple[int, int, int, float]]) -> None:
    purchases = {
        f"t{number}": purchase(
            number,
            amount,
            customer_id="c1",
            device_id=f"d{device}",
            card_token=f"k{card}",
            shipping_latitude=float(place),
            shipping_longitude=0.3,
        )
        for number, (device, card, place, amount) in enumerate([(0, 0, 0, 10.0), *others])
    }
    found = ring.draw("t0", purchases)
    names = [node.transaction_id for node in found.nodes if node.transaction_id]
    assert len(names) == len(set(names)) == found.purchases
    assert "t0" in names
    near = {name for name, one in purchases.items() if one["device_id"] == "d0"}
    assert near <= set(names)
    assert all(node.radius <= node.x <= ring.SIZE - node.radius for node in found.nodes)
    assert all(node.radius <= node.y <= ring.SIZE - node.radius for node in found.nodes)
    assert {(x, y) for line in found.lines for x, y in (line[:2], line[2:])} <= {(n.x, n.y) for n in found.nodes}


@given(st.floats(0.001, 1e9))
def test_a_scale_ends_at_a_round_number_not_far_above(amount: float) -> None:
    top = drawing.nice_top(amount)
    assert max(amount, 1.0) <= top * (1 + 1e-9)
    assert top <= 2.5 * max(amount, 1.0) * (1 + 1e-9)


def test_a_reason_is_told_without_and_with_what_is_usual() -> None:
    reason = {"text": "card new to this customer; usual: no"}
    assert words.reason(reason) == ("Card new to this customer", "no")
    assert words.headline([reason, {"text": "bot-like pace"}]) == "Card new to this customer · Bot-like pace"


@pytest.mark.parametrize(
    ("amount", "currency", "said"),
    [(1234.5, "EUR", "1,234.50 EUR"), (1234, "JPY", "1,234 JPY"), (1.5, "KWD", "1.500 KWD")],
)
def test_money_has_the_minor_units_of_its_currency(amount: float, currency: str, said: str) -> None:
    assert words.money(Decimal(str(amount)), currency) == said


# --- the session's time line --------------------------------------------------------------------------------------


def browsed(*steps: tuple[float, str], **others: object) -> Any:
    """The time line of a purchase at `NOW` after `steps`: seconds before it, and what was done."""
    events = [
        {"event_time": NOW - timedelta(seconds=seconds), "event_type": kind, "product_id": f"p{number}", "name": None}
        | {"device_id": "d1"}
        for number, (seconds, kind) in enumerate(steps)
    ]
    return sessions.draw(purchase(0, 20.0, **others), events)


def test_a_session_is_told_in_steps_before_the_purchase() -> None:
    line = browsed((3725, "search"), (65, "view_item"), (62, "view_item"), (40, "view_item"), (5, "add_payment_info"))
    assert [(step.when, step.told, step.products) for step in line.steps] == [
        ("1 h 02 min before", "Search", "p0"),
        ("1 min 05 s before", "2 products viewed", "p1, p2"),
        ("40 s before", "Product viewed", "p3"),
        ("5 s before", "Payment details entered", "p4"),
    ]
    assert [lane for _, lane in line.lanes] == ["look", "search", "checkout"]
    assert len(line.marks) == 5, "the picture shows each by itself"


def test_a_session_on_another_device_is_said() -> None:
    assert not browsed((5, "search")).other_device
    assert browsed((5, "search"), device_id="d2").other_device
    assert not browsed((5, "search"), device_id=None).other_device


def test_a_word_that_the_shop_made_up_is_told_as_it_is() -> None:
    line = browsed((9, "size_guide"), (-3, "scroll"))
    assert [(step.when, step.told) for step in line.steps] == [("9 s before", "Size guide"), ("3 s after", "Scrolled")]


@given(st.lists(st.tuples(st.floats(-600, 1e6), st.sampled_from(["search", "view_item", "other"])), min_size=1))
def test_every_mark_lies_in_the_picture(steps: list[tuple[float, str]]) -> None:
    line = browsed(*sorted(steps, reverse=True))
    assert len(line.marks) == len(steps)
    assert all(line.left <= x <= line.width for x in (line.purchase, *(mark.x for mark in line.marks)))
    assert all(0 < mark.y < line.height for mark in line.marks)
    assert sum(int(step.told.split()[0]) if step.told[0].isdigit() else 1 for step in line.steps) == len(steps)


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"session_id": None}, "No session was sent"),
        ({"session_read_at": None}, "still being fetched"),
        ({"is_alert": False}, "ended in an alert alone"),
        ({}, "No browsing was sent with this session"),
    ],
)
def test_a_missing_time_line_says_why(known: dict[str, object], said: str) -> None:
    usual = {"session_id": "s1", "is_alert": True, "session_read_at": NOW}
    assert said in sessions.missing(usual | known)
