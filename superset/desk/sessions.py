"""The session that led to a purchase, as a time line: what the shopper did, how long before it.

The events were kept for the alert (fraudstream/watch/alert_sessions.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from sqlalchemy.engine import Connection

from desk.database import Row, rows

#: As many as are kept of a session.
MOST_EVENTS = 500
#: Steps of one kind that follow each other so closely are told as one, seconds.
DENSE_SECONDS = 10.0
WIDTH, LANE_HEIGHT, LEFT, RIGHT, BOTTOM = 560, 18, 84, 12, 18
#: Lanes of the picture, from its top, each with the types of its events; all others are in the last.
LANES = {
    "look": ("page_view", "scroll", "view_item_list", "view_item", "view_promotion"),
    "search": ("search",),
    "cart": ("add_to_cart", "remove_from_cart", "add_to_wishlist"),
    "checkout": ("begin_checkout", "add_payment_info"),
    "other": (),
}
_LANE_OF = {event_type: lane for lane, types in LANES.items() for event_type in types}
#: Words for one event of a type, and for several.
_STEPS = {
    "page_view": ("page viewed", "pages viewed"),
    "scroll": ("scrolled", "times scrolled"),
    "search": ("search", "searches"),
    "view_item_list": ("list of products", "lists of products"),
    "view_item": ("product viewed", "products viewed"),
    "view_promotion": ("promotion viewed", "promotions viewed"),
    "add_to_wishlist": ("put on the wish list", "put on the wish list"),
    "add_to_cart": ("put into the cart", "put into the cart"),
    "remove_from_cart": ("taken out of the cart", "taken out of the cart"),
    "begin_checkout": ("checkout begun", "times checkout begun"),
    "add_payment_info": ("payment details entered", "times payment details entered"),
}

_EVENTS = """
SELECT e.event_time, e.event_type, e.product_id, e.device_id, p.name
FROM fraud.session_events e LEFT JOIN fraud.products p USING (product_id)
WHERE e.customer_id = :customer AND e.session_id = :session ORDER BY e.event_time, e.event_id LIMIT :limit
"""


@dataclass(frozen=True)
class Step:
    """One or several events of one kind, closely after each other."""

    when: str
    """How long before the purchase."""
    told: str
    products: str
    seconds: float
    lane: str


@dataclass(frozen=True)
class Mark:
    """An event in the picture."""

    x: float
    y: float
    told: str


@dataclass(frozen=True)
class TimeLine:
    """A session up to its purchase, in steps and as a picture."""

    steps: list[Step]
    marks: list[Mark]
    lanes: list[tuple[float, str]]
    first: str
    purchase: float
    """Where in the picture the purchase stands."""
    other_device: bool
    """Whether it was browsed from another device than bought."""
    width: int = WIDTH
    left: int = LEFT

    @property
    def height(self) -> int:
        """Height of the picture."""
        return LANE_HEIGHT * len(self.lanes) + BOTTOM


def read(connection: Connection, transaction: Row) -> TimeLine | None:
    """The time line of a transaction's session; None when no event of it is kept."""
    if transaction["session_id"] is None:
        return None
    events = rows(
        connection,
        _EVENTS,
        customer=transaction["customer_id"],
        session=transaction["session_id"],
        limit=MOST_EVENTS,
    )
    return draw(transaction, events) if events else None


def missing(transaction: Row) -> str:
    """Why there is no time line, in words."""
    if transaction["session_id"] is None:
        return "No session was sent with this purchase."
    if not transaction["is_alert"]:
        return "Browsing is kept of sessions that ended in an alert alone."
    if transaction["session_read_at"] is None:
        return "The browsing is still being fetched: it comes within five minutes."
    return "No browsing was sent with this session, or it is kept no more."


def draw(transaction: Row, events: list[Row]) -> TimeLine:
    """The time line of `events`, which are in the order of their time."""
    bought: datetime = transaction["event_time"]
    start: datetime = events[0]["event_time"]
    end: datetime = max(bought, events[-1]["event_time"])
    span = max((end - start).total_seconds(), 1.0)

    def place(moment: datetime) -> float:
        share = (moment - start).total_seconds() / span
        return round(LEFT + 8 + (WIDTH - LEFT - RIGHT - 16) * share, 1)

    used = {_lane(one) for one in events}
    lanes = [lane for lane in LANES if lane in used]
    heights = {lane: LANE_HEIGHT * number + LANE_HEIGHT / 2 for number, lane in enumerate(lanes)}
    marks = [
        Mark(place(one["event_time"]), heights[_lane(one)], f"{_before(one, bought)}: {_told([one])}") for one in events
    ]
    device = transaction["device_id"]
    return TimeLine(
        [_step(group, bought) for group in _dense(events)],
        marks,
        [(heights[lane], lane) for lane in lanes],
        _before(events[0], bought),
        place(max(bought, start)),
        any(device and one["device_id"] and one["device_id"] != device for one in events),
    )


def _lane(one: Row) -> str:
    return _LANE_OF.get(one["event_type"], "other")


def _dense(events: list[Row]) -> Iterator[list[Row]]:
    """Events of one type that follow each other within `DENSE_SECONDS`, together."""
    for _, group in groupby(events, lambda one: one["event_type"]):
        together: list[Row] = []
        for one in group:
            if together and (one["event_time"] - together[-1]["event_time"]).total_seconds() > DENSE_SECONDS:
                yield together
                together = []
            together.append(one)
        yield together


def _step(group: list[Row], bought: datetime) -> Step:
    names = dict.fromkeys(str(one["name"] or one["product_id"]) for one in group if one["product_id"])
    shown = ", ".join([*names][:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    seconds = (group[-1]["event_time"] - group[0]["event_time"]).total_seconds()
    return Step(_before(group[0], bought), _told(group), shown, seconds, _lane(group[0]))


def _told(group: list[Row]) -> str:
    """What was done, and how often: `3 products viewed`."""
    event_type, count = group[0]["event_type"], len(group)
    single, several = _STEPS.get(event_type, (event_type.replace("_", " "),) * 2)
    return single[:1].upper() + single[1:] if count == 1 else f"{count:,} {several}"


def _before(one: Row, bought: datetime) -> str:
    """How long before the purchase an event came, such as `1 min 05 s before`."""
    seconds = round((bought - one["event_time"]).total_seconds())
    hours, rest = divmod(abs(seconds), 3600)
    words = f"{hours} h {rest // 60:02d} min" if hours else f"{rest // 60} min {rest % 60:02d} s"
    words = words if abs(seconds) >= 60 else f"{abs(seconds)} s"
    return f"{words} {'after' if seconds < 0 else 'before'}"
