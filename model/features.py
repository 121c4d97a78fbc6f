"""The feature code: one event at a time, the same function in the stream and in training, so that they can't drift.

A `Profile` is what the platform remembers of one customer. `observe_browse` and `observe_transaction` update it; the
latter first computes the transaction's features from what was known *before*. Everything in a profile is bounded:

- the last 32 transactions (time to the second, amount, 64-bit hash of the id): windows up to 1 day are exact unless more
  than 32 transactions fall into them, and a repeat of one of the last 32 ids is recognised as a duplicate. Two different
  ids of a customer are taken for one with a chance of 32 in 2**64 each;
- a count and a sum a day for 30 days: windows of 7 and 30 days begin at midnight UTC, 6 and 29 days before;
- 8 devices, cards, shipping places and countries, the least recently used forgotten first, as 32-bit hashes;
- the last 3 sessions.

Money is kept in whole hundredths and times in whole milliseconds, so that sums don't depend on the order. An event that
arrives out of order counts as a gap of 0 and never gives a negative time.
"""

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from math import log, nan, sqrt
from zlib import crc32

import msgspec

from fraudstream.contracts import BROWSE_EVENT_TYPES, PAYMENT_METHODS, BrowseEvent, Transaction
from model.geo import distance_km
from model.specs import STATEFUL_SPECS, STATIC_SPECS

STATEFUL_FEATURES: tuple[str, ...] = tuple(spec.name for spec in STATEFUL_SPECS)
STATIC_FEATURES: tuple[str, ...] = tuple(spec.name for spec in STATIC_SPECS)
FEATURE_NAMES = STATEFUL_FEATURES + STATIC_FEATURES

MAX_SESSIONS = 3
MAX_RECENT = 32
MAX_DAYS = 30
MAX_KNOWN = 8

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_MAX_GAP_MS = _HOUR_MS // 2  # a longer pause says no more, and the sum of squares stays below 2**63
_EVENT_INDEX = {name: index for index, name in enumerate(BROWSE_EVENT_TYPES)}
_METHOD_INDEX = {name: float(index) for index, name in enumerate(PAYMENT_METHODS)}
(
    _PAGE_VIEW, _SCROLL, _SEARCH, _LIST, _ITEM, _PROMOTION, _WISH, _CART_ADD, _CART_REMOVE, _CHECKOUT, _PAYMENT,
) = range(len(BROWSE_EVENT_TYPES))  # fmt: skip


class Session(msgspec.Struct, array_like=True):
    """What is remembered of one browsing session. Times in epoch milliseconds."""

    session_id: str
    device: int
    started: int
    ended: int
    events: list[int]  # a count for each of BROWSE_EVENT_TYPES
    gap_sum: int = 0
    gap_squares: int = 0
    gap_min: int = _MAX_GAP_MS
    seen: int = 0  # 64-bit sketch of the products seen: one bit a product
    transactions: int = 0


class Known(msgspec.Struct, array_like=True):
    """Things that a customer used before, the most recent last: hash, first and last use in epoch seconds."""

    keys: list[int] = []
    first: list[int] = []
    last: list[int] = []


class Profile(msgspec.Struct, array_like=True):
    """One customer's history and recent sessions. Mutable; `encode_profile` keeps it."""

    sessions: list[Session] = []
    transactions: int = 0
    first: int = 0  # epoch milliseconds, of the first and the latest transaction
    last: int = 0
    cents: int = 0
    cents_max: int = 0
    log_mean: float = 0.0  # mean and sum of squared deviations of log(amount): Welford's algorithm
    log_squares: float = 0.0
    promos: int = 0
    latitude: float = 0.0  # of the last shipping place
    longitude: float = 0.0
    recent_times: list[int] = []  # epoch seconds, ascending
    recent_cents: list[int] = []
    recent_ids: list[int] = []  # in order of arrival
    days: list[int] = []  # days since 1970, ascending
    day_counts: list[int] = []
    day_cents: list[int] = []
    devices: Known = msgspec.field(default_factory=Known)
    cards: Known = msgspec.field(default_factory=Known)
    places: Known = msgspec.field(default_factory=Known)
    shipping_countries: Known = msgspec.field(default_factory=Known)
    ip_countries: Known = msgspec.field(default_factory=Known)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Profile).decode


