"""The archive without servers: its messages, its Delta tables, what readers get, training and rescoring on it."""

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.archive import bounds, lake, reading, upkeep
from fraudstream.archive.lake import ArchiveError, Table
from fraudstream.archive.reading import Period
from fraudstream.messages.features import (
    FEATURE_RECORD_VERSION,
    FeatureRecord,
    decode_features,
    encode_features,
    feature_set,
    microseconds,
    pack,
    pack_block,
    unpack,
    unpack_block,
)
from fraudstream.policy.document import Action, Kind, Policy, Rule, State, Thresholds
from fraudstream.policy.errors import PolicyError
from fraudstream.policy.past_decisions import compiled
from fraudstream.policy.versions import PolicyVersion
from fraudstream.settings import ENV_PREFIX, PROJECT_DIR
from model.features.columns import FEATURE_NAMES
from model.policy.columns import COLUMNS
from model.rescoring.rescore import Rescorer
from model.rescoring.sums import Rescoring
from model.serving.scorer import Scorer
from model.training.history import HistoryFolder
from model.training.served import served_dataset, served_period, write_served
from tests.archived import FEATURES, Archive

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WIDTH = len(FEATURE_NAMES)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def some(rows: int, seed: int = 1) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(rows, WIDTH)).astype(np.float32)
    values[0, 3] = np.nan
    return values


@given(st.lists(st.tuples(st.integers(0, 999), st.integers(0, 2**60), st.binary(min_size=8, max_size=8)), min_size=1))
def test_a_block_gives_back_what_was_put_in(rows: list[tuple[int, int, bytes]]) -> None:
    by_place = {(partition, offset): features for partition, offset, features in rows}
    assert unpack_block(pack_block([(*place, features) for place, features in by_place.items()])) == by_place


def test_a_block_that_was_cut_is_refused() -> None:
    with pytest.raises(ValueError, match="isn't of rows of"):
        unpack_block(pack_block([(0, 1, b"12345678")])[:-1])


def test_packed_features_are_float32_in_their_order() -> None:
    values = some(3)
    np.testing.assert_array_equal(unpack(pack(values.astype(np.float64)), WIDTH), values)
    assert feature_set(["a", "b"]) != feature_set(["b", "a"])


@given(st.datetimes(datetime(1970, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC)))
def test_a_record_comes_back_as_it_was_sent(moment: datetime) -> None:
    record = FeatureRecord(
        version=FEATURE_RECORD_VERSION,
        transaction_id="tx-1",
        event_time_us=microseconds(moment),
        batch_id=7,
        model_version="m-1",
        policy_version=None,
        feature_set="f",
        fraud_score=0.25,
        challenger_version=None,
        challenger_score=None,
        features=b"\0" * 4,
    )
    assert decode_features(encode_features(record)) == record
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=record.event_time_us) == moment
    with pytest.raises(msgspec.ValidationError, match="version 99"):
        decode_features(encode_features(msgspec.structs.replace(record, version=99)))


def test_offsets_are_part_of_the_commit_and_another_run_on_them_fails(archive: Archive) -> None:
    archive.transactions([NOON], some(1), [0.1])
    table = lake.open_table(archive.settings, Table.TRANSACTIONS)
    assert lake.positions(table, *FEATURES, [0, 1]) == {0: 1}
    assert lake.positions(table, FEATURES[0], "of a topic made anew", [0]) == {}
    archive.transactions([NOON], some(1), [0.1])  # by another run, after this one has read its positions
    with pytest.raises(ArchiveError, match="takes no rows"):
        lake.append(archive.settings, Table.TRANSACTIONS, table, table.to_pyarrow_table(), FEATURES, {0: 2})
    now = lake.open_table(archive.settings, Table.TRANSACTIONS)
    assert (now.to_pyarrow_dataset().count_rows(), lake.positions(now, *FEATURES, [0])) == (2, {0: 2})


def test_two_first_runs_make_one_table(archive: Archive) -> None:
    archive.transactions([NOON], some(1), [0.1])
    made = lake.open_table(archive.settings, Table.TRANSACTIONS).to_pyarrow_table()
    with pytest.raises(ArchiveError, match="takes no rows"):
        lake.append(archive.settings, Table.TRANSACTIONS, None, made, FEATURES, {0: 1})


def test_a_period_has_its_rows_with_labels_as_they_were_known(archive: Archive) -> None:
    times = [NOON + timedelta(hours=hours) for hours in (0, 11.9, 12, 24)]  # of two days
    archive.transactions(times, some(4), [0.1, 0.9, 0.2, 0.3])
    archive.labels(("tx-1", NOON + timedelta(days=1), True), ("tx-0", NOON + timedelta(days=3), True))
    archive.labels(("tx-1", NOON + timedelta(days=2), False))
    period = Period(NOON, NOON + timedelta(hours=24))
    seen = {}
    for days in (0.5, 1, 2.5, 4):
        with reading.read(archive.settings, period, NOON + timedelta(days=days)) as found:
            seen[days] = found.order("transaction_id").project("transaction_id, labelled_fraud").fetchall()
    assert seen[0.5] == [("tx-0", None), ("tx-1", None), ("tx-2", None)]
    assert seen[1] == [("tx-0", None), ("tx-1", True), ("tx-2", None)]
    assert seen[2.5] == [("tx-0", None), ("tx-1", False), ("tx-2", None)]
    assert seen[4] == [("tx-0", True), ("tx-1", False), ("tx-2", None)]


