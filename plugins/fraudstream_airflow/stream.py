"""The streaming job's task: a driver that we launch and watch here, or one that Kubernetes or YARN runs."""

from typing import Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import BaseHook, BaseOperator, Context

from fraudstream.settings import Settings, load_settings
from fraudstream_airflow.operators import SparkStreamOperator
from fraudstream_airflow.spark_connection import cluster_manager

MODULE = "spark_jobs.score_transactions"
#: How often Kubernetes' or YARN's API is asked, in seconds: no more often than the provider allows.
STATUS_SECONDS = 20


def stream_operator(task_id: str, conn_id: str = "spark_default") -> BaseOperator:
    """The operator that keeps the streaming job running, in the deploy mode of the settings.

    `client`: the driver is a process on this machine; a trigger watches its heartbeat and copies its log.
    `cluster`: the driver is a pod or a YARN application, whose own probes watch the heartbeat.
    """
    settings = load_settings()
    if settings.cluster.deploy_mode == "client":
        return SparkStreamOperator(task_id=task_id, spark_conn_id=conn_id, job="stream", module=MODULE)
    return SubmittedStreamOperator(task_id=task_id, conn_id=conn_id, settings=settings)


class SubmittedStreamOperator(SparkSubmitOperator):
    """The provider's durable submit, in deploy mode `cluster`.

    The driver's pod or application is remembered beside the task: a retry finds it again, instead of submitting a
    second one. The task occupies a slot of a worker while it polls. Ending the task by hand ends the driver.

    :param settings: where the project lies in the image, or on each node, and what the driver is given
    """

    def __init__(self, *, settings: Settings, **kwargs: Any) -> None:
        project, jars = settings.paths.project, settings.paths.jars / "spark-kafka"
        file = settings.cluster.properties_file
        super().__init__(
            deploy_mode="cluster",
            name="fraud-scoring-stream",
            # `local:` says that it lies there already, and isn't sent.
            application=f"local://{project}/{MODULE.replace('.', '/')}.py",
            jars=",".join(f"local://{jar}" for jar in sorted(jars.glob("*.jar"))),
            driver_memory=f"{settings.stream.driver_memory_mb}m",
            properties_file=str(file) if file else None,
            status_poll_interval=STATUS_SECONDS,
            durable=True,
            **kwargs,
        )

    def execute(self, context: Context) -> None:
        """Submits the driver, or finds it again, and waits for its end.

        Raises SparkConnectionError for a cluster that can't run Python drivers.
        """
        connection = BaseHook.get_connection(self._conn_id)
        manager = cluster_manager(self._conn_id, connection.conn_type or "spark", connection.host, connection.port)
        self._track_driver_via_k8s_api = manager == "k8s"
        self._yarn_track_via_rm_api = manager == "yarn"
        super().execute(context)
