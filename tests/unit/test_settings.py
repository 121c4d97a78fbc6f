"""Settings: a wrong one is refused by name, secrets stay out of what people see, and all are documented."""

from pathlib import Path

import pytest

from fraudstream.errors import SettingsError
from fraudstream.settings import Settings, load_settings
from fraudstream.settings.exports import exported_environment, exported_secrets, secret_variables


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("FRAUDSTREAM_KAFKA__PORT", "many", "FRAUDSTREAM_KAFKA__PORT='many'"),
        ("FRAUDSTREAM_KAFKA__PORT", "70000", "FRAUDSTREAM_KAFKA__PORT='70000'"),
        ("FRAUDSTREAM_KAFKA__PROT", "9092", "FRAUDSTREAM_KAFKA__PROT"),
        ("FRAUDSTREAM_KAFK__PORT", "9092", "unknown setting FRAUDSTREAM_KAFK__PORT"),
        ("FRAUDSTREAM_STREAM__TRIGGER_SECONDS", "11", "FRAUDSTREAM_STREAM__TRIGGER_SECONDS"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str, named: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert named in str(error.value)


def test_a_refused_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUDSTREAM_KAFKA__SASL_PASSWORD__NESTED", "hunter2")
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert "FRAUDSTREAM_KAFKA__SASL_PASSWORD" in str(error.value)
    assert "hunter2" not in str(error.value)


def test_secrets_are_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUDSTREAM_KAFKA__SASL_PASSWORD", "hunter2")
    settings = load_settings()
    assert "hunter2" not in repr(settings)
    assert settings.kafka.sasl_password.get_secret_value() == "hunter2"


def test_connection_uris_hold_no_password() -> None:
    dsn = Settings().dsn("fraud writer", driver="+psycopg")
    assert dsn.startswith("postgresql+psycopg://fraud%20writer@127.0.0.1:")
    assert "passfile=" in dsn


def test_secrets_are_exported_to_those_that_sign_in_with_them_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = set(secret_variables())
    assert {"FRAUDSTREAM_KAFKA__SASL_PASSWORD", "FRAUDSTREAM_POSTGRES__ADMIN_PASSWORD"} <= known
    assert "FRAUDSTREAM_KAFKA__STREAM__SSL_KEY_PASSWORD" in known
    for name in secret_variables():
        monkeypatch.setenv(name, "a secret")
    assert "a secret" not in exported_environment(Settings(var_dir=tmp_path)).values()
    exported = exported_secrets("kafka", except_for="admin")
    assert set(exported.values()) == {"a secret"}
    ours = {name for name in known if name.startswith("FRAUDSTREAM_KAFKA__")}
    assert set(exported) == {name for name in ours if not name.startswith("FRAUDSTREAM_KAFKA__ADMIN__")}
