"""What the columns of exports are called, and the forms that their values have."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from fraudstream.messages.mapping import values
from fraudstream.messages.mapping.times import EPOCHS, ISO, time_reader

#: Names of each field in exports and events, the surest first; without capitals and other characters.
NAMES: dict[str, tuple[str, ...]] = {
    "transaction_id": (
        "transactionid", "txid", "txnid", "transnum", "transid", "transactionnumber", "paymentid", "chargeid",
        "charge", "orderid", "id", "ordernumber", "orderno", "ordernum", "orderreference", "orderref", "order",
        "bestellnr", "bestellnummer", "auftragsnr", "auftragsnummer", "bestellid", "bestellung", "auftrag",
        "zubestellnr", "zubestellnummer", "zubestellung", "zuauftrag", "zuauftragsnr", "zuauftragsnummer", "belegnr",
        "belegnummer", "belegid", "beleg", "transaktionsid", "transaktionsnummer", "rechnungsnummer", "rechnungsnr",
        "commandeid", "idcommande", "numerocommande", "numerodecommande", "nocommande", "nodecommande", "ncommande",
        "ndecommande", "referencecommande", "refcommande", "commande",
        "idpedido", "pedidoid", "numeropedido", "numerodepedido", "nopedido", "nodepedido", "npedido", "ndepedido",
        "numpedido", "pedido", "idtransaccion",
        "bestelnummer", "bestelnr", "bestelid", "bestelling", "bestellingid", "ordernummer", "ordernr",
        "transactieid", "transactienummer",
        "idordine", "ordineid", "numeroordine", "numerodordine", "numerodiordine", "nordine", "nrordine",
        "codiceordine", "ordine", "idtransazione",
        "pspreference", "eventid", "number", "numero", "nummer", "nr", "reference", "referencia", "riferimento",
    ),
    "event_time": (
        "eventtime", "txdatetime", "transdatetranstime", "transactiondatetime", "transactiontime", "transactiondt",
        "transactiondate", "eventtimestamp", "purchasetime", "purchasedate", "orderdate", "ordertime", "orderedat",
        "placedat", "createdat", "datecreatedgmt", "datecreated", "created", "eventdate", "timestamp", "datetime",
        "unixtime", "bestelldatum", "auftragsdatum", "kaufdatum", "buchungsdatum", "erstelltam", "bestelltam",
        "erfasstam", "erfasst", "angelegtam", "angelegt",
        "datecommande", "datedecommande", "datedelacommande", "dateachat", "datedachat", "dateheure", "horodatage",
        "fechapedido", "fechadepedido", "fechadelpedido", "fechacompra", "fechadecompra", "fechahora", "fechayhora",
        "besteldatum", "orderdatum", "aankoopdatum", "datumtijd", "tijdstip", "aangemaaktop",
        "dataordine", "datadordine", "datadellordine", "dataacquisto", "dataora", "dataeora",
        "datum", "date", "fecha", "zeitpunkt", "zeitstempel", "bestellzeit", "time", "data", "step",
    ),
    "customer_id": (
        "customerid", "custid", "customer", "clientid", "client", "userid", "user", "userpseudoid", "shopperreference",
        "accountid", "nameorig", "entityid", "kundennr", "kundennummer", "kundenid", "kdnr", "kundenr", "kundeid",
        "kunde", "memberid",
        "buyerid", "customernumber", "customerno", "idclient", "numeroclient", "noclient", "nclient", "codeclient",
        "acheteur", "idcliente", "clienteid", "numerocliente", "ncliente", "codigocliente", "cliente", "comprador",
        "klantid", "klantnr", "klantnummer", "klant", "koper", "codicecliente", "acquirente",
        "ccnum", "cardid", "card", "card1", "email", "emailaddress", "customeremail", "mail", "emailadresse",
        "kundenemail", "adresseemail", "adressemail", "courriel", "emailclient", "correo", "correoelectronico",
        "emailcliente", "emailadres", "mailadres", "indirizzoemail", "buyer", "acct",
    ),
    "terminal_id": ("terminalid", "terminal", "merchantid", "merchantname", "merchant", "namedest", "haendler"),
    "amount": (
        "amount", "amt", "txamount", "transactionamt", "transactionamount", "orderamount", "totalprice", "ordertotal",
        "orderprice", "ordervalue", "totalamount", "total", "grandtotal", "purchasevalue", "purchaseamount",
        "betrag", "summe", "gesamt", "montant", "gesamtbetrag", "gesamtsumme", "gesamtpreis", "bestellwert",
        "rechnungsbetrag", "endbetrag", "endsumme", "rechnungssumme", "bruttobetrag", "warenwert", "umsatz",
        "montanttotal", "montantttc", "totalttc", "montantcommande", "totalcommande", "prixtotal",
        "importetotal", "importe", "totalpedido", "monto", "montototal", "preciototal",
        "totaalbedrag", "orderbedrag", "bedrag", "totaal", "totaalprijs", "orderwaarde",
        "importototale", "totaleordine", "importo", "totale", "prezzototale",
        "value", "wert", "price", "preis", "prix", "precio", "prijs", "prezzo", "valor", "valore",
        "amountcents", "amountminor", "totalcents",
    ),
    "currency": (
        "currency", "currencycode", "waehrung", "wahrung", "waehrungscode", "devise", "codedevise", "monnaie", "moneda",
        "divisa", "codigomoneda", "valuta", "munteenheid",
    ),
    "is_fraud": (
        "isfraud", "fraud", "txfraud", "fraudlabel", "eventlabel", "fraudflag", "isfraudulent", "betrug", "label",
        "betrugsfall", "istbetrug", "fraude", "estfraude", "esfraude", "isfraude", "frode", "isfrode", "fraudulento",
        "fraudolento", "class", "chargeback", "impaye", "contracargo", "terugboeking", "chargebackreason",
        "disputereason", "reason", "reasoncode", "grund", "motif", "motivo", "reden", "causale", "outcome", "status",
    ),
    "labelled_at": (
        "labelledat", "labeledat", "labeltimestamp", "chargebackdate", "reportedat",
        "disputecreated", "disputedate", "initiatedat", "createdat", "created", "date", "datelitige", "fechadisputa",
        "openedat", "opened", "receivedat", "eingangam", "eingangsdatum", "eingang", "gemeldetam", "datum",
        "fecha", "data",
    ),
    "session_id": ("sessionid", "session", "gasessionid", "visitid"),
    "device_id": (
        "deviceid", "device", "devicefingerprint", "fingerprint", "geraeteid", "geraetekennung", "geraetekennzeichen",
        "geraet", "appareil", "empreinte", "dispositivo", "apparaat",
    ),
    "payment_method": (
        "paymentmethod", "gateway", "paymenttype", "paymentkind", "paymentmode", "payment", "zahlart", "zahlungsart",
        "bezahlart", "zahlungsmethode", "zahlungsweise", "modepaiement", "modedepaiement", "moyenpaiement",
        "moyendepaiement",
        "metodopago", "metododepago", "formapago", "formadepago", "mediodepago", "betaalmethode", "betaalwijze",
        "betaalmiddel", "metodopagamento", "metododipagamento", "tipopagamento", "pagamento", "usechip",
    ),
    "card_token": (
        "cardtoken", "paymentmethodid", "cardfingerprint", "cardhash", "kartentoken", "kartenid", "karte",
        "tokencarte", "idcarte", "carte", "tokentarjeta", "idtarjeta", "tarjeta", "kaarttoken", "kaart", "tokencarta",
        "idcarta", "carta",
    ),
    "promo_code": (
        "promocode", "coupon", "couponcode", "discountcode", "voucher", "gutschein", "gutscheincode", "rabattcode",
        "codepromo", "codereduction", "cupon", "codigodescuento", "kortingscode", "actiecode", "codicesconto",
    ),
    "promo_amount": ("promoamount", "totaldiscounts", "discounttotal"),
    "shipping_fee": (
        "shippingfee", "shippingtotal", "shippingcost", "shippingcosts", "versandkosten", "fraisdeport", "fraisport",
        "fraisdelivraison", "gastosdeenvio", "gastosenvio", "verzendkosten", "spesedispedizione", "spesespedizione",
    ),
    "shipping_city": (
        "shippingcity", "shippingaddresscity", "shiptocity", "deliverycity", "lieferort", "lieferstadt",
        "villelivraison", "villedelivraison", "ciudadenvio", "ciudaddeenvio", "cittaspedizione", "cittadispedizione",
        "city", "town", "ort", "stadt", "wohnort", "ville", "ciudad", "poblacion", "localidad", "stad", "plaats",
        "woonplaats", "citta", "localita", "comune", "merchantcity",
    ),
    "shipping_country": (
        "shippingcountry", "shippingaddresscountrycode", "shippingcountrycode", "shiptocountry", "deliverycountry",
        "lieferland", "versandland", "payslivraison", "paysdelivraison", "paisenvio", "paisdeenvio", "afleverland",
        "paesespedizione", "paesedispedizione", "countrycode", "country", "land", "landcode", "laendercode",
        "landeskuerzel", "pays", "codepays", "pais", "codigopais", "paese", "codicepaese", "nazione",
    ),
    "shipping_latitude": ("shippinglatitude", "shippingaddresslatitude", "latitude", "lat"),
    "shipping_longitude": ("shippinglongitude", "shippingaddresslongitude", "longitude", "long", "lon", "lng"),
    "ip_country": ("ipcountry", "ipcountrycode"),
    "event_id": ("eventid", "hitid"),
    "event_type": ("eventtype", "eventname", "event", "action", "type"),
    "product_id": (
        "productid", "itemid", "sku", "variantid", "product", "id", "artikelnummer", "artikelnr", "artikel",
        "referenceproduit", "produit", "producto", "articolo", "prodotto",
    ),
    "traffic_source": ("trafficsource", "source", "utmsource", "referrer"),
    "device_type": ("devicetype", "devicecategory", "platform"),
    "source": ("labelsource", "source", "reason"),
    "quantity": (
        "quantity", "qty", "count", "menge", "anzahl", "quantite", "qte", "cantidad", "aantal", "quantita", "qta",
    ),
    "unit_price": (
        "unitprice", "price", "einzelpreis", "stueckpreis", "prixunitaire", "preciounitario", "stuksprijs",
        "prezzounitario", "amount",
    ),
}  # fmt: skip
#: What an amount inside of these objects is a part of, or a change to: not the amount of a purchase.
_PARTS_OF_AMOUNTS = re.compile("shipping|tax|discount|refund|subtotal|duties")
ITEM_LISTS = ("items", "lineitems", "lines", "orderitems", "orderlines", "products", "positions", "basket")
#: Columns that hold a time of day beside a date.
TIMES_OF_DAY = ("time", "uhrzeit", "hour", "zeit", "heure", "hora", "tijd", "ora", "orario", "ordertime")
#: Values that mean fraud, where labels are words.
FRAUD_WORDS = frozenset(
    {
        "fraud",
        "fraudulent",
        "chargeback",
        "chargedback",
        "disputed",
        "confirmedfraud",
        "betrug",
        "stolen",
        "charged_back",
        "fraude",
        "frode",
        "impaye",
        "contracargo",
    }
)
#: What labels of several words have within them that mean fraud, unless they deny it.
_THEFT = re.compile("stolen|gestohlen|gestolen|vol[ée]e|robad|rubat|unauthori[sz]ed|counterfeit|fraud|betrug|frode")
_DENIED = re.compile(r"\b(no|not|non|nicht|kein|keine|sin|sans|pas|geen|senza)\b|no[nt]?[ _-]?fraud")
#: Yes and no in other languages than `values.WORDS`.
YES_WORDS = frozenset({"j", "ja", "o", "oui", "s", "si", "sí", "sì", "sim", "tak", "vrai", "wahr"})
NO_WORDS = frozenset({"n", "nein", "non", "no", "não", "nao", "nie", "nee", "faux", "falsch"})
_DAYS = (
    "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%d.%m.%y", "%m/%d/%y", "%d/%m/%y",
    "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%Y", "%d-%b-%y", "%a, %d %b %Y", "%Y.%m.%d", "%Y%m%d",
    "%Y-%m-%d",
)  # fmt: skip
_CLOCKS = (
    "", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p", " %H:%M:%S.%f", ", %H:%M:%S", ", %H:%M", ", %I:%M %p",
    " %I:%M%p", " %H.%M", " %Hh%M", " à %H:%M", " à %Hh%M", " %H:%M:%S %z", " %H:%M %z", "T%H:%M:%S", ":%H:%M:%S",
)  # fmt: skip
#: What an export says behind the name of a column, such as "Total (EUR)" or "Betrag in €".
_UNIT = re.compile(r"\s*(\(.*\)|\[.*\]|\b(in )?([€$£]|eur|usd|gbp|chf))\s*$", re.IGNORECASE)
#: The end of a time that says its zone.
_ZONE = re.compile(r"(Z|UTC|GMT|[+-]\d\d:?(\d\d)?)\s*$", re.IGNORECASE)
_NEARLY_ALL = 0.9
#: Seconds since 1970: 2001 to 2030; dates and hours written as 2030010112 are above.
_FIRST, _LAST = 1_000_000_000, 1_900_000_000
#: Beginnings of times that stand for none.
PLACEHOLDERS = ("9999", "0000", "0001", "1900-01-01", "1970-01-01", "31.12.9999", "01.01.0001", "01.01.1900")
#: Of year, month and day in columns of their own, with the time of day.
DATE_PARTS = ("%Y %m %d %H:%M:%S", "%Y %m %d %H:%M", "%Y %m %d")
#: Counted from a start that no file says.
START = "2026-01-01"


def plain(name: str) -> str:
    """A name without capitals, accents and other characters; ä, ö and ü are two letters."""
    spelled = name.casefold().replace("ä", "ae").replace("ü", "ue").replace("ö", "oe")
    return re.sub(r"[^a-z0-9]", "", unicodedata.normalize("NFKD", spelled))


def means_fraud(word: str) -> bool:
    """Whether a label in words, without capitals, says that it was fraud."""
    known = word in FRAUD_WORDS or plain(word) in FRAUD_WORDS
    return known or (_THEFT.search(word) is not None and _DENIED.search(word) is None)


def by_name(field: str, paths: Sequence[str]) -> str | None:
    """The path that is called most like `field`; of equal ones the shortest."""
    ranked = [(rank, path.count("."), len(path), path) for path in paths if (rank := _rank(field, path)) is not None]
    return min(ranked)[-1] if ranked else None


def _rank(field: str, path: str) -> int | None:
    known = NAMES[field]
    if field == "amount" and _PARTS_OF_AMOUNTS.search(path.rpartition(".")[0].lower()):
        return None
    last = path.rpartition(".")[2]
    spellings = (plain(path), plain(".".join(path.split(".")[-2:])), plain(last), plain(_UNIT.sub("", last)))
    ranks = [known.index(each) * len(spellings) + place for place, each in enumerate(spellings) if each in known]
    return min(ranks) if ranks else None


def time_form(found: Sequence[Any], zone: str) -> str | None:
    """The form that all of these values have; None when there is none."""
    if all(isinstance(each, datetime) for each in found):
        return ISO
    if all(_is_count(each) for each in found):
        return _counted(found, zone)
    forms = [form for form in _forms(found) if fits(form, found, zone)]
    if not forms:
        return None
    return min(forms, key=lambda form: (form != ISO, -len(_read(form, found, zone)), _span(form, found, zone)))


def _forms(found: Sequence[Any]) -> Iterator[str]:
    yield ISO
    yield from (day + clock for day in _DAYS for clock in _CLOCKS if _read(day + clock, found[:5], "UTC"))


def _counted(found: Sequence[Any], zone: str) -> str:
    """Seconds since 1970 and their parts, else a count from a start that has to be said."""
    if all(len(str(each)) == 8 for each in found) and fits("%Y%m%d", [str(each) for each in found], zone):
        return "%Y%m%d"
    numbers = [float(each) for each in found]
    for form, size in EPOCHS.items():
        if all(_FIRST <= number / size < _LAST for number in numbers) and fits(form, found, zone):
            return form
    return f"{'seconds' if max(numbers) > 20_000 else 'hours'} since {START}"


def lacks_zone(form: str, found: Sequence[Any]) -> bool:
    """Whether texts of this form are of a clock whose zone they don't say."""
    if form != ISO:
        return "%z" not in form and ("%H" in form or "%I" in form)
    return any(isinstance(each, str) and ":" in each and _ZONE.search(each) is None for each in found)


