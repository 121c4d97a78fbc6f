"""Identifiers as fixed-width byte strings, built without a Python object a row."""

import numpy as np

from fraudstream.simulator.columns import Array

_HEX = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)


def hexadecimal(values: Array, digits: int) -> Array:
    """`values` (unsigned) as `digits` hexadecimal characters each: an array of bytes, one row a value."""
    shifts = np.arange(4 * (digits - 1), -1, -4, dtype=np.uint64)
    nibbles = (np.asarray(values, dtype=np.uint64)[:, None] >> shifts) & np.uint64(15)
    return _HEX[nibbles.astype(np.intp)]


def identifiers(prefix: str, *parts: Array) -> Array:
    """Rows of `prefix` followed by the characters of each part (arrays as `hexadecimal` makes), joined with `-`."""
    rows = len(parts[0])
    columns = [np.broadcast_to(np.frombuffer(prefix.encode(), dtype=np.uint8), (rows, len(prefix)))]
    for number, part in enumerate(parts):
        if number:
            columns.append(np.full((rows, 1), ord("-"), dtype=np.uint8))
        columns.append(part)
    return np.concatenate(columns, axis=1)
