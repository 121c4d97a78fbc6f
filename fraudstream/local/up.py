"""Bringing the platform up: what has to happen, what waits for what, and when it is done."""

import os
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from functools import partial

from fraudstream.errors import FraudstreamError
from fraudstream.files import private_folder
from fraudstream.jobs.heartbeat import State
from fraudstream.jobs.jobs import jobs
from fraudstream.kafka.topics import create_topics, keep_as_set
from fraudstream.ledger import currency
from fraudstream.local import doctor, leftovers, secrets
from fraudstream.local.install import environments, jars
from fraudstream.local.parts import airflow, kafka, postgres, superset
from fraudstream.local.parts.airflow_api import AirflowApi
from fraudstream.local.parts.all import parts
from fraudstream.local.parts.part import Watch, not_watching
from fraudstream.local.steps import Step, Tell
from fraudstream.local.supervisor import Supervisor
from fraudstream.settings import Settings
from fraudstream.storage import migrate, pooler, roles
from fraudstream.storage.connect import connect, session
from model.serving import registry

#: The Dags that keep data flowing.
DAGS = ("fraud_scoring_stream", "refresh_entity_risk")
SIMULATED_SHOP_DAGS = ("event_producer", "refresh_static_data")
SCORED_SECONDS = 300.0
CHARTS_SECONDS = 120.0
POLL_SECONDS = 0.5


class UpError(FraudstreamError):
    """A step of `up` failed."""


def prepare_machine(settings: Settings) -> Iterator[str]:
    """Mends what must be right before any step: yields a line for whatever was put in order. Raises DoctorError."""
    supervisor = Supervisor(settings)
    if not supervisor.answers():
        ended = leftovers.end_orphans(settings)
        if ended:
            yield f"ended processes that had lost their supervisor: {', '.join(ended)}"
    doctor.check(settings)
    secrets.ensure(settings)
    for folder in settings.paths.private:
        private_folder(folder)
    supervisor.apply(parts(settings))


def steps(settings: Settings) -> list[Step]:
    """The steps of `up`, for `fraudstream.local.steps.run`."""
    run = Up(settings)
    install = [
        Step(f"{name} environment", partial(environments.install, settings, name)) for name in environments.RUNTIMES
    ]
    return [
        *install,
        Step("PostgreSQL", run.postgres),
        Step("Kafka", run.kafka, after=("spark environment",)),
        Step("Spark's Kafka connector", run.connector, after=("spark environment",)),
        Step("schema", run.schema, after=("PostgreSQL",)),
        Step("erasures", run.erasures, after=("schema", "spark environment")),
        Step("static data", run.static_data, after=("erasures",)),
        Step("past", run.past, after=("static data", "Kafka")),
        Step("model", run.model, after=("erasures",)),
        Step("Airflow", run.airflow, after=("PostgreSQL", "airflow environment")),
        Step("Superset", run.superset, after=("PostgreSQL", "superset environment")),
        Step("Dags", run.dags, after=("Airflow", "Kafka", "Spark's Kafka connector", "past", "model")),
        Step("scored transactions", run.scored, after=("Dags",)),
        Step("Dag processor", run.dag_processor, after=("Airflow",)),
        Step("dashboards", run.dashboards, after=("Superset", "static data", "Dags")),
    ]


