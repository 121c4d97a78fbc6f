"""A bucket's log of changes as Spark's state keeps it from one micro-batch to the next, here in memory."""

from collections.abc import Sequence
from typing import NamedTuple

from fraudstream.erasure.known import NOBODY, Erased
from fraudstream.static_data.currencies import CurrencyRates
from spark_jobs import change_log
from spark_jobs.bucket import Bucket, Limits
from spark_jobs.change_log import Head, decode_head


class KeptLog(NamedTuple):
    """A log: at first of a bucket that nobody has met."""

    head: Head = Head()
    chunks: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, head: bytes, chunks: Sequence[bytes]) -> "KeptLog":
        """The log with an encoded head."""
        return cls(decode_head(head), tuple(chunks))

    @property
    def customers(self) -> dict[str, bytes]:
        """The customers in it, with their encoded `Stored`."""
        return change_log.read(self.head, self.chunks)

    def bucket(self, limits: Limits, rates: CurrencyRates, erased: Erased = NOBODY) -> Bucket:
        """The bucket as the next micro-batch meets it."""
        return Bucket(self.customers, self.head.clock_ms, limits, rates, erased)

    def after(self, bucket: Bucket) -> "KeptLog":
        """The log once `bucket`, made by it, has handled its messages."""
        change = bucket.change_of(self.head)
        before = () if change.is_whole else self.chunks
        return KeptLog(change.head, (*before, *change.chunks))
