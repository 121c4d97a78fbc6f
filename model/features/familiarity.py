"""Features of how well a customer's device, card, shipping place and countries are known.

A customer without a known device has no "new" one, since a platform that has just started knows nobody. Of what the
transaction doesn't tell, all is NaN; of cards also where the payment method may have needed one.
"""

from math import nan

from fraudstream.messages.contracts import CARDLESS_METHODS, Transaction
from model.durations import DAY_SECONDS, HOUR_SECONDS
from model.features.profile import KNOWN_FIELDS, History
from model.features.spec import FeatureSpec, of_customer

FAMILIARITY_SPECS = (
    of_customer("new_device", "device not known of the customer", "flag",
                "device new to this customer", "known device"),
    of_customer("new_card", "card not known of the customer", "flag", "card new to this customer", "known card"),
    of_customer("new_place", "shipping place (1 km) not known of the customer", "flag",
                "shipping place new to this customer", "known shipping place"),
    of_customer("new_shipping_country", "shipping country not known of the customer", "flag",
                "shipping country new to this customer", "known shipping country"),
    of_customer("new_ip_country", "IP address's country not known of the customer", "flag",
                "IP country new to this customer", "known IP country"),
    of_customer("device_hours", "since the customer first bought from this device", "hours",
                "device first used {value} ago; usual: {usual}"),
    of_customer("card_hours", "since the customer first paid with this card", "hours",
                "card first used {value} ago; usual: {usual}"),
    of_customer("place_hours", "since the customer first shipped to this place", "hours",
                "shipping place first used {value} ago; usual: {usual}"),
    of_customer("device_share", "share of the customer's earlier transactions from this device", "share",
                "device used in {value} of earlier transactions; usual: {usual}"),
    of_customer("card_share", "share of the customer's earlier transactions with this card", "share",
                "card used in {value} of earlier transactions; usual: {usual}"),
    of_customer("place_share", "share of the customer's earlier transactions to this place", "share",
                "shipping place used in {value} of earlier transactions; usual: {usual}"),
    *(
        FeatureSpec(f"{things}_{short}", f"distinct {words}, this one included", "count", window,
                    f"{{value}} {words} in {window}; usual: {{usual}}")
        for short, window in (("1h", "1 h"), ("1d", "1 day"))
        for things, words in (("devices", "devices"), ("cards", "cards"), ("places", "shipping places"))
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
