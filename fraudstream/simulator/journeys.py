"""Turns sessions into their browse events and purchases."""

from dataclasses import dataclass

import numpy as np

from fraudstream.messages.contracts import BROWSE_EVENT_TYPES
from fraudstream.simulator.columns import Array, counts_to_groups
from fraudstream.simulator.sessions import (
    CARD,
    MAX_LINES,
    MAX_SESSION_MS,
    PROMO_SHARES,
    BrowseEvents,
    Sessions,
    Transactions,
    event_code,
)
from fraudstream.simulator.shop import Shop

_PURCHASE = len(BROWSE_EVENT_TYPES)  # the code of the purchase among a session's moments

_DISCOVERY = {"page_view": 0.14, "scroll": 0.24, "search": 0.12, "view_item_list": 0.16, "view_item": 0.27,
              "view_promotion": 0.04, "add_to_wishlist": 0.03}  # fmt: skip
_LANDING = {"page_view": 0.52, "view_item_list": 0.14, "view_item": 0.22, "search": 0.07, "view_promotion": 0.05}
_HAS_PRODUCT = np.isin(BROWSE_EVENT_TYPES, ["view_item", "add_to_wishlist", "add_to_cart", "remove_from_cart"])

#: How long people linger after an event of each type, as a factor on their own pace; the last is the purchase.
_LINGER = np.array([1.0, 0.6, 0.9, 1.1, 1.7, 0.8, 0.5, 0.7, 0.6, 2.2, 2.6, 1.0])

_FREE_SHIPPING_FROM = 60.0
_DOMESTIC_FEE, _FOREIGN_FEE, _EXPRESS_FEE = 4.90, 9.90, 7.50


@dataclass(frozen=True)
class _Steps:
    """One row a browsing step of a session, in order."""

    session: Array
    cart: Array  # whether it puts the product into the cart
    removed: Array  # and takes it out again
    product: Array
    type: Array  # the event, where it isn't a cart step


def journeys(
    shop: Shop, rng: np.random.Generator, sessions: Sessions, session_ids: Array
) -> tuple[BrowseEvents, Transactions]:
    """All events and purchases of `sessions`, in the order of the sessions; `session_ids` number them."""
    steps = _steps(shop, rng, sessions)
    session, code, product = _moments(sessions, steps)
    time = _times(rng, sessions, session, code)
    browse = code != _PURCHASE
    owner = session[browse]
    first = np.flatnonzero(np.diff(owner, prepend=-1))
    per_session = np.diff(np.append(first, len(owner)))
    events = BrowseEvents(
        time=time[browse],
        session=session_ids[owner],
        number=counts_to_groups(per_session)[1].astype(np.int32),
        customer=sessions.customer[owner],
        scenario=sessions.scenario[owner],
        type=code[browse].astype(np.int8),
        product=product[browse].astype(np.int32),
        source=sessions.source[owner],
        device=sessions.device[owner],
        device_type=sessions.device_type[owner],
    )
    return events, _purchases(shop, rng, sessions, steps, session_ids, time[~browse])


def _steps(shop: Shop, rng: np.random.Generator, sessions: Sessions) -> _Steps:
    session, position = counts_to_groups(sessions.steps)
    rows = len(session)
    last = position == sessions.steps[session] - 1
    cart = (rng.random(rows) < sessions.cart_share[session]) & (position > 0)
    cart = np.where(last, sessions.buys[session] | cart, cart)
    before: Array = np.cumsum(cart) - cart
    rank: Array = before - before[np.flatnonzero(position == 0)][session]
    cart &= (rank < MAX_LINES - 1) | last
    landing = rng.choice(len(_LANDING), rows, p=list(_LANDING.values()))
    browsing = rng.choice(len(_DISCOVERY), rows, p=list(_DISCOVERY.values()))
    return _Steps(
        session=session,
        cart=cart,
        removed=cart & ~last & (rng.random(rows) < 0.12),
        product=_products_of_interest(shop, rng, sessions, session),
        type=np.where(
            position == 0,
            np.array([event_code(name) for name in _LANDING])[landing],
            np.array([event_code(name) for name in _DISCOVERY])[browsing],
        ),
    )


def _products_of_interest(shop: Shop, rng: np.random.Generator, sessions: Sessions, session: Array) -> Array:
    rows = len(session)
    catalogue = shop.catalogue
    rank = np.searchsorted([0.5, 0.8, 1.0], rng.random(rows), side="right")
    liked = shop.customers.favourites[sessions.customer[session], rank]
    anything = catalogue.products.category[rng.integers(0, len(catalogue.products), rows)]
    category = np.where(rng.random(rows) < 0.78, liked, anything)
    category = np.where(sessions.category[session] >= 0, sessions.category[session], category)
    level = sessions.price_level[session] + sessions.price_spread[session] * rng.standard_normal(rows)
    product = catalogue.choose(category, level)
    return np.where(rng.random(rows) < 0.45, catalogue.bestseller[product], product)


