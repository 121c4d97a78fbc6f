"""`fraudctl evaluate` on exports as people have them: made-up rows in the shapes of well-known data sets."""

import gzip
import json
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraudstream.errors import FraudstreamError
from fraudstream.mappings.suggest import to_toml
from fraudstream.messages.mapping.file import MappingError
from fraudstream.static_data.currencies import CurrencyRates, Rate
from model.durations import DAY_MS, HOUR_MS
from model.evaluate.classifier import scores
from model.evaluate.features import build
from model.evaluate.history import History, HistoryFileError, read
from model.evaluate.mapping import mapping_of
from model.evaluate.windows import Entity

HEADER = "transaction_id,event_time,customer_id,terminal_id,amount,is_fraud"
MARCH_MS = 1_772_323_200_000  # 2026-03-01


def file_of(folder: Path, *rows: str, header: str = HEADER, name: str = "history.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes("\n".join((header, *rows, "")).encode(encoding))
    return path


def read_file(path: Path, rates: CurrencyRates | None = None, **short: object) -> History:
    """The history of a file, with a mapping file in its short form."""
    toml = path.parent.parent / f"{path.parent.name}.toml"
    tables = {"columns": short.pop("columns", {})}
    toml.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in short.items()) + to_toml(tables))
    return read(path, mapping_of(path, toml), rates or CurrencyRates(""))


def column(folder: Path, name: str, values: list[str], **mapping: object) -> History:
    """The history of a file whose column `name` has `values`, which are quoted, a second apart."""
    rows = []
    for number, value in enumerate(values):
        row = {"transaction_id": f"t{number}", "event_time": f"2026-03-01T00:00:0{number}", "customer_id": "c"}
        row |= {"terminal_id": "m", "amount": "1", "is_fraud": "0", name: f'"{value}"'}
        rows.append(",".join(row.values()))
    return read_file(file_of(folder, *rows), **mapping)


def test_paysims_step_is_hours_and_one_column_has_two_roles(tmp_path: Path) -> None:
    path = file_of(tmp_path, "1,9.5,C0,M1,0", "3,2.5,C1,M1,1", header="step,amount,nameOrig,nameDest,isFraud")
    toml = tmp_path / "columns.toml"
    text = """
time_unit = "hours"
time_start = 2026-03-01
[columns]
event_time = "step"
transaction_id = "nameOrig"
customer_id = "nameOrig"
terminal_id = "nameDest"
is_fraud = "isFraud"
"""
    toml.write_text(text)
    history = read(path, mapping_of(path, toml))
    assert (history.times - MARCH_MS).tolist() == [HOUR_MS, 3 * HOUR_MS]
    assert (history.customers.tolist(), history.frauds.tolist()) == ([0, 1], [False, True])
    assert history.remarks == ()
    toml.write_text(text.replace('transaction_id = "nameOrig"\n', ""))
    assert "no column for transaction_id" in read(path, mapping_of(path, toml)).remarks[0]


def test_without_a_terminal_its_features_are_left_out(tmp_path: Path) -> None:
    path = file_of(
        tmp_path, "2987000,0,86400,1.5,1015", "2987001,1,88800,2,1015", header="TransactionID,isFraud,TransactionDT,"
        "TransactionAmt,card1",
    )  # fmt: skip
    columns = {"transaction_id": "TransactionID", "event_time": "TransactionDT", "customer_id": "card1"}
    columns |= {"amount": "TransactionAmt", "is_fraud": "isFraud"}
    history = read_file(path, columns=columns, time_unit="seconds")
    assert history.times.tolist() == [DAY_MS, DAY_MS + 2_400_000]
    assert history.terminals is None
    features = build(history, np.array([0, 1]), timedelta(days=1))
    assert features["customer_count_ever"].tolist() == [0, 1]
    assert not [name for name in features if "terminal" in str(name)]


