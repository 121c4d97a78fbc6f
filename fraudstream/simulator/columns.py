"""Tables as dataclasses of equally long numpy arrays: the simulator works on columns, never on an object an event."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


@dataclass
class Columns:
    """Base of the column tables: every field is an array, and all have the same length."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def take(self, index: Array | slice) -> Self:
        """The rows that `index` names (positions, a mask or a slice)."""
        return type(self)(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """The rows of all `parts`, in their order."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            **{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)}
        )


def stable_hash(*keys: Array | int) -> Array:
    """Hashes integer columns into one column of 64 bits (SplitMix64's finaliser, chained): stable for ever.

    What a customer keeps (devices, cards, friends, trips) is a hash of who and when, so it needs no memory.
    """
    with np.errstate(over="ignore"):
        state: Array = np.zeros(1, np.uint64)
        for key in keys:
            state = (state ^ np.asarray(key).astype(np.uint64)) + _GOLDEN
            state = (state ^ (state >> np.uint64(30))) * _MIX_1
            state = (state ^ (state >> np.uint64(27))) * _MIX_2
            state = state ^ (state >> np.uint64(31))
    return state


def stable_uniform(*keys: Array | int) -> Array:
    """`stable_hash` as uniform numbers in [0, 1)."""
    return (stable_hash(*keys) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def counts_to_groups(counts: Array) -> tuple[Array, Array]:
    """For groups of `counts` rows: each row's group, and its position within the group."""
    group = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts) - counts
    return group, np.arange(len(group)) - first[group]
