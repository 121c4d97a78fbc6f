"""Mappings that can't be used are refused by their key, and docs/mapping.md knows what can."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fraudstream.mappings.suggest import to_toml
from fraudstream.messages.contracts import BrowseEvent, Label, Transaction
from fraudstream.messages.mapping.compiled import MappedRecords, UnmappableError
from fraudstream.messages.mapping.fields import FIELDS, ITEM_FIELDS, Kind
from fraudstream.messages.mapping.file import MappingError, of, read_mapping
from fraudstream.settings import PROJECT_DIR
from tests.unit.shop_exports import FIRST, WEBHOOK


def _set(section: str, **keys: Any) -> Callable[[], dict[str, Any]]:
    return lambda: WEBHOOK | {section: WEBHOOK.get(section, {}) | keys}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (_set("source", kind="order"), "source.kind = 'order'"),
        (_set("source", format="xml"), "source.format = 'xml'"),
        (_set("source", sep=";"), "[source]: object contains unknown field `sep`; known: kind, format"),
        (_set("source", zone="Zurich"), "source.zone = 'Zurich': no time zone, such as Europe/Zurich"),
        (_set("source", encoding="ansi-1"), "source.encoding = 'ansi-1': no encoding"),
        (_set("source", minor_units={"isk": 2}), "source.minor_units.isk = 2: name a currency in capitals"),
        (_set("source", minor_units={"ISK": -1}), "source.minor_units.ISK = -1: name a currency in capitals"),
        (_set("source", separator=";;"), "source.separator = ';;': must be one character"),
        (_set("fields", amnt="a"), "fields.amnt: a transaction has no such field; known: transaction_id"),
        (_set("fields", amount={"path": "a", "tme": "iso"}), "fields.amount"),
        (_set("fields", amount={"path": "a", "time": "iso"}), "fields.amount.time = 'iso': for a time, and this"),
        (_set("fields", amount={"path": "a..b"}), "fields.amount.path = 'a..b': can't be read"),
        (_set("fields", amount={"path": "a", "constant": 1}), "fields.amount: say exactly one of path, constant"),
        (_set("fields", event_time={"path": "a", "time": "%s"}), "fields.event_time.time = '%s': is no pattern"),
        (_set("fields", event_time={"path": "a", "join": " "}), "fields.event_time.join"),
        (_set("fields", currency={"path": "a", "other": "EUR"}), "fields.currency.other = 'EUR': needs a map"),
        (
            lambda: _set("source", topic="t")() | {"fields": {"transaction_id": {"row": True}}},
            "fields.transaction_id.row = true: messages of a topic have no row",
        ),
        (_set("labels", other="maybe"), "labels.other = 'maybe'"),
        (_set("where", type={"but": ["x"]}), "[where]: object contains unknown field `but`; known: not"),
        (_set("items", sku="x"), "[items]: object contains unknown field `sku`"),
    ],
)
def test_a_mapping_that_says_nothing_possible_is_refused_by_its_key(
    tmp_path: Path, content: Callable[[], dict[str, Any]], said: str
) -> None:
    path = tmp_path / "orders.toml"
    path.write_text(to_toml(content()))
    with pytest.raises(MappingError) as refused:
        read_mapping(path)
    assert str(refused.value).startswith(f"mapping {path}, ")
    assert said in str(refused.value)


def test_constants_that_no_field_can_have_are_refused_at_once() -> None:
    content = _set("fields", event_time={"constant": "soon"})()
    with pytest.raises(MappingError, match=r"fields.event_time.constant = 'soon'"):
        MappedRecords(of(content))


def test_every_mapping_of_the_page_can_be_used() -> None:
    page = (PROJECT_DIR / "docs" / "mapping.md").read_text()
    blocks = [tomllib.loads(block.split("```")[0]) for block in page.split("```toml\n")[1:]]
    whole = [block for block in blocks if "source" in block]
    assert [bool(MappedRecords(of(block)).unmapped) for block in whole] == [False] * 4
    german = MappedRecords(of(whole[0]))
    record = {"Bestellnr": "7", "Datum": "01.03.2026", "Uhrzeit": "14:05", "Kunde": "k", "Betrag": "1.234,50 €"}
    with pytest.raises(UnmappableError, match=r"amount .*is in EUR, and the currency is CHF"):
        german.event(record)
    event = german.event(record | {"Betrag": "1.234,50", "Zahlart": "Rechnung"})
    assert event is not None
    assert (event["event_time"], event["amount"], event["payment_method"]) == (FIRST, 1234.5, "invoice")
    assert event["is_fraud"] is False


def test_every_field_of_the_contract_can_be_mapped() -> None:
    structs = {Kind.TRANSACTION: Transaction, Kind.BROWSE: BrowseEvent, Kind.LABEL: Label}
    for kind, struct in structs.items():
        assert set(struct.__struct_fields__) - {"schema_version", "items"} <= FIELDS[kind].keys()
    page = (PROJECT_DIR / "docs" / "mapping.md").read_text()
    names = {name for fields in (*FIELDS.values(), ITEM_FIELDS) for name in fields}
    assert sorted(name for name in names if f"`{name}`" not in page) == []
