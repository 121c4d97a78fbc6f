"""The commands of `./fraudctl` that decide: each becomes a program of the Spark environment."""

import typer

from fraudstream.cli.shell import PASS_THROUGH, spark_python

app = typer.Typer()


@app.command(context_settings=PASS_THROUGH)
def rules(context: typer.Context) -> None:
    """Add rules, try them on the past, and take them from draft to live. Arguments go to it (--help lists them).

    Example: ./fraudctl rules add big_newcomer "amount > 500 AND known_transactions = 0" --action review
    """
    spark_python("-m", "model.policy.rules_cli", *context.args)


@app.command(context_settings=PASS_THROUGH)
def lists(context: typer.Context) -> None:
    """Add, remove and show the entries of lists that rules name. Arguments go to it (--help lists them).

    Example: ./fraudctl lists add blocked_devices d-17 --kind device --for 30d --reason "three chargebacks"
    """
    spark_python("-m", "model.policy.lists_cli", *context.args)


@app.command(context_settings=PASS_THROUGH)
def policy(context: typer.Context) -> None:
    """Show, compare, export, apply, approve and roll back versions of the policy. Arguments go to it.

    Example: ./fraudctl policy show
    """
    spark_python("-m", "model.policy.policy_cli", *context.args)