class Up:
    """The steps' work. Every method may run again at any time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._supervisor = Supervisor(settings)
        self._began_at = time.time()
        self._started_at: datetime | None = None  # by Postgres's clock

    def postgres(self, tell: Tell) -> None:
        """Server, roles and databases."""
        settings, pg = self._settings, self._settings.postgres
        if pg.embedded:
            postgres.prepare(settings)
            self._start(postgres.NAME)
        tell("waiting for the server")
        postgres.wait_ready(settings, self._watch(postgres.NAME) if pg.embedded else not_watching)
        pooler.refuse(settings, pg.admin, "postgres")
        passwords = {role: secrets.read(settings, name) for role, name in secrets.database_roles(settings).items()}
        del passwords[pg.admin]
        roles.ensure_roles(settings, passwords)
        for role, database in pooler.roles(pg).items():
            pooler.refuse(settings, role, database)
        self.note_start()

    def note_start(self) -> None:
        """From now on `scored` waits for transactions that are scored later, by PostgreSQL's clock."""
        with connect(self._settings, self._settings.postgres.reader) as connection:
            row = connection.execute("SELECT clock_timestamp()").fetchone()
        self._started_at = row[0] if row else None

    def kafka(self, tell: Tell) -> None:
        """Broker and topics."""
        settings = self._settings
        if settings.kafka.embedded:
            if not jars.ready(settings, kafka.NAME):
                tell("fetching the broker")
                jars.install(settings, kafka.NAME)
            kafka.prepare(settings)
            self._start(kafka.NAME)
        tell("waiting for the broker")
        if settings.kafka.embedded:
            kafka.wait_ready(settings, self._watch(kafka.NAME))
        else:
            kafka.wait_ready(settings, not_watching, kafka.YOURS_SECONDS)
        create_topics(settings.kafka)
        if settings.kafka.embedded:
            keep_as_set(settings.kafka)
        if lacking := list(doctor.find_kafka_problems(settings)):
            raise UpError("\n  ".join(lacking))

    def connector(self, _: Tell) -> None:
        """The jars with which Spark reads Kafka and writes files."""
        for folder in jars.SPARK:
            jars.install(self._settings, folder)

    def schema(self, _: Tell) -> None:
        """Tables, and who may use them."""
        roles.ensure_schema(self._settings)
        migrate.migrate(self._settings)
        roles.grant_tables(self._settings)
        with session(self._settings, self._settings.postgres.reader, name="fraudctl up") as connection:
            stored = currency.stored_currency(connection)
        if problem := currency.problem(stored, self._settings.shop.currency):  # the stream would say it a minute later
            raise UpError(problem)

    def erasures(self, tell: Tell) -> None:
        """Customers who were erased stay so in a database, archive or snapshots that were restored."""
        if self._settings.paths.erasures.exists():
            tell("erasing whom a restore brought back")
            self._run("erased customers may have come back", "erasures", "fraudstream.erasure", "--again")

    def static_data(self, tell: Tell) -> None:
        """Customers and products, once; later the Dag `refresh_static_data` renews them."""
        if not self._settings.producer.enabled or self._exists("SELECT FROM fraud.static_versions"):
            return
        tell("publishing customers and products")
        self._run("the static data can't be published", "static-data", "fraudstream.simulator", "static")

    def past(self, tell: Tell) -> None:
        """What happened in the simulated shop before it opened, in a platform that knows nothing yet.

        Your own Kafka, or topics, may be your own shop's, which this past would not be of.
        """
        settings = self._settings
        if not settings.producer.enabled or not settings.producer.past_days:
            return
        if not settings.kafka.embedded or settings.sources:
            return
        if self._exists("SELECT FROM fraud.history_imports") or self._exists("SELECT FROM fraud.stream_offsets"):
            return
        tell("making the simulated shop's past, so that its customers are known")
        # One process: other parts start meanwhile on the other cores, and it ends before they do.
        self._run("the simulated shop's past can't be made", "past", "model.past", "simulate", "--processes", "1")

    def _run(self, problem: str, log_name: str, module: str, *arguments: str) -> None:
        """Runs a program of the Spark environment to its end. Raises UpError."""
        log = self._settings.paths.logs / f"{log_name}.log"
        command = [str(self._settings.paths.python("spark")), "-m", module, *arguments]
        with log.open("a") as output:
            done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            raise UpError(f"{problem}: read {log}, then run ./fraudctl up again")

    def model(self, _: Tell) -> None:
        """The model that ships becomes the champion when there is none yet, or when it is a newer one that ships."""
        with connect(self._settings, self._settings.postgres.writer) as connection:
            registry.ensure_pretrained(connection, self._settings.paths.models)

    def airflow(self, tell: Tell) -> None:
        """Airflow's database and processes."""
        tell("preparing its database")
        airflow.prepare(self._settings)
        names = [part.name for part in airflow.parts(self._settings)]
        self._start(*names)
        tell("waiting for its processes")
        airflow.wait_healthy(self._settings, airflow.RUNS_DAGS, self._watch(*names))

    def dag_processor(self, _: Tell) -> None:
        """The one of Airflow's processes that isn't needed for Dags that were parsed before."""
        airflow.wait_healthy(self._settings, airflow.PARSES_DAGS, self._watch("airflow-dag-processor"))

    def superset(self, tell: Tell) -> None:
        """Superset, with the dashboards."""
        superset.prepare(self._settings)
        self._start(superset.NAME)
        tell(f"waiting for its server, at most {superset.HEALTHY_SECONDS:.0f} s")
        superset.wait_healthy(self._settings, self._watch(superset.NAME))

    def dags(self, tell: Tell) -> None:
        """The Dags that keep data flowing."""
        api = AirflowApi(self._settings)
        for dag in (*DAGS, *(SIMULATED_SHOP_DAGS if self._settings.producer.enabled else ())):
            tell(f"starting {dag}")
            api.start(dag)

    def scored(self, tell: Tell) -> None:
        """Waits for transactions that were scored since this `up` began; of another's shop, until they could be."""
        deadline = time.monotonic() + SCORED_SECONDS
        while not self._is_scoring():
            if refusal := self._refusal():
                raise UpError(f"the stream refuses to go on: {refusal}")
            if time.monotonic() > deadline:
                raise UpError(
                    f"nothing was scored within {SCORED_SECONDS:.0f} s: read {jobs(self._settings)['stream'].log}, "
                    f"and look at fraud_scoring_stream and event_producer in {self._settings.airflow_url}"
                )
            tell(self._waiting_for())
            time.sleep(POLL_SECONDS)

    def _refusal(self) -> str:
        """Why the stream that was launched by now ended, when only a person can decide how to go on; else empty."""
        job = jobs(self._settings)["stream"]
        last = job.slot.identity
        if last is None or last.launched_at < self._began_at:
            return ""
        ended = job.slot.exit_of(last)
        return job.state(self._settings).problem if ended and ended.status == os.EX_CONFIG else ""

    def _is_scoring(self) -> bool:
        if self._settings.producer.enabled:
            return self._exists("SELECT FROM fraud.scored_transactions WHERE committed_at > %s", self._started_at)
        return jobs(self._settings)["stream"].state(self._settings).state in (State.RUNNING, State.IDLE)

    def dashboards(self, tell: Tell) -> None:
        """Waits until every chart answers with rows, where the simulated shop is sure to send some."""
        if not self._settings.producer.enabled:
            return
        tell("waiting for rows in every chart")
        superset.wait_for_charts(self._settings, SCORED_SECONDS + CHARTS_SECONDS)

    def _waiting_for(self) -> str:
        for name in ("producer", "stream") if self._settings.producer.enabled else ("stream",):
            slot = jobs(self._settings)[name].slot
            if slot.running is None:
                return f"waiting for Airflow to launch the {name}"
            heartbeat = slot.heartbeat_of(slot.running)
            if heartbeat is None or heartbeat.starting:
                return f"the {name} is starting"
        return "the stream is at work"

    def _start(self, *names: str) -> None:
        self._supervisor.start(*names)

    def _watch(self, *names: str) -> Watch:
        return partial(self._supervisor.check, *names)

    def _exists(self, query: str, *parameters: object) -> bool:
        with session(self._settings, self._settings.postgres.reader, name="fraudctl up") as connection:
            found = connection.execute(f"SELECT EXISTS ({query})", parameters).fetchone()
        return bool(found and found[0])
