"""From what Kafka holds to a challenger in the registry: collected, trained, compared and registered."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fraudstream.messages.contracts import Topic
from fraudstream.settings import PROJECT_DIR, Settings
from fraudstream.storage.connect import connect
from model.serving.artifact import CARD_FILE
from model.serving.registry import challenger, champion, ensure_pretrained
from model.training.collect import Period, collect, retained_messages
from model.training.history import HistoryFolder
from tests.commands import run_here

Postgres = psycopg.Connection[tuple[object, ...]]


@pytest.fixture(scope="module")
def settings(emptied: Settings) -> Settings:
    """The suite's servers, emptied: it collects all that Kafka holds."""
    return emptied


def run(module: str, *arguments: str | Path, ok: bool = True) -> str:
    """Runs a module to its end; returns what it printed, of a failure what it said."""
    done = run_here(module, *map(str, arguments))
    assert (done.returncode == 0) == ok, done.stderr
    return done.stdout if ok else done.stderr


def run_apart(module: str, *arguments: str | Path) -> str:
    """The same in a process of its own: it forks, or draws, which the stream's libraries in this process forbid."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def sent(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> HistoryFolder:
    """Two days of a small shop with many frauds, replayed into Kafka."""
    folder = tmp_path_factory.mktemp("sent") / "history"
    when = ("--end", "2026-03-01")  # so long ago that all labels have come
    shop = ("--fraud-rate", "0.1", "--customers", "300", "--products", "100")
    run_apart(
        "fraudstream.simulator", "produce", "--out", folder, "--transactions", "3000", "--days", "2", *when, *shop
    )
    run_apart("fraudstream.simulator", "static", "--source", folder)
    run_apart("fraudstream.simulator", "produce", "--replay", folder, "--speed", "1000000")
    return HistoryFolder(folder)


@pytest.fixture(scope="module")
def collected(sent: HistoryFolder) -> HistoryFolder:
    told = json.loads(run("model.training.collect", "--hours", "1").splitlines()[-1])
    return HistoryFolder(Path(told["history"]))


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("browse_events", "event_id"),
        ("transactions", "transaction_id"),
        ("labels", "transaction_id"),
        ("truth", "transaction_id"),
        ("customers", "customer_id"),
        ("products", "product_id"),
    ],
)
def test_what_is_collected_is_what_was_sent(sent: HistoryFolder, collected: HistoryFolder, name: str, key: str) -> None:
    first, second = sent.table(name), collected.table(name)
    known = [column for column in second.columns if column in first.columns]
    columns = [column for column in known if not column.endswith("_time") and column != "labelled_at"]
    assert len(columns) >= 3
    assert second.drop(columns=known).isna().to_numpy().all()  # what this shop's messages don't have, such as `shop`

    def rows(frame: Any) -> list[str]:
        return sorted(repr(row) for row in frame[columns].astype(object).to_numpy().tolist())

    assert len(second) == len(first)
    assert set(second[key]) == set(first[key])
    assert rows(second) == rows(first)


def test_events_are_collected_in_order(collected: HistoryFolder) -> None:
    assert collected.table("browse_events")["event_time"].is_monotonic_increasing
    assert collected.table("transactions")["event_time"].is_monotonic_increasing


def test_what_came_before_is_collected_as_warm_up(
    settings: Settings, sent: HistoryFolder, collected: HistoryFolder, tmp_path: Path
) -> None:
    """A training period that begins between two messages: together with the warm-up, it is all that was sent."""
    arrived = sorted(message.timestamp()[1] for message in retained_messages(settings, Topic.TRANSACTIONS, Period(0)))
    middle_ms = arrived[len(arrived) // 2]
    with connect(settings, settings.postgres.writer, autocommit=True) as connection:
        connection.execute("INSERT INTO fraud.currency_rates VALUES ('JPY', '2026-01-01', 0.0061)")
        rows = collect(settings, (time.time() - middle_ms / 1000) / 3600, tmp_path / "history")
        connection.execute("DELETE FROM fraud.currency_rates")
    later = HistoryFolder(tmp_path / "history")
    assert later.rates(settings.shop).at("JPY", middle_ms) == 0.0061
    for name, key in (("transactions", "transaction_id"), ("browse_events", "event_id")):
        early, late = later.warm_up.table(name), later.table(name)
        assert (len(early), len(late)) == (rows[f"{name} before"], rows[name])
        assert not set(early[key]) & set(late[key])
        assert set(early[key]) | set(late[key]) == set(sent.table(name)[key])
    assert not collected.warm_up.has("transactions")


def test_a_challenger_is_trained_compared_and_registered(settings: Settings, collected: HistoryFolder) -> None:
    with connect(settings, settings.postgres.writer, autocommit=True) as connection:
        shipped = ensure_pretrained(connection, settings.paths.models)
        told = json.loads(
            run_apart(
                "model.training.challenge", "--history", collected.path, "--trials", "2", "--processes", "1"
            ).splitlines()[-1]
        )
        trained = challenger(connection)
        assert trained
        assert trained.version == told["version"]
        assert trained.artifact == settings.paths.models / trained.version
        assert trained.version in (trained.artifact / CARD_FILE).read_text()
        assert f"| champion {shipped.version} |" in told["summary"]
        assert "95% interval" in told["summary"]
        assert champion(connection) == shipped  # nobody has approved yet
    listed = run("model.serving.registry_cli", "list").splitlines()
    assert [line.split()[:2] for line in listed] == [
        [trained.version, "challenger"],
        [shipped.version, "champion"],
    ]
    assert run("model.serving.registry_cli", "promote", trained.version) == f"{trained.version} is champion\n"
    assert run("model.serving.registry_cli", "archive", shipped.version) == f"{shipped.version} is archived\n"
    refused = run("model.serving.registry_cli", "archive", trained.version, ok=False)
    assert refused == f"fraudctl: model {trained.version} is the champion: promote another one first\n"


def test_an_empty_platform_is_told_what_is_missing(sent: HistoryFolder, owner: Postgres, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "kept").touch()
    owner.execute("DELETE FROM fraud.customers")
    refused = run("model.training.collect", "--hours", "1", "--out", out, ok=False)
    assert "fraud.customers is empty: run the Dag" in " ".join(refused.split())
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (out / "kept").exists()
