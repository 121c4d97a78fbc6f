"""The base of every group of settings."""

from pydantic import BaseModel, ConfigDict

#: Prefix of all settings' names in the environment.
ENV_PREFIX = "FRAUDSTREAM_"


class Group(BaseModel):
    """A group of settings: frozen, and an unknown name is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
