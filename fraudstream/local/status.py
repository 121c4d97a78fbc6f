"""Status of the platform: its parts, the stream's rates and the totals. Quick, also when parts are dead."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

import psycopg

from fraudstream import failpoints
from fraudstream.jobs.heartbeat import State
from fraudstream.jobs.jobs import DAGS, jobs, paused_problem
from fraudstream.kafka import offsets as kafka_offsets
from fraudstream.kafka.errors import KafkaUnavailableError
from fraudstream.kafka.offsets import Offsets
from fraudstream.ledger import figures, reconciliation
from fraudstream.local import disks
from fraudstream.local.parts.airflow_api import AirflowApi, AirflowApiError
from fraudstream.local.parts.all import parts
from fraudstream.local.supervisor import Supervisor, SupervisorError
from fraudstream.messages.mapping.sources import SourceError, input_topics
from fraudstream.settings import Settings
from fraudstream.settings.kafka import Role
from fraudstream.storage.connect import QUICK_SECONDS, PostgresUnavailableError, first_line, session

#: Each answer usually takes milliseconds; a busy machine is no reason to call a part dead.
ANSWER_SECONDS = 4.0
WORKING = (State.RUNNING, State.IDLE)
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
    skipped: int | None = None
    pending: int | None = None
    lost: int | None = None


@dataclass
class Reconciliation:
    """The newest comparison of Kafka, the ledger and the tables.

    `differences` is how many are open, `examples` the first; all was compared within the last `whole_age_s` seconds.
    """

    at: str | None = None
    age_s: float | None = None
    batches: int | None = None
    unread: int | None = None
    differences: int | None = None
    examples: list[str] = field(default_factory=list)
    whole_age_s: float | None = None


@dataclass
class Status:
    """The report of `fraudctl status`; `as_json` is its contract."""

    components: dict[str, Component]
    stream: Stream
    totals: Totals = field(default_factory=Totals)
    reconciliation: Reconciliation = field(default_factory=Reconciliation)
    problems: list[str] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """True when everything that should run does."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """The fields that tests and tools rely on."""
        return {"healthy": self.healthy, **asdict(self)}


@dataclass(frozen=True)
class _Ledger:
    rates: figures.Rates
    totals: figures.Totals
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
        _fill_stream(status.stream, ledger.rates)
        status.totals = _totals(ledger.totals)
        status.reconciliation = _reconciliation(ledger.reconciled)
        if differ := reconciliation.problem(ledger.reconciled):
            status.problems.append(differ)
    if isinstance(ends, str):
        status.problems.append(ends)
    elif isinstance(ledger, _Ledger):
        status.stream.lag = status.totals.pending = kafka_offsets.unread(ends, ledger.next_offsets)
    return status


def _fill_stream(stream: Stream, rates: figures.Rates) -> None:
    stream.last_batch_age_s = _rounded(rates.last_batch_age_s)
    stream.input_rows_per_s = _rounded(rates.messages_per_s)
    stream.latency_p50_ms = _rounded(rates.p50_ms)
    stream.latency_p99_ms = _rounded(rates.p99_ms)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _totals(found: figures.Totals) -> Totals:
    return Totals(
        ingested=found.read,
        scored=found.scored,
        flagged=found.flagged,
        dead_lettered=found.dead_lettered,
        late=found.late,
        duplicate=found.duplicates,
        skipped=found.skipped,
        lost=found.lost,
    )


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
        whole_age_s=_rounded(newest["whole_age_s"]),
    )


def _processes(settings: Settings) -> Status:
    components, problems = _components(settings)
    problems += disks.problems(settings)
    if armed := failpoints.problem(settings.stream.failpoints):
        problems.append(armed)
    for name, job in jobs(settings).items():
        found = job.state(settings)
        components[name] = Component(found.state, found.pid, None)
        if found.state == "stopped" and _is_stuck(settings, components, DAGS[name]):
            problems.append(paused_problem(name, DAGS[name]))
        elif name == "stream" and found.state not in WORKING:
            problems.append(f"the stream is {found.state}: read {job.log}, or run ./fraudctl up")
        if found.problem:
            problems.append(f"{name}: {found.problem}")
    return Status(components, Stream(components["stream"].state), problems=problems)


def _is_stuck(settings: Settings, components: dict[str, Component], dag_id: str) -> bool:
    api_server = components.get("airflow-api-server")
    if api_server is None or api_server.state != "RUNNING":
        return False
    try:
        return AirflowApi(settings, ANSWER_SECONDS).is_stuck(dag_id)
    except AirflowApiError:  # its own state, or its log, tells of that
        return False


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
    limit = {"statement_timeout": f"{round(ANSWER_SECONDS * 1000)}ms"}
    reader = settings.postgres.reader
    try:
        with session(settings, reader, name="fraudctl status", timeout=QUICK_SECONDS, begins_with=limit) as connection:
            rows = connection.execute(OFFSETS).fetchall()
            return _Ledger(
                figures.rates(connection),
                figures.totals(connection),
                {(topic, partition): offset for topic, partition, offset in rows},
                reconciliation.newest(connection),
            )
    except PostgresUnavailableError as error:
        return str(error)
    except psycopg.Error as error:
        return f"the ledger can't be read ({first_line(error)}): run ./fraudctl up"


def _end_offsets(settings: Settings) -> Offsets | str:
    """The end of every partition that the stream reads, or what is wrong."""
    try:
        return kafka_offsets.latest(settings.kafka.as_role(Role.READER), input_topics(settings), ANSWER_SECONDS)
    except (KafkaUnavailableError, SourceError) as error:
        return str(error)
