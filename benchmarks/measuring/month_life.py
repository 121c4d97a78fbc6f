"""The days of a compressed month, for `benchmarks.month`: made, sent, scored, archived, measured, and answered."""

import argparse
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.measuring.month_figures import Month, count
from benchmarks.measuring.simulated_days import Habit, SimulatedDays, frauds_of, write_days
from benchmarks.measuring.training_dag import Asked, train
from fraudstream.archive.archiving import archive
from fraudstream.errors import FraudstreamError, told_in_one_line
from fraudstream.kafka import offsets as kafka_offsets
from fraudstream.ledger.gaps import ANSWER_SECONDS
from fraudstream.local.parts.airflow_api import AirflowApi
from fraudstream.messages.contracts import INPUT_TOPICS
from fraudstream.settings import Settings, load_settings
from fraudstream.simulator.lookalikes import Season
from fraudstream.static_data.entity_risk import refresh
from fraudstream.static_data.publish import publish
from fraudstream.storage.connect import Postgres, connect, session
from model.health.breaches import LASTING_RUNS
from model.health.run import Run, measure_champion
from model.past.importing import Options, import_history

HALF_DAY = timedelta(hours=12)
DAY = 2 * HALF_DAY
#: What a training gets at least, and at most: the shop as it is since the drift was seen, as somebody would choose it.
LEAST_TRAINED, MOST_TRAINED = 3 * DAY, 10 * DAY
#: After a rejection, until the next training is asked for; and after a promotion, as the Dag does by its own schedule.
PATIENCE, SCHEDULE = 2 * DAY, 7 * DAY
SCORED_SECONDS = 1_800.0
#: Figures out of bounds at one time that are told one by one.
MOST_TOLD = 4
_SCORED = """
SELECT transaction_id, model_version, is_fraud FROM fraud.scored_transactions
WHERE event_time >= %s AND event_time < %s ORDER BY event_time
"""
_READ = "SELECT topic, kafka_partition, next_offset FROM fraud.stream_offsets"
_UNPUBLISHED = "SELECT FROM fraud.stream_batches WHERE published_at IS NULL LIMIT 1"
# Features that age, as in a young shop, are no reason for a new model while the scores are as they were.
_SCORES_BREACHED = """
SELECT told FROM fraud.model_breaches
WHERE ended_at IS NULL AND runs >= %s AND (figure <> 'psi' OR subject = 'score') ORDER BY since LIMIT 1
"""


class MonthError(FraudstreamError):
    """The platform didn't do its part of the month."""


def main() -> None:
    """Begins the month, or lives it. Ends with 1 when something didn't happen as it should."""
    arguments = _arguments()
    settings = load_settings()
    end = arguments.end.replace(tzinfo=UTC)
    month = Month(drift_at=end - (arguments.days - arguments.drift_after) * DAY)
    if arguments.command == "begin":
        _begin(settings, arguments, month.drift_at)
        return
    with connect(settings, settings.postgres.reader, name="bench month", autocommit=True) as database:
        _Life(settings, database, arguments.trials).live(end - arguments.days * DAY, month, end)
    print(f"before the drift: {month.before}")
    print(f"under the drift, until a promotion: {month.drifted}")
    print(f"after it: {month.after}")
    failures = list(month.failures())
    print("; ".join(failures) or "drift was seen, and precision recovered", flush=True)
    if failures:
        raise SystemExit(1)


