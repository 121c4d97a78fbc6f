"""The files of tests/data/cases/: exports in the shape of those that were refused once, each read right now."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fraudstream.mappings.suggest import suggest, to_toml
from fraudstream.settings import PROJECT_DIR
from fraudstream.simulator.recording import RecordingError, open_recording
from model.durations import DAY_MS, HOUR_MS
from model.evaluate.history import History, read
from model.evaluate.mapping import mapping_of

CASES = PROJECT_DIR / "tests" / "data" / "cases"
MINUTE_MS = 60_000
MARCH_MS = 1_772_323_200_000  # 2026-03-01
MILLENNIUM_MS = 1_546_300_800_000  # 2019-01-01
#: Each file's number of rows and of frauds, its first times, and its first amounts.
EXPECTED: dict[str, tuple[int, int, list[int], list[float]]] = {
    "dollar": (900, 63, [MARCH_MS + 10 * MINUTE_MS, MARCH_MS + 71 * MINUTE_MS], [9.1, 9.93]),
    "epoch_s": (900, 63, [MARCH_MS + 10 * MINUTE_MS, MARCH_MS + 71 * MINUTE_MS], [9.1, 9.93]),
    "yes_no": (900, 63, [MARCH_MS + 10 * MINUTE_MS, MARCH_MS + 71 * MINUTE_MS], [9.1, 9.93]),
    "namibia_country_as_terminal": (
        1000, 45, [MILLENNIUM_MS, MILLENNIUM_MS + 40 * MINUTE_MS], [164.18, 188.46],
    ),
    "sparkov": (1000, 45, [MILLENNIUM_MS, MILLENNIUM_MS + 40 * MINUTE_MS], [164.18, 188.46]),
    "paysim": (1000, 45, [MARCH_MS + HOUR_MS, MARCH_MS + HOUR_MS], [164.18, 188.46]),
    "ieee_cis": (1000, 45, [MARCH_MS + DAY_MS, MARCH_MS + DAY_MS + 40 * MINUTE_MS], [164.18, 188.46]),
}  # fmt: skip
#: What no program can know: when a file's count of hours or seconds began.
STARTS = {"paysim": "hours since 2026-03-01", "ieee_cis": "seconds since 2026-03-01"}


def as_suggested(name: str, folder: Path, **fields: Any) -> History:
    """The file with the mapping that `suggest` writes, and a person's changes of fields."""
    path, toml = CASES / f"{name}.csv", folder / "orders.toml"
    content = suggest(path).content
    if name in STARTS:
        content["fields"]["event_time"]["time"] = STARTS[name]
    content["fields"] |= fields
    toml.write_text(to_toml(content))
    return read(path, mapping_of(path, toml))


@pytest.mark.parametrize("name", list(EXPECTED))
def test_a_case_is_read_as_suggested(tmp_path: Path, name: str) -> None:
    rows, frauds, times, amounts = EXPECTED[name]
    history = as_suggested(name, tmp_path)
    assert (len(history), int(history.frauds.sum())) == (rows, frauds)
    assert (history.times[:2].tolist(), history.amounts[:2].tolist()) == (times, amounts)
    assert (history.terminals is None) is (name == "ieee_cis")


@pytest.mark.parametrize("name", ["dollar", "epoch_s", "yes_no", "namibia_country_as_terminal"])
def test_well_known_names_need_no_mapping(tmp_path: Path, name: str) -> None:
    path = CASES / f"{name}.csv"
    found, suggested = read(path, mapping_of(path)), as_suggested(name, tmp_path)
    for column in ("times", "customers", "terminals", "amounts", "frauds"):
        np.testing.assert_array_equal(getattr(found, column), getattr(suggested, column))


def test_namibia_is_a_name() -> None:
    path = CASES / "namibia_country_as_terminal.csv"
    terminals = read(path, mapping_of(path)).terminals
    assert terminals is not None
    assert terminals[:3].tolist() == [0, 1, 0]  # NA, DE, NA


def test_sparkovs_two_times_are_each_read(tmp_path: Path) -> None:
    """The seconds of its unix_time are those of seven years before, as in the original."""
    by_number = as_suggested("sparkov", tmp_path, event_time={"path": "unix_time", "time": "epoch_s"})
    by_text = as_suggested("sparkov", tmp_path)
    assert set((by_text.times - by_number.times).tolist()) == {2557 * DAY_MS}
    assert len(by_number) == 1000


def test_paysims_customer_may_be_the_id_too(tmp_path: Path) -> None:
    history = as_suggested("paysim", tmp_path, transaction_id="nameOrig")
    assert history.remarks == ()
    assert "no column for transaction_id" in as_suggested("paysim", tmp_path).remarks[0]


def test_a_recording_in_latin_1_is_refused_by_line_and_byte() -> None:
    with pytest.raises(RecordingError, match=r"rec_latin1.jsonl, line 1, byte \d+: 0xfc is not UTF-8"):
        open_recording(CASES / "rec_latin1.jsonl")


def test_a_placeholder_of_a_recording_is_counted() -> None:
    recording = open_recording(CASES / "rec_sentinel_9999.jsonl")
    assert (recording.placeholders, len(list(recording.messages(None)))) == (1, 2)
