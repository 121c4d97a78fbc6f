"""What runs, how fast, and how much has been accounted for. Quick, also when parts are dead."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

import psycopg
from psycopg.rows import dict_row

from fraudstream import failpoints
from fraudstream.jobs.heartbeat import State
from fraudstream.jobs.jobs import jobs
from fraudstream.kafka import offsets as kafka_offsets
from fraudstream.kafka.errors import KafkaUnavailableError
from fraudstream.kafka.offsets import Offsets
from fraudstream.ledger import reconciliation
from fraudstream.local.parts import postgres
from fraudstream.local.parts.all import parts
from fraudstream.local.supervisor import Supervisor, SupervisorError
from fraudstream.messages.contracts import INPUT_TOPICS
from fraudstream.settings import Settings
from fraudstream.settings.kafka import Role

#: Each answer usually takes milliseconds; a busy machine is no reason to call a part dead.
TIMEOUT_SECONDS = 4.0
WORKING = (State.RUNNING, State.IDLE)
#: The latest micro-batches whose figures count.
RECENT = "60 seconds"

TOTALS = """
    SELECT coalesce(sum(next_offset - first_offset - lost), 0)::bigint AS ingested,
           coalesce(sum(lost), 0)::bigint AS lost,
           coalesce(sum(scored), 0)::bigint AS scored,
           coalesce(sum(dead_lettered), 0)::bigint AS dead_lettered,
           coalesce(sum(duplicates), 0)::bigint AS duplicate,
           coalesce(sum(flagged), 0)::bigint AS flagged,
           coalesce(sum(late), 0)::bigint AS late
    FROM fraud.stream_offsets
"""
RATES = """
    SELECT extract(epoch FROM clock_timestamp() - max(committed_at))::float8 AS last_batch_age_s,
           coalesce(sum(scored + browse_events + labels + dead_lettered + duplicates) FILTER (WHERE recent), 0)::float8
               / extract(epoch FROM interval '{recent}')::float8 AS input_rows_per_s,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY latencies_ms[1]) FILTER (WHERE recent AND scored > 0)
               AS latency_p50_ms,
           max(latencies_ms[3]) FILTER (WHERE recent AND scored > 0) AS latency_p99_ms
    FROM (SELECT *, committed_at > clock_timestamp() - interval '{recent}' AS recent
          FROM fraud.stream_batches ORDER BY committed_at DESC LIMIT 1000) AS latest
""".replace("{recent}", RECENT)
OFFSETS = "SELECT topic, kafka_partition, next_offset FROM fraud.stream_offsets"


@dataclass
class Component:
    """A part of the platform. `state` is supervisord's word, or the heartbeat's for the jobs."""

    state: str
    pid: int | None
    url: str | None


@dataclass
class Stream:
    """The streaming job. p50 is the median batch's, p99 the worst batch's, of the last minute, arrival to commit."""

    state: str
    last_batch_age_s: float | None = None
    lag: int | None = None
    input_rows_per_s: float | None = None
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None


@dataclass
class Totals:
    """Messages since the stream's first start.

    `ingested` = all that was read; `pending` = not read yet; `lost` = given up by `fraudctl rebuild --accept-loss`.
    """

    ingested: int | None = None
    scored: int | None = None
    flagged: int | None = None
    dead_lettered: int | None = None
    late: int | None = None
    duplicate: int | None = None
    pending: int | None = None
    lost: int | None = None


@dataclass
class Reconciliation:
    """The newest comparison of Kafka, the ledger and the tables. `differences` is how many, `examples` the first."""

    at: str | None = None
    age_s: float | None = None
    batches: int | None = None
    unread: int | None = None
    differences: int | None = None
    examples: list[str] = field(default_factory=list)


@dataclass
class Status:
    """What `fraudctl status` shows; `as_json` is its contract."""

    components: dict[str, Component]
    stream: Stream
    totals: Totals = field(default_factory=Totals)
    reconciliation: Reconciliation = field(default_factory=Reconciliation)
    problems: list[str] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether everything that should run does."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """The fields that tests and tools rely on."""
        return {"healthy": self.healthy, **asdict(self)}


@dataclass(frozen=True)
class _Ledger:
    rates: dict[str, Any]
    totals: dict[str, Any]
    next_offsets: Offsets
    reconciled: dict[str, Any] | None


def collect(settings: Settings) -> Status:
    """Asks supervisord, the jobs' heartbeats, Postgres and Kafka, each with a short timeout, at the same time."""
    with ThreadPoolExecutor() as pool:
        ledger_answer = pool.submit(_ledger, settings)
        ends_answer = pool.submit(_end_offsets, settings)
        status = _processes(settings)
        ledger, ends = ledger_answer.result(), ends_answer.result()
    if isinstance(ledger, str):
        status.problems.append(ledger)
    else:
        for name, value in ledger.rates.items():
            setattr(status.stream, name, None if value is None else round(value, 1))
        for name, value in ledger.totals.items():
            setattr(status.totals, name, value)
        status.reconciliation = _reconciliation(ledger.reconciled)
        if differ := reconciliation.problem(ledger.reconciled):
            status.problems.append(differ)
    if isinstance(ends, str):
        status.problems.append(ends)
    elif isinstance(ledger, _Ledger):
        status.stream.lag = status.totals.pending = kafka_offsets.unread(ends, ledger.next_offsets)
    return status


