"""Saves a policy of 50 live rules, and fills the lists that they name.

python -m benchmarks.measuring.made_policy --entries 100000

In the Spark environment, which has what checks a rule. As the writer, in the database of the settings.
"""

import argparse

from benchmarks.rules import rules
from fraudstream.policy.changes import Desk
from fraudstream.policy.document import Kind, Policy
from fraudstream.policy.lists import Entry, add, create
from fraudstream.settings import load_settings
from fraudstream.storage.connect import Postgres, connect
from model.policy.columns import COLUMNS

WHO = "bench"


def main() -> None:
    """Saves it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=100_000, help="of both lists together (100000)")
    arguments = parser.parse_args()
    settings = load_settings()
    with connect(settings, settings.postgres.writer, name=WHO, autocommit=True) as connection:
        save(connection, arguments.entries)


def save(connection: Postgres, entries: int) -> None:
    """Fills the lists, and saves the policy, which is at work at once."""
    for name, kind, of in (("blocked", Kind.DEVICE, "d"), ("customers", Kind.CUSTOMER, "c")):
        create(connection, name, kind, who=WHO)
        add(connection, name, [Entry(f"{of}-{n}", "a ring") for n in range(entries // 2)], who=WHO)
    put_to_work(connection)


def put_to_work(connection: Postgres) -> None:
    """Saves the policy of 50 rules; the lists are there."""
    Desk(connection, COLUMNS, WHO).apply(Policy(rules=rules()), "fifty rules")


def take_off(connection: Postgres) -> None:
    """Saves one without rules: the lists stay, and nothing asks for them."""
    Desk(connection, COLUMNS, WHO).apply(Policy(), "no rules")


if __name__ == "__main__":
    main()
