"""One frozen, typed `Settings`: the only reader of the environment.

Every field can be set by an environment variable, `FRAUDSTREAM_<GROUP>__<FIELD>` (for example
`FRAUDSTREAM_KAFKA__PORT=19092`), or by the same names in a file `fraudstream.env` in the project's folder. Passwords
that nobody sets are generated at the first `up` and kept under `var/secrets/` (`fraudstream.local.secrets`).
"""

import os
from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from fraudstream import failpoints
from fraudstream.errors import SettingsError
from fraudstream.settings.group import ENV_PREFIX, Group
from fraudstream.settings.kafka import KafkaSettings
from fraudstream.settings.paths import PROJECT_DIR, Paths
from fraudstream.settings.retention import RetentionSettings
from fraudstream.settings.watch import MetricsSettings, NotifySettings, WatchSettings


class PostgresSettings(Group):
    """Where PostgreSQL is. Without `host`, `up` starts an embedded server on loopback."""

    host: str = Field("", description="your own server's host; empty: embedded")
    port: int = Field(5433, ge=1, le=65535, description="the embedded server's, on loopback, or your own's")
    database: str = Field("fraudstream", description="holds the schema `fraud`")
    owner: str = Field("fraud_owner", description="owns the schema; applies migrations")
    writer: str = Field("fraud_writer", description="the streaming job's role")
    reader: str = Field("fraud_reader", description="reads all tables; for status, Dags and people")
    charts: str = Field("fraud_charts", description="Superset's role: reads what its charts show")
    desk: str = Field("fraud_desk", description="Superset's role at the analysts' desk: verdicts, claims and notes")
    airflow_database: str = Field("airflow", description="Airflow's metadata; its role has the same name")
    superset_database: str = Field("superset", description="Superset's metadata; its role has the same name")
    admin: str = Field("postgres", description="creates roles and databases, at `up` only")
    admin_password: SecretStr = Field(SecretStr(""), description="needed with your own server; else generated")

    @property
    def embedded(self) -> bool:
        """True when `up` runs the server itself."""
        return not self.host

    @property
    def address(self) -> str:
        """The host that clients connect to."""
        return self.host or "127.0.0.1"


class StreamSettings(Group):
    """The streaming job."""

    trigger_seconds: float = Field(
        0.2,
        ge=0,
        le=10,
        description="a micro-batch begins so long after the one before, seconds, or later; of a backlog at once",
    )
    max_offsets_per_trigger: int = Field(20_000, ge=1, description="bound on a micro-batch, messages")
    state_partitions: int = Field(2, ge=1, le=1000, description="Spark's state partitions; fixed with the checkpoint")
    state_buckets: int = Field(128, ge=1, le=65536, description="hash buckets of customers; fixed with the checkpoint")
    profile_cache_mb: int = Field(
        8192, ge=64, description="the most that workers' copy of the profiles takes of an executor's disk, MiB"
    )
    allowed_lateness_seconds: int = Field(600, ge=0, description="later events are scored and marked late")
    customer_retention_days: int = Field(400, ge=1, description="a customer who is silent for longer is forgotten")
    visitor_retention_days: int = Field(30, ge=1, description="the same for somebody who never bought anything")
    max_future_seconds: int = Field(300, ge=0, description="events further ahead of Kafka's clock are refused")
    heartbeat_timeout_seconds: int = Field(60, ge=5, description="no heartbeat for so long: the job is stalled")
    startup_timeout_seconds: int = Field(180, ge=10, description="a first heartbeat must come within this time")
    max_batch_repeats: int = Field(
        2, ge=1, description="a micro-batch that ended so many drivers that repeated it isn't tried again"
    )
    driver_memory_mb: int = Field(1024, ge=512, description="Spark driver's Java heap, MiB")
    checkpoint: str = Field(
        "", description="folder or URL (hdfs://…) that driver and executors share; empty: under `VAR_DIR`"
    )
    spark_ui_port: int = Field(4040, ge=0, le=65535, description="Spark UI on loopback; 0: off")
    alert_capacity_ratio: float = Field(1.5, gt=0, description="alerts per fraud that the team can review")
    shadow: bool = Field(True, description="whether a challenger scores too, beside the champion, deciding nothing")
    failpoints: str = Field("", description="for tests only: where the job dies or fails, as `after-commit=kill@3`")

    @field_validator("checkpoint")
    @classmethod
    def _checkpoint_is_a_place(cls, location: str) -> str:
        if location and not (location.startswith("/") or "://" in location):
            raise ValueError("say a whole path, or a URL such as hdfs://namenode/fraudstream/checkpoint")
        return location

    @field_validator("failpoints")
    @classmethod
    def _failpoints_exist(cls, spec: str) -> str:
        failpoints.parse(spec)
        return spec


