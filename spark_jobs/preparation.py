"""The half of a start that needs no Spark, and runs while its JVM comes up."""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from fraudstream.errors import FraudstreamError
from fraudstream.messages.mapping.sources import LiveSource
from fraudstream.settings import Settings
from fraudstream.storage.connect import PostgresUnavailableError
from spark_jobs.database import Database
from spark_jobs.fencing import known_query
from spark_jobs.publisher import Publisher
from spark_jobs.registries import Registries
from spark_jobs.scoring_data import ScoringDataCache


@dataclass(frozen=True)
class Preparation:
    """The driver's parts that are ready before Spark is.

    `generation` is the checkpoint's, and `snapshot` what that begins with; a rebuild starts another.
    """

    database: Database
    publisher: Publisher
    scoring_data: ScoringDataCache
    generation: int
    snapshot: str | None
    keeps_features: bool  # whether they are published, for the archive
    registries: Registries
    sources: Sequence[LiveSource] = ()  # topics of a shop's own form


def prepare(settings: Settings, sources: Sequence[LiveSource] = ()) -> Preparation:
    """Connects to Kafka and Postgres, and reads the model and the static data.

    Raises FraudstreamError when Postgres can't be used, or when there is no model that can; SourceError.
    """
    registries = Registries(sources)
    try:
        database = Database(settings)
        publisher = Publisher(settings.kafka, settings.watch.burst_alerts)
        connection = database.now()
        scoring_data = ScoringDataCache.load(connection, settings.shop.currency, shadow=settings.stream.shadow)
        known = known_query(connection)
        return Preparation(
            database,
            publisher,
            scoring_data,
            known.generation,
            known.snapshot,
            settings.archive.enabled,
            registries,
            sources,
        )
    except PostgresUnavailableError:
        raise  # it says all
    except psycopg.OperationalError as error:
        raise FraudstreamError(f"PostgreSQL can't be used: {error}; look at ./fraudctl status") from error
