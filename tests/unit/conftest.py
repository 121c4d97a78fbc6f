"""A schema registry for the modules about payloads."""

from collections.abc import Iterator

import pytest

from tests.registry import Registry, registry_server


@pytest.fixture
def registry() -> Iterator[Registry]:
    with registry_server() as found:
        yield found
