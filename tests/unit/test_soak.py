"""The soak's judgement: a slow leak in noise is found, a level that wanders isn't one, and docs name each bound."""

import os
import re
import socket
from pathlib import Path
from random import Random

import pandas as pd
import psutil
import pytest

from benchmarks.measuring.bounds import BOUNDS, bound_of, judge, table
from benchmarks.measuring.growth import COLUMNS, folder_figures, process_figures
from benchmarks.soak_report import newest_run, slopes
from fraudstream.settings import PROJECT_DIR

#: Seconds of three hours' samples.
MOMENTS = [30.0 * number for number in range(360)]
WARM_UP = 20.0


def over_their_bounds(**series: list[float]) -> set[str]:
    samples = pd.DataFrame({"messages": [150 * at for at in MOMENTS], **series}, index=pd.Index(MOMENTS))
    return {verdict.series for verdict in judge(slopes(samples, WARM_UP)) if not verdict.is_bounded}


def noisy(seed: int, level: float, noise: float, per_hour: float = 0.0) -> list[float]:
    """A level that wanders, with outliers, and rises."""
    random, deviation, values = Random(seed), 0.0, []
    for at in MOMENTS:
        deviation = 0.8 * deviation + random.gauss(0, noise)
        outlier = 20 * noise if random.random() < 0.02 else 0.0
        values.append(level + per_hour * at / 3600 + deviation + outlier)
    return values


@pytest.mark.parametrize("seed", range(10))
def test_a_level_that_wanders_is_no_leak(seed: int) -> None:
    assert not over_their_bounds(**{"descriptors/kafka": noisy(seed, 400, 3)})


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("kind", ["descriptors", "sockets", "threads", "processes"])
def test_a_leak_is_found_though_it_is_slow(seed: int, kind: str) -> None:
    """20 an hour: the 7,200 sockets an hour of Spark 4.2.0 were many more."""
    assert over_their_bounds(**{f"{kind}/stream-jvm": noisy(seed, 400, 3, per_hour=20)})


def test_the_leak_of_spark_4_2_0_is_found() -> None:
    assert over_their_bounds(**{"sockets/stream-jvm": noisy(1, 100, 3, per_hour=7_200)}) == {"sockets/stream-jvm"}


def test_a_table_may_grow_by_what_it_is_for_and_no_faster() -> None:
    series = "table/fraudstream.fraud.scored_transactions"
    per_thousand = 540.0  # thousands of messages an hour
    assert not over_their_bounds(**{series: noisy(1, 10**7, 10**5, per_hour=80_000 * per_thousand)})
    assert over_their_bounds(**{series: noisy(1, 10**7, 10**5, per_hour=400_000 * per_thousand)}) == {series}


def test_what_grew_while_it_warmed_up_is_cut_off() -> None:
    values = [min(at, WARM_UP * 60) * 10 for at in MOMENTS]
    assert not over_their_bounds(**{"descriptors/superset": values})


def test_a_series_nobody_thought_of_has_to_stay_level() -> None:
    assert bound_of("descriptors/anything") is None
    assert bound_of("rows/superset.public.dashboards") is None


def test_the_docs_name_each_bound() -> None:
    assert table() in (PROJECT_DIR / "docs" / "measurements.md").read_text(), f"put this there:\n{table()}"
    assert all(bound.until for bound in BOUNDS)
    assert all(re.compile(bound.series) for bound in BOUNDS)


def test_the_newest_run_of_a_record_is_read(tmp_path: Path) -> None:
    record = tmp_path / "soak.csv"
    lines = [",".join(COLUMNS), "first,0.0,messages,1", "second,0.0,messages,5", "second,30.0,messages,6"]
    record.write_text("\n".join(lines))
    assert list(newest_run(record)["messages"]) == [5, 6]


def test_an_open_socket_of_a_process_is_counted() -> None:
    own = [psutil.Process(os.getpid())]
    before = dict(process_figures("own", own))
    with socket.socket(), socket.socket():
        after = dict(process_figures("own", own))
    assert after["sockets/own"] == before["sockets/own"] + 2
    assert after["descriptors/own"] == before["descriptors/own"] + 2
    assert after["threads/own"] >= 1
    assert after["memory/own"] > 0
    assert after["processes/own"] == 1


def test_files_count_to_each_folder_above(tmp_path: Path) -> None:
    deep = tmp_path / "airflow" / "logs" / "dag_id=a" / "run_id=b"
    deep.mkdir(parents=True)
    for name in ("one", "two"):
        (deep / name).write_bytes(b"x" * 5000)
    found = dict(folder_figures(tmp_path))
    assert found["files/var"] == found["files/var/airflow"] == found["files/var/airflow/logs"] == 2
    assert found["bytes/var/airflow/logs"] >= 10_000
    assert len(found) == 6, "no series a run of a Dag"
