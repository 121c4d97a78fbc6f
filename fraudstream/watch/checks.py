"""The checks of watch_platform: each a SELECT whose rows are its faults, `(subject, text)`.

They read the ledger, the rollups and the newest readings, bounded parts of each. Parameters are settings, by name.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fraudstream.ledger.figures import MESSAGES
from fraudstream.settings import Settings
from fraudstream.storage.expressions import WAITING_VERDICTS


class Severity(StrEnum):
    """How much a fault matters, for whom to wake."""

    WARNING = "warning"  # tomorrow is early enough
    CRITICAL = "critical"  # transactions aren't scored, or soon won't be, or the books are wrong


@dataclass(frozen=True)
class Check:
    """A check. `sql` returns a row a fault, and none when all is well."""

    name: str
    severity: Severity
    sql: str


@dataclass(frozen=True)
class Fault:
    """What a check found: `source` is the check's name, `subject` tells its faults apart, `text` is for people."""

    source: str
    subject: str
    severity: Severity
    text: str


#: Readings older than this are nobody's any more: the Dag was paused, or what they are of is gone.
FRESH = "interval '10 minutes'"
_NEWEST = f"""
    SELECT DISTINCT ON (place) place, value FROM fraud.platform_readings
    WHERE reading = %(reading)s AND at > now() - {FRESH} ORDER BY place, at DESC
"""  # noqa: S608 (constants)


def _newest(reading: str) -> str:
    return _NEWEST.replace("%(reading)s", f"'{reading}'")


