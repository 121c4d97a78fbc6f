"""The platform's memory of one customer, bounded and compact.

- The last 3 sessions.
- The last 32 transactions (time to the second, amount, 64-bit hash of the id): windows up to 1 day are exact unless
  more than 32 transactions fall into them, and a repeat of one of the last 32 ids is recognised as a duplicate. An id
  is taken for one of them by mistake with a chance of 32 in 2**64.
- A count, a sum and a maximum a day, for the last 30 days that had a transaction.
- 8 devices, cards and shipping places, as 32-bit hashes, with first and last use and the number of uses; the least used
  make room for new ones, so that a burst of new cards doesn't push out the customer's own. And the 8 last countries.
- The last 12 different products bought, as 32-bit hashes: only the static join knows their categories.

Money is kept in whole hundredths of the shop currency and times in whole milliseconds or seconds, so that a sum doesn't
depend on the order of its parts. A transaction without an exchange rate counts as one, and its amount nowhere. Most
events are browsing events, which touch sessions only: the history stays encoded until a transaction needs it.
"""

from bisect import bisect_right
from math import log

import msgspec

from model.durations import DAY_MS, HOUR_MS

MAX_SESSIONS = 3
MAX_RECENT = 32
MAX_DAYS = 30
MAX_KNOWN = 8
MAX_PRODUCTS = 12
KNOWN_FIELDS = 4  # hash, first use, last use, number of uses

NO_AMOUNT = -1
NO_DEVICE = -1
MAX_CENTS = 2**63 - 1  # what the encoding holds; a customer's sum stays there

MAX_GAP_MS = HOUR_MS // 2  # a longer pause says no more, and the sum of squares stays below 2**63


class Session(msgspec.Struct, array_like=True, gc=False):
    """One browsing session. Times in epoch milliseconds."""

    session_id: str
    device: int  # hash of the one that it began on, or NO_DEVICE
    started: int
    ended: int
    events: list[int]  # a count for each of BROWSE_EVENT_TYPES, and one of all others once there was one
    gap_sum: int = 0
    gap_squares: int = 0
    gap_min: int = MAX_GAP_MS
    seen: int = 0  # 64-bit sketch of the products seen: one bit a product
    transactions: int = 0
    gap_max: int = 0
    on_item: bool = False  # whether the last event in order was the view of a product
    item_ms: int = 0  # between each such view and the event after it


class History(msgspec.Struct, array_like=True, gc=False):
    """A customer's transactions so far.

    `devices`, `cards` and `places` are flat lists of (hash, first use, last use, number of uses), the most recent last;
    times in epoch seconds.
    """

    transactions: int = 0
    first: int = 0  # epoch milliseconds, of the earliest and the latest transaction
    last: int = 0
    cents: int = 0
    cents_max: int = 0
    log_mean: float = 0.0  # mean and sum of squared deviations of log(amount), by Welford's algorithm
    log_squares: float = 0.0
    pace_mean: float = 0.0  # mean of log(mean time between clicks), over the sessions that ended in a purchase
    pace_count: int = 0
    promos: int = 0
    latitude: float = 0.0  # of the last transaction's shipping place; NaN where it had none
    longitude: float = 0.0
    recent_times: list[int] = []  # epoch seconds, ascending
    recent_cents: list[int] = []  # NO_AMOUNT where it isn't known
    recent_ids: list[int] = []  # in order of arrival
    days: list[int] = []  # days since 1970, ascending
    day_counts: list[int] = []
    day_cents: list[int] = []
    devices: list[int] = []
    cards: list[int] = []
    places: list[int] = []
    shipping_countries: list[str] = []
    ip_countries: list[str] = []
    day_maxima: list[int] = []
    products: list[int] = []  # hashes, the most recent last
    unpriced: int = 0  # transactions among `transactions` whose amounts aren't known
    day_unpriced: list[int] = []  # the same by day; empty while there are none


class Profile(msgspec.Struct, array_like=True):
    """One customer's recent sessions and (encoded) history. Mutable."""

    sessions: list[Session] = []
    history: bytes = b""


#: Version of the encoding of profiles. A snapshot of another one can't be begun with.
#: Fields may be added at the end of a struct, with a default, within a version: both ways, what is unknown is left out.
PROFILE_LAYOUT = 2
#: Version of the encoding of the stream's state: profiles, and the buckets of them. A checkpoint of another one is
#: refused, but one that can be READABLE_LAYOUTS becomes this one.
STATE_LAYOUT = 3
#: Of layout 2 each bucket is read, and written anew when its first message comes.
READABLE_LAYOUTS = frozenset({2, STATE_LAYOUT})
_encode = msgspec.msgpack.Encoder().encode
_decode_profile = msgspec.msgpack.Decoder(Profile).decode
_decode_history = msgspec.msgpack.Decoder(History).decode


def encode_profile(profile: Profile) -> bytes:
    """The profile as MessagePack, exact to the bit: `decode_profile(encode_profile(p)) == p`."""
    return _encode(profile)


def decode_profile(data: bytes) -> Profile:
    """The inverse of `encode_profile`. Raises msgspec.ValidationError for bytes of another layout."""
    return _decode_profile(data)


