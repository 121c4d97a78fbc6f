"""Web apps that only the API server pays for: every component of Airflow loads the plugin."""

import importlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

AsgiCallable = Callable[..., Awaitable[None]]


class LazyApp:
    """An ASGI app that is imported at its first request.

    :param target: `module:attribute` of the app
    """

    def __init__(self, target: str) -> None:
        self.module, self.attribute = target.split(":")

    async def __call__(self, scope: MutableMapping[str, Any], receive: AsgiCallable, send: AsgiCallable) -> None:
        """Handles one request."""
        app = getattr(importlib.import_module(self.module), self.attribute)
        await app(scope, receive, send)
