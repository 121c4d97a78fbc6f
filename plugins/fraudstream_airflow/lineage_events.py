"""The stream's lineage as OpenLineage events."""

from collections.abc import Iterator

from airflow.providers.openlineage import conf
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    column_lineage_dataset,
    input_statistics_input_dataset,
    job_type_job,
    nominal_time_run,
    output_statistics_output_dataset,
    schema_dataset,
)
from openlineage.client.uuid import generate_static_uuid

from fraudstream.ledger.lineage import Hour, Read, Source, Written
from fraudstream.messages.contracts import QUERY
from fraudstream.settings import Settings
from fraudstream.storage.tables import SCHEMA

PRODUCER = "fraudstream"


def events(settings: Settings, hour: Hour) -> Iterator[RunEvent]:
    """The beginning and the end of an hour, as one run of the stream's job."""
    job = Job(conf.namespace(), QUERY, {"jobType": job_type_job.JobTypeJobFacet("STREAMING", "SPARK", "JOB")})
    nominal = nominal_time_run.NominalTimeRunFacet(hour.begin.isoformat(), hour.end.isoformat())
    run = Run(str(generate_static_uuid(hour.begin, QUERY.encode())), {"nominalTime": nominal})
    inputs = [_input(settings, read) for read in hour.reads]
    outputs = [_output(settings, written) for written in hour.writes]
    for state, at in ((RunState.START, hour.begin), (RunState.COMPLETE, hour.end)):
        yield RunEvent(
            eventTime=at.isoformat(),
            producer=PRODUCER,
            eventType=state,
            run=run,
            job=job,
            inputs=inputs,
            outputs=outputs,
        )


def _input(settings: Settings, read: Read) -> InputDataset:
    fields = [schema_dataset.SchemaDatasetFacetFields(name) for name in read.fields]
    counted = input_statistics_input_dataset.InputStatisticsInputDatasetFacet(rowCount=read.messages)
    return InputDataset(
        _kafka(settings),
        read.topic,
        facets={"schema": schema_dataset.SchemaDatasetFacet(fields)} if fields else {},
        inputFacets={"inputStatistics": counted},
    )


def _output(settings: Settings, written: Written) -> OutputDataset:
    pg = settings.postgres
    fields = [schema_dataset.SchemaDatasetFacetFields(name, kind) for name, kind in written.columns.items()]
    follows = {
        column: column_lineage_dataset.Fields([_field(settings, source) for source in sources])
        for column, sources in written.sources.items()
    }
    counted = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=written.rows)
    return OutputDataset(
        f"postgres://{pg.address}:{pg.port}",
        f"{pg.database}.{SCHEMA}.{written.table}",
        facets={
            "schema": schema_dataset.SchemaDatasetFacet(fields),
            "columnLineage": column_lineage_dataset.ColumnLineageDatasetFacet(follows),
        },
        outputFacets={} if written.rows is None else {"outputStatistics": counted},
    )


def _field(settings: Settings, source: Source) -> column_lineage_dataset.InputField:
    return column_lineage_dataset.InputField(_kafka(settings), *source)


def _kafka(settings: Settings) -> str:
    """The namespace of topics: the first broker that a client asks."""
    return f"kafka://{settings.kafka.bootstrap.split(',')[0]}"
