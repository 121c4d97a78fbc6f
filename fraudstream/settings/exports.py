"""Settings as environment variables: which of them are secrets, and what child processes get."""

import os
from collections.abc import Iterator

from pydantic import BaseModel, SecretStr

from fraudstream.settings.group import ENV_PREFIX
from fraudstream.settings.settings import Settings


def secret_variables(group: type[BaseModel] = Settings, prefix: str = ENV_PREFIX) -> Iterator[str]:
    """The environment's name of every setting that is a secret."""
    for name, field in group.model_fields.items():
        if field.annotation is SecretStr:
            yield prefix + name.upper()
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from secret_variables(field.annotation, f"{prefix}{name.upper()}__")


def secret_values(group: BaseModel, prefix: str = ENV_PREFIX) -> Iterator[tuple[str, str]]:
    """The environment's name and the value of every secret that is set."""
    for name in type(group).model_fields:
        value = getattr(group, name)
        if isinstance(value, SecretStr) and value.get_secret_value():
            yield prefix + name.upper(), value.get_secret_value()
        elif isinstance(value, BaseModel):
            yield from secret_values(value, f"{prefix}{name.upper()}__")


def exported_environment(settings: Settings) -> dict[str, str]:
    """The settings that the environment holds now, for processes that outlive it. Holds no secret."""
    secret = set(secret_variables())
    inherited = {
        name: value for name, value in os.environ.items() if name.startswith(ENV_PREFIX) and name not in secret
    }
    return inherited | {ENV_PREFIX + "VAR_DIR": str(settings.paths.var)}


def exported_secrets(group: str, *, except_for: str = "") -> dict[str, str]:
    """The secrets of a group of settings that the environment holds now, for processes that sign in with them.

    `except_for`: the part of the group that they don't need, if any.
    """
    prefix = f"{ENV_PREFIX}{group.upper()}__"
    needed = (
        n for n in secret_variables() if n.startswith(prefix) and not n.startswith(f"{prefix}{except_for.upper()}__")
    )
    return {name: os.environ[name] for name in needed if name in os.environ}
