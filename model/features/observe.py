"""The feature code: one event at a time, the same function in the stream and in training, so that they can't drift.

`observe_transaction` computes a transaction's features from what the customer's profile held *before* it. An event that
arrives out of order counts as a gap of 0 and never gives a negative time. A value that isn't known is NaN, and so is
each that needs what the transaction lacks: a missing device isn't one that several share, and none is remembered.
"""

from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from math import nan
from zlib import crc32

from fraudstream.messages.contracts import BROWSE_EVENT_TYPES, BrowseEvent, Transaction
from model.features.familiarity import FAMILIARITY_SPECS, familiarity_values, place_key
from model.features.habits import HABIT_SPECS, habit_values, log_pace
from model.features.profile import (
    MAX_GAP_MS,
    MAX_PRODUCTS,
    NO_AMOUNT,
    NO_DEVICE,
    Profile,
    Session,
    add_amount,
    add_country,
    add_known,
    add_product,
    add_session,
    read_history,
    recall_session,
    write_history,
)
from model.features.purchase import purchase_values
from model.features.session import session_values
from model.features.windows import WINDOW_SPECS, window_values

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_NO_PRODUCTS = [nan] * MAX_PRODUCTS
_NO_HISTORY = [nan] * len(WINDOW_SPECS + HABIT_SPECS + FAMILIARITY_SPECS)

_EVENT_INDEX = {name: index for index, name in enumerate(BROWSE_EVENT_TYPES)}
_OTHER_EVENT = len(BROWSE_EVENT_TYPES)
_NO_EVENTS = [0] * len(BROWSE_EVENT_TYPES)


def observe_browse(profile: Profile, event: BrowseEvent) -> None:
    """Adds one browsing event to its session."""
    at = (event.event_time - _EPOCH) // _MILLISECOND
    event_type, session_id, sessions = event.event_type, event.session_id, profile.sessions
    # most often it is the session of the event before
    session = sessions[-1] if sessions and sessions[-1].session_id == session_id else None
    session = session or recall_session(sessions, session_id)
    if session is None:
        device = NO_DEVICE if event.device_id is None else crc32(event.device_id.encode())
        session = Session(session_id, device, at, at, _NO_EVENTS.copy())
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
    index = _EVENT_INDEX.get(event_type, _OTHER_EVENT)
    if index == len(session.events):
        session.events.append(0)  # so that a session of known types stays as it always was
    session.events[index] += 1
    if event.product_id is not None:
        session.seen |= 1 << (crc32(event.product_id.encode()) & 63)


def observe_transaction(profile: Profile, transaction: Transaction, rate: float) -> list[float] | None:
    """The values of STATEFUL_COLUMNS for `transaction`, from what was known before it; then learns it.

    `rate` is its exchange rate (`fraudstream.static_data.currencies`), NaN where none is known: its amount is NaN then,
    and is added to nothing.
    None for a transaction id that the profile has already seen; the profile then stays as it is.
    """
    history = read_history(profile)
    identifier = int.from_bytes(blake2b(transaction.transaction_id.encode(), digest_size=8).digest())
    if identifier in history.recent_ids:
        return None
    at = (transaction.event_time - _EPOCH) // _MILLISECOND
    second = at // 1000
    cents = round(transaction.amount * rate * 100) if rate == rate else NO_AMOUNT  # not NaN
    device = None if transaction.device_id is None else crc32(transaction.device_id.encode())
    card = None if transaction.card_token is None else crc32(transaction.card_token.encode())
    latitude, longitude = transaction.shipping_latitude, transaction.shipping_longitude
    place = None if latitude is None or longitude is None else place_key(latitude, longitude)
    session = None if transaction.session_id is None else recall_session(profile.sessions, transaction.session_id)
    pace = log_pace(session)

    values = session_values(session, transaction, at, device)
    if history.transactions:
        values += window_values(history, second)
        values += habit_values(history, transaction, at, cents, pace)
        values += familiarity_values(history, transaction, second, device, card, place)
    else:
        values += _NO_HISTORY
    values += purchase_values(transaction, at, rate)
    products = history.products
    values += map(float, products)
    values += _NO_PRODUCTS[len(products) :]

    if session is not None:
        session.transactions += 1
    add_amount(history, at, cents, identifier)
    if pace == pace:  # not NaN
        history.pace_count += 1
        history.pace_mean += (pace - history.pace_mean) / history.pace_count
    history.promos += transaction.promo_code is not None
    history.latitude = nan if latitude is None else latitude
    history.longitude = nan if longitude is None else longitude
    if device is not None:
        add_known(history.devices, device, second)
    if card is not None:
        add_known(history.cards, card, second)
    if place is not None:
        add_known(history.places, place, second)
    if transaction.shipping_country is not None:
        add_country(history.shipping_countries, transaction.shipping_country)
    if transaction.ip_country is not None:
        add_country(history.ip_countries, transaction.ip_country)
    for item in transaction.items or ():
        add_product(products, crc32(item.product_id.encode()))
    write_history(profile, history)
    return values
