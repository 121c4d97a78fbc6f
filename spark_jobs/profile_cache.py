"""The workers' copy of the profiles, so that a micro-batch reads no more of the state than its messages touch.

An LMDB file for each of Spark's state partitions, in the executor's scratch folder, which ends with it. Any of an
executor's workers may get a partition's next task, so that the copy can't be in a worker's memory. For each bucket it
names the token of the state that it is of (`spark_jobs/change_log.py`): with another one, as after a retry, a rollback
or on another executor, it isn't used, and filled anew from Spark's state.

Nothing depends on what is in it. Each value has a checksum; a task that meets damage fails, and Spark's next attempt
begins with an empty file, as each attempt but a task's first does: whatever went wrong, the copy isn't asked again.
"""

import logging
import shutil
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import lmdb

from fraudstream.errors import FraudstreamError
from spark_jobs.change_log import Change, Encoded

log = logging.getLogger(__name__)

_BUCKET = struct.Struct(">I")
_CHECKSUM = struct.Struct(">I")
_FILE = "data.mdb"


class DamagedCacheError(FraudstreamError):
    """A value in the cache isn't what was written there."""


class ProfileCache:
    """The cache of one state partition."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        self._environment = self._opened()

    def reopen(self, *, empty: bool) -> None:
        """Opens the file anew when it was deleted, and with `empty` in any case, without what was in it."""
        if empty or not self._is_in_place():
            self._environment.close()
            if empty:
                shutil.rmtree(self._folder, ignore_errors=True)
            self._environment = self._opened()

    def close(self) -> None:
        """Closes the file."""
        self._environment.close()

    def snapshot(self, bucket: int, token: bytes) -> "Customers | None":
        """The bucket's customers as they are now, to be closed; None when they are of another state than `token`'s."""
        reads = self._environment.begin()
        if reads.get(_BUCKET.pack(bucket)) == token:
            return Customers(reads, bucket)
        reads.abort()
        return None

    def fill(self, bucket: int, token: bytes, customers: Encoded) -> None:
        """Replaces all that is known of the bucket."""
        with self._writing() as writes:
            prefix = _BUCKET.pack(bucket)
            _delete_all(writes, prefix)
            _put(writes, prefix, token, customers)

    def update(self, bucket: int, before: bytes, change: Change) -> None:
        """Applies a change to what was of the state `before`; nothing when it is of another one by now."""
        with self._writing() as writes:
            prefix = _BUCKET.pack(bucket)
            if writes.get(prefix) == before:
                for customer in change.gone:
                    writes.delete(prefix + customer.encode())
                _put(writes, prefix, change.head.token, change.changed)

    @contextmanager
    def _writing(self) -> Iterator[lmdb.Transaction]:
        """A transaction; a file that has no room for it begins anew, and empty."""
        try:
            with self._environment.begin(write=True) as writes:
                yield writes
        except (lmdb.MapFullError, lmdb.DiskError) as error:
            log.warning("the cache of profiles in %s begins anew: %s", self._folder, error)
            self.reopen(empty=True)

    def _opened(self) -> lmdb.Environment:
        self._folder.mkdir(parents=True, exist_ok=True)
        # Not synced: after a crash of the machine it isn't read. And not written through the memory map, where a full
        # disk would end the worker instead of raising.
        environment = lmdb.open(
            str(self._folder), map_size=self._max_bytes, metasync=False, sync=False, readahead=False, meminit=False
        )
        environment.reader_check()  # of workers that were killed
        self._inode = (self._folder / _FILE).stat().st_ino
        return environment

    def _is_in_place(self) -> bool:
        try:
            return (self._folder / _FILE).stat().st_ino == self._inode
        except FileNotFoundError:
            return False


class Customers(Mapping[str, bytes]):
    """The customers of one bucket in a cache, with their encoded `Stored`, whatever is written meanwhile.

    Raises DamagedCacheError for a value that isn't what was written.
    """

    def __init__(self, reads: lmdb.Transaction, bucket: int) -> None:
        self._reads, self._prefix = reads, _BUCKET.pack(bucket)

    def close(self) -> None:
        """Lets the file use its space again."""
        self._reads.abort()

    def __getitem__(self, customer: str) -> bytes:
        found = self._reads.get(self._prefix + customer.encode())
        if found is None:
            raise KeyError(customer)
        return _checked(bytes(found))

    def get(self, customer: str, default: bytes | None = None) -> bytes | None:  # type: ignore[override]
        """The customer's, or `default`; without the exception of the general one, which costs more than the look-up."""
        found = self._reads.get(self._prefix + customer.encode())
        return default if found is None else _checked(bytes(found))

    def __iter__(self) -> Iterator[str]:
        cursor = self._reads.cursor()
        cursor.set_range(self._prefix)
        for key in cursor.iternext(keys=True, values=False):
            name = bytes(key)
            if not name.startswith(self._prefix):
                return
            if name != self._prefix:
                yield name[len(self._prefix) :].decode()

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _checked(found: bytes) -> bytes:
    stored = found[_CHECKSUM.size :]
    if zlib.crc32(stored) != _CHECKSUM.unpack_from(found)[0]:
        raise DamagedCacheError("a value in the cache of profiles is damaged; the task's next attempt reads the state")
    return stored


def _delete_all(writes: lmdb.Transaction, prefix: bytes) -> None:
    cursor = writes.cursor()
    cursor.set_range(prefix)
    while bytes(cursor.key()).startswith(prefix):
        cursor.delete()


def _put(writes: lmdb.Transaction, prefix: bytes, token: bytes, customers: Encoded) -> None:
    for customer, stored in customers.items():
        writes.put(prefix + customer.encode(), _CHECKSUM.pack(zlib.crc32(stored)) + stored)
    writes.put(prefix, token)