@pytest.mark.parametrize("factor", [1, 1_000, 1_000_000, 1_000_000_000])
def test_seconds_since_1970_and_their_parts_are_recognised(tmp_path: Path, factor: int) -> None:
    history = column(tmp_path, "event_time", [str(1_772_323_800 * factor), str(1_772_327_460 * factor)])
    assert (history.times - MARCH_MS).tolist() == [600_000, 4_260_000]


def test_hours_written_as_digits_are_not_taken_for_seconds(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match=r"event_time .*: a number from a start that no file says: say time = "):
        column(tmp_path, "event_time", ["2026030110", "2026030111"])


@pytest.mark.parametrize("time_format", ["%s", "%Q", "%", "%d.%d.%Y"])
def test_an_impossible_form_of_time_is_refused_by_name(tmp_path: Path, time_format: str) -> None:
    with pytest.raises(MappingError, match=f"fields.event_time.time = '{time_format}'"):
        column(tmp_path, "event_time", ["1772323800"], time_format=time_format)


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01T01:00:00+01:00", "2026-03-01T01:00:00+0100", "2026-03-01 01:00:00+01", "2026-03-01 01:00:00 +01:00",
        "20260301T010000+0100", "20260301T000000Z", "2026-03-01 00:00:00 UTC", "2026-03-01T00:00:00",
        "2026-03-01T01:00:00+01:00[Europe/Zurich]", " 2026-03-01 ", "20260301", "2026-02-28T19:00:00-05",
    ],
)  # fmt: skip
def test_time_zones_in_every_form(tmp_path: Path, text: str) -> None:
    assert column(tmp_path, "event_time", [text, "2026-03-02"]).times.tolist() == [MARCH_MS, MARCH_MS + DAY_MS]


def test_times_without_a_zone_are_in_the_mappings(tmp_path: Path) -> None:
    texts = ["2026-03-01 01:00", "2026-03-01T00:00Z", "2026-07-01 00:00"]
    times = column(tmp_path, "event_time", texts, time_zone="Europe/Zurich").times
    assert (times - MARCH_MS).tolist() == [0, 0, 122 * DAY_MS - 2 * HOUR_MS]


