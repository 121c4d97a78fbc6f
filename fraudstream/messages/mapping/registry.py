"""`[source.registry]` of a mapping: where the schemas of a topic's messages are. No secret stands in it."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

#: Formats whose messages carry the id of a schema in a registry.
REGISTERED = frozenset({"avro", "protobuf", "json-schema"})
_FILES = ("ca_file", "credentials_file")
_LONGEST_RETRY = 3600


class Registry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A schema registry that speaks Confluent's API.

    The credentials are `user:password`, in a file or in a variable of the environment.
    """

    url: str
    ca_file: str | None = None
    credentials_file: str | None = None
    credentials_env: str | None = None
    retry_seconds: float = 30.0


def beside(folder: Path, registry: Registry) -> Registry:
    """The registry with its files by their whole paths: those that the mapping in `folder` names stand beside it."""
    files = {key: name and str(folder.absolute() / name) for key in _FILES if (name := getattr(registry, key))}
    return replace(registry, **files)


def registry_problems(registry: Registry, form: str) -> Iterator[str]:
    """What is wrong with a registry of a source with the format `form`."""
    if form not in REGISTERED:
        yield f"[source.registry]: for {', '.join(sorted(REGISTERED))}, and source.format is {form!r}"
    try:
        url = urlsplit(registry.url)
    except ValueError:
        yield "source.registry.url: is no URL, such as https://registry.example:8081"
        return
    if "@" in registry.url:  # credentials, which an error may not repeat
        yield "source.registry.url: has credentials in it: move them to a file, and name that as credentials_file"
    elif url.scheme not in {"http", "https"} or not url.hostname:
        yield f"source.registry.url = {registry.url!r}: is no URL, such as https://registry.example:8081"
    if registry.credentials_file and registry.credentials_env:
        yield "source.registry: say one of credentials_file and credentials_env, not both"
    if not 0 <= registry.retry_seconds <= _LONGEST_RETRY:
        yield f"source.registry.retry_seconds = {registry.retry_seconds}: must be from 0 to {_LONGEST_RETRY}"
