"""Measures the champion's health from the archive."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
import numpy as np
import pyarrow as pa

from fraudstream.archive import bounds, reading
from fraudstream.archive.lake import FEATURE_PREFIX
from fraudstream.archive.reading import Period
from fraudstream.settings import Settings
from model.health import drift, quality
from model.health.figure import Figure
from model.health.quality import AGES, Outcomes
from model.training.compare import compare

DAY = timedelta(days=1)
#: Transactions of a period that are compared, by chance, the same ones each time.
SAMPLE = 100_000
#: Countries, and reasons, with the most alerts are told of by themselves.
PARTS = 5
#: Transactions, and frauds among them, on which champion and challenger are compared.
LEAST_COMPARED, LEAST_FRAUDS = 1_000, 20

_SCORED = (
    *("transaction_id", "customer_id", "event_time", "fraud_score", "is_fraud", "shipping_country", "reasons"),
    *("challenger_version", "challenger_score", "labelled_fraud"),
)
#: Each transaction has its place, so that two runs take the same ones.
_BY_CHANCE = "hash(transaction_id)"


@dataclass(frozen=True)
class Champion:
    """The model that is measured, and the alerts a fraud that its threshold was chosen for."""

    version: str
    features: tuple[str, ...]
    capacity: float


@dataclass(frozen=True)
class Moment:
    """When it is measured: as of `now`.

    With `as_labelled` a label is known from when it was made, else from when Kafka got it.
    """

    now: datetime
    as_labelled: bool = False


def measure(settings: Settings, champion: Champion, now: datetime, *, as_labelled: bool = False) -> Iterator[Figure]:
    """All figures of the champion, as of `now`. Raises ArchiveError when nothing is archived."""
    moment = Moment(now, as_labelled)
    served = bounds.served_by(settings, champion.version)
    if served is None:
        return
    first, last = served[0], min(served[1], now)
    if last <= first:
        return
    yield from _drifts(settings, champion, first, last)
    delays = _label_delays(settings, champion, Period(first, last + timedelta(microseconds=1)), moment)
    for age in AGES:
        yield from _of_age(settings, champion, age, moment, delays)


def _drifts(settings: Settings, champion: Champion, first: datetime, last: datetime) -> Iterator[Figure]:
    """Score and features of the last day against the first one, or halves of what there is."""
    span = min(DAY, (last - first) / 2)
    columns = ["fraud_score", *(f"{FEATURE_PREFIX}{name}" for name in champion.features)]
    reference = _sample(settings, champion, Period(first, first + span), columns)
    sample = _sample(settings, champion, Period(last - span, last), columns)
    for name in columns:
        if name in reference.column_names and name in sample.column_names:
            subject = "score" if name == "fraud_score" else name.removeprefix(FEATURE_PREFIX)
            first_values, last_values = _floats(reference, name), _floats(sample, name)
            yield drift.drift(first_values, last_values, subject, len(columns), whole_day=span == DAY)


def _sample(settings: Settings, champion: Champion, period: Period, columns: list[str]) -> pa.Table:
    with reading.read_unlabelled(settings, period) as found:
        known = [f'"{name}"' for name in columns if name in found.columns]
        mine = found.filter(_by(champion)).order(_BY_CHANCE).limit(SAMPLE)
        return mine.project(", ".join(known)).to_arrow_table()


def _of_age(
    settings: Settings, champion: Champion, age: timedelta, moment: Moment, delays: np.ndarray
) -> Iterator[Figure]:
    """Figures of the day of transactions that have just become so old."""
    period = Period(moment.now - age - DAY, moment.now - age)
    with reading.read(settings, period, age=age, as_labelled=moment.as_labelled) as found:
        mine = found.filter(_by(champion)).order(_BY_CHANCE).limit(SAMPLE)
        rows = mine.project(", ".join(_SCORED)).to_arrow_table()
    if not rows.num_rows:
        return
    of = _outcomes(rows, age, quality.completeness(delays, age))
    yield from quality.figures(of, champion.capacity)
    countries = np.array([country or "unknown" for country in rows["shipping_country"].to_pylist()], object)
    yield from _parts(of, countries, "country")
    yield from _parts(of, _first_reasons(rows), "reason")
    yield from _against_challenger(rows, of)


def _outcomes(rows: pa.Table, age: timedelta, complete: float | None) -> Outcomes:
    fraud = _flags(rows, "labelled_fraud")
    return Outcomes(age, _floats(rows, "fraud_score"), _flags(rows, "is_fraud"), fraud, complete)


def _parts(of: Outcomes, values: np.ndarray, kind: str) -> Iterator[Figure]:
    """Precision of the parts with the most alerts."""
    for value, _ in Counter(values[of.flagged]).most_common(PARTS):
        rows = values == value
        part = Outcomes(of.age, of.scores[rows], of.flagged[rows], of.fraud[rows], of.completeness)
        yield quality.precision(part, f"{kind} {value}")


def _first_reasons(rows: pa.Table) -> np.ndarray:
    """The feature of each transaction's strongest reason; empty without one."""
    lists = (msgspec.json.decode(text or "[]") for text in rows["reasons"].to_pylist())
    return np.array([reasons[0]["feature"] if reasons else "" for reasons in lists], object)


