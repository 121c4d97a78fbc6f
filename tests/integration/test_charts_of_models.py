"""What *Model health* says, on a real Postgres: the newest figures, each with the age of its labels."""

from collections.abc import Iterator
from datetime import UTC, timedelta

import pytest

from testbed.dashboards import CHARTS, DASHBOARDS, charts_of, query_of
from tests.charting import NOON, Postgres, Shop, frozen

LINES = (
    *("model_health_drift", "model_health_precision", "model_health_recall", "model_health_calibration"),
    *("model_health_budget", "model_health_challenger"),
)
AGES = ("1 h", "1 d", "7 d", "30 d", "90 d")
#: A run each hour of 35 days. Feature n drifts by n thousandths, and the score by 0.3, more with each day.
RUNS = """
INSERT INTO fraud.model_health
    (measured_at, model_version, figure, subject, value, low, high, sample, breached, told)
SELECT now() - hour * interval '1 hour', 'v2', figure, subject, value, NULL, high, 5000, breached, 'said'
FROM generate_series(0, 35 * 24) AS hour, LATERAL (
    SELECT 'psi' AS figure, 'feature_' || n AS subject, n / 1000.0 AS value, 0.1 AS high, false AS breached
    FROM generate_series(1, 100) AS n
    UNION ALL SELECT 'psi', 'unknown', NULL, NULL, false
    UNION ALL SELECT 'psi', 'score', 0.3 - hour / 24 * 0.001, 0.1, true
    UNION ALL SELECT 'alerts_a_fraud', 'labels within 1 h', 1.4, 1.2, false
    UNION ALL SELECT 'promised_precision', 'labels within ' || age, 0.7, NULL, false
        FROM unnest(%(ages)s::text[]) AS age
    UNION ALL SELECT 'precision', 'labels within ' || age, 0.4 + place / 10.0, NULL, false
        FROM unnest(%(ages)s::text[]) WITH ORDINALITY AS ages (age, place)
    UNION ALL SELECT 'precision', 'country FR, labels within 1 d', 0.99, NULL, false
    UNION ALL SELECT 'recall', 'labels within ' || age, 0.8, NULL, false FROM unnest(%(ages)s::text[]) AS age
    UNION ALL SELECT 'calibration', 'labels within ' || age, 1.1, NULL, false FROM unnest(%(ages)s::text[]) AS age
    UNION ALL SELECT 'average_precision_gain',
        'challenger ' || CASE WHEN hour < 24 THEN 'v3' ELSE 'v1' END || ', labels within ' || age, 0.02, NULL, false
        FROM unnest(%(ages)s::text[]) AS age
) AS figures
"""
BREACHES = """
INSERT INTO fraud.model_breaches (model_version, figure, subject, since, seen_at, runs, told, ended_at, asked_at)
SELECT 'v2', 'psi', 'feature_' || n, now() - interval '5 hours', now(), n, 'PSI of feature_' || n,
       CASE WHEN n %% 2 = 0 THEN now() END, CASE WHEN n = 11 THEN now() - interval '1 hour' END
FROM generate_series(1, 11) AS n
"""
VERSIONS = """
INSERT INTO fraud.model_versions (version, status, artifact, sha256, features, threshold, metrics, trained_at,
                                  promoted_at)
SELECT 'v' || n, CASE n WHEN 8 THEN 'champion' WHEN 9 THEN 'challenger' ELSE 'archived' END, '/m', 'x', '{}', 0.5,
       '{"average_precision": 0.9}', now() - interval '1 day',
       CASE WHEN n < 9 THEN now() - (9 - n) * interval '1 day' END
FROM generate_series(1, 9) AS n
"""


@pytest.fixture
def shop(owner: Postgres) -> Iterator[Shop]:
    with frozen(owner, NOON) as made:
        yield made


@pytest.fixture
def measured(shop: Shop) -> Shop:
    """Five weeks of hourly runs."""
    shop.run(RUNS, ages=list(AGES))
    return shop


def last_of(shop: Shop, name: str, metric: str, group: str) -> dict[str, float]:
    """The newest value of each line."""
    rows = shop.rows(name)
    newest = max(row["window_start"] for row in rows)
    return {row[group]: row[metric] for row in rows if row["window_start"] == newest}


