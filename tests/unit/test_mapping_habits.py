"""Ten more exports by other people's habits, each with a mapping that a person would write, and its right result."""

import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from fraudstream.mappings.files import read_rows
from fraudstream.mappings.refused import Refused, event_of, fields_of
from fraudstream.messages.contracts import Transaction
from fraudstream.messages.mapping.compiled import MappedRecords, label_of
from fraudstream.messages.mapping.file import of

FIRST, SECOND = datetime(2025, 12, 31, 23, 59, tzinfo=UTC), datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
PLAIN = 'transaction_id = "id"\nevent_time = "at"\ncustomer_id = "who"\namount = "sum"\n'


class Habit(NamedTuple):
    """A file's lines, what its mapping has beyond CSV and PLAIN fields, what comes of it, and what is refused."""

    lines: tuple[str, ...]
    events: tuple[tuple[str, datetime, str, float], ...] = (("1", FIRST, "c1", 1234.5), ("2", SECOND, "c2", 9.9))
    source: str = ""
    fields: str = PLAIN
    refused: tuple[str, ...] = ()
    end: str = "\n"
    encoding: str = "utf-8"


HABITS = {
    "a semicolon, and a decimal comma": Habit(
        ("id;at;who;sum", "1;2025-12-31 23:59;c1;1234,5", "2;2026-01-02 12:00;c2;9,90"),
        source='separator = ";"\ndecimal = ","',
    ),
    "Excel's byte order mark, and CRLF": Habit(
        ("id,at,who,sum", '"1",2025-12-31 23:59,c1,1234.50', '"2",2026-01-02 12:00,c2,9.90'),
        end="\r\n",
        encoding="utf-8-sig",
    ),
    "points for thousands, and a sign behind": Habit(
        ("id\tat\twho\tsum", "1\t2025-12-31 23:59\tc1\t1.234,50 €", "2\t2026-01-02 12:00\tc2\t9,90 €"),
        source='separator = "\\t"\ndecimal = ","',
    ),
    "days before months, of a zone": Habit(
        ("id,at,who,sum", "1,01.01.2026 00:59,c1,1234.5", "2,02.01.2026 13:00,c2,9.9"),
        fields=PLAIN.replace('"at"', '{ path = "at", time = "%d.%m.%Y %H:%M", zone = "Europe/Berlin" }'),
    ),
    "a 12-hour clock": Habit(
        ("id,at,who,sum", "1,12/31/2025 11:59 PM,c1,1234.5", "2,01/02/2026 12:00 pm,c2,9.9"),
        fields=PLAIN.replace('"at"', '{ path = "at", time = "%m/%d/%Y %I:%M %p" }'),
    ),
    "refunds as negative amounts": Habit(
        ("id,at,who,sum", "1,2025-12-31 23:59,c1,1234.5", "1-R,2026-01-01 10:00,c1,-1234.50",
         "2,2026-01-02 12:00,c2,9.9", "3,2026-01-02 12:01,c2,(9.90)"),
        refused=("2 rows, INVALID_AMOUNT, first row 2",),
    ),
    "two header lines": Habit(
        ("Orders 2025;;;", "id;at;who;sum", "1;2025-12-31 23:59;c1;1234.5", "2;2026-01-02 12:00;c2;9.9"),
        source='separator = ";"\nheader = ["id", "at", "who", "sum"]',
        refused=("1 rows, MAPPING_FAILED, first row 1", "1 rows, MAPPING_FAILED, first row 2"),
    ),
    "words for nothing": Habit(
        ("id,at,who,sum,city,coupon", "1,2025-12-31 23:59,c1,1234.5,NULL,N/A", "2,2026-01-02 12:00,c2,9.9,-,\\N",
         "3,2026-01-02 12:00,NULL,9.9,Bern,X"),
        source='missing = ["", "NULL", "N/A", "-", "\\\\N"]',
        fields=PLAIN + 'shipping_city = "city"\npromo_code = "coupon"\n',
        refused=("1 rows, MAPPING_FAILED, first row 3: customer_id (from `who`): has no value",),
    ),
    "ids with leading zeros": Habit(
        ("id,at,who,sum", "000012,2025-12-31 23:59,007,1234.5", "12,2026-01-02 12:00,7,9.9",
         "1e5,2026-01-02 12:00,+7,1"),
        events=(("000012", FIRST, "007", 1234.5), ("12", SECOND, "7", 9.9), ("1e5", SECOND, "+7", 1.0)),
    ),
    "booleans in any letters": Habit(
        ("id,at,who,sum,bad", "1,2025-12-31 23:59,c1,1234.5,TRUE", "2,2026-01-02 12:00,c2,9.9,False",
         "3,2026-01-02 12:00,c2,9.9,tRuE", "4,2026-01-02 12:00,c2,9.9,maybe"),
        events=(("1", FIRST, "c1", 1234.5), ("2", SECOND, "c2", 9.9), ("3", SECOND, "c2", 9.9)),
        fields=PLAIN + 'is_fraud = "bad"\n',
        refused=("1 rows, MAPPING_FAILED, first row 4: is_fraud (from `bad`)",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(HABITS))
def test_an_export_means_what_its_shop_meant(tmp_path: Path, name: str) -> None:
    habit = HABITS[name]
    found, refused = read(tmp_path / "export.csv", habit)
    assert (
        tuple((each.transaction_id, each.event_time, each.customer_id, each.amount) for each in found) == habit.events
    )
    lines = list(refused.lines())
    assert len(lines) == len(habit.refused)
    assert all(line.startswith(said) for line, said in zip(lines, habit.refused, strict=True)), lines


def read(path: Path, habit: Habit) -> tuple[list[Transaction], Refused]:
    """The transactions of a habit's file, and what is refused of it."""
    path.write_bytes(habit.end.join((*habit.lines, "")).encode(habit.encoding))
    text = f'[source]\nkind = "transaction"\nformat = "csv"\n{habit.source}\n[fields]\n{habit.fields}'
    mapping = of(tomllib.loads(text))
    records, refused, found = MappedRecords(mapping), Refused(), []
    for row in read_rows(path, mapping):
        fields = fields_of(records, row, refused)
        event = event_of(records, fields, row, refused) if fields is not None else None
        if isinstance(event, Transaction):
            found.append(event)
    return found, refused


def test_what_words_for_nothing_leave_is_unknown(tmp_path: Path) -> None:
    found, _ = read(tmp_path / "export.csv", HABITS["words for nothing"])
    assert [(each.shipping_city, each.promo_code) for each in found] == [(None, None), (None, None)]


def test_a_sign_behind_an_amount_is_its_currency(tmp_path: Path) -> None:
    found, _ = read(tmp_path / "export.csv", HABITS["points for thousands, and a sign behind"])
    assert [each.currency for each in found] == ["EUR", "EUR"]


def test_booleans_in_any_letters_are_labels(tmp_path: Path) -> None:
    habit, path = HABITS["booleans in any letters"], tmp_path / "export.csv"
    path.write_text("\n".join(habit.lines[:4]) + "\n")
    mapping = of(tomllib.loads(f'[source]\nkind = "transaction"\nformat = "csv"\n[fields]\n{habit.fields}'))
    records = MappedRecords(mapping)
    known = [label_of(event, mapping) for row in read_rows(path, mapping) if (event := records.event(row.record, 1))]
    assert [label and label["is_fraud"] for label in known] == [True, False, True]
