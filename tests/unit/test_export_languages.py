"""Exports in other languages, by other people's habits: `mapping suggest` alone reads each of them right."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fraudstream.mappings.files import read_rows
from fraudstream.mappings.suggest import suggest, to_mapping, to_toml
from fraudstream.messages.contracts import Transaction
from fraudstream.messages.mapping.compiled import MappedRecords
from fraudstream.messages.mapping.decoding import as_event
from fraudstream.messages.mapping.fields import Kind
from tests.unit.shop_exports import text

FIRST, SECOND = datetime(2026, 3, 1, 13, 5, tzinfo=UTC), datetime(2026, 3, 14, 0, 30, tzinfo=UTC)


class Export(NamedTuple):
    """Lines of a file, of two purchases: 1234.50 by c1 at FIRST, and 9.90 by c2 at SECOND; and what else they say."""

    lines: tuple[str, ...]
    first: dict[str, Any] = {}  # noqa: RUF012 (never changed)
    ids: tuple[str, str] = ("0001", "0002")
    encoding: str = "utf-8"


CITY = {"shipping_city": "Lyon", "shipping_country": "FR", "shipping_latitude": 45.75, "shipping_longitude": 4.8515625}
EXPORTS = {
    "German, countries in words": Export(
        ("Auftrag;Erstellt am;Kunde;Endsumme;Währung;Ort;Land",
         "0001;01.03.2026 13:05;c1;1.234,50;EUR;Wien;Österreich", "0002;14.03.2026 00:30;c2;9,90;EUR;Genf;Schweiz"),
        {"currency": "EUR", "shipping_city": "Wien", "shipping_country": "AT"},
        encoding="cp1252",
    ),
    "German, codes of countries": Export(
        ("Bestellnummer,Kaufdatum,Kunden-E-Mail,Bruttobetrag,Zahlungsweise,Lieferort,Lieferland",
         '0001,2026-03-01 13:05:00,c1,"1234,50",Rechnung,Köln,DE', '0002,2026-03-14 00:30:00,c2,"9,90",PayPal,Graz,AT'),
        {"payment_method": "Rechnung", "shipping_city": "Köln", "shipping_country": "DE"},
    ),
    "French, with a non-breaking space for thousands": Export(
        ("N° de commande;Date de commande;Client;Montant TTC;Devise;Ville;Pays;Moyen de paiement",
         "0001;01/03/2026 13:05;c1;1\xa0234,50 €;EUR;Lyon;France;CB",
         "0002;14/03/2026 00:30;c2;9,90 €;EUR;Lille;France;CB"),
        {"currency": "EUR", "payment_method": "CB"} | CITY,
    ),
    "French, hours with an h": Export(
        ("Numéro commande;Horodatage;Adresse e-mail;Total TTC (EUR);Code pays;Ville de livraison;Carte",
         "0001;01/03/2026 13h05;c1;1234,50;fr;Lyon;tok_1", "0002;14/03/2026 00h30;c2;9,90;be;Liège;tok_2"),
        {"card_token": "tok_1"} | CITY,
    ),
    "French, day and hour apart": Export(
        ("Commande,Date,Heure,Code client,Montant total,Fraude", '0001,01/03/2026,13:05,c1,"1234,50",non',
         '0002,14/03/2026,00:30,c2,"9,90",oui'),
    ),
    "Spanish": Export(
        ("Nº pedido;Fecha del pedido;Cliente;Importe total;Moneda;Ciudad;País;Forma de pago",
         "0001;01/03/2026 13:05:00;c1;1.234,50;EUR;Sevilla;España;Tarjeta",
         "0002;14/03/2026 00:30:00;c2;9,90;EUR;Oporto;Portugal;Bizum"),
        {"currency": "EUR", "shipping_city": "Sevilla", "shipping_country": "ES", "payment_method": "Tarjeta"},
    ),
    "Spanish, Mexican": Export(
        ("ID Pedido,Fecha,Hora,Correo electrónico,Monto,Código postal,País",
         '0001,01/03/2026,13:05,c1,"$1,234.50",06600,México', "0002,14/03/2026,00:30,c2,$9.90,06700,México"),
        {"shipping_country": "MX"},
    ),
    "Dutch": Export(
        ("Bestelnummer;Besteldatum;Klantnummer;Totaalbedrag;Valuta;Woonplaats;Land;Betaalwijze",
         "0001;01-03-2026 13:05;c1;€ 1.234,50;EUR;Den Haag;Nederland;iDEAL",
         "0002;14-03-2026 00:30;c2;€ 9,90;EUR;Gent;België;Bancontact"),
        {"currency": "EUR", "shipping_city": "Den Haag", "shipping_country": "NL", "payment_method": "iDEAL"},
    ),
    "Dutch, a time of day apart": Export(
        ("Ordernr\tDatum\tTijd\tE-mailadres\tBedrag\tFraude", "0001\t01-03-2026\t13:05:00\tc1\t1234.50\tnee",
         "0002\t14-03-2026\t00:30:00\tc2\t9.90\tja"),
    ),
    "Italian": Export(
        ("Numero d'ordine;Data ordine;Codice cliente;Importo;Valuta;Città;Paese;Metodo di pagamento",
         "0001;01/03/2026 13:05;c1;1.234,50;EUR;Torino;Italia;Carta",
         "0002;14/03/2026 00:30;c2;9,90;EUR;Lugano;Svizzera;PayPal"),
        {"currency": "EUR", "shipping_city": "Torino", "shipping_country": "IT", "payment_method": "Carta"},
    ),
    "Italian, day and hour apart": Export(
        ("Ordine;Data;Ora;Email cliente;Totale ordine (€);Nazione;Frode",
         "0001;01/03/2026;13:05;c1;1234,50;IT;no", "0002;14/03/2026;00:30;c2;9,90;SM;sì"),
        {"shipping_country": "IT"},
    ),
    "English, a unit in brackets, three letters a country": Export(
        ("Order Reference|Ordered at|Customer e-mail|Total Amount [GBP]|Ship to city|Ship to country",
         "0001|2026-03-01T13:05:00Z|c1|1,234.50|Leeds|GBR", "0002|2026-03-14T00:30:00Z|c2|9.90|Cork|IRL"),
        {"shipping_city": "Leeds", "shipping_country": "GB"},
    ),
}  # fmt: skip


def mapped(folder: Path, export: Export) -> list[Transaction]:
    """The file's transactions, by the suggested mapping."""
    path = folder / "export.csv"
    path.write_bytes(text(*export.lines, encoding=export.encoding))
    mapping = to_mapping(suggest(path).content)
    assert mapping.source.kind is Kind.TRANSACTION
    records = MappedRecords(mapping)
    found = [as_event(Kind.TRANSACTION, records.event(row.record, row.number)) for row in read_rows(path, mapping)]
    assert all(isinstance(each, Transaction) for each in found), found
    return found


