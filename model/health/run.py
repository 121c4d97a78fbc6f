"""One run of the model's health: measures the champion, and keeps what it found."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from fraudstream.settings import Settings
from fraudstream.storage.connect import session
from model.health import breaches
from model.health.figure import Figure
from model.health.measuring import Champion, measure
from model.serving.registry import RegistryError, champion


@dataclass(frozen=True)
class Run:
    """A run that `began` then, and measures as of `now`.

    With `as_labelled`, labels count from when they were made, and not from when Kafka got them. One that doesn't keep
    its figures changes nothing.
    """

    now: datetime
    began: datetime
    as_labelled: bool = False
    keeps: bool = True


@dataclass(frozen=True)
class Found:
    """Figures of a model, and the breaches that last, a sentence each: a training is asked for because of them."""

    version: str
    figures: tuple[Figure, ...]
    lasting: tuple[str, ...]

    @property
    def breached(self) -> Iterator[Figure]:
        """The figures that are out of bounds."""
        return (figure for figure in self.figures if figure.breached)


def measure_champion(settings: Settings, run: Run) -> Found:
    """Measures the champion. Raises RegistryError without one, ArchiveError when nothing is archived."""
    with session(settings, settings.postgres.reader, name="model_health") as connection:
        current = champion(connection)
    if current is None:
        raise RegistryError("there is no champion: run ./fraudctl up, which registers one")
    served = Champion(current.version, current.features, settings.stream.alert_capacity_ratio)
    figures = tuple(measure(settings, served, run.now, as_labelled=run.as_labelled))
    lasting: list[str] = []
    if run.keeps:
        with session(settings, settings.postgres.writer, name="model_health") as connection:
            lasting = breaches.keep(connection, current.version, figures, run.now, run.began)
    return Found(current.version, figures, tuple(lasting))
