"""Salted hashes of ids, by which an erased customer is known again without an id being kept."""

from hashlib import sha256


def hash_of(salt: str, name: str) -> str:
    """The hash of an id, hexadecimal, as `fraud.erase_customer` makes it in SQL."""
    return sha256((salt + name).encode()).hexdigest()
