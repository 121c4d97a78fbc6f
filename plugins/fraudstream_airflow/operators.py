"""Operators that launch jobs: long-lived ones, which are then watched by a trigger, and finite ones."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from functools import cached_property
from typing import Any

import msgspec
from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import BaseHook, BaseOperator, Context
from airflow.sdk.exceptions import AirflowException

from fraudstream.jobs.jobs import Job, job_environment, jobs
from fraudstream.jobs.niced import niced
from fraudstream.jobs.slot import Identity
from fraudstream.settings import Settings, load_settings
from fraudstream_airflow.events import STILL_RUNNING, Ending, JobEvent
from fraudstream_airflow.orphans import record_owner
from fraudstream_airflow.spark_connection import SparkTarget, spark_target
from fraudstream_airflow.tail import size
from fraudstream_airflow.triggers import JobTrigger, Watch

#: A job that refuses to go on is started again so much later: only a person's decision changes anything.
REFUSED_SECONDS = 60


class JobEndedError(AirflowException):
    """The watched job ended, or had to be ended; the attempt fails, and its retry starts the job anew."""


class ProcessStreamOperator(BaseOperator):
    """Launches a long-lived job once, or adopts the one that runs, and defers to a trigger that watches it.

    The job belongs to no Airflow process: scheduler, triggerer and API server may come and go. An attempt fails when
    the job dies, or gives no heartbeat for too long (it is stopped then). Ending the task by hand stops the job.

    :param job: name of the job in `fraudstream.jobs.jobs`
    :param module: Python module that is run in the Spark environment
    :param arguments: its arguments (templated); never a secret
    :param niceness: above 0 for a job that may wait when processors are short
    :param may_finish: whether a job that ends by itself with exit status 0 has done its work; else that is a failure
    """

    template_fields: Sequence[str] = ("arguments",)

    def __init__(
        self,
        *,
        job: str,
        module: str,
        arguments: Sequence[str] = (),
        niceness: int = 0,
        may_finish: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.module = module
        self.arguments = list(arguments)
        self.niceness = niceness
        self.may_finish = may_finish
        self._launched: tuple[Job, Identity] | None = None

    def execute(self, context: Context) -> None:
        """Launches or adopts the job, and hands it over to the trigger."""
        self._launch_and_defer(context)

    def on_job_event(self, context: Context, event: dict[str, Any]) -> None:
        """Decides what the trigger's event means for this attempt."""
        told = JobEvent.from_payload(event)
        if told.ending in STILL_RUNNING:
            self.log.error("The job %s: stopping process %s", told.detail, told.identity.pid)
            jobs(load_settings())[self.job].slot.stop(told.identity)
        elif told.ending is Ending.STOPPED:
            self.log.info("The job %s: starting it again", told.detail)
            self._launch_and_defer(context)
        elif told.ending is Ending.FINISHED and self.may_finish:
            self.log.info("The job %s", told.detail)
            return
        elif told.ending is Ending.REFUSED:
            self.log.error("The job %s. The next attempt follows in %s s", told.detail, REFUSED_SECONDS)
            self.defer(
                trigger=TimeDeltaTrigger(timedelta(seconds=REFUSED_SECONDS)),
                method_name="end_refused",
                kwargs={"detail": told.detail},
            )
        raise JobEndedError(f"the job {self.job!r} {told.detail}; its log is above")

    def end_refused(self, context: Context, event: Any, detail: str) -> None:
        """Ends an attempt whose job waits for a person's decision."""
        raise JobEndedError(f"the job {self.job!r} {detail}")

    def on_kill(self) -> None:
        """Stops the job when the task is ended between launch and hand-over."""
        if self._launched:
            job, identity = self._launched
            job.slot.stop(identity)

    def job_arguments(self) -> list[str]:
        """The arguments of the job's module."""
        return self.arguments

    def job_variables(self) -> dict[str, str]:
        """Environment variables that the job gets besides the inherited ones."""
        return {}

    def _launch_and_defer(self, context: Context) -> None:
        settings = load_settings()
        job = jobs(settings)[self.job]
        log_position = size(job.log)
        record_owner(job, context["ti"])
        command = [str(settings.paths.python("spark")), "-m", self.module, *self.job_arguments()]
        identity, started = job.slot.launch(
            niced(command, self.niceness),
            environment=job_environment() | self.job_variables(),
            directory=settings.paths.project,
            log=job.log,
        )
        self._launched = job, identity
        self.log.info("%s job %s: process %s", "Started" if started else "Adopted", job.name, identity.pid)
        self.defer(
            trigger=JobTrigger(msgspec.to_builtins(identity), asdict(self._watch(settings, job, log_position))),
            method_name="on_job_event",
        )

    @staticmethod
    def _watch(settings: Settings, job: Job, log_position: int) -> Watch:
        return Watch(
            slot=str(job.slot.folder),
            log=str(job.log),
            log_position=log_position,
            heartbeat_timeout=settings.stream.heartbeat_timeout_seconds,
            startup_timeout=settings.stream.startup_timeout_seconds,
        )


class SparkStreamOperator(ProcessStreamOperator):
    """A long-lived Spark driver. The Spark connection says where its tasks run, so that a cluster is one edit away.

    :param spark_conn_id: connection of type `spark`: local[2,4], spark://HOST:7077, yarn or k8s://…
    """

    def __init__(self, *, spark_conn_id: str = "spark_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spark_conn_id = spark_conn_id

    def job_arguments(self) -> list[str]:
        """The job's arguments, with the connection's master first."""
        return ["--master", self._target().master, *super().job_arguments()]

    def job_variables(self) -> dict[str, str]:
        """The connection's queue or namespace, when there is one."""
        target = self._target()
        return {"PYSPARK_SUBMIT_ARGS": target.submit_arguments} if target.configuration else {}

    def _target(self) -> SparkTarget:
        connection = BaseHook.get_connection(self.spark_conn_id)
        return spark_target(
            self.spark_conn_id,
            connection.conn_type or "spark",
            connection.host,
            connection.port,
            connection.extra_dejson,
        )


class SparkModuleOperator(BaseOperator):
    """Runs a Python module of the Spark environment to its end, with its output in the task's log.

    :param module: the module
    :param arguments: its arguments (templated), empty ones left out; never a secret
    :param niceness: above 0 for work that may wait when processors are short
    :param returns_json: whether the last line of the output is JSON, which then is the task's XCom
    """

    template_fields: Sequence[str] = ("arguments",)

    def __init__(
        self,
        *,
        module: str,
        arguments: Sequence[str] = (),
        niceness: int = 0,
        returns_json: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.module = module
        self.arguments = list(arguments)
        self.niceness = niceness
        self.returns_json = returns_json

    def execute(self, context: Context) -> Any:
        """Runs the module. Raises JobEndedError for any exit status but 0."""
        settings = load_settings()
        command = [str(settings.paths.python("spark")), "-m", self.module, *filter(None, self.arguments)]
        result = self._hook.run_command(
            niced(command, self.niceness), env=job_environment(), cwd=str(settings.paths.project)
        )
        if result.exit_code != os.EX_OK:
            raise JobEndedError(f"{self.module} ended with exit status {result.exit_code}; its output is above")
        return msgspec.json.decode(result.output) if self.returns_json else None

    def on_kill(self) -> None:
        """Ends the module with the task."""
        self._hook.send_sigterm()

    @cached_property
    def _hook(self) -> SubprocessHook:
        return SubprocessHook()