class ClusterSettings(Group):
    """The stream on a Spark cluster (docs/cluster.md). Not used while the master is `local[…]`."""

    deploy_mode: Literal["client", "cluster"] = Field(
        "client", description="client: the driver is a process beside Airflow; cluster: Kubernetes or YARN runs it"
    )
    executors: int = Field(2, ge=1, le=10_000, description="executors that the stream asks for")
    executor_cores: int = Field(1, ge=1, le=1024, description="tasks that an executor runs at once")
    executor_memory_mb: int = Field(1024, ge=512, description="an executor's Java heap, MiB")
    executor_overhead_mb: int = Field(
        1024, ge=384, description="for its Python and RocksDB, MiB; a part of its limit on YARN and Kubernetes"
    )
    driver_host: str = Field("", description="name or address by which executors reach the driver; needed with client")
    driver_bind_address: str = Field("", description="address that the driver listens on; empty: `driver_host`")
    python: str = Field("", description="interpreter on every worker; empty: the same path as the driver's")
    python_archive: str = Field(
        "", description="packed environment (.tar.gz; path or URL) that executors unpack, instead of `python`"
    )
    properties_file: Path | None = Field(
        None, description="Spark properties, mode 0600: all else that the cluster asks for, such as a secret"
    )

    @model_validator(mode="after")
    def _one_python(self) -> "ClusterSettings":
        if self.python and self.python_archive:
            raise ValueError("set python or python_archive, not both: the archive brings its own interpreter")
        return self


class ShopSettings(Group):
    """The shop and its money. Amounts in another currency are converted before they are compared or added up."""

    name: str = Field(
        "main", min_length=1, max_length=64, description="the shop of a message that names none (its field `shop`)"
    )
    currency: str = Field(
        "EUR", pattern="^[A-Z]{3}$", description="ISO 4217: of features, sums and list prices; fixed with the tables"
    )
    currency_rates: Path | None = Field(
        None, description="CSV of exchange rates (docs/production.md); without it only `CURRENCY` has a rate"
    )


class EntityRiskSettings(Group):
    """Entity risk's refreshes. A model that was trained with other times has to be trained again."""

    refresh_minutes: Literal[1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60] = Field(
        10, description="minutes from refresh to refresh; a divisor of 60"
    )
    publication_seconds: int = Field(
        60, ge=0, description="by then a refresh is published and joined; training counts on no earlier one"
    )
    component_customers: int = Field(
        50,
        ge=2,
        le=10_000,
        description="customers that shared devices, cards and addresses tie together, at most; what more share, such as"
        " a pick-up point, ties nobody",
    )


#: Parts of its messages that the simulated shop may lack (`fraudstream.simulator.lacking`).
LACKS = ("browsing", "device", "card", "place", "ip", "items", "promo", "payment", "fee")


