"""Live sources as Kafka knows them."""

from collections.abc import Iterator, Sequence

from fraudstream.kafka import access
from fraudstream.messages.mapping.sources import SETTING, LiveSource
from fraudstream.settings.kafka import KafkaSettings, Role


def missing_sources(kafka: KafkaSettings, sources: Sequence[LiveSource], seconds: float) -> Iterator[str]:
    """A line for each source whose topic Kafka doesn't have. Raises as `access.connect` does."""
    if not sources:
        return
    admin, _ = access.connect(kafka.as_role(Role.STREAM), seconds)
    known = admin.list_topics(timeout=seconds).topics
    for source in sources:
        if source.topic not in known:
            yield (
                f"{source.file}, source.topic = {source.topic!r}: Kafka at {kafka.bootstrap} has no such topic, or "
                f"doesn't show it: name it as the shop does, create it, or take the file out of {SETTING}"
            )