def read_history(profile: Profile) -> History:
    """The history of `profile`; an empty one at first.

    One that was written before days had maxima gets the days' means for them.
    """
    if not profile.history:
        return History()
    history = _decode_history(profile.history)
    if len(history.day_maxima) < len(history.days):
        history.day_maxima = [
            cents // count for cents, count in zip(history.day_cents, history.day_counts, strict=True)
        ]
    return history


def write_history(profile: Profile, history: History) -> None:
    """Keeps `history` in `profile`."""
    profile.history = _encode(history)


def recall_session(sessions: list[Session], session_id: str) -> Session | None:
    """The session, moved to the end as the most recent; None when it isn't known."""
    for index in range(len(sessions) - 1, -1, -1):
        session = sessions[index]
        if session.session_id == session_id:
            if index != len(sessions) - 1:
                sessions.append(sessions.pop(index))
            return session
    return None


def add_session(sessions: list[Session], session: Session) -> None:
    """Adds a session as the most recent one and forgets the least recent above MAX_SESSIONS."""
    sessions.append(session)
    if len(sessions) > MAX_SESSIONS:
        del sessions[0]


def add_amount(history: History, at: int, cents: int, identifier: int) -> None:
    """Counts a transaction of `cents` (or NO_AMOUNT) at `at` (epoch milliseconds) in totals, recent ones and days."""
    history.transactions += 1
    history.first = min(history.first, at) if history.transactions > 1 else at
    history.last = max(history.last, at)
    if cents == NO_AMOUNT:
        history.unpriced += 1
    else:
        history.cents = min(history.cents + cents, MAX_CENTS)
        history.cents_max = max(history.cents_max, cents)
        logarithm = log_amount(cents)
        difference = logarithm - history.log_mean
        history.log_mean += difference / (history.transactions - history.unpriced)
        history.log_squares += difference * (logarithm - history.log_mean)
    _add_recent(history, at // 1000, cents, identifier)
    _add_to_day(history, at // DAY_MS, cents)


def log_amount(cents: int) -> float:
    """Logarithm of an amount of at least one hundredth."""
    return log(max(cents, 1) / 100)


def add_known(known: list[int], key: int, second: int) -> None:
    """Counts a use of `key` at `second`. Above MAX_KNOWN, the least used is forgotten; of several, the least recent."""
    first, last, uses = second, second, 1
    keys = known[::KNOWN_FIELDS]
    if key in keys:
        index = KNOWN_FIELDS * keys.index(key)
        first = min(first, known[index + 1])
        last = max(last, known[index + 2])
        uses += known[index + 3]
        del known[index : index + KNOWN_FIELDS]
    elif len(keys) == MAX_KNOWN:
        all_uses = known[3::KNOWN_FIELDS]
        index = KNOWN_FIELDS * all_uses.index(min(all_uses))
        del known[index : index + KNOWN_FIELDS]
    known += (key, first, last, uses)


def add_country(countries: list[str], country: str) -> None:
    """Marks `country` as the most recent; forgets the least recent above MAX_KNOWN."""
    if country in countries:
        countries.remove(country)
    elif len(countries) == MAX_KNOWN:
        del countries[0]
    countries.append(country)


def add_product(products: list[int], key: int) -> None:
    """Marks `key` as the most recent; forgets the least recent above MAX_PRODUCTS."""
    if key in products:
        products.remove(key)
    elif len(products) == MAX_PRODUCTS:
        del products[0]
    products.append(key)


def _add_recent(history: History, second: int, cents: int, identifier: int) -> None:
    history.recent_ids.append(identifier)
    index = bisect_right(history.recent_times, second)
    history.recent_times.insert(index, second)
    history.recent_cents.insert(index, cents)
    if len(history.recent_ids) > MAX_RECENT:
        del history.recent_ids[0], history.recent_times[0], history.recent_cents[0]


def _add_to_day(history: History, day: int, cents: int) -> None:
    place = _place_of_day(history, day)
    if place < 0:  # older than all that are kept
        return
    history.day_counts[place] += 1
    if cents == NO_AMOUNT:
        history.day_unpriced = history.day_unpriced or [0] * len(history.days)
        history.day_unpriced[place] += 1
    else:
        history.day_cents[place] = min(history.day_cents[place] + cents, MAX_CENTS)
        history.day_maxima[place] = max(history.day_maxima[place], cents)


def _place_of_day(history: History, day: int) -> int:
    """The day's place among `days`, where it is put if need be; -1 for one before the MAX_DAYS that are kept."""
    days = history.days
    index = bisect_right(days, day)
    if index and days[index - 1] == day:
        return index - 1
    days.insert(index, day)
    history.day_counts.insert(index, 0)
    history.day_cents.insert(index, 0)
    history.day_maxima.insert(index, 0)
    if history.day_unpriced:
        history.day_unpriced.insert(index, 0)
    if len(days) > MAX_DAYS:
        del days[0], history.day_counts[0], history.day_cents[0], history.day_maxima[0], history.day_unpriced[:1]
        index -= 1
    return index