class ProducerSettings(Group):
    """The simulated shop. The rate's default lies in the middle of 500 to 1,000 events every 5 s."""

    enabled: bool = Field(True, description="whether `up` starts the simulated shop; false when your own shop sends")
    events_per_second: float = Field(150.0, gt=0, le=100_000, description="browse events and transactions, per second")
    fraud_rate: float = Field(0.01, ge=0, le=0.5, description="share of transactions that are fraud")
    customers: int = Field(20_000, ge=100, le=10_000_000, description="customers of the shop")
    products: int = Field(1_000, ge=50, le=1_000_000, description="products of the shop")
    seed: int = Field(42, ge=0, description="the same seed makes the same shop")
    past_days: float = Field(
        30.0, ge=0, le=3650, description="days of its past that an empty platform begins with, at most; 0: it has none"
    )
    past_transactions: int = Field(
        120_000, ge=1, le=10**9, description="transactions of that past, at most; they come as often as live ones"
    )
    label_delay_seconds: float = Field(
        120.0, ge=0, description="mean delay until fraud is labelled; friendly fraud takes about five times as long"
    )
    difficulty: float = Field(0.1, ge=0, le=1, description="mean share of their traits that fraudsters hide")
    scenario_difficulty: dict[str, float] = Field(
        {}, description='the same for some scenarios, as JSON: {"card_testing": 0.8}'
    )
    without: str = Field(
        "",
        pattern=rf"^((?:{'|'.join(LACKS)})(?:,(?:{'|'.join(LACKS)}))*)?$",
        description=f"parts that the shop lacks, with commas between: {', '.join(LACKS)}",
    )
    drift: float = Field(0.5, ge=0, le=3, description="how much the scenarios' shares change over 8 weeks; 0: not")
    late_rate: float = Field(0.0, ge=0, le=0.25, description="share of events sent after the allowed lateness")
    duplicate_rate: float = Field(0.0, ge=0, le=0.25, description="share of events sent twice")
    out_of_order_rate: float = Field(0.0, ge=0, le=0.25, description="share of events sent 1 to 30 s after their time")
    malformed_rate: float = Field(
        0.0, ge=0, le=0.25, description="share of events that a broken copy, with no value of its own, precedes"
    )

    @property
    def lacks(self) -> frozenset[str]:
        """The parts of `without`."""
        return frozenset(filter(None, self.without.split(",")))


class ArchiveSettings(Group):
    """The archive: scored transactions with their features, and labels, as Delta Lake tables."""

    url: str = Field(
        "",
        description="a folder, or where it lies in an object store, such as `s3://bucket/fraud`; empty: in `var_dir`. "
        "Its credentials are the object store's own environment variables",
    )
    enabled: bool = Field(True, description="whether the stream publishes the features that the archive is made of")
    chunk_rows: int = Field(100_000, ge=1, le=10_000_000, description="rows read from Kafka and appended at a time")


class CostSettings(Group):
    """What decisions cost: the desk's page of thresholds adds it up. Shares are of the purchase's amount."""

    review: float = Field(3.0, ge=0, description="a look at one alert, in the shop currency")
    missed_fraud: float = Field(1.0, ge=0, le=10, description="share that a fraud costs which passes")
    chargeback: float = Field(20.0, ge=0, description="what each fraud that passes costs besides, in the shop currency")
    blocked_honest: float = Field(0.3, ge=0, le=10, description="share that an honest purchase costs which is blocked")


class AirflowSettings(Group):
    """Airflow's web server and size."""

    port: int = Field(8080, ge=1, le=65535, description="UI and API")
    listen: str = Field("127.0.0.1", description="the address that UI and API listen on; another only behind a wall")
    api_url: str = Field("", description="where the platform's other parts reach the API; empty: loopback and `port`")
    parallelism: int = Field(4, ge=1, le=64, description="tasks that run at once")
    lineage: str = Field(
        "", description="where OpenLineage events of Dags and stream go: a file's whole path, or https://…; empty: off"
    )

    @field_validator("lineage")
    @classmethod
    def _lineage_is_a_place(cls, place: str) -> str:
        if place and not place.startswith(("/", "http://", "https://")):
            raise ValueError("say a file's whole path, or a URL such as https://marquez.example:5000")
        return place


class SupersetSettings(Group):
    """Superset's web server."""

    port: int = Field(8088, ge=1, le=65535, description="UI and API")
    listen: str = Field("127.0.0.1", description="the address that UI and API listen on; another only behind a wall")
    api_url: str = Field("", description="where the platform's other parts reach the API; empty: loopback and `port`")
    anonymous: bool = Field(False, description="whether anyone may view the dashboards without signing in")