@pytest.mark.parametrize("name", list(EXPORTS))
def test_an_export_of_another_language_is_read_as_suggested(tmp_path: Path, name: str) -> None:
    export = EXPORTS[name]
    found = mapped(tmp_path, export)
    core = [(each.transaction_id, each.event_time, each.customer_id, each.amount) for each in found]
    assert core == [(export.ids[0], FIRST, "c1", 1234.5), (export.ids[1], SECOND, "c2", 9.9)]
    assert {field: getattr(found[0], field) for field in export.first} == export.first


def suggested(folder: Path, *lines: str) -> tuple[dict[str, Any], dict[str, str]]:
    path = folder / "export.csv"
    path.write_bytes(text(*lines))
    found = suggest(path)
    return found.content, found.doubts


def test_a_country_that_no_list_knows_is_left_to_a_person(tmp_path: Path) -> None:
    content, doubts = suggested(tmp_path, "id,date,customer,amount,land", "1,2026-03-01,c,2.50,Bayern")
    assert "shipping_country" not in content["fields"]
    assert "'Bayern': give each country its two letters" in doubts["shipping_country"]


def test_card_numbers_are_no_token(tmp_path: Path) -> None:
    content, doubts = suggested(tmp_path, "id,date,customer,amount,carte", "1,2026-03-01,c,2.50,4111111111111111")
    assert "card_token" not in content["fields"]
    assert "`carte` has card numbers" in doubts["card_token"]


def test_coordinates_of_cities_are_proposed_where_there_are_none(tmp_path: Path) -> None:
    place = "id,date,customer,amount,city,country", "1,2026-03-01,c,2.50,Bern,CH"
    assert "city_coordinates = true" in to_toml(suggested(tmp_path, *place)[0])
    with_coordinates = f"{place[0]},lat,lon", f"{place[1]},46.95,7.44"
    assert "city_coordinates" not in to_toml(suggested(tmp_path, *with_coordinates)[0])


def test_a_file_that_may_be_of_any_kind_says_how_to_tell(tmp_path: Path) -> None:
    content, doubts = suggested(tmp_path, "order,when", "1,2026-03-01")
    assert content["source"]["kind"] == "label"
    assert "say --kind transaction for orders" in doubts["kind"]
    assert "kind" not in suggested(tmp_path, "order,when,customer,total", "1,2026-03-01,c,2.50")[1]


def test_orders_of_nested_objects_are_read_by_what_these_are_called(tmp_path: Path) -> None:
    path = tmp_path / "live.jsonl"
    path.write_bytes(
        text(
            '{"bestellung": {"nummer": "B-1", "erfasst": 1764356400000, "wert": 4990, "kunde": {"nr": "K1"}}}',
            '{"bestellung": {"nummer": "B-2", "erfasst": 1764356461000, "wert": 1250, "kunde": {"nr": "K2"}}}',
        )
    )
    found = suggest(path)
    assert found.content["source"]["kind"] == Kind.TRANSACTION
    assert found.content["fields"] == {
        "transaction_id": "bestellung.nummer",
        "event_time": {"path": "bestellung.erfasst", "time": "epoch_ms"},
        "customer_id": "bestellung.kunde.nr",
        "amount": "bestellung.wert",
    }
    assert "say unit = 'minor'" in found.doubts["amount"]


def test_a_label_names_its_order_and_not_the_voucher(tmp_path: Path) -> None:
    content, _ = suggested(tmp_path, "Beleg;zu Bestell-Nr;gemeldet am", "R1;B-1;13.12.2025", "R2;B-2;01.12.2025")
    assert content["source"]["kind"] == "label"
    assert content["fields"]["transaction_id"] == "zu Bestell-Nr"