def encode_profile(profile: Profile) -> bytes:
    """The profile as MessagePack, exact to the bit: `decode_profile(encode_profile(p)) == p`."""
    return _encode(profile)


def decode_profile(data: bytes) -> Profile:
    """The inverse of `encode_profile`. Raises msgspec.ValidationError for bytes of another layout."""
    return _decode(data)


def observe_browse(profile: Profile, event: BrowseEvent) -> None:
    """Adds one browsing event to its session."""
    at = (event.event_time - _EPOCH) // _MILLISECOND
    sessions = profile.sessions
    kind = _EVENT_INDEX[event.event_type]
    if sessions and sessions[-1].session_id == event.session_id:
        session = sessions[-1]
    else:
        found = _recall_session(sessions, event.session_id)
        if found is None:
            session = Session(event.session_id, crc32(event.device_id.encode()), at, at, [0] * len(_EVENT_INDEX))
            sessions.append(session)
            if len(sessions) > MAX_SESSIONS:
                del sessions[0]
            session.events[kind] = 1
            if event.product_id is not None:
                session.seen = 1 << (crc32(event.product_id.encode()) & 63)
            return
        session = found
    session.events[kind] += 1
    gap = at - session.ended
    if gap > 0:
        session.ended = at
        if gap > _MAX_GAP_MS:
            gap = _MAX_GAP_MS
        session.gap_sum += gap
        session.gap_squares += gap * gap
        if gap < session.gap_min:
            session.gap_min = gap
    else:
        session.gap_min = 0
        if at < session.started:
            session.started = at
    if event.product_id is not None:
        session.seen |= 1 << (crc32(event.product_id.encode()) & 63)


def observe_transaction(profile: Profile, transaction: Transaction) -> list[float] | None:
    """The features of `transaction` from what was known before it, in the order of STATEFUL_FEATURES; then updates.

    None for a transaction id that the profile has already seen; the profile then stays as it is.
    """
    identifier = int.from_bytes(blake2b(transaction.transaction_id.encode(), digest_size=8).digest())
    if identifier in profile.recent_ids:
        return None
    at = (transaction.event_time - _EPOCH) // _MILLISECOND
    cents = round(transaction.amount * 100)
    device = crc32(transaction.device_id.encode())
    card = None if transaction.card_token is None else crc32(transaction.card_token.encode())
    place = _place_key(transaction.shipping_latitude, transaction.shipping_longitude)
    shipping_country = crc32(transaction.shipping_country.encode())
    ip_country = crc32(transaction.ip_country.encode())
    session = _recall_session(profile.sessions, transaction.session_id)

    values = _session_features(session, transaction, at, device)
    if profile.transactions:
        values += _window_features(profile, at)
        values += _habit_features(profile, transaction, at, cents)
        second = at // 1000
        flags, hours, counts = _familiarity(profile, second, device, card, place)
        values += flags
        values.append(_is_new(profile.shipping_countries, shipping_country))
        values.append(_is_new(profile.ip_countries, ip_country))
        values += hours
        values += counts
    else:
        values += _UNKNOWN_HISTORY
    values += _purchase_features(transaction, at)

    if session is not None:
        session.transactions += 1
    _remember_amount(profile, transaction, at, cents, identifier)
    second = at // 1000
    _remember(profile.devices, device, second)
    if card is not None:
        _remember(profile.cards, card, second)
    _remember(profile.places, place, second)
    _remember(profile.shipping_countries, shipping_country, second)
    _remember(profile.ip_countries, ip_country, second)
    return values


def _recall_session(sessions: list[Session], session_id: str) -> Session | None:
    """The session, moved to the end as the most recent; None when it isn't known."""
    for index in range(len(sessions) - 1, -1, -1):
        if sessions[index].session_id == session_id:
            session = sessions.pop(index)
            sessions.append(session)
            return session
    return None