def test_without_labels_nothing_is_known(archive: Archive) -> None:
    with (
        pytest.raises(ArchiveError, match="nothing is archived"),
        reading.read(archive.settings, Period(NOON, later())),
    ):
        pass
    archive.transactions([NOON], some(1), [0.1])
    with reading.read(archive.settings, Period(NOON, later())) as found:
        assert found.project("labelled_fraud, f_amount").fetchall() == [(None, pytest.approx(some(1)[0, AMOUNT]))]
    assert bounds.covered(archive.settings).since == NOON


AMOUNT = FEATURE_NAMES.index("amount")


def later() -> datetime:
    return NOON + timedelta(days=1)


def test_small_files_become_few_and_old_days_go(archive: Archive) -> None:
    for minute in range(upkeep.SMALL_FILES):
        archive.transactions([NOON + timedelta(minutes=minute)], some(1), [0.1])
    archive.transactions([datetime.now(UTC)], some(1), [0.1])
    table = lake.open_table(archive.settings, Table.TRANSACTIONS)
    assert (upkeep.compact(table, Table.TRANSACTIONS), upkeep.vacuum(table)) == (1, 0)
    assert len(table.file_uris()) == 2
    assert table.to_pyarrow_dataset().count_rows() == upkeep.SMALL_FILES + 1
    keep = archive.settings.retention.model_copy(update={"archive_days": 30.0})
    short = archive.settings.model_copy(update={"retention": keep})
    old = (datetime.now(UTC).date() - date(2026, 3, 1)).days > 30
    expected = [(Table.TRANSACTIONS, upkeep.SMALL_FILES if old else 0)]
    assert list(upkeep.retire(short, dry_run=True)) == expected
    assert list(upkeep.retire(short, dry_run=False)) == expected
    assert list(upkeep.retire(short, dry_run=False)) == [(Table.TRANSACTIONS, 0)]
    assert lake.positions(lake.open_table(short, Table.TRANSACTIONS), *FEATURES, [0]) == {0: upkeep.SMALL_FILES + 1}