def _moments(sessions: Sessions, steps: _Steps) -> tuple[Array, Array, Array]:
    """Session, code and product of every event and purchase, session by session."""
    per_step = 1 + steps.cart + steps.removed
    step, part = counts_to_groups(per_step)
    step_session = steps.session[step]
    cart_codes = np.array([event_code(name) for name in ("view_item", "add_to_cart", "remove_from_cart")])
    code = np.where(steps.cart[step], cart_codes[part], steps.type[step])
    browsed = np.bincount(step_session, minlength=len(sessions))
    tail = np.stack([sessions.begins_checkout, sessions.adds_payment, sessions.buys], axis=1)
    total = browsed + tail.sum(axis=1)
    first = np.cumsum(total) - total
    rows = int(total.sum())
    codes, products = np.empty(rows, np.int64), np.full(rows, -1, np.int64)
    at = first[step_session] + counts_to_groups(browsed)[1]
    codes[at] = code
    products[at] = np.where(_HAS_PRODUCT[code], steps.product[step], -1)
    rank = np.cumsum(tail, axis=1) - tail
    for column, tail_code in enumerate((event_code("begin_checkout"), event_code("add_payment_info"), _PURCHASE)):
        has = tail[:, column]
        codes[(first + browsed + rank[:, column])[has]] = tail_code
    return np.repeat(np.arange(len(sessions)), total), codes, products


def _times(rng: np.random.Generator, sessions: Sessions, session: Array, code: Array) -> Array:
    """Event times in ms, at least 120 ms apart within a session, which lasts `MAX_SESSION_MS` at most."""
    new = np.diff(session, prepend=-1) != 0
    linger = np.roll(_LINGER[code], 1) ** sessions.dwell[session]
    gap = sessions.pace[session] * np.exp(sessions.pace_spread[session] * rng.standard_normal(len(session))) * linger
    gap = np.where(new, 0.0, np.clip(gap, 0.12, 300.0)) * 1000
    elapsed = np.cumsum(gap)
    first = np.flatnonzero(new)
    elapsed -= elapsed[first][session]
    length = np.maximum.reduceat(elapsed, first)
    elapsed *= np.minimum(1.0, (MAX_SESSION_MS - 1000) / np.maximum(length, 1.0))[session]
    return sessions.start[session] + elapsed.astype(np.int64)


def _purchases(
    shop: Shop, rng: np.random.Generator, sessions: Sessions, steps: _Steps, session_ids: Array, time: Array
) -> Transactions:
    buyers = sessions.take(sessions.buys)
    product, quantity, price = _lines(shop, rng, sessions, steps)
    value = (quantity * price).sum(axis=1)
    promo_amount = np.where(buyers.promo >= 0, np.round(value * np.array(PROMO_SHARES)[buyers.promo], 2), 0.0)
    abroad = shop.geography.cities.country[buyers.city] != shop.customers.country[buyers.customer]
    fee = np.where(value >= _FREE_SHIPPING_FROM, 0.0, np.where(abroad, _FOREIGN_FEE, _DOMESTIC_FEE))
    fee = np.round(fee + np.where(buyers.express, _EXPRESS_FEE, 0.0), 2)
    return Transactions(
        time=time,
        session=session_ids[sessions.buys],
        customer=buyers.customer,
        scenario=buyers.scenario,
        product=product,
        quantity=quantity,
        unit_price=price,
        amount=np.round(value - promo_amount + fee, 2),
        payment=buyers.payment,
        card=np.where(buyers.payment == CARD, buyers.card, np.uint64(0)),
        promo=buyers.promo,
        promo_amount=promo_amount,
        shipping_fee=fee,
        city=buyers.city,
        latitude=buyers.latitude,
        longitude=buyers.longitude,
        ip_country=buyers.ip_country,
        device=buyers.device,
    )


def _lines(shop: Shop, rng: np.random.Generator, sessions: Sessions, steps: _Steps) -> tuple[Array, Array, Array]:
    """Product, quantity and unit price of each buyer's lines: what is in the cart at the end."""
    kept = steps.cart & ~steps.removed & sessions.buys[steps.session]
    owner = steps.session[kept]
    number = (np.cumsum(sessions.buys) - 1)[owner]
    line = counts_to_groups(np.bincount(number, minlength=int(sessions.buys.sum())))[1]
    shape = (int(sessions.buys.sum()), MAX_LINES)
    product, quantity, price = np.full(shape, -1, np.int32), np.zeros(shape, np.int32), np.zeros(shape)
    bulk = rng.random(len(owner)) < sessions.bulk[owner]
    reduced = np.where(rng.random(len(owner)) < 0.1, rng.choice([0.9, 0.8, 0.7], len(owner)), 1.0)
    product[number, line] = steps.product[kept]
    quantity[number, line] = np.where(bulk, 1 + rng.geometric(0.6, len(owner)), 1)
    price[number, line] = np.round(shop.catalogue.products.list_price[steps.product[kept]] * reduced, 2)
    return product, quantity, price
