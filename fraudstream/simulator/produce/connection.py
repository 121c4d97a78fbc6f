"""The connection of a producer: its publisher, its heartbeat, and the signals that stop it."""

import signal
from pathlib import Path

import typer

from fraudstream.jobs.heartbeat import HEARTBEAT, State
from fraudstream.settings import Settings
from fraudstream.simulator.progress import Progress
from fraudstream.simulator.publisher import Publisher


class StopSignal:
    """SIGTERM and SIGINT, which ask this process to stop."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def __call__(self) -> bool:
        """True once asked."""
        return self._asked

    def _ask(self, *_: object) -> None:
        self._asked = True


def connect(settings: Settings, folder: Path, topics: set[str]) -> tuple[Publisher, Progress]:
    """A publisher to Kafka, which has all `topics`, and the progress that tells of it in the producer's `folder`.

    Raises KafkaUnavailableError and KafkaDeliveryError as `Publisher.check` does.
    """
    publisher = Publisher(settings.kafka)
    progress = Progress(folder / HEARTBEAT, publisher)
    progress.write(State.STARTING)
    publisher.check(topics)
    return publisher, progress


def finish(publisher: Publisher, progress: Progress) -> None:
    """Sends what is queued, and prints the counts. Raises KafkaDeliveryError."""
    progress.write(State.STOPPING)
    publisher.close()
    typer.echo(publisher.report)