def test_the_readers_of_the_docs_work(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.transactions([NOON], some(1), [0.1])
    archive.labels(("tx-0", NOON + timedelta(days=1), True))
    monkeypatch.setenv(f"{ENV_PREFIX}VAR_DIR", str(archive.settings.paths.var))
    blocks = re.findall(r"```python\n(.*?)```", (PROJECT_DIR / "docs" / "archive.md").read_text(), re.DOTALL)
    known: dict[str, Any] = {}
    for block in blocks:
        exec(block.replace("var/archive", str(archive.settings.paths.archive)), known)  # noqa: S102
    assert len(blocks) == 3
    assert "2026-03-01" in capsys.readouterr().out
    assert len(known["frame"]) == 1


def test_training_gets_the_features_that_were_served(archive: Archive, tmp_path: Path) -> None:
    times = [NOON + timedelta(minutes=10 * number) for number in range(20)]
    archive.transactions(times, some(20), [0.1] * 20)
    archive.labels(("tx-3", NOON + timedelta(days=1), True))
    assert served_period(archive.settings, NOON - timedelta(hours=1), later()) is None  # it begins too late
    assert served_period(archive.settings, NOON, NOON + timedelta(hours=9)) is None  # it ends too early
    period = served_period(archive.settings, NOON, NOON + timedelta(hours=4))
    out = tmp_path / "history"
    assert write_served(archive.settings, period, out) == {"transactions": 20, "labels": 1}
    data = served_dataset(HistoryFolder(out))
    np.testing.assert_array_equal(data.features, some(20).astype(np.float64))
    assert list(data.rows.index[data.truth]) == ["tx-3"]
    assert data.known_fraud(data.rows["event_time"].max()).sum() == 0
    assert HistoryFolder(out).events() == 20


def test_a_training_as_of_a_past_day_gets_the_labels_that_were_made_by_then(archive: Archive, tmp_path: Path) -> None:
    archive.transactions([NOON, NOON], some(2), [0.1] * 2)
    archive.labels(("tx-0", NOON + timedelta(days=1), True), ("tx-1", NOON + timedelta(days=3), True))
    period = Period(NOON, NOON + timedelta(hours=1))
    write_served(archive.settings, period, tmp_path / "history", labelled_by=NOON + timedelta(days=2))
    assert list(served_dataset(HistoryFolder(tmp_path / "history")).truth) == [True, False]


def rescored(archive: Archive, *rules: Rule, **entries: list[tuple[datetime, datetime | None]]) -> Rescoring:
    """What the pretrained model, or `rules` instead of it, would have decided; `entries` are devices on a list."""
    policy = Policy(rules=list(rules), thresholds=Thresholds(review=1.0))
    found = compiled(PolicyVersion(3, NOON, "ann", "bob", NOON, "", None, policy), COLUMNS, {"blocked": Kind.DEVICE})
    found = found.with_entries(("blocked", name, *each) for name, held in entries.items() for each in held)
    rescorer = Rescorer(SCORER, found if rules else None, NOON + timedelta(days=9))
    return rescorer.rescore(archive.settings, Period(NOON, NOON + timedelta(days=9)))


SCORER = Scorer.load(PROJECT_DIR / "model" / "pretrained")


def test_a_rescoring_says_what_would_have_been_decided_beside_what_was(archive: Archive) -> None:
    features = np.abs(some(50, seed=3))
    served = SCORER.score(features.astype(np.float64))
    was = [0.9 if number < 10 else 0.0 for number in range(50)]  # another model's
    times = [NOON + timedelta(hours=number) for number in range(50)]
    archive.transactions(times, features, was)
    archive.labels(("tx-2", NOON + timedelta(days=3), True), ("tx-40", NOON + timedelta(days=3), False))
    made = rescored(archive)
    would = served >= SCORER.threshold
    assert list(made.days) == [date(2026, 3, day) for day in (1, 2, 3)]
    total = made.total
    assert (total.transactions, total.labelled, total.frauds, made.left_out) == (50, 2, 1, 0)
    assert (total.was_flagged, total.would_flag, total.both_flagged) == (10, would.sum(), would[:10].sum())
    assert (total.was_caught, total.would_catch) == (1, int(would[2]))
    assert (total.was_flagged_amount, total.fraud_amount) == (100.0, 10.0)
    assert [each.frauds for each in made.ages.values()] == [0, 0, 1, 0, 0]  # within 7 days; none is older


def test_a_rescoring_decides_by_the_policy_of_the_time(archive: Archive) -> None:
    """The list held the device on the second day only, and the other rule expired before the fourth transaction."""
    times = [NOON + timedelta(days=number) for number in range(4)]
    archive.transactions(
        times,
        np.zeros((4, WIDTH)),
        [0.9] * 4,
        device_id=["d-1"] * 4,
        decision=["allow", "block", None, "review"],
        shipping_country=["CH", "CH", "FR", "FR"],
    )
    everything = Rule(name="never", condition="score >= 0", action=Action.ALLOW, state=State.LIVE)
    listed = Rule(name="a", condition="device_id IN list('blocked')", action=Action.BLOCK, state=State.LIVE)
    french = Rule(
        name="b", condition="shipping_country = 'FR'", action=Action.REVIEW, state=State.LIVE, expires_at=times[3]
    )
    shadow = Rule(name="c", condition="true", action=Action.BLOCK, state=State.SHADOW)
    held = [(times[0] + timedelta(hours=1), times[2])]
    made = rescored(archive, listed, french, shadow, **{"d-1": held})
    assert [(day.was_flagged, day.would_flag) for day in made.days.values()] == [(0, 0), (1, 1), (1, 1), (1, 0)]
    assert rescored(archive, everything, listed, french, **{"d-1": held}).total.would_flag == 0


def test_a_rescoring_names_the_rule_that_it_cannot_decide_by(archive: Archive) -> None:
    archive.transactions([NOON], some(1), [0.1], payment_method=["card"])
    with pytest.raises(PolicyError, match="policy version 3 can't be evaluated: rule a: "):
        rescored(archive, Rule(name="a", condition="nothing > 1", action=Action.BLOCK, state=State.LIVE))
    failing = Rule(name="b", condition="payment_method::INT > 1", action=Action.BLOCK, state=State.LIVE)
    made = rescored(archive, failing)
    assert made.total.transactions == 1
    assert list(made.failures) == ["b"]


def test_labels_of_each_age_are_read_at_once(archive: Archive) -> None:
    """As `read` with one age gives them, whatever a later label says."""
    archive.transactions([NOON, NOON], some(2), [0.9, 0.9])
    hours = [timedelta(hours=number) for number in (1, 5, 50)]
    archive.labels(("tx-0", NOON + timedelta(hours=1), True), ("tx-0", NOON + timedelta(hours=9), False))
    with reading.read(archive.settings, Period(NOON, later()), ages=hours) as found:
        columns = ", ".join(reading.within(age) for age in hours)
        assert found.order("transaction_id").project(columns).fetchall() == [(True, True, False), (None,) * 3]
    for age, fraud in zip(hours, (True, True, False), strict=True):
        with reading.read(archive.settings, Period(NOON, later()), age=age) as found:
            assert found.order("transaction_id").project("labelled_fraud").fetchall() == [(fraud,), (None,)]
