"""Sends chosen dead letters to their topics again, after somebody mended the cause.

`python -m fraudstream.dead_letters.replay`, as the Dag `replay_dead_letters` runs it. Each is claimed, with
where Kafka's partition ended then; sent, with its own key, to its own partition, and with the header `replay_of`; and
confirmed once Kafka acknowledged it. What a run left claimed when it was killed, the next one looks for in Kafka by
that header, from that offset on, and confirms instead of sending it again. One replay runs at a time.

A message that is refused again is a new dead letter: at the first one's `replayed_offset`, in the same partition.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import psycopg
import typer

from fraudstream.dead_letters.rows import Chosen, DeadLetterRows, Place, ReplayError, Selection
from fraudstream.dead_letters.topics import SEND_SECONDS, DeadLetterTopics
from fraudstream.errors import told_in_one_line
from fraudstream.messages.contracts import TYPED_TIME_FORMATS
from fraudstream.messages.mapping.sources import input_topics
from fraudstream.messages.reasons import DeadLetterReason
from fraudstream.settings import load_settings

#: So many are claimed, sent and confirmed at a time: at most 62 MiB.
CHUNK = 500
_SHOWN = 20

Tell = Callable[[str], None]
T = TypeVar("T")


def settle(rows: DeadLetterRows, topics: DeadLetterTopics, tell: Tell) -> None:
    """Finds out what became of the claims of an interrupted replay: confirms what is in Kafka, releases the rest."""
    claimed = rows.claimed()
    if not claimed:
        return
    tell(f"{len(claimed)} dead letters were claimed by a replay that was interrupted")
    wait = SEND_SECONDS - rows.youngest_claim_s()
    if wait > 0:
        tell(f"waiting {wait:.0f} s, so that nothing of it is still on its way to Kafka")
        time.sleep(wait)
    found = topics.find(claimed)
    rows.confirm(found)
    rows.release()
    tell(f"{len(found)} of them had been sent, and are confirmed; {len(claimed) - len(found)} had not")


def replay(rows: DeadLetterRows, topics: DeadLetterTopics, selection: Selection, tell: Tell) -> int:
    """Sends what was chosen, and returns how many Kafka acknowledged. Raises ReplayError when it didn't all of them."""
    settle(rows, topics, tell)
    chosen = _choose(rows, selection, tell)
    sent = 0
    for chunk in _chunks(chosen, CHUNK):
        places = [letter.place for letter in chunk]
        ends = topics.ends()
        if gone := [place for place in places if (place.topic, place.partition) not in ends]:
            raise ReplayError(f"the partition of {gone[0]} isn't in Kafka any more: send its payload by hand")
        letters = rows.claim(places, ends)
        acknowledged = topics.send(letters)
        rows.confirm(acknowledged)
        sent += len(acknowledged)
        if len(acknowledged) < len(letters):
            missing = len(letters) - len(acknowledged)
            raise ReplayError(
                f"{sent} sent; of {missing} more, Kafka acknowledged nothing within {SEND_SECONDS} s: "
                "look at ./fraudctl status, and run this again, which finds out whether they arrived"
            )
        tell(f"{sent} of {len(chosen)} sent")
    return sent


def preview(rows: DeadLetterRows, selection: Selection, tell: Tell) -> int:
    """Says what a replay would send, and returns how many; changes nothing."""
    if claimed := rows.claimed():
        tell(f"{len(claimed)} were claimed by a replay that was interrupted: a run first finds out what was sent")
    chosen = _choose(rows, selection, tell)
    for letter in chosen[:_SHOWN]:
        tell(f"  {letter.place}  {letter.reason}")
    if len(chosen) > _SHOWN:
        tell(f"  … and {len(chosen) - _SHOWN} more")
    return len(chosen)


def _choose(rows: DeadLetterRows, selection: Selection, tell: Tell) -> list[Chosen]:
    chosen, redacted = rows.choose(selection), rows.redacted(selection)
    by_reason = Counter(letter.reason for letter in chosen)
    tell(f"chosen: {len(chosen)} ({', '.join(f'{n} {reason}' for reason, n in by_reason.most_common()) or 'none'})")
    if redacted:
        told = (
            f"{len(redacted)} can't be sent again, since card numbers were masked in them or their end was cut off, "
            f"such as {redacted[0].place}: their producer has to send them"
        )
        if not chosen:
            raise ReplayError(told)
        tell(told)
    return chosen


def _chunks(whole: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (whole[start : start + size] for start in range(0, len(whole), size))


def _selection(
    reasons: str,
    since: datetime | None,
    until: datetime | None,
    message: str,
    limit: int,
    again: bool,
    topics: Sequence[str],
) -> Selection:
    wanted = tuple(reason.strip().upper() for reason in reasons.split(",") if reason.strip())
    if unknown := [reason for reason in wanted if reason not in set(DeadLetterReason)]:
        raise ReplayError(f"no reason {unknown[0]!r}: the codes are in docs/dead-letters.md")
    if not (wanted or since or until or message):
        raise ReplayError("say which ones: by --reasons, --from, --until or --message")
    place = Place.parse(message) if message else None
    if place and place.topic not in topics:
        raise ReplayError(f"no topic {place.topic!r} is read by the stream: {', '.join(topics)} are")
    return Selection(wanted, _utc(since), _utc(until), place, limit, again)


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment else None


def main(
    reasons: Annotated[str, typer.Option(help="codes of docs/dead-letters.md, with commas between")] = "",
    since: Annotated[
        datetime | None,
        typer.Option("--from", formats=TYPED_TIME_FORMATS, help="UTC time; that arrived in Kafka from then on"),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=TYPED_TIME_FORMATS, help="UTC time; that arrived before it")
    ] = None,
    message: Annotated[str, typer.Option(help="one message, as TOPIC/PARTITION/OFFSET")] = "",
    limit: Annotated[int, typer.Option(min=1, help="at most so many, oldest first")] = 1000,
    again: Annotated[bool, typer.Option("--again", help="also those that were replayed before")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be sent")] = False,
) -> None:
    """Send dead letters to their topics again, after their cause was mended.

    Examples:
      python -m fraudstream.dead_letters.replay --reasons FUTURE_EVENT_TIME --dry-run

      python -m fraudstream.dead_letters.replay --reasons NO_ITEMS,WRONG_TYPE --from 2026-11-04T12:00:00Z

      python -m fraudstream.dead_letters.replay --message transactions/0/17
    """
    settings = load_settings()
    topics = input_topics(settings)
    selection = _selection(reasons, since, until, message, limit, again, topics)
    with DeadLetterRows(settings) as rows:
        if dry_run:
            typer.echo(f"{preview(rows, selection, typer.echo)} would be sent; nothing was changed")
            return
        sent = replay(rows, DeadLetterTopics(settings.kafka, topics), selection, typer.echo)
    typer.echo(f"{sent} sent again; Stream in Airflow's menu, or fraud.dead_letters, shows what is refused again")


if __name__ == "__main__":
    with told_in_one_line(psycopg.Error):
        typer.run(main)
