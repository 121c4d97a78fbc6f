"""Compares Kafka, the ledger and the tables: all that was read is accounted for, and nothing was lost unread.

The ledger's own identity (read = scored + used + dead-lettered + duplicate) is a CHECK of each commit. What is compared
here lies outside of that transaction: rows that somebody deleted or a restored backup lacks, rollups that somebody
changed, messages that expired before they were read, a topic that was made anew, results that never reached Kafka.

`python -m fraudstream.ledger.reconciliation`, as the Dag `reconcile_stream` runs it. It compares as the reader; as the
writer it only notes the outcome, where `fraudctl status` and the health page find it. A difference stays open until
somebody acknowledges it; a batch that isn't published yet passes by itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated

import psycopg
import typer
from psycopg.rows import DictRow, dict_row

from fraudstream.errors import FraudstreamError, told_in_one_line
from fraudstream.kafka import offsets as kafka_offsets
from fraudstream.ledger import comparison, differences, figures, gaps, rotation
from fraudstream.ledger.differences import Difference, open_differences
from fraudstream.ledger.gaps import ANSWER_SECONDS, KafkaView
from fraudstream.ledger.rotation import Round
from fraudstream.messages.mapping.sources import input_topics
from fraudstream.settings import Settings, load_settings
from fraudstream.settings.kafka import Role
from fraudstream.storage.connect import Postgres, PostgresUnavailableError, first_line, session

#: Notes are kept for so long, and of each run's differences so many: the log has them all.
KEPT = "30 days"
EXAMPLES = 20
#: An hour of a busy shop may take a while; a reader's own limit is for dashboards.
BEGINS_WITH = {"statement_timeout": "5min"}

#: Of the windows, and of those that retention has deleted.
COUNTED = """
    SELECT coalesce((SELECT sum(transactions) FROM fraud.fraud_counts), 0)::bigint
         + coalesce((SELECT total FROM fraud.retired_totals
                     WHERE (table_name, figure) = ('fraud_counts', 'transactions')), 0)::bigint
"""
_NEWEST = """
    SELECT at, extract(epoch FROM clock_timestamp() - at)::float8 AS age_s, batches, messages, unread,
           cardinality(waiting) + (
               SELECT count(*) FROM fraud.reconciliation_differences WHERE acknowledged_at IS NULL
           ) AS differences,
           ARRAY(
               SELECT text FROM fraud.reconciliation_differences WHERE acknowledged_at IS NULL
               ORDER BY difference_id LIMIT {examples}
           ) || waiting AS examples,
           (SELECT CASE WHEN bool_and(whole_since IS NOT NULL)
                        THEN extract(epoch FROM clock_timestamp() - min(whole_since))::float8 END
            FROM fraud.reconciliation_positions WHERE name IN ('batches', 'hours')) AS whole_age_s
    FROM fraud.reconciliations ORDER BY at DESC LIMIT 1
""".replace("{examples}", str(EXAMPLES))
_NOTE = """
    INSERT INTO fraud.reconciliations (batches, messages, unread, differences, examples, waiting)
    VALUES (%s, %s, %s, %s, %s, %s)
"""
_FORGET = "DELETE FROM fraud.reconciliations WHERE at < clock_timestamp() - %s::interval"


class ReconciliationError(FraudstreamError):
    """The books differ, or can't be read."""


@dataclass
class Report:
    """The outcome of a comparison; a difference names its partition and offsets, its batch, or its hour.

    `waiting` is what passes by itself; `positions` is where the next run goes on.
    """

    batches: int = 0
    hours: int = 0
    messages: int = 0
    unread: int = 0
    found: list[Difference] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    positions: list[rotation.Position] = field(default_factory=list)

    @property
    def differences(self) -> list[str]:
        """All that differs, a line each."""
        return [*(difference.text for difference in self.found), *self.waiting]