# Of readings since the newest commit: what one of them saw as lag may have been committed right after it.
SILENCE = f"""
    WITH committed AS (SELECT max(committed_at) AS at FROM fraud.stream_batches),
    moments AS (
        SELECT platform_readings.at, sum(value) AS messages FROM fraud.platform_readings, committed
        WHERE reading = 'lag' AND platform_readings.at > now() - {FRESH} - %(silence_seconds)s * interval '1 s'
          AND platform_readings.at > coalesce(committed.at, '-infinity')
        GROUP BY platform_readings.at
    ),
    waiting AS (
        SELECT min(at) AS since, max(at) AS newest, (array_agg(messages ORDER BY at DESC))[1] AS messages FROM moments
        WHERE at > (SELECT coalesce(max(at), '-infinity') FROM moments WHERE messages = 0)
    )
    SELECT '', format('nothing was scored for %%s s, and %%s messages wait',
                      round(extract(epoch FROM now() - coalesce(committed.at, since))), messages)
    FROM waiting, committed
    WHERE since < now() - %(silence_seconds)s * interval '1 s' AND newest > now() - {FRESH}
"""  # noqa: S608 (constants)
SLOW = """
    WITH minutes AS (
        SELECT floor(extract(epoch FROM now() - committed_at) / 60) AS minute, max(latencies_ms[3]) AS worst
        FROM fraud.stream_batches
        WHERE committed_at > now() - interval '5 minutes' AND committed_at <= now() AND scored > 0
        GROUP BY 1
    )
    SELECT '', format('p99 from arrival to commit is above %%s ms for five minutes: %%s ms at least',
                      %(p99_ms)s::numeric, round(min(worst)))
    FROM minutes HAVING count(*) = 5 AND min(worst) > %(p99_ms)s
"""
# Of topics as a whole, so that a topic without a reading at some moment doesn't hide the others.
LAG = f"""
    WITH moments AS (
        SELECT at, sum(value) AS messages FROM fraud.platform_readings
        WHERE reading = 'lag' AND at > now() - {FRESH} GROUP BY at
    ), recent AS (
        SELECT min(messages) AS least, min(at) AS since, max(at) AS newest FROM moments
        WHERE at > (SELECT coalesce(max(at), '-infinity') FROM moments WHERE messages <= %(lag_messages)s)
    )
    SELECT '', format('%%s messages or more wait, for %%s minutes',
                      least, round(extract(epoch FROM now() - since) / 60))
    FROM recent WHERE since < now() - interval '5 minutes'
"""  # noqa: S608 (constants)
STARTS = """
    SELECT '', format('the stream was started %%s times within an hour: read its log', count(DISTINCT epoch) - 1)
    FROM fraud.stream_batches WHERE committed_at > now() - interval '1 hour'
    HAVING count(DISTINCT epoch) - 1 > %(starts_per_hour)s
"""
BOOKS = """
    SELECT '', format('%%s differences are open; the first: %%s', count(*), min(text))
    FROM (SELECT text FROM fraud.reconciliation_differences WHERE acknowledged_at IS NULL
          ORDER BY difference_id) AS differing
    HAVING count(*) > 0
"""
RECONCILIATION = """
    WITH newest AS (
        SELECT greatest((SELECT max(at) FROM fraud.reconciliations),
                        (SELECT min(started_at) FROM fraud.stream_queries)) AS at
    )
    SELECT '', format('the books weren''t compared for %%s minutes: look at reconcile_stream',
                      round(extract(epoch FROM now() - at) / 60))
    FROM newest WHERE at < now() - %(reconciliation_minutes)s * interval '1 minute'
"""
# By batches and not by time: dead letters have an index on their batch.
REASONS = """
    WITH batches AS (
        SELECT min(batch_id) FILTER (WHERE committed_at > now() - interval '1 hour') AS hour,
               min(batch_id) AS day
        FROM fraud.stream_batches WHERE committed_at > now() - interval '25 hours'
    ), fresh AS (
        SELECT reason, count(*) AS letters, min(detail) AS detail
        FROM fraud.dead_letters, batches WHERE batch_id >= hour AND reason <> 'CUSTOMER_ERASED' GROUP BY reason
    )
    SELECT reason, format('%%s messages were refused as %%s, which wasn''t so the day before: %%s',
                          letters, reason, left(detail, 200))
    FROM fresh, batches
    WHERE NOT EXISTS (
        SELECT FROM fraud.dead_letters AS old
        WHERE old.reason = fresh.reason AND old.batch_id >= day AND old.batch_id < hour
    )
"""
REFUSED = f"""
    WITH read AS (
        SELECT sum(dead_lettered) AS refused, sum({MESSAGES}) AS messages
        FROM fraud.stream_batches WHERE committed_at > now() - interval '5 minutes'
    )
    SELECT '', format('%%s of %%s messages of five minutes were refused', refused, messages)
    FROM read WHERE refused >= 10 AND refused * 100 > messages * %(dead_letter_percent)s
"""  # noqa: S608 (constants)
UNPRICED = """
    SELECT '', format('%%s transactions of ten minutes have no exchange rate: publish one', sum(unpriced))
    FROM fraud.fraud_counts
    WHERE window_start > now() - interval '10 minutes' HAVING sum(unpriced) > 0
"""
LOST = """
    SELECT topic || '/' || kafka_partition,
           format('%%s messages were given up unread: %%s', sum(until_offset - from_offset), min(reason))
    FROM fraud.stream_lost_ranges WHERE accepted_at > now() - interval '1 day' GROUP BY topic, kafka_partition
"""
# The newest complete hour, so that an empty minute at its end isn't a change of the model.
FLAGGED = """
    WITH counts AS (
        SELECT window_start > now() - interval '1 hour' AS fresh, sum(flagged) AS flagged,
               sum(transactions) AS transactions
        FROM fraud.fraud_counts
        WHERE window_start > now() - interval '7 days' AND window_start <= now() GROUP BY 1
    ), shares AS (
        SELECT (flagged / transactions)::numeric AS share, fresh FROM counts WHERE transactions >= 500
    )
    SELECT '', format('%%s percent of the newest hour''s transactions are flagged, and %%s of the seven days before',
                      round(now.share * 100, 2), round(before.share * 100, 2))
    FROM shares AS now, shares AS before
    WHERE now.fresh AND NOT before.fresh
      AND (SELECT min(window_start) FROM fraud.fraud_counts) < now() - interval '1 day'
      AND (now.share > before.share * %(flagged_factor)s::numeric
           OR now.share < before.share / %(flagged_factor)s::numeric)
"""
# A line through six hours of free bytes; less than half an hour of them says nothing.
DISK = f"""
    WITH trend AS (
        SELECT place, max(value) FILTER (WHERE at = newest) AS free,
               regr_slope(value, extract(epoch FROM at)) AS slope
        FROM (SELECT *, max(at) OVER (PARTITION BY place) AS newest FROM fraud.platform_readings
              WHERE reading = 'disk_free_bytes' AND at > now() - interval '6 hours') AS read
        WHERE newest > now() - {FRESH}
        GROUP BY place HAVING max(at) - min(at) > interval '30 minutes'
    )
    SELECT place, format('%%s GiB are free, and full in %%s hours, as it fills now',
                         round((free / 2 ^ 30)::numeric, 1), round((free / -slope / 3600)::numeric, 1))
    FROM trend WHERE slope < 0 AND free / -slope < %(disk_hours)s * 3600
"""  # noqa: S608 (constants)
CERTIFICATES = f"""
    SELECT place, format('expires in %%s days: renew it', round(value::numeric, 1))
    FROM ({_newest("certificate_days")}) AS newest WHERE value < %(certificate_days)s
"""  # noqa: S608 (constants)
SECRETS = f"""
    SELECT place, format('is %%s days old: make a new one (docs/security.md)', round(value))
    FROM ({_newest("secret_days")}) AS newest WHERE %(secret_days)s > 0 AND value > %(secret_days)s
"""  # noqa: S608 (constants)
# Without any, its age is that of the ledger.
_AGE = """
    WITH newest AS (
        SELECT coalesce(
            (SELECT min(value) FROM ({newest}) AS found),
            extract(epoch FROM now() - (SELECT min(committed_at) FROM fraud.stream_batches)) / 3600
        ) AS hours
    )
    SELECT '', format('{text}', round(hours::numeric, 1))
    FROM newest WHERE %({limit})s > 0 AND hours > %({limit})s
"""
SNAPSHOT = _AGE.format(
    newest=_newest("snapshot_hours"),
    text="no profile snapshot is newer than %%s hours: look at snapshot_profiles",
    limit="snapshot_hours",
)
BACKUP = _AGE.format(
    newest=_newest("backup_hours"),
    text="no backup is newer than %%s hours: run ./fraudctl backup",
    limit="backup_hours",
)
VERDICTS = f"""
    SELECT '', format('%%s verdicts are due and unsent, the oldest for %%s minutes: look at publish_verdicts',
                      count(*), round(extract(epoch FROM now() - min(publish_after)) / 60))
    {WAITING_VERDICTS}
    HAVING min(publish_after) < now() - interval '10 minutes'
"""  # noqa: S608 (constants)
ARCHIVE = """
    WITH newest AS (SELECT coalesce(max(finished_at), '-infinity') AS at FROM fraud.archive_runs),
    waiting AS (
        SELECT min(committed_at) AS since FROM fraud.stream_batches, newest
        WHERE committed_at > newest.at AND scored > 0
    )
    SELECT '', format('scored transactions have waited for the archive for %%s hours: look at archive_transactions',
                      round((extract(epoch FROM now() - since) / 3600)::numeric, 1))
    FROM waiting WHERE since < now() - interval '3 hours'
"""
# Of the policy at work, as the stream goes by it: a rule that was changed since is tried again.
RULES = """
    WITH at_work AS (
        SELECT document FROM fraud.policy_versions WHERE approved_at IS NOT NULL
        ORDER BY policy_version DESC LIMIT 1
    )
    SELECT rule, format('is switched off, since it failed: %%s; change its condition, or enable it again',
                        left(error, 200))
    FROM at_work CROSS JOIN jsonb_array_elements(jsonb_path_query_array(document, '$.rules[*]')) AS entries (entry)
    JOIN fraud.rule_failures ON rule = entry ->> 'name' AND condition = entry ->> 'condition'
    WHERE entry ->> 'state' IN ('shadow', 'live')
"""

