"""`python -m model.policy rules|lists|policy …`."""

import typer

from model.policy import lists_cli, policy_cli, rules_cli

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
for group in (rules_cli.app, lists_cli.app, policy_cli.app):
    app.add_typer(group)

if __name__ == "__main__":
    app(prog_name="fraudctl")
