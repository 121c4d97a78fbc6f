"""Incidents among fraud alerts: many of one device, one address or one pattern, an hour around a new one.

Alerts are rows, and a row that nobody has looked at is locked by one run at a time, so that runs may overlap.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from psycopg.rows import class_row

from fraudstream.settings import Settings
from fraudstream.static_data.entities import sql_address_cell
from fraudstream.storage.connect import Postgres
from fraudstream.watch import incidents
from fraudstream.watch.checks import Fault, Severity

#: Of one run, so that a day's alerts after a pause are grouped in steps.
AT_ONCE = 5000
#: An incident to which no alert was added for so long is over.
QUIET_SECONDS = 3600.0


class Kind(StrEnum):
    """Ways in which alerts belong together."""

    DEVICE = "device"
    ADDRESS = "address"  # a cell of about 11 m, as entity risk has it
    PATTERN = "pattern"  # the same two strongest reasons: as one scenario makes them


# No stronger lock: another run's `incident_alerts` may refer to the same alerts.
_CLAIM = """
    UPDATE fraud.fraud_alerts AS alert SET grouped_at = clock_timestamp()
    FROM (SELECT transaction_id FROM fraud.fraud_alerts WHERE grouped_at IS NULL
          ORDER BY created_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED) AS claimed
    WHERE alert.transaction_id = claimed.transaction_id
    RETURNING alert.transaction_id
"""
# By event time, so that a recording that is replayed is grouped as it was when it was live. The hours around claimed
# alerts are joined first: beside one that is old, only its own hour is read, and not all that came since.
_GROUPS = f"""
    WITH claimed AS (
        SELECT transaction_id, event_time FROM fraud.fraud_alerts WHERE transaction_id = ANY(%(claimed)s)
    ), hours AS (
        SELECT unnest(range_agg(
            tstzrange(event_time - interval '1 hour', event_time + interval '1 hour', '[]')
        )) AS span FROM claimed
    ), near AS (
        SELECT alert.transaction_id, alert.event_time, alert.amount * alert.exchange_rate AS amount, alert.reasons,
               alert.transaction_id IN (SELECT transaction_id FROM claimed) AS fresh, device_id,
               {sql_address_cell()} AS cell
        FROM hours JOIN fraud.fraud_alerts AS alert ON alert.event_time BETWEEN lower(span) AND upper(span)
        JOIN fraud.scored_transactions USING (transaction_id)
        WHERE alert.status = 'open'
    ), counted AS (
        SELECT transaction_id, event_time, amount, kind, subject, fresh AND count(*) OVER around >= enough AS is_enough
        FROM near CROSS JOIN LATERAL (VALUES
            ('device', device_id, %(alike)s),
            ('address', cell, %(alike)s),
            ('pattern', (reasons -> 0 ->> 'feature') || ' and ' || (reasons -> 1 ->> 'feature'), %(burst)s)
        ) AS key (kind, subject, enough)
        WHERE subject IS NOT NULL
        WINDOW around AS (PARTITION BY kind, subject ORDER BY event_time
                          RANGE BETWEEN interval '1 hour' PRECEDING AND interval '1 hour' FOLLOWING)
    ), belonging AS (
        SELECT transaction_id, amount, kind, subject, bool_or(is_enough) OVER around AS belongs FROM counted
        WINDOW around AS (PARTITION BY kind, subject ORDER BY event_time
                          RANGE BETWEEN interval '1 hour' PRECEDING AND interval '1 hour' FOLLOWING)
    )
    SELECT kind, subject, array_agg(transaction_id) AS transactions, array_agg(amount) AS amounts
    FROM belonging WHERE belongs GROUP BY kind, subject
"""  # noqa: S608 (constants)
_ADD = """
    INSERT INTO fraud.incident_alerts (transaction_id, incident_id, amount)
    SELECT transaction_id, %s, amount FROM unnest(%s::text[], %s::numeric[]) AS alert (transaction_id, amount)
    ON CONFLICT DO NOTHING
"""
# Over the incident's whole life, and not only this run.
_DESCRIBE = """
    UPDATE fraud.incidents SET text = told.text
    FROM (SELECT format('%%s alerts of %%s customers, %%s %%s', count(*), count(DISTINCT customer_id),
                        to_char(coalesce(sum(member.amount), 0), 'FM999G999G999G990D00'), %s::text) AS text
          FROM fraud.incident_alerts AS member JOIN fraud.fraud_alerts USING (transaction_id)
          WHERE incident_id = %s) AS told
    WHERE incident_id = %s
"""


@dataclass(frozen=True)
class Group:
    """Open alerts that belong together, with their amounts in the shop currency."""

    kind: Kind
    subject: str
    transactions: list[str]
    amounts: list[Decimal | None]


@dataclass(frozen=True)
class Response:
    """What a run did: alerts that it looked at, incidents that it opened or added to, and incidents that it closed."""

    alerts: int
    incidents: list[int]
    closed: list[int]


def respond(connection: Postgres, settings: Settings) -> Response:
    """Looks at all alerts that nobody has looked at, in steps of a transaction each. Raises psycopg.Error."""
    alerts, seen = 0, set[int]()
    while claimed := _step(connection, settings, seen):
        alerts += claimed
    closed = incidents.close(connection, list(Kind), sorted(seen), QUIET_SECONDS)
    connection.commit()
    return Response(alerts, sorted(seen), closed)


def _step(connection: Postgres, settings: Settings, seen: set[int]) -> int:
    """Claims alerts and groups them, or neither; adds their incidents to `seen`, and returns how many alerts."""
    with connection.transaction():
        claimed = [transaction for (transaction,) in connection.execute(_CLAIM, (AT_ONCE,))]
        if claimed:
            seen.update(_incident(connection, settings, group) for group in _groups(connection, settings, claimed))
    return len(claimed)


def _groups(connection: Postgres, settings: Settings, claimed: list[str]) -> Iterator[Group]:
    watch = settings.watch
    values = {"alike": watch.incident_alerts, "burst": watch.burst_alerts}
    with connection.cursor(row_factory=class_row(Group)) as cursor:
        # In one order, as `incidents.see` asks for.
        yield from sorted(
            cursor.execute(_GROUPS, values | {"claimed": claimed}).fetchall(),
            key=lambda group: (group.kind, group.subject),
        )


def _incident(connection: Postgres, settings: Settings, group: Group) -> int:
    alerts = f"{len(group.transactions)} alerts"
    [number] = incidents.see(connection, [Fault(group.kind, group.subject, Severity.WARNING, alerts)])
    connection.execute(_ADD, (number, group.transactions, group.amounts))
    connection.execute(_DESCRIBE, (settings.shop.currency, number, number))
    return number
