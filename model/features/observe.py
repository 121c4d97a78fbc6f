"""The feature code: one event at a time, the same function in the stream and in training, so that they can't drift.

`observe_transaction` computes a transaction's features from what the customer's profile held *before* it. Windows of
10 min, 1 h and 1 day look back from the transaction's own time; those of 7 and 30 days begin at midnight UTC, 6 and 29
days before. An event that arrives out of order counts as a gap of 0 and never gives a negative time. What isn't known
is NaN: a customer without a known transaction has no "new" device, since a platform that has just started knows nobody.
"""

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from math import exp, log, nan, sqrt
from zlib import crc32

from fraudstream.messages.contracts import BROWSE_EVENT_TYPES, PAYMENT_METHODS, BrowseEvent, Transaction
from model.features.geo import distance_km
from model.features.profile import (
    DAY_MS,
    HOUR_MS,
    KNOWN_FIELDS,
    MAX_GAP_MS,
    MAX_PRODUCTS,
    History,
    Profile,
    Session,
    add_amount,
    add_country,
    add_known,
    add_product,
    add_session,
    decode_profile,
    encode_profile,
    log_amount,
    read_history,
    recall_session,
    write_history,
)
from model.features.specs import ENTITY_SPECS, HISTORY_SPECS, SESSION_SPECS, STATEFUL_SPECS, STATIC_SPECS

__all__ = [
    "ENTITY_FEATURES",
    "FEATURE_NAMES",
    "STATEFUL_COLUMNS",
    "STATEFUL_FEATURES",
    "STATIC_FEATURES",
    "Profile",
    "decode_profile",
    "encode_profile",
    "observe_browse",
    "observe_transaction",
]

#: The features that `observe_transaction` computes, in this order.
STATEFUL_FEATURES: tuple[str, ...] = tuple(spec.name for spec in STATEFUL_SPECS)
#: All that `observe_transaction` returns: after its features, hashes of products the customer bought before, for
#: `StaticData.features`, which knows their categories.
STATEFUL_COLUMNS = STATEFUL_FEATURES + tuple(f"known_product_{number}" for number in range(MAX_PRODUCTS))
#: What `StaticData.features` computes from the static join, in this order.
STATIC_FEATURES: tuple[str, ...] = tuple(spec.name for spec in STATIC_SPECS)
#: What `EntityRisk.features` computes, in this order.
ENTITY_FEATURES: tuple[str, ...] = tuple(spec.name for spec in ENTITY_SPECS)
#: The columns of the model.
FEATURE_NAMES = STATEFUL_FEATURES + STATIC_FEATURES + ENTITY_FEATURES

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_HOUR, _DAY = 3_600, 86_400
_MIN_SPREAD = 0.1  # of log(amount), about a tenth of it: equal amounts must not make a deviation infinite
_MIN_TRAVEL_MS = 60_000
_NO_SESSION = [1.0, 0.0] + [nan] * (len(SESSION_SPECS) - 2)
_NO_PRODUCTS = [nan] * MAX_PRODUCTS
_NO_HISTORY = [nan] * len(HISTORY_SPECS)

_EVENT_INDEX = {name: index for index, name in enumerate(BROWSE_EVENT_TYPES)}
_NO_EVENTS = [0] * len(BROWSE_EVENT_TYPES)
_METHOD_INDEX = {name: float(index) for index, name in enumerate(PAYMENT_METHODS)}
_PAGE_VIEW, _SCROLL, _SEARCH, _LIST, _ITEM, _PROMOTION, _WISH, _ADD, _REMOVE, _CHECKOUT, _PAYMENT = range(
    len(BROWSE_EVENT_TYPES)
)


def observe_browse(profile: Profile, event: BrowseEvent) -> None:
    """Adds one browsing event to its session."""
    at = (event.event_time - _EPOCH) // _MILLISECOND
    event_type, session_id, sessions = event.event_type, event.session_id, profile.sessions
    # most often it is the session of the event before
    session = sessions[-1] if sessions and sessions[-1].session_id == session_id else None
    session = session or recall_session(sessions, session_id)
    if session is None:
        session = Session(session_id, crc32(event.device_id.encode()), at, at, _NO_EVENTS.copy())
        session.on_item = event_type == "view_item"
        add_session(sessions, session)
    else:
        gap = at - session.ended
        if gap > 0:
            session.ended = at
            if gap > MAX_GAP_MS:
                gap = MAX_GAP_MS
            session.gap_sum += gap
            session.gap_squares += gap * gap
            if gap < session.gap_min:
                session.gap_min = gap
            if gap > session.gap_max:
                session.gap_max = gap
            if session.on_item:
                session.item_ms += gap
            session.on_item = event_type == "view_item"
        else:
            session.gap_min = 0
            if at < session.started:
                session.started = at
    session.events[_EVENT_INDEX[event_type]] += 1
    if event.product_id is not None:
        session.seen |= 1 << (crc32(event.product_id.encode()) & 63)