@pytest.mark.parametrize("text", ["9999-12-31", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59+00:00"])
def test_placeholders_for_a_time_are_refused_by_row(tmp_path: Path, text: str) -> None:
    with pytest.raises(HistoryFileError, match=r"row 2: event_time .*placeholder"):
        column(tmp_path, "event_time", ["2026-03-01", text])


def test_parquets_placeholders_are_refused_too(tmp_path: Path) -> None:
    table = pd.DataFrame({"transaction_id": [1, 2], "customer_id": 1, "terminal_id": 1, "amount": 1.0, "is_fraud": 0})
    micros = pa.array([MARCH_MS * 1000, 253_402_300_799_000_000], pa.timestamp("us"))
    pq.write_table(pa.Table.from_pandas(table).append_column("event_time", micros), tmp_path / "h.parquet")
    with pytest.raises(HistoryFileError, match=r"row 2: event_time .*9999.*placeholder"):
        read_file(tmp_path / "h.parquet")


@pytest.mark.parametrize("name", ["NA", "null", "None", "nan", "N/A", "007", "7.0", "-"])
def test_a_name_that_looks_like_nothing_is_a_name(tmp_path: Path, name: str) -> None:
    history = column(tmp_path, "terminal_id", [name, "7", name])
    assert history.terminals is not None
    assert history.terminals.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("words", "frauds"),
    [(["Yes", "No"], [True, False]), (["n", "Y"], [False, True]), (["TRUE", "f"], [True, False]),
     (["1.00", "0.0"], [True, False])],
)  # fmt: skip
def test_labels_are_words_too(tmp_path: Path, words: list[str], frauds: list[bool]) -> None:
    assert column(tmp_path, "is_fraud", words).frauds.tolist() == frauds


def test_labels_of_ones_own_are_told_by_the_mapping(tmp_path: Path) -> None:
    with pytest.raises(HistoryFileError, match=r"'chargeback' is none of '0', .*fraud or legitimate"):
        column(tmp_path, "is_fraud", ["ok", "chargeback"][::-1])
    mapping = {"fraud_values": ["Chargeback"], "legitimate_values": ["ok"]}
    assert column(tmp_path, "is_fraud", ["ok", "chargeback"], **mapping).frauds.tolist() == [False, True]


@pytest.mark.parametrize(
    ("texts", "amounts"),
    [
        (["$1.50", "($3.00)", "$-3.00", "-$3", "$1,234.5"], [1.5, -3, -3, -3, 1234.5]),
        (["1,50", "1.234,50 €", "3,00-"], [1.5, 1234.5, -3]),
        (["1 234,50", "2,5"], [1234.5, 2.5]),
        (["1'234.50", "\N{MINUS SIGN}2.5"], [1234.5, -2.5]),
        (["EUR 1.50", "2 EUR"], [1.5, 2]),
        (["$9", "$8"], [9, 8]),
        (["1e3", "2.5"], [1000, 2.5]),
    ],
)
def test_amounts_are_read_as_people_write_them(tmp_path: Path, texts: list[str], amounts: list[float]) -> None:
    assert column(tmp_path, "amount", texts).amounts.tolist() == amounts


def test_amounts_that_could_be_two_numbers_are_refused_until_one_says_which(tmp_path: Path) -> None:
    texts = ["1,234", "2"]
    with pytest.raises(MappingError, match=r"amount .*: , and . may each begin the cents, as in '1,234'"):
        column(tmp_path, "amount", texts)
    assert column(tmp_path, "amount", texts, decimal=",").amounts.tolist() == [1.234, 2]
    assert column(tmp_path, "amount", texts, decimal=".").amounts.tolist() == [1234, 2]
    assert column(tmp_path, "amount", ["1.234", "2"], decimal=",").amounts.tolist() == [1234, 2]


def test_amounts_in_several_currencies_are_converted_as_of_their_time(tmp_path: Path) -> None:
    rates = CurrencyRates.of("EUR", [Rate("JPY", date(2026, 3, day), Decimal(day)) for day in (1, 2)])
    rows = [
        "2026-03-02T00:00:00Z,c,m,10,JPY,0",
        "2026-03-01T23:59:59Z,c,m,10,JPY,0",
        "2026-03-03T00:00:00Z,c,m,5,EUR,1",
    ]
    header = "event_time,customer_id,terminal_id,amount,currency,is_fraud"
    assert read_file(file_of(tmp_path, *rows, header=header), rates).amounts.tolist() == [10, 20, 5]
    assert read_file(file_of(tmp_path, *rows[:2], header=header)).amounts.tolist() == [10, 10], "of one currency"
    rows.append("2026-02-28T00:00:00Z,c,m,10,JPY,0")
    with pytest.raises(HistoryFileError, match=r"row 4: the currency 'JPY' has no exchange rate into EUR"):
        read_file(file_of(tmp_path, *rows, header=header), rates)


def test_currencies_are_not_added_up(tmp_path: Path) -> None:
    with pytest.raises(HistoryFileError, match=r"the currency .* has no exchange rate"):
        column(tmp_path, "amount", ["$1.50", "€2"])


def zipped(text: bytes) -> bytes:
    return gzip.compress(text)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("latin1.csv", lambda text: text.encode("latin-1")),
        ("utf8.csv", lambda text: text.encode("utf-8-sig")),
        ("utf16.csv", lambda text: text.encode("utf-16")),
        ("unmarked.csv", lambda text: text.encode("utf-16-le")),
        ("utf32.csv", lambda text: text.encode("utf-32")),
        ("zipped.csv.gz", lambda text: zipped(text.encode())),
        ("tabs.tsv", lambda text: text.replace(",", "\t").encode()),
        ("semicolons.csv", lambda text: text.replace(",", ";").encode()),
        ("windows.csv", lambda text: text.replace("\n", "\r\n").encode()),
        ("spaced.csv", lambda text: text.replace(",", ", ", 5).encode()),
    ],
)
def test_encodings_and_separators_are_found_out(tmp_path: Path, name: str, written: Callable[[str], bytes]) -> None:
    text = f"{HEADER}\nt1,2026-03-01,Zoë,m,1.5,0\nt2,2026-03-02,Zoé,m,2,1\n"
    (tmp_path / name).write_bytes(written(text))
    history = read_file(tmp_path / name)
    assert (history.customers.tolist(), history.amounts.tolist()) == ([0, 1], [1.5, 2])


