"""A model's health: drift that knows its samples' sizes, and figures that say of which labels they are."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from fraudstream.archive import bounds, lake, reading
from fraudstream.archive.lake import Table
from fraudstream.archive.reading import Period
from fraudstream.files import delete
from model.features.columns import FEATURE_NAMES
from model.health import drift, measuring, quality
from model.health.figure import count_interval, share_interval
from model.health.measuring import Champion, measure
from model.health.quality import Outcomes
from tests.archived import Archive

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.mark.parametrize("size", [1_000, 20_000])
def test_samples_of_one_distribution_are_hardly_ever_called_different(size: int) -> None:
    random = np.random.default_rng(5)
    found = [drift.distance(random.exponential(size=3 * size), random.exponential(size=size)) for _ in range(200)]
    assert sum(each.psi > each.critical for each in found) <= 200 * drift.LEVEL * 3
    assert np.mean([each.psi for each in found]) == pytest.approx(found[0].expected, rel=0.2)


def test_a_shift_and_a_field_that_went_missing_are_drift() -> None:
    random = np.random.default_rng(5)
    reference = random.normal(size=5_000)
    missing = reference.copy()
    missing[:2_000] = np.nan
    assert drift.distance(reference, random.normal(0.8, size=5_000)).is_drift
    assert drift.distance(reference, missing).is_drift
    assert not drift.distance(reference, random.normal(0.1, size=5_000)).is_drift  # real, and small


def test_a_constant_and_few_rows_say_nothing_wrong() -> None:
    same = np.zeros(2_000)
    assert drift.distance(same, same).psi == 0
    few = drift.drift(same, same[:10], "score", 1, whole_day=True)
    assert (few.value, few.breached) == (None, False)
    assert "too few" in few.told


def test_part_of_a_day_is_never_a_breach() -> None:
    random = np.random.default_rng(5)
    one, other = random.normal(size=5_000), random.normal(2, size=5_000)
    assert drift.drift(one, other, "score", 1, whole_day=True).breached
    assert not drift.drift(one, other, "score", 1, whole_day=False).breached


def test_intervals_are_those_of_the_textbooks() -> None:
    assert share_interval(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert share_interval(0, 0) == (0.0, 1.0)
    assert count_interval(0) == pytest.approx((0, 3.689), abs=1e-3)
    assert count_interval(10) == pytest.approx((4.795, 18.39), abs=1e-2)


def outcomes(frauds: int, completeness: float | None = 1.0) -> Outcomes:
    """1,000 transactions of which 100 are flagged at 0.5, and the first ones are fraud."""
    scores = np.concatenate([np.full(100, 0.5), np.full(900, 0.0)])
    return Outcomes(DAY, scores, scores > 0.4, np.arange(1_000) < frauds, completeness)


def test_quality_is_of_labels_of_an_age() -> None:
    found = {figure.figure: figure for figure in quality.figures(outcomes(50), capacity=1.5)}
    assert {figure.subject for figure in found.values()} == {"labels within 1 d"}
    assert (found["precision"].value, found["recall"].value) == (0.5, 1.0)
    assert found["calibration"].value == pytest.approx(1.0)
    assert found["promised_precision"].value == pytest.approx(0.5)
    assert found["alerts_a_fraud"].value == pytest.approx(2.0)
    assert not any(figure.breached for figure in found.values())


@pytest.mark.parametrize(
    ("frauds", "completeness", "breached"), [(95, 1.0, True), (60, 0.5, True), (60, 1.0, False), (60, None, False)]
)
def test_calibration_counts_with_the_labels_that_are_still_to_come(
    frauds: int, completeness: float | None, breached: bool
) -> None:
    assert quality.calibration(outcomes(frauds, completeness)).breached is breached


def test_completeness_is_of_the_frauds_that_are_known_in_the_end() -> None:
    delays = np.repeat([3_600.0, 200_000.0], 50)
    assert quality.completeness(delays, DAY) == 0.5
    assert quality.completeness(delays[:10], DAY) is None


def test_a_day_that_differs_from_the_first_one_is_measured_as_drift(tmp_path: Path) -> None:
    archive, random = Archive(tmp_path), np.random.default_rng(9)
    now = datetime(2026, 3, 10, tzinfo=UTC)
    amount = FEATURE_NAMES.index("amount")
    for ago, shift in ((5 * DAY, 0.0), (DAY, 3.0)):
        times = [now - ago + DAY * share for share in np.linspace(0, 0.999, 2_000)]
        features = random.normal(size=(2_000, len(FEATURE_NAMES)))
        features[:, amount] += shift
        ids = archive.transactions(times, features, list(random.uniform(size=2_000)), shipping_country=["CH"] * 2_000)
        archive.labels(*((name, at + timedelta(minutes=5), True) for name, at in zip(ids[:300], times, strict=False)))
    champion = Champion("m-1", FEATURE_NAMES, 1.5)
    found = list(measure(archive.settings, champion, now + timedelta(hours=1)))
    assert [figure.subject for figure in found if figure.figure == "psi" and figure.breached] == ["amount"]
    assert len([figure for figure in found if figure.figure == "psi"]) == len(FEATURE_NAMES) + 1
    within_an_hour = {figure.figure: figure for figure in found if figure.subject == "labels within 1 h"}
    assert within_an_hour["recall"].sample == 300
    assert "country CH, labels within 1 h" in {figure.subject for figure in found}


def test_a_label_counts_from_its_own_age_on_whatever_a_later_one_says(tmp_path: Path) -> None:
    """An analyst says fraud within the hour, and the bank weeks later."""
    archive, at = Archive(tmp_path), datetime(2026, 5, 1, tzinfo=UTC)
    confirmed, cleared = archive.transactions([at, at], np.zeros((2, len(FEATURE_NAMES))), [0.9, 0.9])
    said, later = at + timedelta(minutes=30), at + timedelta(days=20)
    archive.labels((confirmed, said, True), (cleared, said, True))
    archive.labels((confirmed, later, True), (cleared, later, False))
    period = Period(at, at + timedelta(hours=1))
    for age, known in ((timedelta(minutes=10), [None, None]), (HOUR, [True, True]), (30 * DAY, [True, False])):
        with reading.read(archive.settings, period, age=age) as found:
            assert [fraud for (fraud,) in found.order("transaction_id").project("labelled_fraud").fetchall()] == known
    with reading.read(archive.settings, period) as found:
        assert found.project("fraud_known_at").distinct().fetchall() == [(said,)]


def test_labels_of_events_that_were_sent_late_count_from_when_they_were_made(tmp_path: Path) -> None:
    archive, at = Archive(tmp_path), datetime(2026, 5, 1, tzinfo=UTC)
    (fraud,) = archive.transactions([at], np.zeros((1, len(FEATURE_NAMES))), [0.9])
    archive.labels((fraud, at + HOUR, True), known_at=at + 30 * DAY)
    period = Period(at, at + HOUR)
    for as_labelled, age, known in ((False, DAY, None), (True, DAY, True), (True, HOUR / 2, None)):
        with reading.read(archive.settings, period, age=age, as_labelled=as_labelled) as found:
            assert found.project("labelled_fraud").fetchall() == [(known,)]
    with reading.read(archive.settings, period, at + 2 * HOUR, as_labelled=True) as found:
        assert found.project("fraud_known_at").fetchall() == [(at + HOUR,)]


def test_a_past_day_is_measured_as_it_was_then(tmp_path: Path) -> None:
    archive, random = Archive(tmp_path), np.random.default_rng(9)
    now, champion = datetime(2026, 3, 10, tzinfo=UTC), Champion("m-1", FEATURE_NAMES, 1.5)

    def a_day(begin: datetime, mean: float) -> None:
        times = [begin + DAY * share for share in np.linspace(0, 0.999, 1_500)]
        features = random.normal(mean, size=(1_500, len(FEATURE_NAMES)))
        ids = archive.transactions(times, features, list(random.uniform(size=1_500)))
        archive.labels(*((name, at + timedelta(minutes=5), True) for name, at in zip(ids[:50], times, strict=False)))

    a_day(now - 2 * DAY, 0.0)
    a_day(now - DAY, 0.0)
    then = [figure for figure in measure(archive.settings, champion, now) if figure.figure != "psi"]
    a_day(now, 3.0)
    found = list(measure(archive.settings, champion, now))
    assert [figure for figure in found if figure.figure != "psi"] == then
    assert not any(figure.breached for figure in found if figure.figure == "psi")
    later = measure(archive.settings, champion, now + DAY)
    assert all(figure.breached for figure in later if figure.figure == "psi" and figure.subject != "score")


def an_archive_of_two_models(folder: Path, now: datetime) -> Archive:
    """Ten days of m-0, and from the middle of the last one on m-1; files with both; labels come 5 minutes later."""
    archive, random = Archive(folder), np.random.default_rng(9)
    for ago in range(40, 0, -1):
        times = [now - ago * DAY + DAY * share for share in np.linspace(0, 0.999, 60)]
        older = times[: max(0, min(60, (ago - 30) * 30))]
        for version, part in (("m-0", older), ("m-1", times[len(older) :])):
            if not part:
                continue
            features = random.normal(size=(len(part), len(FEATURE_NAMES)))
            ids = archive.transactions(part, features, list(random.uniform(size=len(part))), version=version)
            archive.labels(*((name, at + timedelta(minutes=5), True) for name, at in zip(ids[:9], part, strict=False)))
    lake.open_table(archive.settings, Table.TRANSACTIONS).optimize.compact()
    return archive


def test_the_label_delays_are_those_of_a_whole_scan_whatever_is_left_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime(2026, 3, 10, tzinfo=UTC)
    archive, champion = an_archive_of_two_models(tmp_path, now), Champion("m-1", FEATURE_NAMES, 1.5)
    everything = Period(now - 100 * DAY, now + DAY)
    with reading.read(archive.settings, everything, now) as found:
        mine = found.filter("model_version = 'm-1'")
        first, last = mine.aggregate("min(event_time), max(event_time)").fetchall()[0]
        frauds = mine.filter("labelled_fraud").order("event_time").project("event_time, fraud_known_at").fetchall()
    assert bounds.served_by(archive.settings, "m-1") == (first, last)
    assert bounds.served_by(archive.settings, "m-2") is None
    served = Period(first, last + timedelta(microseconds=1))
    for sample in (len(frauds) + 1, 40):
        monkeypatch.setattr(measuring, "SAMPLE", sample)
        taken = measuring._oldest_frauds(archive.settings, champion, served, measuring.Moment(now))
        assert [tuple(row.values()) for row in taken.to_pylist()] == frauds[:sample]


def test_a_day_that_no_figure_needs_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files are gone, and nothing is missed: transactions between those measured, and labels of older ones."""
    now = datetime(2026, 3, 10, tzinfo=UTC)
    archive, champion = an_archive_of_two_models(tmp_path, now), Champion("m-1", FEATURE_NAMES, 1.5)
    monkeypatch.setattr(measuring, "SAMPLE", 30)  # frauds of the first days
    before = list(measure(archive.settings, champion, now))
    for table, unread in ((Table.TRANSACTIONS, range(10, 25)), (Table.LABELS, range(35, 41))):
        for ago in unread:
            day = archive.settings.paths.archive / table / f"{table.day}={(now - ago * DAY).date()}"
            assert list(day.glob("*.parquet"))
            delete(day)
    assert list(measure(archive.settings, champion, now)) == before
