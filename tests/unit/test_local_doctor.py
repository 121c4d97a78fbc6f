"""The doctor names each problem, with what to do."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fraudstream.local import doctor
from fraudstream.settings import AirflowSettings, PostgresSettings, Settings, SupersetSettings
from fraudstream.settings.kafka import KafkaSettings


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_in_use_is_named_with_its_setting_and_its_user(tmp_path: Path, taken_port: int) -> None:
    settings = Settings(var_dir=tmp_path, kafka=KafkaSettings(port=taken_port))
    problems = [line for line in doctor.find_problems(settings) if "in use" in line]
    assert any(
        f"port {taken_port} " in line and "FRAUDSTREAM_KAFKA__PORT" in line and "pid" in line for line in problems
    )


def test_one_port_for_two_parts_is_named(tmp_path: Path) -> None:
    settings = Settings(var_dir=tmp_path, airflow=AirflowSettings(port=18080), superset=SupersetSettings(port=18080))
    problems = list(doctor.find_problems(settings))
    assert any("FRAUDSTREAM_AIRFLOW__PORT and FRAUDSTREAM_SUPERSET__PORT are both 18080" in line for line in problems)


def test_ports_of_servers_that_are_not_ours_do_not_matter(tmp_path: Path, taken_port: int) -> None:
    settings = Settings(
        var_dir=tmp_path,
        kafka=KafkaSettings(bootstrap_servers="kafka.example:9092", port=taken_port),
        postgres=PostgresSettings(host="db.example", port=taken_port),
    )
    assert not any(str(taken_port) in line for line in doctor.find_problems(settings))


def test_a_missing_java_is_named_with_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    problems = list(doctor.find_problems(Settings(var_dir=tmp_path)))
    assert any(str(tmp_path) in line and "install Java 17 or 21" in line for line in problems)


def test_an_unsupported_java_is_named_with_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    problems = list(doctor.find_problems(Settings(var_dir=tmp_path)))
    assert any("is Java 11" in line for line in problems)
