"""The schema registries of live sources, as the driver sees them.

A worker waits for one that is away (`spark_jobs.mapped_messages`), and can't tell the driver before its task has ended.
So the driver asks them itself while a micro-batch takes long, and says what it waits for.
"""

import logging
import time
from collections.abc import Sequence

from fraudstream.messages.mapping.file import MappingError, mapping_of_text
from fraudstream.messages.mapping.registry import Registry
from fraudstream.messages.mapping.sources import LiveSource, SourceError

log = logging.getLogger(__name__)

#: A micro-batch that takes longer may wait for a registry; and from one look at these to the next.
LOOK_SECONDS = 5.0


class Registries:
    """The registries of the sources. `waiting` is a sentence on those that are away; empty when none is waited for."""

    def __init__(self, sources: Sequence[LiveSource]) -> None:
        """Asks none of them. Raises SourceError where credentials can't be read."""
        self.waiting = ""
        self._looked = float("-inf")
        self._topics: dict[Registry, list[str]] = {}
        for source in sources:
            if registry := _registry_of(source):
                self._topics.setdefault(registry, []).append(source.topic)

    def look(self, batch_seconds: float) -> None:
        """Asks them when the micro-batch at work has taken `batch_seconds` by now; 0: there is none."""
        if batch_seconds < LOOK_SECONDS:
            self._say("")
        elif time.monotonic() - self._looked >= LOOK_SECONDS:
            self._say("; ".join(self._away()))
            self._looked = time.monotonic()

    def _away(self) -> Sequence[str]:
        found = []
        for registry, topics in self._topics.items():
            from fraudstream.messages.formats.registry import problem_of

            if problem := problem_of(registry):
                found.append(f"messages of {', '.join(topics)} wait for their schema: {problem}")
        return found

    def _say(self, waiting: str) -> None:
        if waiting and waiting != self.waiting:
            log.warning("%s", waiting)
        elif self.waiting and not waiting:
            log.info("no message waits for a schema registry any more")
        self.waiting = waiting


def _registry_of(source: LiveSource) -> Registry | None:
    """The registry of a source, whose credentials can be read. Raises SourceError."""
    registry = mapping_of_text(source.text, source.file).source.registry
    if registry is not None:
        # whose libraries take a second, which a shop without a registry needn't wait for
        from fraudstream.messages.formats.registry import SchemaRegistry

        try:
            SchemaRegistry(registry)
        except MappingError as error:
            raise SourceError(f"{source.file}, {error}") from error
    return registry
