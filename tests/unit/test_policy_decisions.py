"""Decisions: precedence, shadow, lists, snoozes, expiry, chance; and what a policy's document may say."""

import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.policy.columns import columns_with
from fraudstream.policy.decide import Limits, Votes, by_score, chance
from fraudstream.policy.document import Action, Kind, Policy, Rule, Snooze, State, Thresholds, check, decode, encode
from fraudstream.policy.errors import PolicyError
from fraudstream.policy.evaluation import Decisions, Evaluator, without_policy
from fraudstream.policy.live import NEVER, LivePolicy, Match, live_rules
from model.features.columns import FEATURE_NAMES

COLUMNS = columns_with(FEATURE_NAMES)
KINDS = {"blocked": Kind.DEVICE}
SCORES = np.array([0.1, 0.6, 0.95, 0.1])
BATCH = {
    "transaction_id": pa.array(["t-0", "t-1", "t-2", "t-3"]),
    "device_id": pa.array(["d-0", "d-1", "d-2", None]),
    "customer_id": pa.array(["c-0", "c-1", "c-2", "c-3"]),
    "amount": pa.array([5.0, 50.0, 500.0, None], pa.float32()),
}
NOW = datetime.now(UTC)


def rule(name: str, condition: str, action: Action = Action.BLOCK, state: State = State.LIVE, **more: Any) -> Rule:
    return Rule(name=name, condition=condition, action=action, state=state, **more)


def live(*rules: Rule, entries: dict[str, dict[str, float]] | None = None, **more: Any) -> LivePolicy:
    policy = Policy(rules=list(rules), **more)
    check(policy)
    compiled, refused = live_rules(policy, COLUMNS, KINDS, {})
    assert refused == {}
    return LivePolicy(1, policy.thresholds, policy.random_review_share, compiled, entries or {})


def decided(policy: LivePolicy) -> Decisions:
    return Evaluator().decide(policy, SCORES, 0.5, BATCH.__getitem__)


def test_without_rules_the_models_threshold_decides_as_without_a_policy() -> None:
    found = decided(live())
    assert found == without_policy(SCORES >= 0.5)
    assert found.decisions == ["allow", "review", "review", "allow"]


def test_thresholds_of_the_policy_win_over_the_models() -> None:
    found = decided(live(thresholds=Thresholds(review=0.7, block=0.9)))
    assert found.decisions == ["allow", "allow", "block", "allow"]


def test_allow_beats_block_beats_review_beats_the_score() -> None:
    rules = (
        rule("all_review", "true", Action.REVIEW),
        rule("block_some", "amount >= 50", Action.BLOCK),
        rule("allow_one", "device_id = 'd-2'", Action.ALLOW),
    )
    found = decided(live(*rules))
    assert found.decisions == ["review", "block", "allow", "review"]
    assert [match.rule for match in found.matches[2]] == ["all_review", "block_some", "allow_one"]
    assert [match.changed for match in found.matches[2]] == [False, False, True]
    assert found.matches[1] == [Match("all_review", True, False), Match("block_some", True, True)]


def test_a_shadow_rule_is_counted_and_decides_nothing() -> None:
    found = decided(live(rule("shadow", "amount >= 5", state=State.SHADOW), rule("draft", "true", state=State.DRAFT)))
    assert found.decisions == ["allow", "review", "review", "allow"]
    assert found.matches == [[Match("shadow", False, True)]] * 3 + [[]]


def test_a_list_decides_until_its_entry_expires() -> None:
    listed = rule("blocked", "device_id IN list('blocked')")
    entries = {"blocked": {"d-0": NEVER, "d-1": time.time() - 1, "d-2": time.time() + 60}}
    assert decided(live(listed, entries=entries)).decisions == ["block", "review", "block", "allow"]
    others = rule("others", "device_id NOT IN list('blocked')")
    assert decided(live(others, entries=entries)).decisions == ["allow", "block", "review", "allow"]


def test_a_snooze_spares_one_and_ends() -> None:
    snoozes = [
        Snooze(kind=Kind.DEVICE, value="d-0", until=NOW + timedelta(days=1)),
        Snooze(kind=Kind.CUSTOMER, value="c-1", until=NOW - timedelta(days=1)),
    ]
    assert decided(live(rule("all", "true", snoozes=snoozes))).decisions == ["allow", "block", "block", "block"]


def test_a_rule_that_expired_decides_nothing() -> None:
    expired = rule("all", "true", expires_at=NOW - timedelta(seconds=1))
    assert decided(live(expired)) == decided(live())


def test_a_rule_that_fails_is_named_and_the_others_decide() -> None:
    found = decided(live(rule("bad", "CAST(device_id AS INT) > 1"), rule("good", "amount = 5")))
    assert found.decisions == ["block", "review", "review", "allow"]
    assert list(found.failures) == ["bad"]


