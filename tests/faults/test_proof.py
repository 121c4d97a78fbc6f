"""The suite can fail: with one protection taken out of the job's code, the scenario that needs it does."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fraudstream.settings import Settings
from fraudstream.storage.connect import connect
from tests.faults import scenarios
from tests.faults.arena import Arena
from tests.faults.mutants import FENCE, RANGE_CHECK, REPEAT_RECOGNITION, UNIQUE_KEY, Mutation, mutated

PRIMARY_KEY = "ALTER TABLE fraud.scored_transactions DROP CONSTRAINT scored_transactions_pkey CASCADE"
Broken = (AssertionError, pytest.fail.Exception)

pytestmark = pytest.mark.long  # of the suite itself, which changes less often than what it tests


@pytest.mark.parametrize(
    ("mutation", "scenario", "noticed"),
    [
        (REPEAT_RECOGNITION, scenarios.die_after_a_commit, "scoring again: the job ended 2 times"),
        (FENCE, scenarios.start_a_second_driver, "the older"),
        (RANGE_CHECK, scenarios.move_the_checkpoint_ahead, "the refusal doesn't name"),
        (UNIQUE_KEY, scenarios.repeat_a_forgotten_transaction, "stored twice, from offsets"),
    ],
    ids=["no ledger", "no fence", "no range check", "no unique key"],
)
def test_a_missing_protection_is_noticed(
    _arena: Arena, tmp_path: Path, mutation: Mutation, scenario: Callable[[Arena], None], noticed: str
) -> None:
    _arena.start_over(mutated(tmp_path, mutation))
    if mutation is UNIQUE_KEY:
        drop_primary_key(_arena.settings)
    with pytest.raises(Broken, match=noticed):
        scenario(_arena)


def drop_primary_key(settings: Settings) -> None:
    """Last of all: nothing puts it back."""
    with connect(settings, settings.postgres.admin) as admin:
        admin.execute(PRIMARY_KEY)