def _reconciliation(newest: dict[str, Any] | None) -> Reconciliation:
    if newest is None:
        return Reconciliation()
    return Reconciliation(
        at=newest["at"].isoformat(timespec="seconds"),
        age_s=round(newest["age_s"], 1),
        batches=newest["batches"],
        unread=newest["unread"],
        differences=newest["differences"],
        examples=newest["examples"],
    )


def _processes(settings: Settings) -> Status:
    components, problems = _components(settings)
    if armed := failpoints.problem(settings.stream.failpoints):
        problems.append(armed)
    for name, job in jobs(settings).items():
        found = job.state(settings)
        components[name] = Component(found.state, found.pid, None)
        if name == "stream" and found.state not in WORKING:
            problems.append(f"the stream is {found.state}: read {job.log}, or run ./fraudctl up")
        if found.problem:
            problems.append(f"{name}: {found.problem}")
    return Status(components, Stream(components["stream"].state), problems=problems)


def _components(settings: Settings) -> tuple[dict[str, Component], list[str]]:
    urls = {part.name: part.url for part in parts(settings)}
    try:
        states = Supervisor(settings).states()
    except SupervisorError:
        stopped = {name: Component("STOPPED", None, url) for name, url in urls.items()}
        return stopped, ["the platform isn't running (no supervisord): run ./fraudctl up"]
    components = {}
    problems = []
    for name, url in urls.items():
        state = states.get(name)
        components[name] = Component(state.state if state else "STOPPED", state.pid if state else None, url)
        if components[name].state != "RUNNING":
            log = settings.paths.logs / f"{name}.log"
            problems.append(f"{name} is {components[name].state.lower()}: read {log}, or run ./fraudctl up")
    return components, problems


def _ledger(settings: Settings) -> _Ledger | str:
    try:
        with psycopg.connect(
            settings.dsn(settings.postgres.reader),
            connect_timeout=2,
            options=f"-c statement_timeout={round(TIMEOUT_SECONDS * 1000)}",
            row_factory=dict_row,
        ) as connection:
            rates = connection.execute(RATES).fetchone() or {}
            totals = connection.execute(TOTALS).fetchone() or {}
            rows = connection.execute(OFFSETS).fetchall()
            reconciled = connection.execute(reconciliation.NEWEST).fetchone()
    except psycopg.Error as error:
        return f"PostgreSQL doesn't answer ({postgres.first_line(error)}): run ./fraudctl up"
    next_offsets = {(row["topic"], row["kafka_partition"]): row["next_offset"] for row in rows}
    return _Ledger(rates, totals, next_offsets, reconciled)


def _end_offsets(settings: Settings) -> Offsets | str:
    """The end of every partition that the stream reads, or what is wrong."""
    try:
        return kafka_offsets.latest(settings.kafka.as_role(Role.READER), INPUT_TOPICS, TIMEOUT_SECONDS)
    except KafkaUnavailableError as error:
        return str(error)
