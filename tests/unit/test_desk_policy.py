"""What the desk's forms of the policy take, and how it adds up thresholds."""

from datetime import UTC, datetime, timedelta

import pytest

from fraudstream.policy.columns import COMPONENT_COLUMNS, MEANINGS, TRANSACTION_COLUMNS
from fraudstream.policy.document import Action, Kind, Rule, Thresholds
from fraudstream.settings.settings import CostSettings
from model.policy.columns import COLUMNS, described
from tests.desk import decisions, forms, thresholds

SENT = {"condition": "amount > 5\r\nAND score > 0.5 ", "action": "block", "last_day": ""}
FREE = CostSettings(review=0, missed_fraud=0, chargeback=0, blocked_honest=0)


def test_every_column_is_described() -> None:
    assert list(MEANINGS) == [*TRANSACTION_COLUMNS, *COMPONENT_COLUMNS]
    assert {one.name for one in described()} == set(COLUMNS)
    assert all(one.meaning and one.values for one in described())


def test_a_form_becomes_a_rule() -> None:
    assert forms.rule_of(SENT, " big ") == Rule(
        name="big", condition="amount > 5\nAND score > 0.5", action=Action.BLOCK, expires_at=None
    )


def test_a_last_day_is_whole_and_comes_back_as_it_was_typed() -> None:
    day = (datetime.now(UTC) + timedelta(days=3)).date()
    rule = forms.rule_of({**SENT, "last_day": day.isoformat()}, "big")
    assert rule.expires_at == datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    assert forms.last_day(rule) == day.isoformat()


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ({"action": "burn"}, "Say what the rule should do"),
        ({"last_day": "soon"}, "soon is no day"),
        ({"last_day": "2020-01-01"}, "is over"),
        ({"last_day": "9999-12-31"}, "is no day"),
    ],
)
def test_a_form_that_says_nothing_usable_is_refused(sent: dict[str, str], told: str) -> None:
    with pytest.raises(decisions.RefusedError, match=told):
        forms.rule_of(SENT | sent, "big")


def test_a_snooze_is_for_a_customer_device_or_card() -> None:
    snooze = forms.snooze_of({"kind": "device", "value": " d-1 ", "days": "7"})
    assert (snooze.kind, snooze.value) == (Kind.DEVICE, "d-1")
    assert timedelta(days=6) < snooze.until - datetime.now(UTC) <= timedelta(days=7)
    for sent, told in (
        ({"kind": "ip_country", "value": "FR", "days": "7"}, "can spare a customer, a device or a card"),
        ({"kind": "device", "value": "", "days": "7"}, "Say which"),
        ({"kind": "device", "value": "d", "days": "0"}, "0 is no number of days"),
        ({"kind": "device", "value": "d", "days": "\u0667"}, "is no number of days"),
    ):
        with pytest.raises(decisions.RefusedError, match=told):
            forms.snooze_of(sent)


def test_entries_are_typed_one_a_line_with_a_reason() -> None:
    entries = forms.entries_of({"values": "d-1\r\n\r\n d-2\nd-1", "reason": "a ring", "days": ""})
    assert [(one.value, one.reason, one.expires_at) for one in entries] == [
        ("d-1", "a ring", None),
        ("d-2", "a ring", None),
    ]
    for sent, told in (({"values": " "}, "Type between 1 and"), ({"values": "d-1"}, "Say why")):
        with pytest.raises(decisions.RefusedError, match=told):
            forms.entries_of(sent)


def test_thresholds_are_typed_as_scores_or_left_out() -> None:
    assert forms.thresholds_of("0,3", "") == Thresholds(review=0.3)
    for typed in ("2", "-1", "nan", "much"):
        with pytest.raises(decisions.RefusedError, match="is no score to block from"):
            forms.thresholds_of("", typed)


def test_a_share_is_typed_in_per_cent_and_approvals_are_chosen() -> None:
    assert [forms.share_of(typed) for typed in ("1,5", " 2 %", "", "100")] == [0.015, 0.02, 0.0, 1.0]
    for typed in ("101", "-1", "nan", "much"):
        with pytest.raises(decisions.RefusedError, match="is no share in per cent"):
            forms.share_of(typed)
    assert [forms.approvals_of(given) for given in "01"] == [0, 1]
    for given in ("", "2", "one"):
        with pytest.raises(decisions.RefusedError, match="who approves a change"):
            forms.approvals_of(given)


def part(number: int, **found: float) -> object:
    known = {"transactions": 0, "expected": 0.0, "money": 0.0, "expected_money": 0.0}
    return thresholds.Part(number, **known | {"frauds": 0, "judged": 0, "judged_frauds": 0, "fraud_money": 0.0} | found)


PARTS = [
    part(0, transactions=90, expected=0.9, money=900.0, expected_money=9.0, frauds=1, judged=60, fraud_money=10.0),
    part(
        50,
        transactions=10,
        expected=6.0,
        money=100.0,
        expected_money=60.0,
        frauds=3,
        judged=4,
        judged_frauds=1,
        fraud_money=30.0,
    ),
]


def test_a_threshold_takes_what_reaches_it() -> None:
    compared = {one.score: one for one in thresholds.compare(PARTS, 2.0, FREE)}
    assert len(compared) == len(thresholds.STEPS)
    found = compared[0.5]
    assert (found.alerts_per_day, found.expected_precision, found.fraud_money_per_day) == (5.0, 0.6, 15.0)
    assert (found.precision, found.judged_share, found.recall) == (0.25, 0.4, 0.75)
    assert compared[0.01].alerts_per_day == 5.0  # the others lie below it
    assert (compared[0.51].alerts_per_day, compared[0.51].precision, compared[0.51].recall) == (0.0, None, 0.0)


def test_costs_are_of_what_passes_is_reviewed_and_is_blocked_by_error() -> None:
    costs = CostSettings(review=2, missed_fraud=1, chargeback=10, blocked_honest=0.5)
    found = {one.score: one for one in thresholds.compare(PARTS, 1.0, costs)}
    passed = 9.0 + 0.9 * 10
    assert found[0.5].cost_of_review == pytest.approx(passed + 10 * 2)
    assert found[0.5].cost_of_block == pytest.approx(passed + 40.0 * 0.5)
    assert found[0.99].cost_of_review == pytest.approx(passed + 60.0 + 6.0 * 10)
