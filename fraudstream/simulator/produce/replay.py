"""The mode of `produce` with --replay: a recording, or a shop's own file with its mapping, into Kafka again."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from fraudstream.files import delete
from fraudstream.mappings.history import write_history
from fraudstream.messages.mapping.file import read_mapping
from fraudstream.settings import Settings
from fraudstream.simulator.produce.connection import StopSignal, connect, finish
from fraudstream.simulator.produce.folder import own_folder
from fraudstream.simulator.produce.options import ProduceOptions
from fraudstream.simulator.recording import TOLD_YEARS, Recording, open_recording
from fraudstream.simulator.replay import Pace, replay

_MAPPED = "mapped"  # in the producer's folder, as long as it is sent


def produce_replay(settings: Settings, options: ProduceOptions, path: Path) -> None:
    """Sends the recording at `path`. Raises RecordingError, MappingError, DataError and KafkaDeliveryError."""
    stopped = StopSignal()
    with own_folder(settings) as folder, _opened(path, options.mapping, folder) as recording:
        if recording.placeholders:
            typer.echo(f"{recording.placeholders:,} messages aren't of {TOLD_YEARS}: sent as they are", err=True)
        publisher, progress = connect(settings, folder, recording.topics)
        replay(recording, Pace(options.speed, options.shift_times), publisher, progress, stopped, options.events)
        finish(publisher, progress)


@contextmanager
def _opened(path: Path, mapping: Path | None, folder: Path) -> Iterator[Recording]:
    """The recording. A shop's own file is mapped whole first, into `folder`; what is refused is told, and left out."""
    if mapping is None:
        yield open_recording(path)
        return
    mapped = folder / _MAPPED
    delete(mapped)
    try:
        written = write_history(mapped, [(path, read_mapping(mapping))])
        typer.echo(written.told, err=True)
        for refused in written.refused.values():
            typer.echo("".join(f"refused: {line}\n" for line in refused.lines()), err=True, nl=False)
        yield open_recording(mapped)
    finally:
        delete(mapped)