_NO_SESSION = [1.0, 0.0] + [nan] * 16


def _session_features(session: Session | None, transaction: Transaction, at: int, device: int) -> list[float]:
    if session is None:
        return _NO_SESSION.copy()
    events = session.events
    total = sum(events)
    gaps = total - 1
    if gaps > 0:
        mean = session.gap_sum / gaps
        variance = session.gap_squares / gaps - mean * mean
        gap_mean = mean / 1000
        gap_variation = sqrt(variance) / mean if variance > 0 else 0.0
        gap_min = session.gap_min / 1000
    else:
        gap_mean = gap_variation = gap_min = nan
    seen = session.seen
    items = transaction.items
    bought_seen = 0
    for item in items:
        bought_seen += seen >> (crc32(item.product_id.encode()) & 63) & 1
    return [
        0.0,
        float(total),
        max(0, at - session.started) / 1000,
        float(events[_PAGE_VIEW] + events[_SCROLL]),
        float(events[_SEARCH] + events[_LIST]),
        float(events[_ITEM]),
        float(events[_PROMOTION]),
        float(events[_CART_ADD] + events[_CART_REMOVE] + events[_WISH]),
        float((events[_CHECKOUT] > 0) + (events[_PAYMENT] > 0)),
        float(events[_PAYMENT]),
        gap_mean,
        gap_variation,
        gap_min,
        max(0, at - session.ended) / 1000,
        float(seen.bit_count()),
        bought_seen / len(items),
        float(session.transactions),
        1.0 if session.device != device else 0.0,
    ]


_UNKNOWN_HISTORY = [nan] * 31


def _window_features(profile: Profile, at: int) -> list[float]:
    """Counts of earlier transactions, then their sums, over 10 min, 1 h, 1 d, 7 d and 30 d."""
    now = at // 1000
    times, amounts = profile.recent_times, profile.recent_cents
    count_10m = count_1h = count_1d = cents_10m = cents_1h = cents_1d = 0
    for index in range(bisect_right(times, now) - 1, -1, -1):
        age = now - times[index]
        if age >= 86_400:
            break
        cents = amounts[index]
        count_1d += 1
        cents_1d += cents
        if age < 3_600:
            count_1h += 1
            cents_1h += cents
            if age < 600:
                count_10m += 1
                cents_10m += cents
    today = at // _DAY_MS
    count_7d = count_30d = cents_7d = cents_30d = 0
    for day, count, cents in zip(profile.days, profile.day_counts, profile.day_cents, strict=True):
        if today - 30 < day <= today:
            count_30d += count
            cents_30d += cents
            if day > today - 7:
                count_7d += count
                cents_7d += cents
    return [
        float(count_10m), float(count_1h), float(count_1d), float(count_7d), float(count_30d),
        cents_10m / 100, cents_1h / 100, cents_1d / 100, cents_7d / 100, cents_30d / 100,
    ]  # fmt: skip


def _habit_features(profile: Profile, transaction: Transaction, at: int, cents: int) -> list[float]:
    """The customer's own pace, amounts and places."""
    count = profile.transactions
    since_last = max(0, at - profile.last)
    mean = profile.cents / count
    pace_ratio = deviation = nan
    if count > 1:
        span = profile.last - profile.first
        if span > 0:
            pace_ratio = since_last * (count - 1) / span
        # 0.1 (a tenth of the amount) keeps a customer with equal amounts from an infinite deviation
        spread = max(0.1, sqrt(profile.log_squares / (count - 1)))
        deviation = (log(max(cents, 1) / 100) - profile.log_mean) / spread
    kilometres = distance_km(
        profile.latitude, profile.longitude, transaction.shipping_latitude, transaction.shipping_longitude
    )
    return [
        float(count),
        max(0, at - profile.first) / _DAY_MS,
        since_last / 1000,
        pace_ratio,
        cents / mean if mean > 0 else nan,
        cents / profile.cents_max if profile.cents_max else nan,
        deviation,
        profile.promos / count,
        kilometres,
        kilometres / (max(since_last, 60_000) / _HOUR_MS),
    ]