def _against_challenger(rows: pa.Table, of: Outcomes) -> Iterator[Figure]:
    versions = Counter(version for version in rows["challenger_version"].to_pylist() if version)
    for version, count in versions.most_common(1):
        chosen = np.array([each == version for each in rows["challenger_version"].to_pylist()])
        frauds = int(of.fraud[chosen].sum())
        subject = f"challenger {version}, {of.name}"
        if count < LEAST_COMPARED or frauds < LEAST_FRAUDS:
            told = f"{count} transactions with {frauds} frauds are too few to compare"
            yield Figure("average_precision_gain", subject, None, count, told)
            continue
        customers = np.array([name or "" for name in rows["customer_id"].to_pylist()])[chosen]
        found = compare(
            of.fraud[chosen], customers, _floats(rows, "challenger_score")[chosen], of.scores[chosen], seed=1
        )
        gain, told = found.challenger - found.champion, f"{found.verdict} On the same {count} transactions, {of.name}"
        yield Figure("average_precision_gain", subject, gain, count, told, found.low, found.high)


def _label_delays(settings: Settings, champion: Champion, served: Period, moment: Moment) -> np.ndarray:
    """Seconds from event to the first label of fraud, of the frauds of the older half that the champion served.

    By now they are known. That a bank says weeks later what an analyst has said before is no delay.
    """
    rows = _oldest_frauds(settings, champion, served, moment)
    if not rows.num_rows:
        return np.empty(0)
    events, known = _seconds(rows, "event_time"), _seconds(rows, "fraud_known_at")
    oldest = events <= (events[0] + events[-1]) / 2  # the newer half's late labels are still to come
    delays: np.ndarray = (known - events)[oldest]
    return delays


def _oldest_frauds(settings: Settings, champion: Champion, served: Period, moment: Moment) -> pa.Table:
    """event_time and fraud_known_at of the first `SAMPLE` frauds, by event time.

    Read in periods that double, from the beginning on, so that a busy shop's archive isn't read beyond the sample.
    """
    parts, since, span = [_NO_FRAUDS], served.since, DAY
    while since < served.until and sum(part.num_rows for part in parts) < SAMPLE:
        until = min(since + span, served.until)
        with reading.read(settings, Period(since, until), moment.now, as_labelled=moment.as_labelled) as found:
            frauds = found.filter(f"labelled_fraud AND {_by(champion)}").order("event_time").limit(SAMPLE)
            parts.append(frauds.project("event_time, fraud_known_at").to_arrow_table().cast(_NO_FRAUDS.schema))
        since, span = until, 2 * span
    return pa.concat_tables(parts).slice(0, SAMPLE)


_TIME = pa.timestamp("us", "UTC")
_NO_FRAUDS = pa.schema([("event_time", _TIME), ("fraud_known_at", _TIME)]).empty_table()


def _seconds(rows: pa.Table, name: str) -> np.ndarray:
    """Epoch seconds; NaN where there is none."""
    values = rows[name].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).cast(pa.float64(), safe=False)
    seconds: np.ndarray = values.to_numpy() / 1e6
    return seconds


def _floats(rows: pa.Table, name: str) -> np.ndarray:
    values: np.ndarray = rows[name].to_numpy().astype(np.float64)
    return values


def _flags(rows: pa.Table, name: str) -> np.ndarray:
    flags: np.ndarray = rows[name].fill_null(False).to_numpy().astype(bool)
    return flags


def _by(champion: Champion) -> str:
    """Condition: what the champion scored."""
    version = champion.version.replace("'", "''")
    return f"model_version = '{version}'"
