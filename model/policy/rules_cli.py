"""`./fraudctl rules`: adds rules, tries them on past transactions, and takes them through their states."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from fraudstream.policy import backtest as backtests
from fraudstream.policy import versions
from fraudstream.policy.changes import Desk, new_rule
from fraudstream.policy.document import Action, Kind, Rule, Snooze, State, is_over
from fraudstream.policy.errors import PolicyError
from fraudstream.settings import load_settings
from model.policy import past
from model.policy.shared import Comment, For, Who, app_of, desk, tell, until

app = app_of(
    "Rules: SQL conditions that allow, review or block a transaction. docs/policy.md says what they may name.",
    "./fraudctl rules add big_newcomer 'amount > 500 AND known_transactions = 0' --action review",
)
Name = Annotated[str, typer.Argument(help="the rule's name: small letters, digits and _")]
Condition = Annotated[str, typer.Argument(help="a condition, such as: amount > 500 AND new_device = 1")]
Tried = Annotated[str, typer.Argument(help="a rule's name, or a condition")]


@app.command()
def add(
    name: Name,
    condition: Condition,
    action: Annotated[Action, typer.Option(help="what to do when it is true")],
    duration: For = "",
    comment: Comment = "",
    who: Who = "",
) -> None:
    """Add a rule, as a draft. A condition that can't be used is refused.

    Example: ./fraudctl rules add blocked_device "device_id IN list('blocked_devices')" --action block
    """
    with desk(who) as at:
        tell(at.add_rule(new_rule(name, condition, action, until(duration)), comment))


@app.command()
def test(tried: Tried) -> None:
    """Check a condition, and say on how many of the newest 10,000 transactions it is true.

    Features aren't kept in Postgres: a condition that names some is checked, and tried by `backtest`.

    Example: ./fraudctl rules test "shipping_country <> ip_country AND score > 0.3"
    """
    with desk() as at:
        condition = _condition(at, tried)
        compiled = at.check(condition)
        typer.echo(f"it can be used; columns: {', '.join(compiled.columns) or 'none'}")
        if lists := sorted({membership.list_name for membership in compiled.memberships}):
            typer.echo(f"lists: {', '.join(lists)}")
        if unknown := sorted(set(compiled.columns) - past.FIELDS.keys()):
            typer.echo(f"not tried, since Postgres doesn't keep {', '.join(unknown)}: see ./fraudctl rules backtest")
            return
        tried_on, matched = past.try_on_newest(at.connection, compiled)
        typer.echo(f"true for {matched} of the newest {tried_on} transactions")


@app.command()
def backtest(
    tried: Tried,
    archive: Annotated[
        Path | None, typer.Option(help="folder of Parquet files, instead of the platform's own archive")
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="so many days, to the newest transaction")] = 90,
    action: Annotated[Action, typer.Option(help="what the rule would do; of a rule by name, its own")] = Action.REVIEW,
    mature: Annotated[int, typer.Option(min=0, help="days after which a transaction without a label counts")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="everything, for programs")] = False,
) -> None:
    """Say what a rule would have done: alerts a day, precision, recall, money, overlap with the live rules.

    Transactions count with the features that they were scored with, and lists with what they held then.

    Example: ./fraudctl rules backtest big_newcomer --days 30
    """
    with desk() as at:
        rule = _rule(at, tried, action)
        compiled = at.check(rule.condition)
        asked = past.question(at.connection, compiled, rule, timedelta(days=mature))
        found = past.backtest(at.connection, archive or load_settings(), asked, days)
        typer.echo(backtests.as_json(found) if as_json else backtests.as_text(found))


@app.command()
def enable(
    name: Name,
    to: Annotated[State | None, typer.Option(help="the state to go to; without it the next one")] = None,
    who: Who = "",
) -> None:
    """Take a rule to its next state: from draft to shadow, from shadow to live. One that failed is tried again.

    Example: ./fraudctl rules enable blocked_device --to live
    """
    with desk(who) as at:
        tell(at.enable_rule(name, to=to))


@app.command()
def retire(name: Name, who: Who = "") -> None:
    """Take a rule out of work.

    Example: ./fraudctl rules retire big_newcomer
    """
    with desk(who) as at:
        tell(at.retire_rule(name))


@app.command()
def snooze(
    name: Name,
    kind: Annotated[Kind, typer.Argument(help="customer, device or card")],
    value: Annotated[str, typer.Argument(help="which one")],
    duration: Annotated[str, typer.Option("--for", help="for how long, such as 30d or 12h")],
    who: Who = "",
) -> None:
    """Let a rule spare one customer, device or card for a while.

    Example: ./fraudctl rules snooze big_newcomer customer c-17 --for 7d
    """
    with desk(who) as at:
        end = until(duration)
        if end is None:
            raise PolicyError("say for how long: --for 7d")
        tell(at.snooze_rule(name, Snooze(kind=kind, value=value, until=end)))


@app.command("list")
def list_rules() -> None:
    """Show all rules, with what they matched in the newest day.

    Example: ./fraudctl rules list
    """
    with desk() as at:
        counts = {name: rest for name, *rest in at.connection.execute(_COUNTS).fetchall()}
        failed = dict(at.connection.execute("SELECT rule, error FROM fraud.rule_failures").fetchall())
        for rule in versions.newest(at.connection).policy.rules:
            typer.echo(_line(rule, counts.get(rule.name, (0, 0)), failed.get(rule.name)))


_COUNTS = """
SELECT rule, sum(matched)::bigint, sum(changed)::bigint FROM fraud.rule_counts
WHERE window_start > (SELECT max(window_start) FROM fraud.rule_counts) - interval '1 day' GROUP BY 1
"""


def _line(rule: Rule, counts: Any, error: str | None) -> str:
    matched, changed = counts
    state = "expired" if is_over(rule) else "failed" if error else rule.state.value
    expiry = f", until {_short(rule.expires_at)}" if rule.expires_at else ""
    return (
        f"{rule.name:<24} {rule.action.value:<7} {state:<8} {matched:>8} matched, {changed} decided{expiry}: "
        f"{rule.condition}" + (f" [{error}]" if error else "")
    )


def _short(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _condition(at: Desk, tried: str) -> str:
    return _rule(at, tried, Action.REVIEW).condition


def _rule(at: Desk, tried: str, action: Action) -> Rule:
    """The rule named `tried`, or one with that condition."""
    for rule in versions.newest(at.connection).policy.rules:
        if rule.name == tried:
            return rule
    return Rule(name="tried", condition=tried, action=action)


if __name__ == "__main__":
    app(prog_name="fraudctl rules")