def reconcile(settings: Settings, *, whole: bool = False) -> Report:
    """Compares positions, the new batches, and the next slice of everything, or all of it when `whole`.

    All of Postgres is seen at one moment. Kafka's beginnings are asked before it and its ends after it, so that a
    running stream makes no difference. Raises KafkaUnavailableError, SourceError, or psycopg.Error.
    """
    kafka, topics = settings.kafka.as_role(Role.READER), input_topics(settings)
    begins = kafka_offsets.earliest(kafka, topics, ANSWER_SECONDS)
    ids = kafka_offsets.topic_ids(kafka, topics, ANSWER_SECONDS)
    with session(settings, settings.postgres.reader, name="reconciliation", begins_with=BEGINS_WITH) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        positions = gaps.positions(connection)
        totals = figures.totals(connection)
        compared = rotation.compare_next(connection, whole=whole)
        report = Report(
            batches=compared.batches,
            hours=compared.hours,
            messages=totals.read,
            found=compared.differences,
            waiting=comparison.unpublished(connection),
            positions=compared.positions,
        )
        if compared.ended(Round.HOURS):  # else it would read all rollups every few minutes
            report.found.extend(_counts(connection, totals.scored))
    ends = kafka_offsets.latest(kafka, topics, ANSWER_SECONDS)
    report.found += [_gap(found) for found in gaps.breaks(positions, KafkaView(begins, ends, ids, topics))]
    read = {position.place: position.next_offset for position in positions}
    report.unread = kafka_offsets.unread(ends, begins | read)
    return report


def note(settings: Settings, report: Report) -> list[str]:
    """Keeps the outcome for those who ask later, and forgets notes that are older than `KEPT`.

    Returns what of the differences nobody has acknowledged. Raises psycopg.Error.
    """
    with session(settings, settings.postgres.writer, name="reconciliation") as connection:
        found = [difference.text for difference in differences.keep(connection, report.found)]
        rotation.keep(connection, report.positions)
        told = [*found, *report.waiting]
        connection.execute(
            _NOTE, (report.batches, report.messages, report.unread, len(told), told[:EXAMPLES], report.waiting)
        )
        connection.execute(_FORGET, (KEPT,))
    return told


def newest(connection: Postgres) -> DictRow | None:
    """The newest note: `at`, `age_s`, `batches`, `messages`, `unread`, and what is open now.

    `differences` is how many are open, `examples` the first of them; all was compared within the last `whole_age_s`,
    which is None before the first whole round. Ages are in seconds.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_NEWEST).fetchone()


def problem(found: DictRow | None) -> str:
    """The problem that the newest note tells of; empty when no difference is open, or nothing was ever compared."""
    if not found or not found["differences"]:
        return ""
    more = found["differences"] - 1
    others = f", and {more} more" if more else ""
    return (
        f"the books differ: {found['examples'][0]}{others}; read docs/guarantees.md, mend it, "
        "then ./fraudctl acknowledge"
    )


def _counts(connection: Postgres, scored: int) -> Iterator[Difference]:
    (counted,) = connection.execute(COUNTED).fetchall()[0]
    if scored != counted:
        yield Difference(
            f"fraud_counts in all {counted - scored:+d}",
            f"fraud.fraud_counts holds {counted} transactions, and the ledger {scored} scored ones",
        )


def _gap(found: gaps.Break) -> Difference:
    return Difference(f"{found.position} {found.cause.name} at {found.position.next_offset}", found.text)


def main(
    whole: Annotated[bool, typer.Option("--whole", help="compare everything now, not a slice")] = False,
) -> None:
    """Compare Kafka, the ledger and the tables, and note the outcome. Exit status 1 while a difference is open.

    Examples:
      python -m fraudstream.ledger.reconciliation

      python -m fraudstream.ledger.reconciliation --whole
    """
    settings = load_settings()
    try:
        report = reconcile(settings, whole=whole)
        told = note(settings, report)
        with session(settings, settings.postgres.reader, name="reconciliation") as connection:
            still_open = len(open_differences(connection)) + len(report.waiting)
    except PostgresUnavailableError:
        raise
    except psycopg.Error as error:
        raise ReconciliationError(f"the ledger can't be read or written: {first_line(error)}") from error
    typer.echo(
        f"{report.messages} messages read since the first start, {report.unread} not read yet; {report.batches} "
        f"batches and {report.hours} hours of rollups compared; {len(told)} differences, {still_open} open"
    )
    for difference in told:
        typer.echo(f"difference: {difference}")
    if still_open:
        raise ReconciliationError(
            f"{still_open} differences are open: ./fraudctl acknowledge lists them, and closes them with a reason"
        )


if __name__ == "__main__":
    with told_in_one_line():
        typer.run(main)