CHECKS = (
    Check("silence", Severity.CRITICAL, SILENCE),
    Check("slow", Severity.CRITICAL, SLOW),
    Check("lag", Severity.WARNING, LAG),
    Check("starts", Severity.CRITICAL, STARTS),
    Check("books", Severity.CRITICAL, BOOKS),
    Check("reconciliation", Severity.WARNING, RECONCILIATION),
    Check("reasons", Severity.WARNING, REASONS),
    Check("refused", Severity.CRITICAL, REFUSED),
    Check("unpriced", Severity.WARNING, UNPRICED),
    Check("lost", Severity.CRITICAL, LOST),
    Check("flagged", Severity.WARNING, FLAGGED),
    Check("disk", Severity.CRITICAL, DISK),
    Check("certificates", Severity.WARNING, CERTIFICATES),
    Check("secrets", Severity.WARNING, SECRETS),
    Check("snapshot", Severity.WARNING, SNAPSHOT),
    Check("backup", Severity.WARNING, BACKUP),
    Check("verdicts", Severity.WARNING, VERDICTS),
    Check("archive", Severity.WARNING, ARCHIVE),
    Check("rules", Severity.WARNING, RULES),
)


def parameters(settings: Settings) -> dict[str, Any]:
    """The limits that the checks' SQL names."""
    return settings.watch.model_dump()


def faults(check: Check, rows: list[tuple[str, str]]) -> list[Fault]:
    """The faults that a check's rows tell of."""
    return [Fault(check.name, subject, check.severity, text) for subject, text in rows]