def observe_transaction(profile: Profile, transaction: Transaction) -> list[float] | None:
    """The values of STATEFUL_COLUMNS for `transaction`, from what was known before it; then learns it.

    None for a transaction id that the profile has already seen; the profile then stays as it is.
    """
    history = read_history(profile)
    identifier = int.from_bytes(blake2b(transaction.transaction_id.encode(), digest_size=8).digest())
    if identifier in history.recent_ids:
        return None
    at = (transaction.event_time - _EPOCH) // _MILLISECOND
    second = at // 1000
    cents = round(transaction.amount * 100)
    device = crc32(transaction.device_id.encode())
    card = None if transaction.card_token is None else crc32(transaction.card_token.encode())
    place = _place_key(transaction.shipping_latitude, transaction.shipping_longitude)
    session = recall_session(profile.sessions, transaction.session_id)

    log_pace = _log_pace(session)

    values = _NO_SESSION.copy() if session is None else _session_features(session, transaction, at, device)
    if history.transactions:
        values += _window_features(history, second)
        values += _habit_features(history, transaction, at, cents, log_pace)
        values += _familiarity_features(history, transaction, second, device, card, place)
    else:
        values += _NO_HISTORY
    values += _purchase_features(transaction, at)
    products = history.products
    values += map(float, products)
    values += _NO_PRODUCTS[len(products) :]

    if session is not None:
        session.transactions += 1
    add_amount(history, at, cents, identifier)
    if log_pace == log_pace:  # not NaN
        history.pace_count += 1
        history.pace_mean += (log_pace - history.pace_mean) / history.pace_count
    history.promos += transaction.promo_code is not None
    history.latitude = transaction.shipping_latitude
    history.longitude = transaction.shipping_longitude
    add_known(history.devices, device, second)
    if card is not None:
        add_known(history.cards, card, second)
    add_known(history.places, place, second)
    add_country(history.shipping_countries, transaction.shipping_country)
    add_country(history.ip_countries, transaction.ip_country)
    for item in transaction.items:
        add_product(products, crc32(item.product_id.encode()))
    write_history(profile, history)
    return values


def _log_pace(session: Session | None) -> float:
    """Logarithm of the mean time between clicks, in seconds; NaN where there weren't two."""
    if session is None or not session.gap_sum:
        return nan
    return log(session.gap_sum / (sum(session.events) - 1) / 1000)


def _session_features(session: Session, transaction: Transaction, at: int, device: int) -> list[float]:
    events = session.events
    total = sum(events)
    gaps = total - 1
    gap_mean = gap_variation = gap_min = gap_max = item_dwell = nan
    if gaps > 0:
        mean = session.gap_sum / gaps
        variance = session.gap_squares / gaps - mean * mean
        gap_mean = mean / 1000
        gap_variation = sqrt(variance) / mean if variance > 0 else 0.0
        gap_min = session.gap_min / 1000
        gap_max = session.gap_max / 1000
        if events[_ITEM]:
            item_dwell = session.item_ms / events[_ITEM] / 1000
    seen = session.seen
    bought_seen = 0
    for item in transaction.items:
        bought_seen += seen >> (crc32(item.product_id.encode()) & 63) & 1
    return [
        0.0,
        float(total),
        max(0, at - session.started) / 1000,
        float(events[_PAGE_VIEW] + events[_SCROLL]),
        float(events[_SEARCH]),
        float(events[_LIST]),
        float(events[_ITEM]),
        float(events[_PROMOTION]),
        float(events[_ADD] + events[_REMOVE] + events[_WISH]),
        float((events[_CHECKOUT] > 0) + (events[_PAYMENT] > 0)),
        float(events[_PAYMENT]),
        gap_mean,
        gap_variation,
        gap_min,
        gap_max,
        item_dwell,
        max(0, at - session.ended) / 1000,
        float(seen.bit_count()),
        bought_seen / len(transaction.items),
        float(session.transactions),
        0.0 if session.device == device else 1.0,
    ]


