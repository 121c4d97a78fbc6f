"""docs/security.md says what the code does."""

import re

from fraudstream.local.security import CHECKS
from fraudstream.settings import PROJECT_DIR
from fraudstream.settings.exports import secret_variables
from fraudstream.settings.kafka import Role
from fraudstream.storage import roles

DOCUMENT = (PROJECT_DIR / "docs" / "security.md").read_text()


def test_every_check_and_every_secret_setting_is_explained() -> None:
    assert [name for name in CHECKS if f"\n| {name} | " not in DOCUMENT] == []
    roles_alike = {re.sub(rf"KAFKA__({'|'.join(Role).upper()})__", "KAFKA__", name) for name in secret_variables()}
    assert [name for name in roles_alike if f"`{name}`" not in DOCUMENT] == []


def test_the_readers_limits_are_those_of_the_code() -> None:
    limits = roles.READER_SETTINGS
    assert (limits["statement_timeout"], limits["idle_in_transaction_session_timeout"]) == ("15s", "1min")
    assert "ends a statement after 15 s" in DOCUMENT
    assert f"at most {roles.READER_CONNECTIONS}" in DOCUMENT
