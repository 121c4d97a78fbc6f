"""Values as shops write them: each form is read, and what is none is refused with what was expected."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.messages.mapping import values
from fraudstream.messages.mapping.paths import PathError, getter
from fraudstream.messages.mapping.times import EPOCHS, TimeFormError, check_form, time_reader

MARCH = datetime(2026, 3, 1, 0, 10, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2198, 1, 1), timezones=st.just(UTC))


@pytest.mark.parametrize(
    ("value", "form", "zone", "expected"),
    [
        ("2026-03-01T00:10:00Z", "iso", "UTC", MARCH),
        ("2026-03-01T00:10:00.0000000Z", "iso", "UTC", MARCH),
        ("2026-03-01 00:10", "iso", "UTC", MARCH),
        ("20260301T001000Z", "iso", "UTC", MARCH),
        ("2026-03-01 01:10:00 +0100", "iso", "UTC", MARCH),
        ("2026-03-01T01:10:00+01", "iso", "UTC", MARCH),
        ("2026-03-01T01:10:00+01:00[Europe/Zurich]", "iso", "UTC", MARCH),
        ("2026-03-01 00:10:00 UTC", "iso", "Europe/Zurich", MARCH),
        ("2026-03-01 01:10:00", "iso", "Europe/Zurich", MARCH),
        ("2026-03-01", "iso", "UTC", MARCH.replace(minute=0)),
        (datetime(2026, 3, 1, 0, 10), "iso", "UTC", MARCH),
        (MARCH.date(), "iso", "UTC", MARCH.replace(minute=0)),
        (1772323800, "epoch_s", "UTC", MARCH),
        ("1772323800", "epoch_s", "UTC", MARCH),
        (1772323800.25, "epoch_s", "UTC", MARCH + timedelta(milliseconds=250)),
        ("1772323800000000001", "epoch_ns", "UTC", MARCH),
        (1772323800000, "epoch_ms", "UTC", MARCH),
        ("3", "hours since 2026-03-01", "UTC", MARCH.replace(hour=3, minute=0)),
        (0, "seconds since 2026-03-01T00:10", "UTC", MARCH),
        (24, "hours since 2026-03-01", "Europe/Zurich", datetime(2026, 3, 1, 23, tzinfo=UTC)),
        ("01.03.2026 01:10", "%d.%m.%Y %H:%M", "Europe/Zurich", MARCH),
        ("3/1/2026 12:10:00 AM", "%m/%d/%Y %I:%M:%S %p", "UTC", MARCH),
        ("01/Mar/2026:02:10:00 +0200", "%d/%b/%Y:%H:%M:%S %z", "UTC", MARCH),
        # Zurich's clock shows 02:30 twice on 25 October: the second, in winter time, counts.
        ("2026-10-25 02:30:00", "iso", "Europe/Zurich", datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),
        # And never on 29 March: an hour later than the winter's 01:30.
        ("2026-03-29 02:30:00", "iso", "Europe/Zurich", datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),
    ],
)
def test_times_of_every_form(value: Any, form: str, zone: str, expected: datetime) -> None:
    check_form(form)
    assert time_reader(form, zone)(value) == expected


@pytest.mark.parametrize(
    ("value", "form", "said"),
    [
        ("now", "iso", "'now' is no time of ISO 8601"),
        ("743", "iso", "'743' is no time"),
        ("2026-13-01", "iso", "'2026-13-01' is no time"),
        (1772323800, "iso", "1772323800 is a number, and the form is ISO 8601: say time = 'epoch_s'"),
        ("9999-12-31T23:59:59Z", "iso", "'9999-12-31T23:59:59Z' is a placeholder"),
        ("0000-00-00 00:00:00", "iso", "'0000-00-00 00:00:00' is a placeholder"),
        ("1900-01-01", "iso", "'1900-01-01' is a placeholder"),
        ("1970-01-01T00:00:00Z", "iso", "is a placeholder"),
        (datetime(1, 1, 1), "iso", "0001-01-01 00:00:00 is a placeholder"),
        ("01.01.0001 00:00", "%d.%m.%Y %H:%M", "is a placeholder"),
        ("31.02.2026 00:00", "%d.%m.%Y %H:%M", "is no time of the form %d.%m.%Y %H:%M"),
        (0, "epoch_s", "0 is a placeholder"),
        (1772323800000, "epoch_s", "it would fit time = 'epoch_ms'"),
        ("soon", "epoch_s", "'soon' is no number"),
        (float("nan"), "epoch_s", "nan is no number"),
        (True, "epoch_s", "True is no number"),
        (1e22, "epoch_s", "beyond all years"),
        ("1e999999", "epoch_ns", "beyond all years"),
        ("9" * 30, "hours since 2026-03-01", "beyond all years"),
    ],
)
def test_times_that_are_none_are_refused_by_their_value(value: Any, form: str, said: str) -> None:
    with pytest.raises(ValueError) as refused:
        time_reader(form, "UTC")(value)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("%s", "is no pattern of strptime"),
        ("%Q", "is no pattern of strptime"),
        ("%", "is no pattern of strptime"),
        ("%d.%d.%Y", "is no pattern of strptime"),
        ("%H:%M", "has no full date"),
        ("%d.%m.%Y %I:%M", "without %p"),
        ("epoch", "is none of iso, epoch_s"),
        ("weeks since 2026-03-01", "'weeks' is no unit of time"),
        ("hours since then", "'then' is no ISO 8601 time"),
    ],
)
def test_impossible_forms_of_time_are_refused_by_name(form: str, said: str) -> None:
    with pytest.raises(TimeFormError) as refused:
        check_form(form)
    assert said in str(refused.value)


@given(MOMENTS, st.sampled_from(list(EPOCHS)))
def test_a_time_written_as_a_number_comes_back(moment: datetime, form: str) -> None:
    moment = moment.replace(microsecond=0)
    number = int(moment.timestamp()) * EPOCHS[form]
    read = time_reader(form, "UTC")
    assert read(number) == read(str(number)) == moment


@given(MOMENTS, st.sampled_from(["Europe/Zurich", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]))
def test_a_time_written_with_its_zone_comes_back(moment: datetime, zone: str) -> None:
    local = moment.astimezone(ZoneInfo(zone))
    assert time_reader("iso", "UTC")(local.isoformat()) == moment
    # Without a zone it is the same hour of that clock, and of those that come twice the second.
    naive = time_reader("iso", zone)(local.replace(tzinfo=None).isoformat())
    assert naive.timestamp() == local.replace(fold=1).timestamp()  # two zones' times of such an hour are never equal


@pytest.mark.parametrize(
    ("text", "decimal", "expected"),
    [
        ("1.50", ".", 1.5), ("$1.50", ".", 1.5), ("($3.00)", ".", -3.0), ("$-3.00", ".", -3.0), ("-$3", ".", -3.0),
        ("3.00-", ".", -3.0), ("\N{MINUS SIGN}3", ".", -3.0), ("1,234.50", ".", 1234.5), ("1'234.50", ".", 1234.5),
        ("1\N{RIGHT SINGLE QUOTATION MARK}234.5", ".", 1234.5), ("1\xa0234.50", ".", 1234.5), ("EUR 12", ".", 12.0),
        ("12.50 CHF", ".", 12.5), ("US$ 12.50", ".", 12.5), ("12,34,567.00", ".", 1234567.0), (".5", ".", 0.5),
        ("1e3", ".", 1000.0), ("1_000", ".", 1000.0), ("1.234,50 €", ",", 1234.5), ("1234,5", ",", 1234.5),
        ("1.234", ",", 1234.0),
        ("1 234,50", ",", 1234.5), ("-0,01", ",", -0.01), ("(€ 3,00)", ",", -3.0),
    ],
)  # fmt: skip
def test_amounts_as_people_write_them(text: str, decimal: str, expected: float) -> None:
    assert values.number(text, decimal) == expected


@pytest.mark.parametrize(
    ("value", "decimal", "said"),
    [
        ("1,23", ".", "with decimal = ',' it would be one"),
        ("1.23", ",", "with decimal = '.' it would be one"),
        ("1.2.3", ".", "is not an amount"),
        ("abc", ".", "is not an amount"),
        ("", ".", "is not an amount"),
        ("$", ".", "is not an amount"),
        ("nan", ".", "is not an amount"),
        ("1e999", ".", "is not a finite number"),
        (float("inf"), ".", "is not a finite number"),
        (True, ".", "True is true or false, and not a number"),
        ([1], ".", "is a list"),
    ],
)
def test_amounts_that_are_none_are_refused(value: Any, decimal: str, said: str) -> None:
    with pytest.raises(ValueError) as refused:
        values.number(value, decimal)
    assert said in str(refused.value)


@given(st.integers(-(10**11), 10**11), st.sampled_from([".", ","]), st.booleans(), st.sampled_from(["", "$", "€ "]))
def test_an_amount_comes_back_from_any_spelling(cents: int, decimal: str, grouped: bool, sign: str) -> None:
    amount = cents / 100
    text = f"{abs(amount):,.2f}" if grouped else f"{abs(amount):.2f}"
    if decimal == ",":
        text = text.translate(str.maketrans(",.", ".,"))
    spelled = f"({sign}{text})" if cents < 0 else f"{sign}{text}"
    assert values.number(spelled, decimal) == amount


@pytest.mark.parametrize(
    ("value", "expected"),
    [("00042", "00042"), ("NA", "NA"), ("null", "null"), (1015, "1015"), (315.0, "315"), (1.5, "1.5"), (True, "true")],
)
def test_ids_stay_as_they_are_written(value: Any, expected: str) -> None:
    assert values.text(value) == expected


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_a_text_stays_what_it_is(text: str) -> None:
    assert values.text(text) == text


ANYTHING = (
    st.text(max_size=12) | st.floats() | st.integers() | st.decimals() | st.none() | st.booleans() | st.dates()
    | st.datetimes() | st.from_regex(r"[-+]?\d{0,30}[.eE]?\d{0,6}") | st.lists(st.none(), max_size=1)
)  # fmt: skip


@given(ANYTHING, st.sampled_from(["iso", *EPOCHS, "hours since 2026-03-01", "%d.%m.%Y"]), st.sampled_from([".", ","]))
def test_no_value_fails_in_another_way_than_a_refusal(value: Any, form: str, decimal: str) -> None:
    readers = (
        time_reader(form, "Europe/Zurich"), values.text, values.count, values.sign_of,
        lambda each: values.number(each, decimal), values.label_reader((), (), "refuse"),
    )  # fmt: skip
    for read in readers:
        with suppress(ValueError, ArithmeticError, TypeError):
            read(value)


def test_labels_of_any_words() -> None:
    usual = values.label_reader((), (), "refuse")
    assert [usual(each) for each in ("Yes", "no", 1, 0.0, "1.0", True, "F")] == [
        True, False, True, False, True, True, False,
    ]  # fmt: skip
    own = values.label_reader(["chargeback"], [""], "refuse")
    assert [own(each) for each in ("Chargeback", "")] == [True, False]
    with pytest.raises(ValueError, match="'lost' is none of '', 'chargeback'"):
        own("lost")
    rest = [values.label_reader(["x"], [], other)("y") for other in ("legitimate", "fraud", "unknown")]
    assert rest == [False, True, None]


RECORD = {
    "a": {"b": [{"c": 1}, {"c": 2, "name": "device", "value": "d"}]}, "x.y": 3, "n": None, "price list": {"": 4},
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.b[0].c", 1), ("a.b[-1].c", 2), ("a.b[5].c", None), ("a.b[name=device].value", "d"), ("a.b[c=1].c", 1),
        ("a.b[name=other].value", None), ('"x.y"', 3), ("n.b", None), ("a.b.c", None), ("a[0]", None),
        ('price list.""', 4),
    ],
)  # fmt: skip
def test_paths_lead_into_records(path: str, expected: Any) -> None:
    assert getter(path)(RECORD) == expected


@pytest.mark.parametrize("path", ["", ".a", "a.", "a..b", "a[", "a[x]", "a[0]b", '"a'])
def test_paths_that_are_none_are_refused(path: str) -> None:
    with pytest.raises(PathError):
        getter(path)