def _arguments() -> argparse.Namespace:
    """What `benchmarks.month` says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("begin", "live"))
    parser.add_argument("--end", type=lambda text: datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))
    for name in ("days", "drift-after", "past-days", "transactions-a-day", "customers", "trials"):
        parser.add_argument(f"--{name}", type=int)
    for name in ("label-delay-days", "sale-hours", "presents"):
        parser.add_argument(f"--{name}", type=float)
    parser.add_argument("--without")
    return parser.parse_args()


def _begin(settings: Settings, arguments: argparse.Namespace, drift_at: datetime) -> None:
    """Writes what is to happen, and imports the past that ends where the month begins."""
    usual = Habit(arguments.drift_after, arguments.transactions_a_day, arguments.label_delay_days)
    drifted = replace(
        usual,
        days=arguments.days - arguments.drift_after,
        season=Season(arguments.sale_hours, arguments.presents),
        lacks=frozenset(filter(None, arguments.without.split(","))),
    )
    start = drift_at - timedelta(days=usual.days)
    past, *days = settings.paths.past, *_folders(settings)
    for folder, habit, end in (
        (past, replace(usual, days=arguments.past_days), start),
        (days[0], usual, drift_at),
        (days[1], drifted, drift_at + timedelta(days=drifted.days)),
    ):
        print(f"making {habit.days:g} days before {end:%Y-%m-%d} …", flush=True)
        write_days(settings, folder, habit, end)
    with session(settings, settings.postgres.writer, name="bench month") as connection:
        publish(connection, *(pq.read_table(past / f"{name}.parquet") for name in ("customers", "products")))
    import_history(settings, past, Options())


def _folders(settings: Settings) -> tuple[Path, Path]:
    """The histories of the days as usual, and of those with the drift."""
    return settings.paths.var / "month" / "usual", settings.paths.var / "month" / "drifted"


class _Life:
    """The days of the platform: sent, scored, archived, measured, and answered."""

    def __init__(self, settings: Settings, database: Postgres, trials: int) -> None:
        folders = _folders(settings)
        self._settings = settings
        self._database = database
        self._shop = SimulatedDays(settings, folders)
        self._frauds = frauds_of(folders)
        self._trials = trials
        self._ask_at: datetime | None = None  # for a breach
        self._scheduled_at: datetime | None = None

    def live(self, start: datetime, month: Month, end: datetime) -> None:
        """Lives from `start` to `end`, half a day after the other, and notes it in `month`."""
        self._refresh_entity_risk(start)
        day = start
        while day < end:
            begun, notes = time.monotonic(), list[str]()
            for moment in (day + HALF_DAY, day + DAY):
                notes += self._half_day(moment, month)
            counts = count(self._database.execute(_SCORED, (day, day + DAY)), self._frauds)
            month.days[day] = counts
            seconds = time.monotonic() - begun
            print(f"day {(day - start) // DAY + 1}, {day:%Y-%m-%d}, lived in {seconds:.0f} s", flush=True)
            for line in (*(f"{version}: {found}" for version, found in counts.items()), *notes):
                print(f"    {line}", flush=True)
            day += DAY

    def _half_day(self, moment: datetime, month: Month) -> list[str]:
        self._shop.send_until(moment)
        self._wait_scored()
        self._refresh_entity_risk(moment)
        if differences := archive(self._settings).found:
            raise MonthError(f"the archive differs from the ledger: {differences[0].text}")
        found = measure_champion(self._settings, Run(moment, began=moment, as_labelled=True))
        breached = list(found.breached)
        month.look(moment, ((figure.figure, figure.subject) for figure in breached))
        at = f"{moment:%m-%d %H:%M}"
        notes = [f"{at} out of bounds: {figure.told}" for figure in breached[:MOST_TOLD]]
        if len(breached) > MOST_TOLD:
            notes.append(f"{at} out of bounds: {len(breached) - MOST_TOLD} more")
        if month.seen_at == moment:
            notes.append(f"{at} the drift is seen")
        notes += [f"{at} a training is asked for: {why}" for why in found.lasting[:1]]
        for (why,) in self._database.execute(_SCORES_BREACHED, (LASTING_RUNS,)):
            if self._ask_at is None:
                self._ask_at = moment
                notes.append(f"{at} a training is due: {why}")
        if any(at and moment >= at for at in (self._ask_at, self._scheduled_at)):
            notes.append(f"{at} {self._train(moment, month)}")
        return notes

    def _wait_scored(self) -> None:
        deadline = time.monotonic() + SCORED_SECONDS
        while (left := self._unread()) or self._database.execute(_UNPUBLISHED).fetchall():
            if time.monotonic() > deadline:
                raise MonthError(f"half a day isn't scored and published in {SCORED_SECONDS:.0f} s: {left} messages")
            time.sleep(0.5)

    def _unread(self) -> int:
        """Messages that lie in Kafka and aren't in the ledger."""
        ends = kafka_offsets.latest(self._settings.kafka, INPUT_TOPICS, ANSWER_SECONDS)
        rows = self._database.execute(_READ).fetchall()
        return kafka_offsets.unread(ends, {(topic, partition): offset for topic, partition, offset in rows})

    def _refresh_entity_risk(self, moment: datetime) -> None:
        with session(self._settings, self._settings.postgres.writer, name="bench month") as connection:
            refresh(connection, moment, self._settings.entity_risk.component_customers)

    def _train(self, moment: datetime, month: Month) -> str:
        """Has a challenger trained, and says what became of it."""
        since_seen = moment - month.seen_at if month.seen_at else LEAST_TRAINED
        period = min(max(since_seen, LEAST_TRAINED), MOST_TRAINED)
        answered = train(AirflowApi(self._settings), Asked(moment, period / timedelta(hours=1), self._trials))
        if answered.promoted:
            month.promoted_at = month.promoted_at or moment
            self._ask_at, self._scheduled_at = None, moment + SCHEDULE
        else:
            self._ask_at, self._scheduled_at = moment + PATIENCE, None
        outcome = "promoted" if answered.promoted else "not promoted"
        return f"trained in {answered.seconds:.0f} s, {outcome}: {answered.told}"


if __name__ == "__main__":
    with told_in_one_line():
        main()
