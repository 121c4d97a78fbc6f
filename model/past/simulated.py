"""The past of the simulated shop: made, and imported, before an empty platform scores its first transaction.

The shop of one seed is always the same, so that its live customers are those of the past: with the devices, cards,
addresses and habits that their profiles know by then. It has lived at the pace at which it goes on, since a customer
who bought twice a month, and now buys twice an hour, looks like a thief. It has no browse events: no session goes on
from the past into the live shop, of the rest a profile keeps the usual pace of clicks, and to read them takes longest.
"""

from dataclasses import replace
from datetime import UTC, datetime

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from fraudstream.kafka import offsets as kafka_offsets
from fraudstream.ledger import figures
from fraudstream.ledger.gaps import ANSWER_SECONDS
from fraudstream.messages.mapping.sources import input_topics
from fraudstream.settings import Settings
from fraudstream.settings.kafka import Role
from fraudstream.simulator.flow import EVENTS_PER_PURCHASE
from fraudstream.simulator.history import write_history
from fraudstream.simulator.history_plan import HistoryPlan
from fraudstream.storage.connect import session
from model.durations import DAY_SECONDS
from model.past import store
from model.past.importing import Options, import_history
from model.past.progress import console


def begin_with_simulated_past(settings: Settings, processes: int) -> bool:
    """Makes the past that the settings describe in `Paths.past`, and imports it.

    Returns False, and changes nothing, when the settings want none, or the platform isn't empty: then what it knows
    counts. Raises HistoryError, ScenarioError, and what `import_history` does.
    """
    if not settings.producer.past_days or not is_empty(settings):
        return False
    _write(settings, plan(settings, datetime.now(UTC)), processes)
    return import_history(settings, settings.paths.past, Options(processes))


def is_empty(settings: Settings) -> bool:
    """True when neither Postgres nor Kafka has anything of a shop. Raises KafkaUnavailableError."""
    with session(settings, settings.postgres.reader, name="simulated past") as connection:
        if store.imported(connection) or figures.totals(connection).read:
            return False
    reader = settings.kafka.as_role(Role.READER)
    return not any(kafka_offsets.latest(reader, input_topics(settings), ANSWER_SECONDS).values())


def plan(settings: Settings, end: datetime) -> HistoryPlan:
    """The history of the settings' shop until `end`: as many transactions, or days, as the settings let it have.

    Purchases and labels come at the live shop's pace.
    """
    producer = settings.producer
    a_day = producer.events_per_second / EVENTS_PER_PURCHASE * DAY_SECONDS
    days = min(producer.past_days, producer.past_transactions / a_day)
    planned = HistoryPlan.of(
        settings,
        transactions=max(1, round(days * a_day)),
        days=days,
        end=end,
        label_delay_days=producer.label_delay_seconds / DAY_SECONDS,
        goes_on=True,
    )
    return replace(planned, browsing=False)


def _write(settings: Settings, planned: HistoryPlan, processes: int) -> None:
    columns = (TextColumn("transactions"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("past", total=planned.transactions)
        for part in write_history(settings.paths.past, planned, processes):
            progress.advance(task, part.transactions)