def test_the_numbers_are_the_newest_run_s(measured: Shop) -> None:
    assert measured.figure("model_health_psi") == 0.3
    assert measured.figure("model_health_bounds") == 1
    assert measured.figure("model_health_precision_now") == 0.6
    assert measured.figure("model_health_recall_now") == 0.8
    assert measured.figure("model_health_alerts_now") == 1.4
    assert measured.figure("model_health_measured") == 0


def test_lines_are_of_the_score_and_the_features_that_drift_most(measured: Shop) -> None:
    drifting = {f"feature_{n}": n / 1000 for n in range(96, 101)}
    assert last_of(measured, "model_health_drift", "newest_psi", "subject") == {"score": 0.3} | drifting


def test_each_line_names_the_age_of_its_labels(measured: Shop) -> None:
    ages = {f"labels within {age}": 0.4 + place / 10 for place, age in enumerate(AGES, 1)}
    promised = {"promised by scores": 0.7}
    assert last_of(measured, "model_health_precision", "newest_precision", "label_age") == pytest.approx(
        ages | promised
    )
    assert last_of(measured, "model_health_recall", "newest_recall", "label_age") == dict.fromkeys(ages, 0.8)
    assert last_of(measured, "model_health_calibration", "newest_calibration", "label_age") == dict.fromkeys(ages, 1.1)


def test_the_challenger_is_the_newest_one_and_alerts_stand_beside_their_budget(measured: Shop) -> None:
    gains = [row for row in measured.rows("model_health_challenger") if row["newest_gain"] is not None]
    assert {row["window_start"].replace(tzinfo=UTC) >= NOON - timedelta(hours=30) for row in gains} == {True}
    assert {row["newest_gain"] for row in gains} == {0.02}
    budget = measured.rows("model_health_budget")
    assert {(row["alerts"], row["promised"]) for row in budget} == {(1.4, 1.2)}


@pytest.mark.parametrize("name", LINES)
def test_a_month_of_every_figure_fits_the_row_limit(measured: Shop, name: str) -> None:
    rows = measured.rows(name, limited=False)
    assert len({row["window_start"] for row in rows}) == 30 * 4 + 1
    assert len(rows) <= query_of(CHARTS[name])["row_limit"]


def test_figures_of_yesterday_are_not_taken_for_today_s(measured: Shop) -> None:
    measured.run("DELETE FROM fraud.model_health WHERE measured_at > now() - interval '25 hours'")
    assert measured.figure("model_health_psi") is None
    assert measured.figure("model_health_bounds") is None
    assert measured.figure("model_health_measured") == 25 * 3_600_000


def test_breaches_are_those_that_are_open(measured: Shop) -> None:
    measured.run(BREACHES)
    listed = measured.rows("model_breaches")
    assert [row["Runs"] for row in listed] == [11, 9, 7, 5]
    assert [row["Training"] for row in listed] == ["01 Mar 11:00", "not yet", "not yet", "not yet"]
    measured.run("UPDATE fraud.model_breaches SET ended_at = now()")
    assert [row["What"] for row in measured.rows("model_breaches")] == ["Nothing is out of bounds"]


def test_versions_are_champion_challenger_and_the_last_promoted(shop: Shop) -> None:
    shop.run(VERSIONS)
    listed = shop.rows("model_versions")
    assert [row["Version"] for row in listed] == ["v8", "v9", "v7", "v6"]
    assert [row["Promoted (UTC)"] for row in listed][:2] == ["28 Feb 2026 12:00", ""]
    assert {row["Average precision"] for row in listed} == {0.9}


def test_before_the_first_run_the_charts_say_what_fills_them(shop: Shop) -> None:
    for name in charts_of(DASHBOARDS["model_health"]):
        assert shop.rows(name), name
    assert set(last_of(shop, "model_health_drift", "newest_psi", "subject")) == {"nothing measured yet"}
    assert set(last_of(shop, "model_health_recall", "newest_recall", "label_age")) == {"nothing measured yet"}
    assert set(last_of(shop, "model_health_challenger", "newest_gain", "label_age")) == {
        "no challenger was compared yet"
    }
    [breach], [version] = shop.rows("model_breaches"), shop.rows("model_versions")
    assert "archive_transactions" in breach["What"]
    assert "fraudctl up" in version["Version"]