def _window_features(history: History, now: int) -> list[float]:
    """Earlier transactions over 10 min, 1 h, 1 d, 7 d and 30 d before `now`, in seconds.

    Their counts, then their sums, means and maxima; of none, mean and maximum aren't known.
    """
    times, amounts = history.recent_times, history.recent_cents
    count_10m = count_1h = count_1d = cents_10m = cents_1h = cents_1d = most_10m = most_1h = most_1d = 0
    for index in range(bisect_right(times, now) - 1, -1, -1):
        age = now - times[index]
        if age >= _DAY:
            break
        cents = amounts[index]
        count_1d += 1
        cents_1d += cents
        if cents > most_1d:
            most_1d = cents
        if age < _HOUR:
            count_1h, cents_1h, most_1h = count_1d, cents_1d, most_1d
            if age < 600:
                count_10m, cents_10m, most_10m = count_1d, cents_1d, most_1d
    count_7d, cents_7d, most_7d, count_30d, cents_30d, most_30d = _days(history, now // _DAY)
    return [
        float(count_10m), float(count_1h), float(count_1d), float(count_7d), float(count_30d),
        cents_10m / 100, cents_1h / 100, cents_1d / 100, cents_7d / 100, cents_30d / 100,
        cents_10m / count_10m / 100 if count_10m else nan,
        cents_1h / count_1h / 100 if count_1h else nan,
        cents_1d / count_1d / 100 if count_1d else nan,
        cents_7d / count_7d / 100 if count_7d else nan,
        cents_30d / count_30d / 100 if count_30d else nan,
        most_10m / 100 if count_10m else nan,
        most_1h / 100 if count_1h else nan,
        most_1d / 100 if count_1d else nan,
        most_7d / 100 if count_7d else nan,
        most_30d / 100 if count_30d else nan,
    ]  # fmt: skip


def _days(history: History, today: int) -> tuple[int, int, int, int, int, int]:
    """Count, sum and maximum (cents) of 7 days, then of 30 days, up to `today`."""
    days = history.days
    end = bisect_right(days, today)
    start_30 = bisect_right(days, today - 30)
    start_7 = bisect_right(days, today - 7, start_30)
    counts, cents, maxima = history.day_counts, history.day_cents, history.day_maxima
    return (
        sum(counts[start_7:end]),
        sum(cents[start_7:end]),
        max(maxima[start_7:end], default=0),
        sum(counts[start_30:end]),
        sum(cents[start_30:end]),
        max(maxima[start_30:end], default=0),
    )


def _habit_features(history: History, transaction: Transaction, at: int, cents: int, log_pace: float) -> list[float]:
    """The customer's own pace, amounts and places."""
    count = history.transactions
    since_last = max(0, at - history.last)
    span = history.last - history.first
    pace_ratio = deviation = nan
    if count > 1:
        if span > 0:
            pace_ratio = since_last * (count - 1) / span
        spread = max(_MIN_SPREAD, sqrt(history.log_squares / (count - 1)))
        deviation = (log_amount(cents) - history.log_mean) / spread
    kilometres = distance_km(
        history.latitude, history.longitude, transaction.shipping_latitude, transaction.shipping_longitude
    )
    return [
        float(count),
        max(0, at - history.first) / DAY_MS,
        since_last / 1000,
        pace_ratio,
        cents * count / max(history.cents, 1),
        cents / max(history.cents_max, 1),
        deviation,
        exp(log_pace - history.pace_mean) if history.pace_count else nan,
        history.promos / count,
        kilometres,
        kilometres / (max(since_last, _MIN_TRAVEL_MS) / HOUR_MS),
    ]


def _familiarity_features(
    history: History, transaction: Transaction, now: int, device: int, card: int | None, place: int
) -> list[float]:
    """Whether device, card, place and countries are new, how known they are, and how many came in 1 h and 1 d."""
    new_device, device_hours, device_uses, devices_1h, devices_1d = _familiarity(history.devices, device, now)
    new_card, card_hours, card_uses, cards_1h, cards_1d = _familiarity(history.cards, card, now)
    new_place, place_hours, place_uses, places_1h, places_1d = _familiarity(history.places, place, now)
    count = history.transactions
    return [
        new_device,
        new_card,
        new_place,
        0.0 if transaction.shipping_country in history.shipping_countries else 1.0,
        0.0 if transaction.ip_country in history.ip_countries else 1.0,
        device_hours,
        card_hours,
        place_hours,
        device_uses / count,
        nan if card is None else card_uses / count,
        place_uses / count,
        float(devices_1h),
        float(cards_1h),
        float(places_1h),
        float(devices_1d),
        float(cards_1d),
        float(places_1d),
    ]


def _familiarity(known: list[int], key: int | None, now: int) -> tuple[float, float, int, int, int]:
    """Whether `key` is new, hours since its first use, its uses, and the distinct keys in 1 h and 1 d with this one."""
    is_new = 1.0 if known and key is not None else nan
    hours = nan
    uses = 0
    in_hour = in_day = 0 if key is None else 1
    for index in range(0, len(known), KNOWN_FIELDS):
        if known[index] == key:
            is_new = 0.0
            hours = max(0, now - known[index + 1]) / _HOUR
            uses = known[index + 3]
        else:
            age = now - known[index + 2]
            if age < _DAY:
                in_day += 1
                if age < _HOUR:
                    in_hour += 1
    return is_new, hours, uses, in_hour, in_day


def _purchase_features(transaction: Transaction, at: int) -> list[float]:
    """What the transaction says by itself."""
    amount = max(transaction.amount, 0.01)  # a smaller one is valid, but must not make a ratio infinite
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
        transaction.amount,
        at % DAY_MS / HOUR_MS,
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


def _place_key(latitude: float, longitude: float) -> int:
    """A number for the 0.01-degree cell (about 1 km) of a place."""
    return (round(latitude * 100) + 9_000) * 36_001 + round(longitude * 100) + 18_000