def _is_new(known: Known, key: int) -> float:
    return nan if not known.keys else 0.0 if key in known.keys else 1.0


def _familiarity(
    profile: Profile, now: int, device: int, card: int | None, place: int
) -> tuple[list[float], list[float], list[float]]:
    """For device, card and place: whether new, hours since first used, and how many distinct ones in 1 day."""
    flags, hours, counts = [], [], []
    for known, key in ((profile.devices, device), (profile.cards, card), (profile.places, place)):
        keys = known.keys
        if key is None or not keys:
            flags.append(nan)
            hours.append(nan)
        elif key in keys:
            flags.append(0.0)
            hours.append(max(0, now - known.first[keys.index(key)]) / 3600)
        else:
            flags.append(1.0)
            hours.append(nan)
        recent = 1 if key is not None else 0
        for other, last in zip(keys, known.last, strict=True):
            if now - last < 86_400 and other != key:
                recent += 1
        counts.append(float(recent))
    return flags, hours, counts


def _purchase_features(transaction: Transaction, at: int) -> list[float]:
    """What the transaction says by itself."""
    amount = transaction.amount
    promo = transaction.promo_amount
    units = most = 0
    value = highest = 0.0
    for item in transaction.items:
        quantity, price = item.quantity, item.unit_price
        units += quantity
        value += quantity * price
        if quantity > most:
            most = quantity
        if price > highest:
            highest = price
    return [
        amount,
        at % _DAY_MS / _HOUR_MS,
        _METHOD_INDEX[transaction.payment_method],
        0.0 if transaction.promo_code is None else 1.0,
        promo / (amount + promo),
        transaction.shipping_fee / amount,
        0.0 if transaction.ip_country == transaction.shipping_country else 1.0,
        float(len(transaction.items)),
        float(units),
        float(most),
        value / units,
        highest,
    ]


def _remember_amount(profile: Profile, transaction: Transaction, at: int, cents: int, identifier: int) -> None:
    count = profile.transactions + 1
    profile.transactions = count
    profile.first = min(profile.first, at) if count > 1 else at
    profile.last = max(profile.last, at)
    profile.cents += cents
    profile.cents_max = max(profile.cents_max, cents)
    logarithm = log(max(cents, 1) / 100)
    difference = logarithm - profile.log_mean
    profile.log_mean += difference / count
    profile.log_squares += difference * (logarithm - profile.log_mean)
    if transaction.promo_code is not None:
        profile.promos += 1
    profile.latitude = transaction.shipping_latitude
    profile.longitude = transaction.shipping_longitude

    profile.recent_ids.append(identifier)
    second = at // 1000
    index = bisect_right(profile.recent_times, second)
    profile.recent_times.insert(index, second)
    profile.recent_cents.insert(index, cents)
    if len(profile.recent_ids) > MAX_RECENT:
        del profile.recent_ids[0], profile.recent_times[0], profile.recent_cents[0]

    day = at // _DAY_MS
    days = profile.days
    index = bisect_right(days, day)
    if index and days[index - 1] == day:
        profile.day_counts[index - 1] += 1
        profile.day_cents[index - 1] += cents
    else:
        days.insert(index, day)
        profile.day_counts.insert(index, 1)
        profile.day_cents.insert(index, cents)
        if len(days) > MAX_DAYS:
            del days[0], profile.day_counts[0], profile.day_cents[0]


def _remember(known: Known, key: int, second: int) -> None:
    keys = known.keys
    first = last = second
    if key in keys:
        index = keys.index(key)
        del keys[index]
        first = min(first, known.first.pop(index))
        last = max(last, known.last.pop(index))
    elif len(keys) == MAX_KNOWN:
        del keys[0], known.first[0], known.last[0]
    keys.append(key)
    known.first.append(first)
    known.last.append(last)


def _place_key(latitude: float, longitude: float) -> int:
    """A number for the 0.01-degree cell (about 1 km) of a place."""
    return (round(latitude * 100) + 9_000) * 36_001 + round(longitude * 100) + 18_000
