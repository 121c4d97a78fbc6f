"""The mode of `produce` with --replay: a recording, into Kafka again."""

from pathlib import Path

import typer

from fraudstream.settings import Settings
from fraudstream.simulator.produce.connection import StopSignal, connect, finish
from fraudstream.simulator.produce.folder import own_folder
from fraudstream.simulator.produce.options import ProduceOptions
from fraudstream.simulator.recording import TOLD_YEARS, open_recording
from fraudstream.simulator.replay import Pace, replay


def produce_replay(settings: Settings, options: ProduceOptions, path: Path) -> None:
    """Sends the recording at `path`. Raises RecordingError and KafkaDeliveryError."""
    stopped = StopSignal()
    recording = open_recording(path)
    if recording.placeholders:
        typer.echo(f"{recording.placeholders:,} messages aren't of {TOLD_YEARS}: sent as they are", err=True)
    with own_folder(settings) as folder:
        publisher, progress = connect(settings, folder, recording.topics)
        replay(recording, Pace(options.speed, options.shift_times), publisher, progress, stopped, options.events)
        finish(publisher, progress)
