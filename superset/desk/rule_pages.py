"""Addresses of the rules: the list, a rule, its editor, and the buttons that take it through its states."""

from typing import Any

from flask import Response, redirect, request, url_for

from desk import forms, policy, rules
from desk.decisions import RefusedError
from desk.pages import blueprint, me, page, telling_refusals
from fraudstream.policy import lists, requests, versions
from fraudstream.policy.conditions import FUNCTIONS
from fraudstream.policy.document import COLUMNS_OF_KIND, SNOOZED_KINDS
from fraudstream.policy.versions import PolicyVersion
from model.policy.columns import described


@blueprint.route("/rules/")
@telling_refusals
def show_rules() -> Response:
    """All rules of the newest version."""
    with policy.begin(me()) as at:
        standing = policy.standing(at.connection)
        shown = rules.read(at.connection, standing.newest.policy.rules)
        return page("rules.html", rules=shown, standing=standing, saved=policy.saved(at, request.args), days=rules.DAYS)


@blueprint.route("/rules/<name>")
@telling_refusals
def show_rule(name: str) -> Response:
    """One rule, with what it matched and what can be done with it."""
    with policy.begin(me()) as at:
        standing = policy.standing(at.connection)
        [shown] = rules.read(at.connection, [standing.newest.policy.rule(name)])
        return page(
            "rule.html",
            shown=shown,
            rule=shown.rule,
            standing=standing,
            saved=policy.saved(at, request.args),
            daily=rules.daily(at.connection, name),
            kinds=SNOOZED_KINDS,
            past=requests.newest(at.connection, shown.rule),
            periods=rules.PERIODS,
            days=rules.DAYS,
        )


@blueprint.route("/new-rule", methods=["GET", "POST"])
def add_rule() -> Response:
    """The empty editor, and what it sends."""
    name = request.form.get("name", "").strip()
    if request.method == "GET":
        return _editor("", {"action": "review"})
    try:
        with policy.begin(me()) as at:
            saved = at.add_rule(forms.rule_of(request.form, name))
    except RefusedError as refusal:
        return _editor("", request.form, str(refusal))
    return _to_rule(name, saved)


@blueprint.route("/rules/<name>/edit", methods=["GET", "POST"])
@telling_refusals
def edit_rule(name: str) -> Response:
    """A rule in the editor, and what it sends."""
    if request.method == "GET":
        with policy.begin(me()) as at:
            rule = versions.newest(at.connection).policy.rule(name)
        filled = {"condition": rule.condition, "action": rule.action.value, "last_day": forms.last_day(rule)}
        return _editor(name, filled)
    try:
        with policy.begin(me(), request.form.get("seen", "")) as at:
            saved = at.change_rule(forms.rule_of(request.form, name))
    except RefusedError as refusal:
        return _editor(name, request.form, str(refusal))
    return _to_rule(name, saved)


@blueprint.route("/rules/<name>/enable", methods=["POST"])
@telling_refusals
def enable_rule(name: str) -> Response:
    """Takes a rule to its next state, or lets one that failed be tried again as it is."""
    with policy.begin(me(), request.form.get("seen", "")) as at:
        again = versions.newest(at.connection).policy.rule(name).state if request.form.get("again") else None
        saved = at.enable_rule(name, to=again)
    return _to_rule(name, saved)


@blueprint.route("/rules/<name>/retire", methods=["POST"])
@telling_refusals
def retire_rule(name: str) -> Response:
    """Takes a rule out of work."""
    with policy.begin(me(), request.form.get("seen", "")) as at:
        saved = at.retire_rule(name)
    return _to_rule(name, saved)


@blueprint.route("/rules/<name>/backtest", methods=["POST"])
@telling_refusals
def backtest_rule(name: str) -> Response:
    """Asks to try a rule on the past; the Dag backtest_rules answers."""
    with policy.begin(me()) as at:
        rule = versions.newest(at.connection).policy.rule(name)
        at.check(rule.condition)
        requests.ask(at.connection, rule, forms.days_of(request.form.get("days", "")), who=me())
    return redirect(url_for("desk.show_rule", name=name, _anchor="past"))


@blueprint.route("/rules/<name>/snooze", methods=["POST"])
@telling_refusals
def snooze_rule(name: str) -> Response:
    """Lets a rule spare one customer, device or card for some days."""
    with policy.begin(me(), request.form.get("seen", "")) as at:
        saved = at.snooze_rule(name, forms.snooze_of(request.form))
    return _to_rule(name, saved)


def _editor(name: str, filled: Any, problem: str = "") -> Response:
    """The editor; with what is wrong, it is a refusal."""
    with policy.begin(me()) as at:
        return page(
            "rule_editor.html",
            status=422 if problem else 200,
            name=name,
            filled=filled,
            problem=problem,
            standing=policy.standing(at.connection),
            seen=filled.get("seen") or versions.newest(at.connection).version,
            actions=rules.ACTIONS,
            columns=described(),
            functions=sorted(FUNCTIONS.values()),
            lists=lists.summaries(at.connection),
            columns_of_kind=COLUMNS_OF_KIND,
        )


def _to_rule(name: str, saved: PolicyVersion) -> Response:
    return redirect(url_for("desk.show_rule", name=name, saved=saved.version))
