"""Features of a purchase against the customer's own habits: pace, amounts and places."""

from bisect import bisect_left, bisect_right
from math import exp, isnan, log, nan, sqrt

from fraudstream.messages.contracts import Transaction
from model.durations import DAY_MS, HOUR_MS
from model.features.geo import distance_km
from model.features.profile import NO_AMOUNT, History, Session, log_amount
from model.features.spec import USUAL, of_customer

HABIT_SPECS = (
    of_customer("known_transactions", "earlier transactions known of the customer", "count",
                f"{{value:earlier purchase}} known[, the first {{known_days}} before]{USUAL}"),
    of_customer("known_days", "since the customer's first known transaction", "days",
                f"the first purchase that is known of them was {{value}} before{USUAL}"),
    of_customer("since_last", "since the customer's last transaction", "seconds",
                "{value} after their last purchase[; on average, {own_pace} lie between them|; usual: {usual}]"),
    of_customer("pace_ratio", "time since the last transaction over the customer's mean time between them", "ratio",
                "the time since their last purchase[, {since_last},] is {value} what lies between them on average"),
    of_customer("amount_to_mean", "amount over the customer's own mean", "ratio",
                "[{amount}; their average order is {own_mean} (most so far: {own_most})"
                "|the amount is {value} their average order]"),
    of_customer("amount_to_max", "amount over the customer's own maximum", "ratio",
                "[{amount}; their largest order so far is {own_most}"
                "|the amount is {value} their largest order so far]"),
    of_customer("amount_deviation", "deviation of the amount's logarithm from the customer's own", "deviations",
                "[{amount} is|the amount is] {value:~deviation} what they usually spend"
                "[; their average order is {own_mean}]"),
    of_customer("pace_to_habit", "mean time between clicks over the customer's own (geometric mean)", "ratio",
                "[{session_gap_mean} from click to click; usually, this customer takes {own_click}"
                "|the time from click to click is {value} this customer's own]"),
    of_customer("promo_share", "share of the customer's earlier transactions with a promotion", "share",
                "used a promotion for [{promo_uses}|{value:~part} of their earlier purchases]"),
    of_customer("km_since_last", "from the last transaction's shipping place to this one", "km",
                f"ships {{value}} away from where their last purchase went[, {{since_last}} before]{USUAL}"),
    of_customer("kmh_since_last", "that distance over the time since (at least one minute)", "km/h",
                "ships [{km_since_last} away from where their last purchase went, {since_last} before: as if they moved"
                "|to another place than the last time, as if they moved] at {value}"),
    of_customer("amount_to_median", "amount over the median of the customer's last 32 transactions", "ratio",
                "[{amount} is|the amount is] {value} the middle one of their last purchases"),
    of_customer("amounts_below", "share of the customer's last 32 transactions with a smaller amount", "share",
                "{value} of their last purchases were smaller[; this one is of {amount}]",
                "none of their last purchases was smaller[; this one is of {amount}]"),
    of_customer("largest_to_mean_14d", "largest amount of the last 14 days over the customer's own mean", "ratio",
                "their largest purchase of the last two weeks is {value} their average order[, {own_mean}]"),
    of_customer("unusual_days_14d", "days of the last 14 with an amount above 2.5 times the customer's own mean",
                "count", f"{{value:day}} of the last two weeks with an unusually large purchase{USUAL}"),
)  # fmt: skip

_MIN_SPREAD = 0.1  # of log(amount), about a tenth of it: equal amounts must not make a deviation infinite
_MIN_TRAVEL_MS = 60_000
_LATELY_DAYS = 14
_UNUSUAL = 2.5  # times one's own mean: beyond most of a habit with a deviation of half its mean


def habit_values(history: History, transaction: Transaction, at: int, cents: int, pace: float) -> list[float]:
    """Values of HABIT_SPECS at `at` (epoch milliseconds), for `cents` (or NO_AMOUNT) after clicks with `log_pace`."""
    count = history.transactions
    since_last = max(0, at - history.last)
    span = history.last - history.first
    pace_ratio = since_last * (count - 1) / span if count > 1 and span > 0 else nan
    to_mean, to_max, deviation = _against_amounts(history, cents)
    to_median, below = _against_recent(history.recent_cents, cents)
    largest, unusual = _lately(history, at // DAY_MS)
    latitude, longitude = transaction.shipping_latitude, transaction.shipping_longitude
    kilometres = nan
    if latitude is not None and longitude is not None and not isnan(history.latitude + history.longitude):
        kilometres = distance_km(history.latitude, history.longitude, latitude, longitude)
    is_promo_known = transaction.promo_amount is not None or transaction.promo_code is not None
    return [
        float(count),  # known_transactions
        max(0, at - history.first) / DAY_MS,  # known_days
        since_last / 1000,  # since_last
        pace_ratio,  # pace_ratio
        to_mean,  # amount_to_mean
        to_max,  # amount_to_max
        deviation,  # amount_deviation
        exp(pace - history.pace_mean) if history.pace_count else nan,  # pace_to_habit
        history.promos / count if is_promo_known else nan,  # promo_share
        kilometres,  # km_since_last
        kilometres / (max(since_last, _MIN_TRAVEL_MS) / HOUR_MS),  # kmh_since_last
        to_median,  # amount_to_median
        below,  # amounts_below
        largest,  # largest_to_mean_14d
        unusual,  # unusual_days_14d
    ]


def _against_amounts(history: History, cents: int) -> tuple[float, float, float]:
    """The amount over the customer's mean and maximum, and its deviation; NaN as far as amounts aren't known."""
    priced = history.transactions - history.unpriced
    if cents == NO_AMOUNT or not priced:
        return nan, nan, nan
    deviation = nan
    if priced > 1:
        spread = max(_MIN_SPREAD, sqrt(history.log_squares / (priced - 1)))
        deviation = (log_amount(cents) - history.log_mean) / spread
    return cents * priced / max(history.cents, 1), cents / max(history.cents_max, 1), deviation


def _against_recent(recent: list[int], cents: int) -> tuple[float, float]:
    """The amount over the median of recent ones (the lower of two), and the share of these that are smaller."""
    ordered = sorted(recent)
    unpriced = bisect_right(ordered, NO_AMOUNT)
    priced = len(ordered) - unpriced
    if cents == NO_AMOUNT or not priced:
        return nan, nan
    median = ordered[unpriced + (priced - 1) // 2]
    return cents / max(median, 1), (bisect_left(ordered, cents) - unpriced) / priced


def _lately(history: History, today: int) -> tuple[float, float]:
    """The largest amount of the last days over the customer's mean, and the days with an unusual one."""
    priced, start = history.transactions - history.unpriced, bisect_right(history.days, today - _LATELY_DAYS)
    maxima = history.day_maxima[start : bisect_right(history.days, today, start)]
    if not priced:
        return nan, nan
    mean = max(history.cents, 1) / priced
    unusual = sum(1 for most in maxima if most > _UNUSUAL * mean)
    return max(maxima, default=0) / mean, float(unusual)


def log_pace(session: Session | None) -> float:
    """Logarithm of a session's mean time between clicks, in seconds; NaN where there weren't two."""
    if session is None or not session.gap_sum:
        return nan
    return log(session.gap_sum / (sum(session.events) - 1) / 1000)
