"""Live sources: topics that the stream reads in a shop's own form, each with its mapping.

`FRAUDSTREAM_SOURCES` is a folder of mapping files. They are read at the start of whatever asks for them, so that a
changed file counts from the stream's next start on.
"""

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from fraudstream.errors import FraudstreamError, RefusedError
from fraudstream.messages.contracts import INPUT_TOPICS, Topic
from fraudstream.messages.mapping.compiled import MappedRecords
from fraudstream.messages.mapping.fields import Kind
from fraudstream.messages.mapping.file import MappingError, of
from fraudstream.messages.mapping.registry import REGISTERED
from fraudstream.settings import Settings

SETTING = "FRAUDSTREAM_SOURCES"
#: Formats of messages in a topic; the others are those of files.
LIVE_FORMATS = ("json", *sorted(REGISTERED))
#: What some would write to read a topic of another Kafka.
_OF_ANOTHER_KAFKA = ("bootstrap", "bootstrap_servers", "brokers", "consumer", "kafka")
#: The topic of our own form with each kind of events.
_OWN_TOPICS = {
    Kind.BROWSE: Topic.BROWSE_EVENTS,
    Kind.TRANSACTION: Topic.TRANSACTIONS,
    Kind.LABEL: Topic.TRANSACTION_LABELS,
}


class SourceError(RefusedError):
    """A live source can't be read; the message names the file, the value and what to do."""


class LiveSource(NamedTuple):
    """A topic of a shop's own form. `text` is its mapping file's, which workers compile."""

    topic: str
    kind: Kind
    file: Path
    text: str

    @property
    def own_topic(self) -> Topic:
        """The topic of our own form with the same kind of events."""
        return _OWN_TOPICS[self.kind]


def read_sources(folder: Path | None) -> tuple[LiveSource, ...]:
    """The sources of a folder, by file name; None: there are none. Raises SourceError for the first that is wrong."""
    found = []
    for each in _looked_at(folder):
        if isinstance(each, SourceError):
            raise each
        found.append(each)
    return tuple(found)


def problems(folder: Path | None) -> Iterator[str]:
    """What is wrong with a folder's sources, a line a file."""
    return (str(each) for each in _looked_at(folder) if isinstance(each, SourceError))


def topics_of(sources: Sequence[LiveSource]) -> tuple[str, ...]:
    """All topics that the stream reads: ours, and then those of `sources`."""
    return (*(topic.value for topic in INPUT_TOPICS), *(source.topic for source in sources))


def input_topics(settings: Settings) -> tuple[str, ...]:
    """As `topics_of`, by the settings. Raises SourceError."""
    return topics_of(read_sources(settings.sources))


def topics_in_order(sources: Sequence[LiveSource]) -> tuple[str, ...]:
    """The same in the order of what they hold: browsing, transactions, labels."""
    kinds = {topic.value: kind for kind, topic in _OWN_TOPICS.items()} | {each.topic: each.kind for each in sources}
    order = tuple(_OWN_TOPICS)
    return tuple(sorted(kinds, key=lambda topic: order.index(kinds[topic])))


def _looked_at(folder: Path | None) -> Iterator[LiveSource | SourceError]:
    if folder is None:
        return
    files = sorted(folder.glob("*.toml")) if folder.is_dir() else []
    if not files:
        missing = "has no mapping file (*.toml)" if folder.is_dir() else "is no folder"
        yield SourceError(f"{SETTING} = {folder} {missing}: put mappings there (docs/your-shop.md), or unset it")
    by_topic: dict[str, LiveSource] = {}
    for file in files:
        try:
            source = _source(file)
            if other := by_topic.get(source.topic):
                raise SourceError(
                    f"{file}, source.topic = {source.topic!r}: {other.file.name} reads it already, and a message has "
                    "one mapping; keep one of the two"
                )
        except SourceError as error:
            yield error
        else:
            by_topic[source.topic] = source
            yield source


def _source(file: Path) -> LiveSource:
    try:
        text = file.read_text(encoding="utf-8-sig")
        content = tomllib.loads(text)
        _check_kafka(file, content.get("source"))
        mapping = of(content, f"mapping {file}")
        unmapped = MappedRecords(mapping).unmapped
    except SourceError:
        raise
    except MappingError as error:
        named = str(error) if str(file) in str(error) else f"{file}: {error}"
        raise SourceError(named) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, FraudstreamError) as error:
        raise SourceError(f"can't read the mapping {file}: {error}; {SETTING} is its folder") from error
    source = mapping.source
    if not source.topic:
        raise SourceError(f"{file} has no source.topic: say which topic it maps, or move it out of {SETTING}")
    if source.format not in LIVE_FORMATS:
        known = ", ".join(LIVE_FORMATS)
        raise SourceError(f"{file}, source.format = {source.format!r}: messages of a topic are {known}")
    if source.topic in set(Topic):
        raise SourceError(
            f"{file}, source.topic = {source.topic!r}: this is a topic of the platform's own; name the shop's"
        )
    if unmapped:
        raise SourceError(
            f"{file}: a {source.kind} must have {', '.join(unmapped)}: add it under [fields] "
            f"(./fraudctl mapping check {file} --topic {source.topic})"
        )
    return LiveSource(source.topic, source.kind, file, text)


def _check_kafka(file: Path, section: object) -> None:
    keys = section if isinstance(section, dict) else {}
    for key in _OF_ANOTHER_KAFKA:
        if key in keys:
            raise SourceError(
                f"{file}, source.{key} = {keys[key]!r}: all sources are read from the one Kafka of FRAUDSTREAM_KAFKA, "
                "since one query reads them, with one set of books; mirror the topic there, and leave the key out"
            )
