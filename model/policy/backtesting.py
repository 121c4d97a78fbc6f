"""Answers the backtests that the desk asked for: `python -m model.policy.backtesting`. Without any it ends at once."""

import logging
from datetime import timedelta

import typer

from fraudstream.errors import FraudstreamError, told_in_one_line
from fraudstream.policy import lists, requests
from fraudstream.policy.document import Action, Rule
from fraudstream.policy.errors import PolicyError
from fraudstream.policy.requests import Request
from fraudstream.settings import Settings, load_settings
from fraudstream.storage.connect import Postgres, connect

#: Transactions without a label count as honest when they are older.
MATURE = timedelta(days=30)

log = logging.getLogger("fraudstream.backtesting")
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main() -> None:
    """Answer all that waits.

    Example: python -m model.policy.backtesting
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with told_in_one_line():
        settings = load_settings()
        with connect(settings, settings.postgres.writer, name="backtests", autocommit=True) as connection:
            answered = answer_all(settings, connection)
        log.info("%s backtests answered", answered)


def answer_all(settings: Settings, connection: Postgres) -> int:
    """Answers all requests that wait, and returns how many; one that can't be run is answered with the reason."""
    answered = 0
    while (request := requests.take(connection)) is not None:
        try:
            if request.begun_at:
                raise PolicyError("the run that took it ended without an answer: ask again, perhaps for fewer days")
            _answer(settings, connection, request)
        except FraudstreamError as error:
            log.warning("the backtest of %s that %s asked for: %s", request.rule, request.asked_by, error)
            requests.fail(connection, request, str(error))
        answered += 1
    if answered:
        requests.forget_old(connection)
    return answered


def _answer(settings: Settings, connection: Postgres, request: Request) -> None:
    from fraudstream.policy.backtest import as_json  # here: nearly all runs have nothing to do
    from fraudstream.policy.conditions import compile_condition
    from model.policy import past
    from model.policy.columns import COLUMNS

    rule = Rule(name=request.rule, condition=request.condition, action=Action(request.action))
    compiled = compile_condition(rule.condition, COLUMNS, lists.kinds(connection))
    asked = past.question(connection, compiled, rule, MATURE)
    requests.answer(connection, request, as_json(past.backtest(connection, settings, asked, request.days)))


if __name__ == "__main__":
    app(prog_name="backtesting")
