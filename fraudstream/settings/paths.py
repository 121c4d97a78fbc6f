"""Paths: the project, and the folders and files under `var/`."""

from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[2]


class Paths:
    """The folders and files under `var/`, and the software, which is there, too, unless `software` says where."""

    def __init__(self, var: Path, software: Path | None = None) -> None:
        self.var = var
        self.project = PROJECT_DIR
        self.venvs = (software or var) / "venvs"
        self.jars = (software or var) / "jars"
        self.logs = var / "logs"
        self.run = var / "run"
        self.secrets = var / "secrets"
        self.pgpass = self.secrets / "pgpass"
        self.credentials = self.secrets / "credentials.json"
        self.postgres = var / "postgres"
        self.kafka = var / "kafka"
        self.airflow = var / "airflow"
        self.superset = var / "superset"
        self.stream = var / "stream"  # checkpoint, heartbeat, lock and identity of the streaming job
        self.producer = var / "producer"  # lock, identity and progress of the producer
        self.checkpoint = self.stream / "checkpoint"
        self.backed_up = var / "backed_up"  # an empty file: its time is that of the newest backup
        self.erasures = var / "erasures.json"  # certificates of erasures, for a restored database to erase again
        self.snapshots = var / "snapshots"  # profiles of all customers, for checkpoints to begin with
        self.archive = var / "archive"  # scored transactions with their features, unless they lie in an object store
        self.past = var / "past"  # the simulated shop's history from before it opened
        self.mapped = var / "mapped"  # histories that an import made of a shop's own files
        self.models = var / "models"
        self.training = var / "training"  # histories collected for training, and the challenger made of them

    @property
    def private(self) -> tuple[Path, ...]:
        """The folders that hold secrets or customers' data: mode 0700."""
        return (
            *(self.secrets, self.run, self.postgres, self.kafka, self.airflow, self.superset),
            *(self.stream, self.producer, self.snapshots, self.past, self.mapped, self.archive),
            *(self.training, self.logs),
        )

    def python(self, runtime: str) -> Path:
        """The interpreter of a runtime: control, spark, airflow, superset, dev or peers."""
        return self.venvs / runtime / "bin" / "python"
