"""No field of an accepted event holds a card number; ids that merely look like one are accepted as they are."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.messages.card_numbers import field_with_card_number
from fraudstream.messages.contracts import BrowseEvent, Label, Transaction
from tests.messages import CARD, browse_event, label, transaction

GROUPED = "4111 1111 1111 1111"
EVENTS = ((BrowseEvent, browse_event), (Transaction, transaction), (Label, label))
TEXTS = [
    (struct, make, name)
    for struct, make in EVENTS
    for name, value in make(promo_code="SUMMER").items()
    if isinstance(value, str) and name in struct.__struct_fields__ and not name.endswith(("_time", "_at", "_country"))
    if name != "currency"
]
IDS = [each for each in TEXTS if each[2].endswith("_id")]
FREE = [each for each in TEXTS if each not in IDS]


def found(struct: type, make: object, **fields: object) -> str:
    return field_with_card_number(msgspec.convert(make(**fields), struct))


def test_all_fields_of_text_are_tried() -> None:
    assert {name for _, _, name in FREE} == {
        "event_type", "traffic_source", "device_type", "payment_method", "card_token", "promo_code", "shipping_city",
        "source",
    }  # fmt: skip
    assert {name for _, _, name in IDS} == {"event_id", "session_id", "customer_id", "product_id", "device_id",
                                            "transaction_id"}  # fmt: skip


@pytest.mark.parametrize(("struct", "make", "name"), FREE)
@pytest.mark.parametrize("card", [CARD, f"card:{CARD}", f"CARD-{CARD}", GROUPED, "pay 5500-0000-0000-0004 now"])
def test_a_text_holds_no_card_number(struct: type, make: object, name: str, card: str) -> None:
    assert found(struct, make, **{name: card}) == name


@pytest.mark.parametrize(("struct", "make", "name"), IDS)
@pytest.mark.parametrize("card", [GROUPED, f"card:{GROUPED}", "3782-822463-10005", "2221\u00a00000\u20110000 0009"])
def test_an_id_is_not_written_as_a_card_number(struct: type, make: object, name: str, card: str) -> None:
    assert found(struct, make, **{name: card}) == name


def test_an_items_product_is_looked_at() -> None:
    items = [{"product_id": name, "quantity": 1, "unit_price": 1.0} for name in ("p-1", GROUPED)]
    assert found(Transaction, transaction, items=items) == "product_id"


@pytest.mark.parametrize(("struct", "make", "name"), IDS)
@given(number=st.integers(10**12, 10**19 - 1))
def test_an_id_of_digits_stays_joinable(struct: type, make: object, name: str, number: int) -> None:
    assert found(struct, make, **{name: str(number)}) == ""
    assert found(struct, make, **{name: f"order-{number}"}) == ""


@given(identifier=st.uuids().map(str))
def test_a_uuid_is_no_card_number(identifier: str) -> None:
    assert found(BrowseEvent, browse_event, event_id=identifier) == ""


@pytest.mark.parametrize(
    "identifier", ["2026-1127-0631-0008", "4111 1111 1111 1112", "14111 1111 1111 1111", "4111-1111"]
)
def test_numbers_in_groups_that_are_no_card_s_are_accepted(identifier: str) -> None:
    assert found(BrowseEvent, browse_event, session_id=identifier) == ""


@pytest.mark.parametrize("name", ["promo_code", "shipping_city", "payment_method"])
@pytest.mark.parametrize("card", [f"no{CARD}x", "4111\u00a01111 11111111", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"])
def test_a_text_hides_none_behind_letters_or_spaces(name: str, card: str) -> None:
    assert found(Transaction, transaction, **{name: card}) == name


@pytest.mark.parametrize("token", [f"k-{CARD}", f"a{CARD}", f"{CARD}f", "k-1772366400123457", "tok_2026112706310008"])
def test_a_random_token_may_have_digits_that_pass_the_check(token: str) -> None:
    assert found(Transaction, transaction, card_token=token) == ""


@given(token=st.uuids().map(str))
def test_a_uuid_is_a_token(token: str) -> None:
    assert found(Transaction, transaction, card_token=token) == ""


def test_valid_events_hold_none() -> None:
    assert [found(struct, make) for struct, make in EVENTS] == ["", "", ""]
