"""Entities that fraud clings to besides a customer: devices, shipping addresses, cards and product categories.

The definitions that the SQL of the refresh, the stream's join and the training share. All of an entity's counts are
as of a refresh `as_of`, over the transactions of `WINDOW_DAYS` calendar days (UTC) up to it: those with
`window_start(as_of) <= event_time < as_of`. A transaction counts as fraud when its newest label with
`event_time <= labelled_at < as_of` says so; one without a label counts as legitimate, as it is most of the time.
"""

from enum import StrEnum
from typing import TypeVar

import numpy as np

from fraudstream.messages.places import sql_is_city

WINDOW_DAYS = 30
#: How many transactions at the shop's own rate an entity begins with: it weighs as much as so many observed ones.
PRIOR_TRANSACTIONS = 20.0
#: A terminal's hour counts once it ended so many days ago: by then most of its frauds are known.
MATURITY_DAYS = 7
#: So many days of terminals are kept before a refresh: what transactions of the last three weeks are given.
TERMINAL_DAYS = 60
#: A shipping address is a cell of 0.0001 degrees, about 11 m: a geocoded address, whatever its spelling. A city's
#: coordinates (`fraudstream.messages.places`) are no address.
CELLS_PER_DEGREE = 10_000

DAY_MS = 86_400_000
_MINUTE_MS = 60_000
_Times = TypeVar("_Times", int, np.ndarray)


def sql_address_cell(of: str = "") -> str:
    """SQL, of Postgres and DuckDB: the cell of a row's shipping address, such as 525200:134100.

    NULL where the row has no coordinates, or those of a city. `of` is the row's name, with its point.
    """
    latitude, longitude = (f"{of}shipping_{axis}" for axis in ("latitude", "longitude"))
    north, east = (f"floor({axis} * {CELLS_PER_DEGREE}::float8 + 0.5)::bigint::text" for axis in (latitude, longitude))
    return f"CASE WHEN NOT {sql_is_city(latitude, longitude)} THEN {north} || ':' || {east} END"


class EntityType(StrEnum):
    """The kinds of entity, as in `fraud.entity_risk`.entity_type."""

    DEVICE = "device"
    SHIPPING_ADDRESS = "shipping_address"
    CARD_TOKEN = "card_token"  # noqa: S105 (a name)
    CATEGORY = "category"


def newest_refresh(time_ms: _Times, refresh_minutes: int) -> _Times:
    """The newest time of a refresh, not after `time_ms`; both in epoch milliseconds.

    Refreshes are for whole multiples of `refresh_minutes` since 1970 (UTC), so that training knows when they were.
    """
    cadence = refresh_minutes * _MINUTE_MS
    return time_ms // cadence * cadence


def window_start(as_of_ms: _Times) -> _Times:
    """Start of a refresh's window, at midnight UTC. Epoch milliseconds."""
    return (as_of_ms // DAY_MS - WINDOW_DAYS + 1) * DAY_MS


def terminals_start(as_of_ms: int) -> int:
    """From when on transactions at terminals are kept: midnight UTC, TERMINAL_DAYS before. Epoch milliseconds."""
    return (as_of_ms // DAY_MS - TERMINAL_DAYS) * DAY_MS


def window_end(event_ms: _Times) -> _Times:
    """The refresh from which on a transaction isn't counted any more. Epoch milliseconds."""
    return (event_ms // DAY_MS + WINDOW_DAYS) * DAY_MS