class Settings(BaseSettings):
    """All settings of the platform. Build it once, at an entry point, with `load_settings()`, and hand it down."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        env_file=PROJECT_DIR / "fraudstream.env",
        frozen=True,
        extra="forbid",
    )

    var_dir: Path = Field(PROJECT_DIR / "var", description="all state: data, logs, secrets, environments")
    software_dir: Path | None = Field(
        None, description="environments and jars, where an image holds them apart from the state; else in `var_dir`"
    )
    sources: Path | None = Field(
        None,
        description="folder of mapping files, `*.toml`: topics that the stream reads in a shop's own form "
        "([your-shop.md](your-shop.md#7-live)); none: only our own topics",
    )
    kafka: KafkaSettings = KafkaSettings()
    postgres: PostgresSettings = PostgresSettings()
    stream: StreamSettings = StreamSettings()
    cluster: ClusterSettings = ClusterSettings()
    shop: ShopSettings = ShopSettings()
    entity_risk: EntityRiskSettings = EntityRiskSettings()
    producer: ProducerSettings = ProducerSettings()
    archive: ArchiveSettings = ArchiveSettings()
    costs: CostSettings = CostSettings()
    airflow: AirflowSettings = AirflowSettings()
    superset: SupersetSettings = SupersetSettings()
    retention: RetentionSettings = RetentionSettings()
    watch: WatchSettings = WatchSettings()
    notify: NotifySettings = NotifySettings()
    metrics: MetricsSettings = MetricsSettings()

    @cached_property
    def paths(self) -> Paths:
        """Paths under `var_dir`."""
        return Paths(self.var_dir.resolve(), self.software_dir)

    @property
    def checkpoint(self) -> str:
        """Location of the stream's first checkpoint: a folder or a URL, without a slash at the end."""
        return self.stream.checkpoint.rstrip("/") or str(self.paths.checkpoint)

    @property
    def archive_url(self) -> str:
        """Location of the archive: a folder or a URL, without a slash at the end."""
        return self.archive.url.rstrip("/") or str(self.paths.archive)

    @property
    def airflow_url(self) -> str:
        """Airflow's UI, for a browser on this machine."""
        return f"http://127.0.0.1:{self.airflow.port}"

    @property
    def airflow_api_url(self) -> str:
        """Airflow's API, for the platform's other parts."""
        return self.airflow.api_url or self.airflow_url

    @property
    def superset_url(self) -> str:
        """Superset's UI, for a browser on this machine."""
        return f"http://127.0.0.1:{self.superset.port}"

    @property
    def superset_api_url(self) -> str:
        """Superset's API, for the platform's other parts."""
        return self.superset.api_url or self.superset_url

    def dsn(self, role: str, database: str | None = None, *, driver: str = "") -> str:
        """A connection URI for `role`, without a password: libpq reads that from the pass file (mode 0600).

        `driver` is SQLAlchemy's, such as `+psycopg`.
        """
        pg = self.postgres
        return (
            f"postgresql{driver}://{quote(role)}@{pg.address}:{pg.port}/{quote(database or pg.database)}"
            f"?passfile={quote(str(self.paths.pgpass), safe='/')}"
        )

    @property
    def writer_dsn(self) -> str:
        """The streaming job's connection."""
        return self.dsn(self.postgres.writer)


def load_settings() -> Settings:
    """Reads the settings once. Raises SettingsError naming each wrong or unknown setting and its value."""
    unknown = sorted(
        name
        for name in os.environ
        if name.startswith(ENV_PREFIX) and name[len(ENV_PREFIX) :].split("__")[0].lower() not in Settings.model_fields
    )
    if unknown:
        raise SettingsError(f"unknown setting {unknown[0]}: see the README's table of settings")
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("; ".join(_describe(problem) for problem in error.errors())) from None


def _describe(problem: object) -> str:
    told = problem["msg"].removeprefix("Value error, ")  # type: ignore[index]
    if told.startswith(ENV_PREFIX):  # it is about several settings, and names them
        return str(told)
    location = [str(part) for part in problem["loc"]]  # type: ignore[index]
    name = ENV_PREFIX + "__".join(location).upper()
    secret = any(word in name for word in ("PASSWORD", "SECRET"))
    value = problem["input"]  # type: ignore[index]
    shown = "" if secret or isinstance(value, dict | BaseModel) else f"={value!r}"
    return f"{name}{shown}: {told}"
