"""Features of how well a customer's device, card, shipping place and countries are known.

A customer without a known device has no "new" one, since a platform that has just started knows nobody. Of what the
transaction doesn't tell, all is NaN; of cards also where the payment method may have needed one.
"""

from math import nan

from fraudstream.messages.contracts import CARDLESS_METHODS, Transaction
from model.durations import DAY_SECONDS, HOUR_SECONDS
from model.features.profile import KNOWN_FIELDS, History
from model.features.spec import USUAL, FeatureSpec, of_customer

FAMILIARITY_SPECS = (
    of_customer("new_device", "device not known of the customer", "flag",
                "first purchase from this device[; {known_transactions:earlier one} without it]",
                "device known of this customer[, first used {device_hours} before]"),
    of_customer("new_card", "card not known of the customer", "flag",
                "first purchase with this card[; {known_transactions:earlier one} without it]",
                "card known of this customer[, first used {card_hours} before]"),
    of_customer("new_place", "shipping place (1 km) not known of the customer", "flag",
                "first purchase to this place[; {known_transactions:earlier one} to others]",
                "shipping place known of this customer[, first used {place_hours} before]"),
    of_customer("new_shipping_country", "shipping country not known of the customer", "flag",
                "ships to a country that is new for this customer", "ships to a country as in earlier purchases"),
    of_customer("new_ip_country", "IP address's country not known of the customer", "flag",
                "bought from a country that is new for this customer", "bought from a country as in earlier purchases"),
    of_customer("device_hours", "since the customer first bought from this device", "hours",
                f"this device was first used {{value}} before{USUAL}"),
    of_customer("card_hours", "since the customer first paid with this card", "hours",
                f"this card was first used {{value}} before{USUAL}"),
    of_customer("place_hours", "since the customer first shipped to this place", "hours",
                f"things were first sent to this place {{value}} before{USUAL}"),
    of_customer("device_share", "share of the customer's earlier transactions from this device", "share",
                "used this device for [{device_uses}|{value:~part} of their earlier purchases]"),
    of_customer("card_share", "share of the customer's earlier transactions with this card", "share",
                "used this card for [{card_uses}|{value:~part} of their earlier purchases]"),
    of_customer("place_share", "share of the customer's earlier transactions to this place", "share",
                "had things sent to this place for [{place_uses}|{value:~part} of their earlier purchases]"),
    *(
        FeatureSpec(f"{things}_{short}", f"distinct {words}, this one included", "count", window,
                    f"{{value:{word}}} within {within}, this one included{USUAL}", f"no {word} within {within}{USUAL}")
        for short, window, within in (("1h", "1 h", "an hour"), ("1d", "1 day", "a day"))
        for things, words, word in (
            *(("devices", "devices", "device"), ("cards", "cards", "card")),
            ("places", "shipping places", "shipping place"),
        )
    ),
)  # fmt: skip


_Familiarity = tuple[float, float, float, float, float]
_UNKNOWN: _Familiarity = (nan, nan, nan, nan, nan)


def familiarity_values(
    history: History, transaction: Transaction, now: int, device: int | None, card: int | None, place: int | None
) -> list[float]:
    """Values of FAMILIARITY_SPECS at `now` (epoch seconds).

    `device` and `card` are hashes, `place` is a `place_key`; None: the transaction has none.
    """
    of_device = of_card = of_place = _UNKNOWN
    if device is not None:
        of_device = _familiarity_of(history.devices, device, now)
    if card is not None or transaction.payment_method in CARDLESS_METHODS:
        of_card = _familiarity_of(history.cards, card, now)
    if place is not None:
        of_place = _familiarity_of(history.places, place, now)
    new_device, device_hours, device_uses, devices_1h, devices_1d = of_device
    new_card, card_hours, card_uses, cards_1h, cards_1d = of_card
    new_place, place_hours, place_uses, places_1h, places_1d = of_place
    count = history.transactions
    return [
        new_device,  # new_device
        new_card,  # new_card
        new_place,  # new_place
        _is_new_country(history.shipping_countries, transaction.shipping_country),  # new_shipping_country
        _is_new_country(history.ip_countries, transaction.ip_country),  # new_ip_country
        device_hours,  # device_hours
        card_hours,  # card_hours
        place_hours,  # place_hours
        device_uses / count if history.devices else nan,  # device_share
        nan if card is None else card_uses / count,  # card_share
        place_uses / count if history.places else nan,  # place_share
        float(devices_1h),  # devices_1h
        float(cards_1h),  # cards_1h
        float(places_1h),  # places_1h
        float(devices_1d),  # devices_1d
        float(cards_1d),  # cards_1d
        float(places_1d),  # places_1d
    ]


def _is_new_country(known: list[str], country: str | None) -> float:
    if country is None or not known:
        return nan
    return 0.0 if country in known else 1.0


def _familiarity_of(known: list[int], key: int | None, now: int) -> _Familiarity:
    """Flag of a new `key`, hours since its first use, its uses, and the distinct keys in 1 h and 1 d with this one."""
    is_new = 1.0 if known and key is not None else nan
    hours = nan
    uses = 0
    in_hour = in_day = 0 if key is None else 1
    for index in range(0, len(known), KNOWN_FIELDS):
        if known[index] == key:
            is_new = 0.0
            hours = max(0, now - known[index + 1]) / HOUR_SECONDS
            uses = known[index + 3]
        else:
            age = now - known[index + 2]
            if age < DAY_SECONDS:
                in_day += 1
                if age < HOUR_SECONDS:
                    in_hour += 1
    return is_new, hours, uses, in_hour, in_day


def place_key(latitude: float, longitude: float) -> int:
    """A number for the 0.01-degree cell (about 1 km) of a place."""
    return (round(latitude * 100) + 9_000) * 36_001 + round(longitude * 100) + 18_000
