"""The schema registry: schemas by id, each fetched once, and the wait for a registry that is away."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient, SchemaRegistryError
from msgspec.structs import replace

from fraudstream.files import write_atomically
from fraudstream.messages.formats.errors import RegistryUnavailableError
from fraudstream.messages.mapping.file import MappingError
from fraudstream.messages.mapping.registry import Registry

#: "Subject not found", "Version not found" and "Schema not found"; a 404 without is one of another server.
_NOT_FOUND = frozenset({40401, 40402, 40403})
_FORBIDDEN = frozenset({401, 403})
_TRANSIENT = frozenset({408, 429})
_REQUEST_SECONDS = 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
#: Of the question whether a registry is there: to know an id, and not to know it, are answers.
_ANY_ID = 1
#: Untrusted certificates, and URLs that no pause mends.
_LASTING = ("CERTIFICATE_VERIFY_FAILED", "UnsupportedProtocol")


class UnknownSchemaError(Exception):
    """The registry has no schema with an id, or of a subject's version."""


class SchemaRegistry:
    """A registry that speaks Confluent's API. Makes no connection before the first schema is asked for.

    Raises MappingError when the credentials can't be read.
    """

    def __init__(self, settings: Registry, schemas: Path | None = None) -> None:
        """`schemas` is a folder where this and other processes keep what was answered: it never changes."""
        self._settings, self._schemas = settings, schemas
        self._client = _client(settings)
        self._failed = False

    def schema(self, schema_id: int) -> Schema:
        """The schema with an id. Raises UnknownSchemaError and RegistryUnavailableError."""
        return self._kept(f"{schema_id}", lambda: self._client.get_schema(schema_id))

    def referenced(self, reference: SchemaReference) -> Schema:
        """The schema that another one imports. Raises UnknownSchemaError and RegistryUnavailableError."""
        subject, version = reference.subject or "", reference.version or 0
        return self._kept(
            f"{version} of {subject}", lambda: self._client.get_version(subject, version, deleted=True).schema
        )

    def _kept(self, name: str, ask: Callable[[], Schema]) -> Schema:
        if self._schemas is None:
            return self._asked(ask)
        digest = hashlib.sha256(f"{self._settings.url} {name}".encode()).hexdigest()
        file = self._schemas / f"{digest}.json"
        with suppress(FileNotFoundError):
            return Schema.from_dict(json.loads(file.read_text()))
        found = self._asked(ask)
        write_atomically(file, json.dumps(found.to_dict()))
        return found

    def _asked(self, ask: Callable[[], Schema]) -> Schema:
        """What the registry answers: asked again, after pauses that double, for `retry_seconds`."""
        if self._failed:
            with suppress(MappingError):  # what a person mended in its files counts, and what isn't mended waits
                self._client = _client(self._settings)
            self._failed = False
        until, pause = time.monotonic() + self._settings.retry_seconds, _FIRST_PAUSE
        while True:
            try:
                return ask()
            except SchemaRegistryError as error:
                problem, is_lasting = self._refusal(error)
            except httpx2.HTTPError as error:
                problem = f"gives no answer ({_said(error)}): start it, or mend source.registry.url or ca_file"
                is_lasting = any(word in _said(error) for word in _LASTING)
            except (ValueError, KeyError, TypeError, AttributeError):
                problem, is_lasting = "answers, but not as a schema registry: mend source.registry.url", True
            if is_lasting or time.monotonic() + pause > until:
                self._failed = True
                raise RegistryUnavailableError(f"the schema registry {self._settings.url} {problem}")
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _refusal(self, error: SchemaRegistryError) -> tuple[str, bool]:
        """What an answer with an error means, and whether it lasts. Raises UnknownSchemaError."""
        status = error.http_status_code
        if error.error_code in _NOT_FOUND:
            raise UnknownSchemaError
        if status in _FORBIDDEN:
            named = self._settings.credentials_file or self._settings.credentials_env
            where = f"the credentials in {named}" if named else "credentials_file or credentials_env"
            return f"refuses us (HTTP {status}): mend {where}", True
        if status in _TRANSIENT or status >= 500:
            return f"fails (HTTP {status}): look at its log", False
        problem = f"answers with HTTP {status}, and not as a schema registry"
        return f"{problem}: mend the path in source.registry.url, such as /apis/ccompat/v7", True


def problem_of(settings: Registry) -> str:
    """Why a registry gives no schemas now, asked once; empty when it does, or says that it has none such."""
    try:
        SchemaRegistry(replace(settings, retry_seconds=0.0)).schema(_ANY_ID)
    except (RegistryUnavailableError, MappingError) as error:
        return str(error)
    except UnknownSchemaError:
        return ""
    return ""


def _client(settings: Registry) -> SchemaRegistryClient:
    try:
        return SchemaRegistryClient(_config(settings))
    except (OSError, ValueError) as error:
        raise MappingError(f"source.registry can't be used: {error}: see ca_file and url") from None


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _config(settings: Registry) -> dict[str, Any]:
    config: dict[str, Any] = {"url": settings.url, "timeout": _REQUEST_SECONDS, "max.retries": 0}
    if settings.ca_file:
        config["ssl.ca.location"] = settings.ca_file
    if credentials := _credentials(settings):
        config["basic.auth.user.info"] = credentials
    return config


def _credentials(settings: Registry) -> str | None:
    """User and password with a colon in between, from the file or variable that the mapping names."""
    if settings.credentials_file:
        key, where = "credentials_file", f"the file {settings.credentials_file}"
        try:
            with open(settings.credentials_file, encoding="utf-8") as file:  # noqa: PTH123 - a path of another machine
                found = file.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise MappingError(f"source.registry.{key}: can't read {settings.credentials_file}: {error}") from None
    elif settings.credentials_env:
        key, where = "credentials_env", f"the variable {settings.credentials_env}"
        found = os.environ.get(settings.credentials_env, "")
    else:
        return None
    if ":" not in found:
        raise MappingError(f"source.registry.{key}: {where} has no user:password: write both, with a colon between")
    return found
