"""Nothing that passes for a card number is kept, wherever it stands; other numbers are."""

import json
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.messages.redaction import is_card_number, redact, redact_card_numbers, redact_text
from tests.messages import as_bytes, browse_event, label, transaction


def checksum(digits: str) -> int:
    """Luhn's, written another way than in the code under test; 0 for a card number."""
    doubled = [int(digit) for digit in digits]
    doubled[-2::-2] = [sum(map(int, str(2 * digit))) for digit in doubled[-2::-2]]
    return sum(doubled) % 10


def passing(text: str) -> list[str]:
    """What passes for a card number in `text`: each group of digits, alone and with its neighbours."""
    found = []
    for run in re.findall(r"\d(?:[ -]?\d)*", text):
        edges = [0, *(i + 1 for i, (a, b) in enumerate(pairwise(run)) if not b.isdigit()), len(run)]
        for start in edges[:-1]:
            for end in edges[1:]:
                digits = re.sub(r"\D", "", run[start:end])
                if 13 <= len(digits) <= 19 and checksum(digits) == 0:
                    found.append(run[start:end])
    return found


@st.composite
def card_numbers(draw: st.DrawFn) -> str:
    body = draw(st.text("0123456789", min_size=12, max_size=18))
    return body + next(last for last in "0123456789" if checksum(body + last) == 0)


@st.composite
def written_cards(draw: st.DrawFn) -> str:
    """A card number, with separators between some of its digits."""
    number = draw(card_numbers())
    gaps = draw(st.lists(st.sampled_from(["", "", "", " ", "-"]), min_size=len(number) - 1, max_size=len(number) - 1))
    return "".join(digit + gap for digit, gap in zip(number, [*gaps, ""], strict=True))


@given(st.text(), written_cards(), st.text())
def test_no_card_number_is_kept_in_any_text(before: str, card: str, after: str) -> None:
    kept = redact_card_numbers(f"{before}<{card}>{after}".encode(errors="replace")).decode()
    assert card not in kept
    assert passing(kept) == []


@given(st.text("0123456789 -", max_size=60))
def test_no_card_number_is_kept_among_other_digits(digits: str) -> None:
    assert passing(redact_card_numbers(digits.encode()).decode()) == []


@given(written_cards(), st.sampled_from([transaction, browse_event, label]), st.data())
def test_no_card_number_is_kept_in_any_field_or_name(card: str, make: object, data: st.DataObject) -> None:
    event = make()
    field = data.draw(st.sampled_from(sorted(event)))
    for message in (event | {field: card}, event | {card: "x"}, event | {field: [card]}, event | {field: f"no.{card}"}):
        kept = redact_card_numbers(as_bytes(message))
        assert card.encode() not in kept
        assert json.loads(kept).keys() >= event.keys() - {field}


@given(card_numbers(), st.sampled_from(["utf-16-le", "utf-16-be", "utf-32-le"]), st.sampled_from(["", " ", "-"]))
def test_utf_16_hides_no_card_number(number: str, encoding: str, separator: str) -> None:
    kept = redact_card_numbers(separator.join(number).encode(encoding))
    assert not re.search(rb"\d", kept)


@given(card_numbers(), st.integers(0, 40))
def test_a_cut_leaves_no_part_of_a_card_number(number: str, limit: int) -> None:
    kept = redact(f"{'x' * 20}{number}".encode(), limit)
    assert kept is not None
    assert not re.search(rb"\d", kept)
    assert len(kept) <= limit


@given(st.text("0123456789", min_size=1, max_size=40).filter(lambda digits: not passing(digits)))
def test_other_numbers_stay(digits: str) -> None:
    assert redact_card_numbers(f'{{"n": {digits}}}'.encode()) == f'{{"n": {digits}}}'.encode()


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (b'{"card": "4111111111111111"}', b'{"card": "****************"}'),
        (b"4111 1111 1111 1111", b"**** **** **** ****"),
        (b"5500-0000-0000-0004 paid", b"****-****-****-**** paid"),
        (b"4111\xc2\xa01111\xe2\x80\x911111  1111", b"****\xc2\xa0****\xe2\x80\x91****  ****"),
        (b"2 pieces, no. 2 4111111111111111 123", b"2 pieces, no. 2 **************** 123"),
        (b"4111111111111112", b"4111111111111112"),  # fails the Luhn check
        (b"1772366400123", b"1772366400123"),  # a time in milliseconds
        (b'"tx-00000001-4111-a111-1111-111111111111"', b'"tx-00000001-4111-a111-1111-111111111111"'),
        (b'{"latitude": 47.4111111111111111, "x": 1}', b'{"latitude": 47.4111111111111111, "x": 1}'),
        (b"no.4111111111111111", b"no.****************"),
        (rb'"4111\u00a01111\u20101111\t1111"', '"****\u00a0****\u2010**** ****"'.encode()),
        (rb'"\u0034111 1111 1111 1111"', b'"**** **** **** ****"'),
        (rb'"4111\u00001111\u000011111111"', b'"****\0****\0********"'),
        (rb'"Z\u00fcrich, \u0034\u00a01"', rb'"Z\u00fcrich, \u0034\u00a01"'),
        (b"41111111111111110000000", b"41111111111111110000000"),  # 23 digits
    ],
)
def test_examples(raw: bytes, kept: bytes) -> None:
    assert redact_card_numbers(raw) == kept


def test_text_loses_nul_and_its_end_but_stays_text() -> None:
    assert redact_text("a\0b 4111111111111111", 100) == "a\\0b ****************"
    assert redact_text("Zürich", 2) == "Z"
    assert redact(None, 5) is None
    assert is_card_number("4111 1111 1111 1111")
    assert not is_card_number("k-4111")


def test_a_message_of_nothing_but_digits_costs_no_more_than_it_must() -> None:
    assert len(redact_card_numbers(b"1 " * 65_536)) == 131_072
