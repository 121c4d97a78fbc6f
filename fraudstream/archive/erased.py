"""Transactions of erased customers, which the archive takes no more: told by a salted hash of their ids."""

from fraudstream.storage.connect import Postgres
from fraudstream.storage.salted import hash_of

_HASHES = "SELECT e.salt, t.id_hash FROM fraud.erased_transactions AS t JOIN fraud.erasures AS e USING (erasure_id)"


class ErasedTransactions:
    """The ids of erased transactions, as far as they can be told. Raises psycopg.Error when it is made."""

    def __init__(self, connection: Postgres) -> None:
        self._hashes: dict[str, set[str]] = {}
        for salt, id_hash in connection.execute(_HASHES):
            self._hashes.setdefault(salt, set()).add(id_hash)

    def __contains__(self, transaction_id: str) -> bool:
        return any(hash_of(salt, transaction_id) in hashes for salt, hashes in self._hashes.items())
