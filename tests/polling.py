"""Waiting for something to become true, without sleeping longer than needed."""

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

Found = TypeVar("Found")


def poll(look: Callable[[], Found], seconds: float, what: str) -> Found:
    """Looks again until there is something to see. Fails the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.1)
    return found
