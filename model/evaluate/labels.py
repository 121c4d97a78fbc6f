"""Labels in a file of their own, such as disputes: what is true of each transaction, and since when it was known."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from fraudstream.errors import FraudstreamError
from fraudstream.mappings.files import Unreadable, read_rows
from fraudstream.messages.mapping.compiled import MappedRecords, UnmappableError
from fraudstream.messages.mapping.fields import Kind
from fraudstream.messages.mapping.file import Mapping, MappingError, read_mapping

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class LabelsError(FraudstreamError):
    """Labels can't be used; the message names the file, and the row or the id."""


class Verdict(NamedTuple):
    """The truth about a transaction, and since when it is known, in milliseconds since 1970; 0: as soon as asked."""

    is_fraud: bool
    known_ms: int = 0


class Labels(NamedTuple):
    """The last word on each transaction, by its id; and when the newest label came, in milliseconds since 1970."""

    path: Path
    verdicts: dict[str, Verdict]
    until_ms: int


def read_labels(path: Path, mapping_file: Path) -> Labels:
    """Reads the labels of `path`. Raises LabelsError, DataError and MappingError.

    Of several labels of a transaction the newest counts, since the first that said the same.
    """
    mapping = read_mapping(mapping_file)
    if mapping.source.kind is not Kind.LABEL:
        raise MappingError(f"mapping {mapping_file}: source.kind = '{mapping.source.kind}', not 'label'")
    found = sorted(_read(path, mapping), key=lambda each: each[1].known_ms)
    if not found:
        raise LabelsError(f"{path} has no label")
    verdicts: dict[str, Verdict] = {}
    for transaction, verdict in found:
        known = verdicts.get(transaction)
        if known is None or known.is_fraud is not verdict.is_fraud:
            verdicts[transaction] = verdict
    return Labels(path, verdicts, found[-1][1].known_ms)


def milliseconds(moment: datetime) -> int:
    """Milliseconds from 1970 to `moment`."""
    return (moment - _EPOCH) // _MILLISECOND


def _read(path: Path, mapping: Mapping) -> list[tuple[str, Verdict]]:
    records = MappedRecords(mapping)
    found = []
    for row in read_rows(path, mapping):
        if isinstance(row.record, Unreadable):
            raise LabelsError(f"{path}, {row.told}: {row.record}")
        try:
            event = records.event(row.record, row.number)
        except UnmappableError as error:
            raise LabelsError(f"{path}, {row.told}: {error}") from None
        if event is not None:
            verdict = Verdict(event["is_fraud"], milliseconds(event["labelled_at"]))
            found.append((event["transaction_id"], verdict))
    return found
