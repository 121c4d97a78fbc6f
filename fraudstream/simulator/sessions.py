"""Sessions as columns: what legitimate shoppers and fraud scenarios fill in, and `journeys` turns into events."""

from dataclasses import dataclass

from fraudstream.messages.contracts import BROWSE_EVENT_TYPES, PAYMENT_METHODS
from fraudstream.simulator.columns import Array, Columns
from fraudstream.simulator.times import MINUTE_MS

TRAFFIC_SOURCES = ("direct", "organic_search", "paid_search", "email", "social", "affiliate", "referral")
DEVICE_TYPES = ("mobile", "desktop", "tablet")
PROMO_CODES = ("WELCOME10", "NEWSLETTER5", "SEASON15", "FRIENDS10", "FREESHIP", "LOYAL20")
PROMO_SHARES = (0.10, 0.05, 0.15, 0.10, 0.03, 0.20)  # of the basket's value
LEGITIMATE = "legitimate"

CARD = PAYMENT_METHODS.index("card")
GIFT_CARD = PAYMENT_METHODS.index("gift_card")
DIRECT = TRAFFIC_SOURCES.index("direct")

#: A shopper leaves after this time at the latest; histories and the live producer count on it.
MAX_SESSION_MS = 20 * MINUTE_MS
MAX_LINES = 6


def event_code(name: str) -> int:
    """The code of a browse event type in the simulator's columns."""
    return BROWSE_EVENT_TYPES.index(name)


@dataclass
class Sessions(Columns):
    """One row a session."""

    start: Array  # ms since the epoch
    customer: Array  # index into the customers
    scenario: Array  # 0: legitimate, else 1 + index into the scenarios
    buys: Array  # whether it ends with a purchase
    device: Array  # 64-bit identity
    device_type: Array
    source: Array  # traffic source
    steps: Array  # browsing steps before checkout, at least 1
    cart_share: Array  # probability that a step puts something into the cart
    category: Array  # the only category of interest, or -1 for the customer's habits
    price_level: Array  # quantile of the category's prices
    price_spread: Array  # standard deviation of that quantile from step to step
    bulk: Array  # probability that a line has more than one unit
    pace: Array  # median seconds between events
    pace_spread: Array  # sigma of the logarithm of that
    dwell: Array  # 1: lingers on some steps longer than on others, as people do; 0: doesn't
    begins_checkout: Array
    adds_payment: Array
    payment: Array  # payment method
    card: Array  # 64-bit identity; used when the payment is by card
    city: Array  # shipping address: city, and degrees
    latitude: Array
    longitude: Array
    ip_country: Array
    promo: Array  # promo code, or -1
    express: Array  # whether express shipping is paid for


@dataclass
class BrowseEvents(Columns):
    """One row a browse event."""

    time: Array  # ms since the epoch
    session: Array  # cell << 20 | number within the cell
    number: Array  # number within the session
    customer: Array
    scenario: Array  # as in Sessions
    type: Array
    product: Array  # or -1
    source: Array
    device: Array
    device_type: Array


@dataclass
class Transactions(Columns):
    """One row a transaction. The item columns have `MAX_LINES` columns; an unused line has product -1."""

    time: Array
    session: Array
    customer: Array
    scenario: Array
    product: Array
    quantity: Array
    unit_price: Array
    amount: Array
    payment: Array
    card: Array  # 0: none
    promo: Array
    promo_amount: Array
    shipping_fee: Array
    city: Array
    latitude: Array
    longitude: Array
    ip_country: Array
    device: Array