def test_quoted_line_breaks_are_read_in_files_above_the_block(tmp_path: Path) -> None:
    note = '"' + "line\n" * 2_000 + '"'
    rows = [f"t{number},2026-03-01,c{number},m,1,0,{note}" for number in range(1_000)]
    history = read_file(file_of(tmp_path, *rows, header=f"{HEADER},note"))
    assert len(history) == 1_000
    assert history.customers.max() == 999


def test_a_folder_of_parts_is_one_history(tmp_path: Path) -> None:
    folder = tmp_path / "parts" / "day=1"
    folder.mkdir(parents=True)
    (tmp_path / "parts" / "_SUCCESS").touch()
    frame = pd.DataFrame({"transaction_id": ["a", "b"], "event_time": ["2026-03-01", "2026-03-02"], "customer_id": "c"})
    frame = frame.assign(terminal_id="m", amount=[1.0, 2.0], is_fraud=[0, 1])
    frame[:1].to_parquet(folder / "part-0.parquet", index=False)
    frame[1:].astype({"amount": int}).to_parquet(folder / "part-1.parquet", index=False)
    assert read_file(tmp_path / "parts").amounts.tolist() == [1, 2]
    frame[:1].assign(transaction_id="c").drop(columns="terminal_id").to_parquet(folder / "part-2.parquet", index=False)
    with pytest.raises(HistoryFileError, match=r"row 3: terminal_id .*: has no value"):
        read_file(tmp_path / "parts")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.csv", b""),
        ("cut.csv.gz", zipped(b"x" * 9_999)[:-8]),
        ("no.csv.gz", b"plain"),
        ("no.parquet", b"PAR1"),
        ("ragged.csv", f"{HEADER}\nt1,2026-03-01,c,m,1,0,0\n".encode()),
    ],
)
def test_broken_files_are_refused_in_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FraudstreamError, match=name.replace(".", r"\.")) as refused:
        read_file(tmp_path / name)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("encoding", "klingon", "source.encoding = 'klingon'"),
        ("time_zone", "Mars", "source.zone = 'Mars'"),
        ("time_unit", "fortnights", "key time_unit: 'fortnights'"),
        ("colour", "red", "key colour: unknown"),
    ],
)
def test_a_wrong_value_of_the_mapping_is_named(tmp_path: Path, key: str, value: str, said: str) -> None:
    path = file_of(tmp_path, "t1,2026-03-01,c,m,1,0")
    toml = tmp_path / "columns.toml"
    toml.write_text(f'{key} = "{value}"\n')
    with pytest.raises(MappingError, match=said):
        mapping_of(path, toml)


def test_customers_who_never_come_back_can_be_learned_from() -> None:
    """PaySim's: every feature that needs an earlier transaction of the customer is unknown in every row."""
    rows = np.arange(60)
    history = History(rows * HOUR_MS, rows, rows % 3, rows % 7 + 1.0, rows % 7 == 0)
    features = build(history, rows, timedelta(days=1))
    assert np.isfinite(sum(scores(features, history.frauds, features, seed=1))).all()


def test_many_entities_over_decades_overflow_no_count() -> None:
    """The keys of 6.4 million entities by milliseconds of 55 years would be above 2**63."""
    times = np.array([0, 1, 2, 55 * 365 * DAY_MS])
    entity = Entity(np.array([0, 6_400_000, 6_400_000, 6_400_000]), times, np.arange(4))
    assert entity.within(timedelta(days=7)).count.tolist() == [0, 0, 1, 0]
    assert entity.known(timedelta(days=1)).count.tolist() == [0, 0, 0, 2]
