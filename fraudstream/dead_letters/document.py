"""The page of dead letters, docs/dead-letters.md, with a table from the codes' declarations."""

from fraudstream.messages.reasons import DeadLetterReason

_HEAD = """\
# Dead letters

A message that can't be used doesn't stop the stream. It is kept in `fraud.dead_letters` with a reason, published to the
topic `dead-letters`, and counted in the accounting. Written by `python -m fraudstream.docs` from
`fraudstream/messages/reasons.py`; `fraudstream/messages/validation.py` and `fraudstream/messages/refusal.py` decide.

## What is kept

- `topic`, `kafka_partition`, `kafka_offset`: which message it was. The same three are headers of the message in the
  topic `dead-letters` (`source_topic`, `partition`, `offset`), beside `reason`; its key and value are those of the row.
- `reason`: a code of the table below. Codes are stable: people filter and replay by them.
- `detail`: for people, such as the field and its limits; at most 500 bytes. It may quote the message.
- `key`, `payload`: the bytes as received, redacted; of a larger key the first 1,024 bytes, of a larger value the first
  128 KiB.
- `redacted`: whether key or payload differ from what was received.
- `replayed_at`, `replayed_offset`: when it was sent again, and the offset that it got in the same partition.

**Redaction**: before anything is stored, published or shown, the digits of whatever looks like a card number become
asterisks in key, payload and detail: whole groups of digits that have 13 to 19 digits together and pass the Luhn check,
with spaces, dashes or their Unicode kin between, also in UTF-16 or behind JSON's escapes. One number in ten passes that
check by chance, such as times in milliseconds. Digits after the point of a JSON number, such as a latitude's, are left
alone. The message in the source topic stays as it was sent, until Kafka's retention removes it.

## Look at them

*Stream* in Airflow's menu shows the newest, and which of them are replays. In SQL:

```
./fraudctl psql -c "SELECT reason, count(*), max(ingest_time) FROM fraud.dead_letters GROUP BY 1 ORDER BY 2 DESC"
./fraudctl psql -c "SELECT topic, kafka_partition, kafka_offset, detail, convert_from(payload, 'UTF8')
  FROM fraud.dead_letters WHERE reason = 'NULL_FIELD' ORDER BY ingest_time DESC LIMIT 5"
```

Replays that were refused again, with their first and their new reason:

```
./fraudctl psql -c "SELECT first.topic, first.kafka_partition, first.kafka_offset, first.reason,
    again.reason, again.detail
  FROM fraud.dead_letters AS first JOIN fraud.dead_letters AS again
    ON (again.topic, again.kafka_partition, again.kafka_offset)
     = (first.topic, first.kafka_partition, first.replayed_offset)"
```

## Replay them

After the cause was mended, trigger the Dag `replay_dead_letters`, or run what it runs (`--help` lists all conditions):

```
var/venvs/spark/bin/python -m fraudstream.dead_letters.replay --reasons FUTURE_EVENT_TIME --dry-run
```

Each goes to its own topic and partition with its own key, and the header `replay_of: TOPIC/PARTITION/OFFSET`. What was
replayed isn't sent again, unless *Again* asks for it, and then the stream recognises the transaction ids that it has
scored. A run that is killed is settled by the next one, which looks for that header in Kafka and confirms what
arrived. A row whose `redacted` is true can't be replayed, since what was masked is gone; its producer has to send it.
One that is refused again is a new dead letter, at `replayed_offset`.

## Reasons

Where several apply, the first that is noticed is given: the value's bytes, its fields in order, the key, then the time.

"""


def dead_letters_document() -> str:
    """The document, in Markdown."""
    rows = (f"| `{r.value}` | {r.meaning} | {_cell(r.example)} | {r.remedy} |" for r in DeadLetterReason)
    return _HEAD + "\n".join(
        ["| code | what it means | example | what to do |", "| --- | --- | --- | --- |", *rows, ""]
    )


def _cell(text: str) -> str:
    return text.replace("|", r"\|")
