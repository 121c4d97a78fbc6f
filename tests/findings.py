"""A platform's files as `up` writes them, for the tests of `doctor --security`, and what its checks find there."""

from collections.abc import Iterator
from pathlib import Path

from fraudstream.local import secrets
from fraudstream.local.parts import airflow, kafka, superset
from fraudstream.local.security.finding import Finding, Outcome
from fraudstream.settings import PostgresSettings, Settings, SupersetSettings

HOST_RULES = "# initdb's\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n"
#: Nobody listens there: what would be asked is down.
DOWN = 1


def set_up(folder: Path) -> Settings:
    """Settings of a platform that is set up in `folder`, and down."""
    made = Settings(
        var_dir=folder,
        airflow={"port": DOWN},
        superset=SupersetSettings(port=DOWN),
        postgres=PostgresSettings(port=DOWN),
    )
    secrets.ensure(made)
    for private in made.paths.private:
        private.mkdir(exist_ok=True)
        private.chmod(0o700)
    superset.prepare(made)
    write(made.paths.airflow / "airflow.cfg", airflow.render_config(made))
    airflow.write_passwords(made)
    write(made.paths.kafka / "server.properties", kafka._properties(made.kafka, made.paths.kafka / "data"))
    write(made.paths.postgres / "pg_hba.conf", HOST_RULES)
    return made


def write(file: Path, text: str) -> None:
    """Writes a file that nobody else reads."""
    file.write_text(text)
    file.chmod(0o600)


def problems(found: Iterator[Finding]) -> list[str]:
    """What failed, as told. Each finding that isn't well says what to do."""
    told = list(found)
    assert told
    assert all(finding.fix for finding in told if finding.outcome is not Outcome.OK)
    return [finding.told for finding in told if finding.outcome is Outcome.FAILED]


def outcomes(found: Iterator[Finding]) -> set[Outcome]:
    """The kinds of findings."""
    return {finding.outcome for finding in found}
