"""The steps of `fraudctl up`, as the one-shot containers take them: servers and other parts are other containers'."""

from fraudstream.files import private_folder
from fraudstream.local.steps import Step
from fraudstream.local.up import Up
from fraudstream.settings import Settings


def prepare(settings: Settings) -> list[Step]:
    """Steps that Kafka and PostgreSQL need before anything else starts."""
    paths = settings.paths
    for folder in (paths.logs, paths.stream, paths.producer, paths.training):  # on the volume that parts share
        private_folder(folder)
    run = Up(settings)
    return [
        Step("PostgreSQL", run.postgres),
        Step("Kafka", run.kafka),
        Step("schema", run.schema, after=("PostgreSQL",)),
        Step("static data", run.static_data, after=("schema",)),
        Step("model", run.model, after=("schema",)),
    ]


def start(settings: Settings) -> list[Step]:
    """Steps that are left when every part is healthy."""
    run = Up(settings)
    run.note_start()
    return [
        Step("Dags", run.dags),
        Step("scored transactions", run.scored, after=("Dags",)),
        Step("dashboards", run.dashboards, after=("Dags",)),
    ]
