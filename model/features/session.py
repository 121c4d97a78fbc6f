"""Features of the browsing session that led to a purchase."""

from math import nan, sqrt
from zlib import crc32

from fraudstream.messages.contracts import BROWSE_EVENT_TYPES, Transaction
from model.features.profile import NO_DEVICE, Session
from model.features.spec import USUAL, of_session

SESSION_SPECS = (
    of_session("direct_checkout", "bought without any browsing event in the session", "flag",
               "bought without any browsing in the session", "browsed before buying[: {session_events:step}]"),
    of_session("session_events", "browsing events before the purchase", "count",
               f"{{value:browsing step}} before the purchase{USUAL}"),
    of_session("session_seconds", "from the session's first event to the purchase", "seconds",
               f"bought {{value}} after the session began{USUAL}"),
    of_session("session_page_views", "page views and scrolls", "count",
               f"{{value:page view or scroll/page views and scrolls}} before the purchase{USUAL}"),
    of_session("session_searches", "searches", "count",
               f"{{value:search/searches}} before the purchase{USUAL}", f"bought without a search{USUAL}"),
    of_session("session_lists", "lists of products looked at", "count",
               f"looked at {{value:list/lists}} of products{USUAL}", f"looked at no list of products{USUAL}"),
    of_session("session_item_views", "product pages viewed", "count",
               f"looked at {{value:product page}}{USUAL}", f"looked at no product's page{USUAL}"),
    of_session("session_promotion_views", "promotions viewed", "count",
               f"looked at {{value:promotion}}{USUAL}", f"looked at no promotion{USUAL}"),
    of_session("session_cart_changes", "additions to and removals from cart and wish list", "count",
               f"{{value:change}} of cart or wish list{USUAL}", f"put nothing into cart or wish list{USUAL}"),
    of_session("session_checkout_steps", "begin_checkout and add_payment_info: how many of both came", "count",
               f"{{value}} of the 2 steps of a checkout came before the purchase{USUAL}",
               f"neither step of a checkout came before the purchase{USUAL}"),
    of_session("session_payment_entries", "times that payment details were entered", "count",
               f"payment details entered {{value:time}}{USUAL}", f"payment details never entered{USUAL}"),
    of_session("session_gap_mean", "mean time between events", "seconds",
               f"{{value}} from click to click on average{USUAL}"),
    of_session("session_gap_variation", "standard deviation of the time between events, over its mean", "ratio",
               "clicks came {value:~regularity}[; usual: {usual:~regularity}]"),
    of_session("session_gap_min", "shortest time between two events", "seconds",
               f"the two quickest clicks were {{value}} apart{USUAL}"),
    of_session("session_gap_max", "longest time between two events, at most 30 min", "seconds",
               "longest pause between two clicks: {value:~pause}[; usual: {usual:~pause}]"),
    of_session("session_item_dwell", "mean time on a product page, until the next event", "seconds",
               f"stayed {{value}} on a product's page on average{USUAL}"),
    of_session("browse_to_buy", "from the session's last browsing event to the purchase", "seconds",
               f"bought {{value}} after the last click{USUAL}"),
    of_session("session_products_seen", "distinct products seen (a 64-bit sketch: up to ~20 it is nearly exact)",
               "count", f"saw about {{value:different product}}{USUAL}", f"saw no product before buying{USUAL}"),
    of_session("bought_seen_share", "share of the bought products seen in the session (from the same sketch)", "share",
               "had looked at [{bought_seen}|{value:~part} of the products] bought"),
    of_session("session_transactions", "earlier transactions of the same session", "count",
               f"{{value:earlier purchase}} in the same session{USUAL}"),
    of_session("session_other_device", "bought from another device than the session began on", "flag",
               "bought from another device than browsed", "bought from the device that browsed"),
)  # fmt: skip

_KNOWN_WITHOUT_SESSION = {"direct_checkout": 1.0, "session_events": 0.0}
_NO_SESSION = [_KNOWN_WITHOUT_SESSION.get(spec.name, nan) for spec in SESSION_SPECS]
_UNKNOWN_SESSION = [nan] * len(SESSION_SPECS)
_PAGE_VIEW, _SCROLL, _SEARCH, _LIST, _ITEM, _PROMOTION, _WISH, _ADD, _REMOVE, _CHECKOUT, _PAYMENT = range(
    len(BROWSE_EVENT_TYPES)
)


def session_values(session: Session | None, transaction: Transaction, at: int, device: int | None) -> list[float]:
    """Values of SESSION_SPECS for a purchase at `at` (epoch milliseconds) from the device with the hash `device`.

    Nothing is known of a purchase that names no session, not even that there was no browsing.
    """
    if session is None:
        return (_UNKNOWN_SESSION if transaction.session_id is None else _NO_SESSION).copy()
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
    items = transaction.items
    for item in items or ():
        bought_seen += seen >> (crc32(item.product_id.encode()) & 63) & 1
    other_device = nan
    if device is not None and session.device != NO_DEVICE:
        other_device = 0.0 if session.device == device else 1.0
    return [
        0.0,  # direct_checkout
        float(total),  # session_events
        max(0, at - session.started) / 1000,  # session_seconds
        float(events[_PAGE_VIEW] + events[_SCROLL]),  # session_page_views
        float(events[_SEARCH]),  # session_searches
        float(events[_LIST]),  # session_lists
        float(events[_ITEM]),  # session_item_views
        float(events[_PROMOTION]),  # session_promotion_views
        float(events[_ADD] + events[_REMOVE] + events[_WISH]),  # session_cart_changes
        float((events[_CHECKOUT] > 0) + (events[_PAYMENT] > 0)),  # session_checkout_steps
        float(events[_PAYMENT]),  # session_payment_entries
        gap_mean,  # session_gap_mean
        gap_variation,  # session_gap_variation
        gap_min,  # session_gap_min
        gap_max,  # session_gap_max
        item_dwell,  # session_item_dwell
        max(0, at - session.ended) / 1000,  # browse_to_buy
        float(seen.bit_count()),  # session_products_seen
        bought_seen / len(items) if items else nan,  # bought_seen_share
        float(session.transactions),  # session_transactions
        other_device,  # session_other_device
    ]