def test_a_rule_that_is_off_stays_off_until_its_condition_is_another() -> None:
    rules = Policy(rules=[rule("bad", "amount > 1")])
    assert live_rules(rules, COLUMNS, KINDS, {"bad": "amount > 1"}) == ((), {})
    ((again,), _) = live_rules(rules, COLUMNS, KINDS, {"bad": "CAST(device_id AS INT) > 1"})
    assert again.name == "bad"


def test_a_rule_whose_list_is_gone_is_left_out_and_told() -> None:
    _, refused = live_rules(Policy(rules=[rule("lost", "device_id IN list('gone')")]), COLUMNS, KINDS, {})
    assert "no list 'gone'" in refused["lost"]


def test_chance_reviews_what_nothing_asked_about_and_keeps_its_probability() -> None:
    share = 0.25
    ids = [f"tx-{number}" for number in range(4_000)]
    batch = {"transaction_id": pa.array(ids), "amount": pa.array([float(n % 2) for n in range(4_000)])}
    policy = live(rule("odd", "amount = 1", Action.ALLOW), random_review_share=share)
    found = Evaluator().decide(policy, np.zeros(4_000), 0.5, batch.__getitem__)
    chosen = [number for number, probability in enumerate(found.review_probability) if probability is not None]
    assert {found.review_probability[number] for number in chosen} == {share}
    assert {found.decisions[number] for number in chosen} == {"review"}
    assert not [number for number in chosen if number % 2]  # a rule allowed these
    assert 2_000 * share * 0.85 < len(chosen) < 2_000 * share * 1.15
    again = Evaluator().decide(policy, np.zeros(4_000), 0.5, batch.__getitem__)
    assert again.review_probability == found.review_probability


@given(st.text())
def test_chance_is_in_0_to_1(name: str) -> None:
    try:
        assert 0 <= chance(name) < 1
    except UnicodeEncodeError:  # a lone surrogate is in no message
        assert any("\ud800" <= letter <= "\udfff" for letter in name)


ACTIONS = st.lists(st.sampled_from(list(Action)), max_size=5)


@given(st.data(), ACTIONS, st.floats(0, 1), st.floats(0, 1))
def test_the_strongest_rule_decides(data: st.DataObject, actions: list[Action], score: float, at: float) -> None:
    matched = np.array([[data.draw(st.booleans()) for _ in actions]], bool).reshape(1, len(actions))
    (code,) = Votes(by_score(np.array([score]), Limits(at, None)), matched, actions, [True] * len(actions)).decide()
    chosen = {action for action, yes in zip(actions, matched[0], strict=True) if yes}
    expected = next((a for a in (Action.ALLOW, Action.BLOCK, Action.REVIEW) if a in chosen), None)
    expected = expected or (Action.REVIEW if score >= at else Action.ALLOW)
    assert list(Action)[code] == expected


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (Policy(thresholds=Thresholds(review=0.9, block=0.5)), "threshold block (0.5) is below review (0.9)"),
        (Policy(thresholds=Thresholds(review=1.5)), "threshold review is 1.5"),
        (Policy(random_review_share=2), "random_review_share is 2"),
        (Policy(approvals_needed=3), "approvals_needed is 3"),
        (Policy(rules=[rule("a", "true"), rule("a", "false")]), "the rule 'a' is there twice"),
        (Policy(rules=[rule("A b", "true")]), "'A b' is no name of a rule"),
        (Policy(rules=[rule("a", "true", expires_at=datetime(2026, 1, 1))]), "has no time zone"),
        (
            Policy(rules=[rule("a", "true", snoozes=[Snooze(kind=Kind.IP_COUNTRY, value="CH", until=NOW)])]),
            "a snooze is for one of customer, device, card, not ip_country",
        ),
    ],
)
def test_a_policy_that_cant_be_is_refused_with_its_field(policy: Policy, told: str) -> None:
    with pytest.raises(PolicyError) as raised:
        check(policy)
    assert told in str(raised.value)


def test_a_document_is_read_back_as_it_was_and_unknown_fields_are_refused() -> None:
    snoozed = rule("a", "true", snoozes=[Snooze(kind=Kind.CARD, value="k", until=NOW)], expires_at=NOW)
    policy = Policy(rules=[snoozed], thresholds=Thresholds(block=0.9), random_review_share=0.01, approvals_needed=1)
    assert decode(encode(policy)) == policy
    with pytest.raises(PolicyError, match="unknown field `treshold`"):
        decode({"treshold": 1})


def test_only_the_columns_that_rules_name_are_asked_for() -> None:
    asked: list[str] = []

    def column_of(name: str) -> pa.Array:
        asked.append(name)
        return BATCH[name]

    policy = live(rule("a", "amount > 1"), rule("b", "device_id IN list('blocked')"))
    Evaluator().decide(policy, SCORES, 0.5, column_of)
    assert sorted(set(asked)) == ["amount", "device_id"]
    asked.clear()
    Evaluator().decide(replace(policy, rules=()), SCORES, 0.5, column_of)
    assert asked == []


def test_a_worker_without_rules_loads_neither_duckdb_nor_sqlglot() -> None:
    code = "import sys, spark_jobs.deciding; print(sorted({'duckdb', 'sqlglot'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
