"""Features of how well a customer's device, card, shipping place and countries are known.

A customer without a known device has no "new" one, since a platform that has just started knows nobody.
"""

from math import nan

from fraudstream.messages.contracts import Transaction
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


def familiarity_values(
    history: History, transaction: Transaction, now: int, device: int, card: int | None, place: int
) -> list[float]:
    """Values of FAMILIARITY_SPECS at `now` (epoch seconds).

    `device` and `card` are hashes (None: paid without a card), `place` is a `place_key`.
    """
    new_device, device_hours, device_uses, devices_1h, devices_1d = _familiarity_of(history.devices, device, now)
    new_card, card_hours, card_uses, cards_1h, cards_1d = _familiarity_of(history.cards, card, now)
    new_place, place_hours, place_uses, places_1h, places_1d = _familiarity_of(history.places, place, now)
    count = history.transactions
    return [
        new_device,  # new_device
        new_card,  # new_card
        new_place,  # new_place
        0.0 if transaction.shipping_country in history.shipping_countries else 1.0,  # new_shipping_country
        0.0 if transaction.ip_country in history.ip_countries else 1.0,  # new_ip_country
        device_hours,  # device_hours
        card_hours,  # card_hours
        place_hours,  # place_hours
        device_uses / count,  # device_share
        nan if card is None else card_uses / count,  # card_share
        place_uses / count,  # place_share
        float(devices_1h),  # devices_1h
        float(cards_1h),  # cards_1h
        float(places_1h),  # places_1h
        float(devices_1d),  # devices_1d
        float(cards_1d),  # cards_1d
        float(places_1d),  # places_1d
    ]


def _familiarity_of(known: list[int], key: int | None, now: int) -> tuple[float, float, int, int, int]:
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
