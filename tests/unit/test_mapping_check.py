"""`mapping check` and `suggest`: what they count, tell and doubt."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fraudstream.mappings import guesses
from fraudstream.mappings.check import Report, check, lines
from fraudstream.mappings.files import Row, read_rows
from fraudstream.mappings.suggest import suggest
from fraudstream.messages.mapping.file import of
from fraudstream.settings import PROJECT_DIR
from tests.unit.shop_exports import EXPORTS, text


def report_of(folder: Path, *rows: str, **fields: Any) -> tuple[Report, list[str]]:
    path = folder / "orders.csv"
    path.write_bytes(text(*rows))
    mapping = of({"source": {"kind": "transaction", "format": "csv"}, "fields": fields})
    report = check(mapping, read_rows(path, mapping))
    return report, list(lines(report, mapping))


def test_a_check_counts_each_field_and_tells_the_first_row_of_each_refusal(tmp_path: Path) -> None:
    report, told = report_of(
        tmp_path, "id,t,c,a", "1,2026-03-01,c1,1", "2,soon,,2", "3,9999-12-31,c3,x", "4,then,c4,4", "5,2026-03-01",
        transaction_id="id", event_time="t", customer_id="c", amount="a",
    )  # fmt: skip
    assert report.rows == 5
    found = {name: (each.found, each.examples) for name, each in report.fields.items()}
    assert found["transaction_id"] == (4, ["1", "2", "3"])
    assert found["customer_id"] == (3, ["c1", "c3", "c4"])
    assert found["amount"] == (3, ["1.0", "2.0", "4.0"])
    refused = [(*key[:2], each.count, each.first) for key, each in report.refused.found.items()]
    assert [each[1:] for each in refused if each[0] == "MAPPING_FAILED"] == [
        ("event_time", 2, "row 2"), ("event_time", 1, "row 3"), ("", 1, "row 5"),
    ]  # fmt: skip
    assert any("2 rows, MAPPING_FAILED, first row 2: event_time (from `t`): 'soon' is no time" in line for line in told)
    assert report.missing == []


def test_a_field_that_no_row_has_is_missing(tmp_path: Path) -> None:
    report, told = report_of(
        tmp_path, "id,t,c", "1,2026-03-01,c1", transaction_id="id", event_time="t", customer_id="x"
    )
    assert report.missing == ["amount", "customer_id"]
    assert "missing: amount, which a transaction must have: add it under [fields]" in told


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fraudstream.mappings", *map(str, arguments)]
    return subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, check=False)


def test_holes_placeholders_and_spaces_keep_nothing_from_being_guessed(tmp_path: Path) -> None:
    path = tmp_path / "holes.csv"
    rows = ("1, 2026-03-01, c, 12.50", '2,9999-12-31, "c",3.00', "3,2026-03-02,c,NULL", "4,NULL,c,1")
    path.write_bytes(text("id, date, customer, amount", *rows))
    content = suggest(path).content
    assert content["fields"]["event_time"] == {"path": "date", "missing": ["", "NULL"]}
    report = check(of(content), read_rows(path, of(content)))
    assert {name: each.found for name, each in report.fields.items()} == {
        "transaction_id": 4, "customer_id": 4, "event_time": 2, "amount": 3,
    }  # fmt: skip
    assert report.fields["customer_id"].examples == ["c"]
    details = [each.detail for each in report.refused.found.values()]
    assert any("'9999-12-31' is a placeholder" in detail for detail in details)


def test_what_no_file_says_is_told_as_doubtful(tmp_path: Path) -> None:
    contents = {
        "steps.csv": ("step,customer,amount", "1,c,2.5", "2,c,3.5"),
        "american.csv": ("date,customer,amount", "03/04/2026,c,2.5", "04/05/2026,c,3.5"),
        "cents.jsonl": ('{"created": "2026-03-01", "customer": "c", "amount": 250}',),
        "marks.csv": ("date,customer,amount", '2026-03-01,c,"1,234"'),
        "disputes.csv": ("charge_id,created", "ch_1,2026-03-01"),
    }
    found = {}
    for name, rows in contents.items():
        (tmp_path / name).write_bytes(text(*rows))
        found[name] = suggest(tmp_path / name).doubts
    assert {name: list(doubts) for name, doubts in found.items()} == {
        "steps.csv": ["transaction_id", "event_time"], "american.csv": ["transaction_id", "event_time"],
        "cents.jsonl": ["amount"], "marks.csv": ["transaction_id", "amount"], "disputes.csv": ["kind", "is_fraud"],
    }  # fmt: skip
    assert "say time = '%d/%m/%Y' or '%m/%d/%Y'" in found["american.csv"]["event_time"]


def test_words_of_labels_are_read_and_told(tmp_path: Path) -> None:
    rows = ("Fall;Belegnummer;Eingang am;Grund", "1;b1;02.03.2026;Karte gestohlen", "2;b2;14.03.2026;Ware fehlt")
    (tmp_path / "cases.csv").write_bytes(text(*rows, "3;b3;15.03.2026;Kein Betrug"))
    found = suggest(tmp_path / "cases.csv")
    assert found.content["labels"] == {"fraud": ["karte gestohlen"], "legitimate": ["kein betrug", "ware fehlt"]}
    assert "of `Grund`, 'karte gestohlen' counts as fraud" in found.doubts["is_fraud"]
    assert found.unused == {"Fall": "1"}


@pytest.mark.parametrize(
    ("time", "is_doubtful"),
    [
        ("2026-03-01 12:00", True),
        ("2026-03-01T12:00:00Z", False),
        ("2026-03-01 12:00+0100", False),
        ("01.03.2026 12:00", True),
        ("1772366400", False),
        ("2026-03-01", False),
    ],
)
def test_a_clock_without_a_zone_is_doubtful(tmp_path: Path, time: str, is_doubtful: bool) -> None:
    (tmp_path / "orders.csv").write_bytes(text("id,created,customer,amount", f"1,{time},c,2.5"))
    assert ("zone" in suggest(tmp_path / "orders.csv").doubts) is is_doubtful


@pytest.mark.parametrize("word", ["not_fraud", "nonfraud", "no fraud", "kein betrug", "ware fehlt", "sans fraude"])
def test_words_that_deny_fraud_mean_none(word: str) -> None:
    assert not guesses.means_fraud(word)


def test_lines_that_lack_a_price_are_no_items(tmp_path: Path) -> None:
    order = '{"id": 1, "created": "2026-03-01", "customer": "c", "amount": 2.5, "lines": [{"sku": "p", "qty": 1}]}'
    (tmp_path / "orders.jsonl").write_bytes(text(order))
    assert "items" not in suggest(tmp_path / "orders.jsonl").content


def test_orders_named_after_an_event_are_no_browsing(tmp_path: Path) -> None:
    order = '{"event": "order.placed", "no": "7", "placedAt": "2026-03-01", "buyer": "c", "grossRappen": 250}'
    (tmp_path / "orders.jsonl").write_bytes(text(order))
    found = suggest(tmp_path / "orders.jsonl")
    assert (found.content["source"]["kind"], list(found.doubts)) == ("transaction", ["kind"])


def test_rows_of_labels_of_unknown_meaning_are_left_out() -> None:
    records = [{"order": "o", "on": "2026-03-01", "state": state} for state in ("bad", "perhaps", "")]
    rows = [Row(number, record, f"row {number}") for number, record in enumerate(records, start=1)]
    fields = {"transaction_id": "order", "labelled_at": "on", "is_fraud": "state"}
    source = {"kind": "label", "format": "json"}
    mapping = of({"source": source, "fields": fields, "labels": {"fraud": ["bad"], "other": "unknown"}})
    report = check(mapping, rows)
    assert (report.mapped, report.skipped, report.refused.count) == (1, 2, 0)


def test_the_commands_suggest_and_check(tmp_path: Path) -> None:
    data, toml = EXPORTS["American, with a 12-hour clock"].write(tmp_path), tmp_path / "orders.toml"
    assert run("suggest", data, "--out", toml).returncode == 0
    checked = run("check", toml, "--sample", data)
    assert checked.returncode == 0, checked.stderr
    assert "2026-03-01T13:05:00.000Z, 2026-03-14T00:30:00.000Z" in checked.stdout
    toml.write_text(toml.read_text().replace('amount = "Amount"', ""))
    lacking = run("check", toml, "--sample", data)
    assert (lacking.returncode, lacking.stderr) == (1, "")
    assert "missing: amount" in lacking.stdout
    neither = run("check", toml)
    assert (neither.returncode, neither.stdout) == (1, "")
    assert neither.stderr == "fraudctl: say where the data is: --sample DATA or --topic TOPIC\n"
