"""What a job inherits of the environment that Airflow runs in."""

import pytest

from fraudstream.jobs.jobs import job_environment


def test_a_job_inherits_no_variable_of_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "_AIRFLOW_PROCESS_CONTEXT", "AIRFLOW_CONN_POSTGRES"):
        monkeypatch.setenv(name, "a secret")
    assert "a secret" not in job_environment().values()


@pytest.mark.parametrize("name", ["FRAUDSTREAM_RETENTION__AIRFLOW_DAYS", "FRAUDSTREAM_AIRFLOW__PORT"])
def test_a_job_inherits_our_settings_about_airflow(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the first, the Dag `apply_retention` kept the logs of tasks for 14 days, whatever was set."""
    monkeypatch.setenv(name, "7")
    assert job_environment()[name] == "7"


def test_a_job_does_not_get_what_airflow_alone_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FRAUDSTREAM_NOTIFY__URLS", "FRAUDSTREAM_METRICS__TOKEN", "FRAUDSTREAM_KAFKA__SASL_PASSWORD"):
        monkeypatch.setenv(name, "a secret")
    assert {name for name, value in job_environment().items() if value == "a secret"} == {
        "FRAUDSTREAM_KAFKA__SASL_PASSWORD"
    }
