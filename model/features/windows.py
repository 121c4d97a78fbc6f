"""Features of the customer's earlier transactions in windows of time.

Windows of 10 min, 1 h and 1 day look back from the transaction's own time; those of 7 and 30 days begin at midnight
UTC, 6 and 29 days before.
"""

from bisect import bisect_right
from math import nan

from model.durations import DAY_SECONDS, HOUR_SECONDS
from model.features.profile import NO_AMOUNT, History
from model.features.spec import USUAL, FeatureSpec, Unit

_TEN_MINUTES = 600  # seconds
_WINDOWS = (
    ("10m", "10 min", "the 10 minutes before"),
    ("1h", "1 h", "the hour before"),
    ("1d", "1 day", "the day before"),
    ("7d", "7 days", "the 7 days before"),
    ("30d", "30 days", "the 30 days before"),
)


def _each_window(
    prefix: str, definition: str, unit: Unit, template: str, otherwise: str = ""
) -> tuple[FeatureSpec, ...]:
    """One feature a window; in the sentences, `<window>` becomes the window in words, and `<short>` its short name."""
    return tuple(
        FeatureSpec(
            f"{prefix}_{short}",
            definition,
            unit,
            window,
            *(sentence.replace("<window>", words).replace("<short>", short) for sentence in (template, otherwise)),
        )
        for short, window, words in _WINDOWS
    )


WINDOW_SPECS = (
    *_each_window("transactions", "earlier transactions of the customer", "count",
                  f"{{value:earlier purchase}} in <window>{USUAL}"),
    *_each_window("amount", "sum of the customer's earlier transactions", "money",
                  f"{{value}} spent in <window>[, in {{transactions_<short>:purchase}}]{USUAL}",
                  f"no spending known in <window>{USUAL}"),
    *_each_window("amount_mean", "mean of the customer's earlier transactions", "money",
                  f"purchases in <window> were of {{value}} on average[; this one is of {{amount}}|{USUAL[1:-1]}]"),
    *_each_window("amount_max", "largest of the customer's earlier transactions", "money",
                  f"the largest purchase in <window> was of {{value}}[; this one is of {{amount}}|{USUAL[1:-1]}]"),
)  # fmt: skip


def window_values(history: History, now: int) -> list[float]:
    """Values of WINDOW_SPECS at `now` (epoch seconds); mean and maximum of no amount are NaN."""
    times, amounts = history.recent_times, history.recent_cents
    count_10m = count_1h = count_1d = cents_10m = cents_1h = cents_1d = most_10m = most_1h = most_1d = 0
    unpriced_10m = unpriced_1h = unpriced_1d = 0
    for index in range(bisect_right(times, now) - 1, -1, -1):
        age = now - times[index]
        if age >= DAY_SECONDS:
            break
        cents = amounts[index]
        count_1d += 1
        if cents == NO_AMOUNT:
            unpriced_1d += 1
        else:
            cents_1d += cents
            if cents > most_1d:
                most_1d = cents
        if age < HOUR_SECONDS:
            count_1h, unpriced_1h, cents_1h, most_1h = count_1d, unpriced_1d, cents_1d, most_1d
            if age < _TEN_MINUTES:
                count_10m, unpriced_10m, cents_10m, most_10m = count_1d, unpriced_1d, cents_1d, most_1d
    priced_10m, priced_1h, priced_1d = count_10m - unpriced_10m, count_1h - unpriced_1h, count_1d - unpriced_1d
    week, month = _last_days(history, now // DAY_SECONDS)
    count_7d, priced_7d, cents_7d, most_7d = week
    count_30d, priced_30d, cents_30d, most_30d = month
    return [
        float(count_10m),  # transactions_10m
        float(count_1h),  # transactions_1h
        float(count_1d),  # transactions_1d
        float(count_7d),  # transactions_7d
        float(count_30d),  # transactions_30d
        cents_10m / 100,  # amount_10m
        cents_1h / 100,  # amount_1h
        cents_1d / 100,  # amount_1d
        cents_7d / 100,  # amount_7d
        cents_30d / 100,  # amount_30d
        cents_10m / priced_10m / 100 if priced_10m else nan,  # amount_mean_10m
        cents_1h / priced_1h / 100 if priced_1h else nan,  # amount_mean_1h
        cents_1d / priced_1d / 100 if priced_1d else nan,  # amount_mean_1d
        cents_7d / priced_7d / 100 if priced_7d else nan,  # amount_mean_7d
        cents_30d / priced_30d / 100 if priced_30d else nan,  # amount_mean_30d
        most_10m / 100 if priced_10m else nan,  # amount_max_10m
        most_1h / 100 if priced_1h else nan,  # amount_max_1h
        most_1d / 100 if priced_1d else nan,  # amount_max_1d
        most_7d / 100 if priced_7d else nan,  # amount_max_7d
        most_30d / 100 if priced_30d else nan,  # amount_max_30d
    ]


_Span = tuple[int, int, int, int]  # transactions, those with an amount, and the sum and maximum of these in cents


def _last_days(history: History, today: int) -> tuple[_Span, _Span]:
    """The last 7 days, and the last 30, up to `today`."""
    days = history.days
    end = bisect_right(days, today)
    start_30 = bisect_right(days, today - 30)
    start_7 = bisect_right(days, today - 7, start_30)
    return _span(history, start_7, end), _span(history, start_30, end)


def _span(history: History, start: int, end: int) -> _Span:
    count = priced = sum(history.day_counts[start:end])
    if history.day_unpriced:
        priced -= sum(history.day_unpriced[start:end])
    return count, priced, sum(history.day_cents[start:end]), max(history.day_maxima[start:end], default=0)
