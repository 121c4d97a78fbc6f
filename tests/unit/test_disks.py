"""What retention costs, and the warning before a disk is full; what topics keep."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from fraudstream.kafka.topics import retention_config
from fraudstream.local import disks
from fraudstream.settings import PROJECT_DIR, Settings
from fraudstream.settings.kafka import KafkaSettings
from fraudstream.settings.retention import RetentionSettings


def made(tmp_path: Path, **keep: float) -> Settings:
    return Settings(var_dir=tmp_path, retention=RetentionSettings.model_validate(keep))


def test_a_disk_with_less_free_than_asked_for_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disks, "ENOUGH_BYTES", 2**60)
    [told] = disks.problems(made(tmp_path, disk_free_percent=99.999))
    assert str(tmp_path) in told and "FRAUDSTREAM_RETENTION__" in told
    assert list(disks.problems(made(tmp_path, disk_free_percent=0))) == []
    monkeypatch.setattr(disks, "ENOUGH_BYTES", 1)
    assert list(disks.problems(made(tmp_path, disk_free_percent=99.999))) == [], "a large disk has enough"


def test_the_steady_state_follows_the_settings(tmp_path: Path) -> None:
    usual, short = disks.cost(made(tmp_path)), disks.cost(made(tmp_path, ledger_days=1, transactions_days=2))
    assert usual.day == short.day == pytest.approx(4.491)
    assert short.steady == pytest.approx(usual.steady - (123 * 628 + 35 * 70 + 29 * 72) / 1000)


def test_the_pages_say_what_doctor_computes(tmp_path: Path) -> None:
    cost = disks.cost(made(tmp_path))
    told = f"a day adds about {cost.day:.1f} GB", f"about {cost.steady:.0f} GB"
    for page in ("README.md", "docs/production.md"):
        text = " ".join((PROJECT_DIR / page).read_text().split())
        assert all(figure in text for figure in told), page


def test_rows_outlive_their_batch() -> None:
    with pytest.raises(ValidationError, match="FRAUDSTREAM_RETENTION__LABELS_DAYS=5 is less than"):
        RetentionSettings(labels_days=5)


def test_a_topic_keeps_so_many_bytes_over_its_partitions() -> None:
    config = retention_config(KafkaSettings(retention_mb=400, retention_hours=8), partitions=4)
    assert config["retention.bytes"] == str(100 * 2**20)
    assert int(config["segment.bytes"]) * 8 <= int(config["retention.bytes"])
    assert int(config["segment.ms"]) * 8 <= int(config["retention.ms"]) == 8 * 3_600_000
    assert "retention.bytes" not in retention_config(KafkaSettings(retention_mb=0), partitions=4)