def time_doubt(form: str, found: Sequence[Any]) -> str | None:
    """What is doubtful about this form of these times."""
    if " since " in form:
        return f"a number from a start that no file says: say time = '{form}' with the right unit and start"
    other = form.replace("%d/%m", "%m/%d") if "%d/%m" in form else form.replace("%m/%d", "%d/%m")
    if other != form and fits(other, found, "UTC"):
        return f"the day or the month may come first: say time = '{form}' or '{other}'"
    return None


def decimal_doubt(found: Iterable[Any]) -> str | None:
    """What is doubtful about these amounts: whether a comma begins the cents, or a point does."""
    texts = [each for each in found if isinstance(each, str)]
    commas = [each for each in texts if "," in each]
    if commas and all(_is_amount(each, mark) for mark in ".," for each in texts):
        return f", and . may each begin the cents, as in {commas[0]!r}: say decimal = '.' or ','"
    return None


def _is_count(value: Any) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", str(value).strip()) is not None and not isinstance(value, bool)


def fits(form: str, found: Sequence[Any], zone: str) -> bool:
    """Nearly all are of this form: some may be placeholders."""
    return len(_read(form, found, zone)) >= _NEARLY_ALL * len(found)


def _span(form: str, found: Sequence[Any], zone: str) -> timedelta:
    """From the first to the last: of two orders of day and month, the one with the shorter span is likelier."""
    moments = _read(form, found, zone)
    return max(moments) - min(moments)


def _read(form: str, found: Sequence[Any], zone: str) -> list[datetime]:
    read = time_reader(form, zone)
    moments = []
    for value in found:
        with suppress(ValueError):
            moments.append(read(value))
    return moments


def decimal_mark(found: Iterable[Any]) -> str | None:
    """What begins the cents in these amounts; None when some are none."""
    texts = [each for each in found if isinstance(each, str)]
    return next((mark for mark in (".", ",") if all(_is_amount(each, mark) for each in texts)), None)


def _is_amount(text: str, decimal: str) -> bool:
    try:
        values.number(text, decimal)
    except ValueError:
        return False
    return True
