"""What every group of settings is."""

from pydantic import BaseModel, ConfigDict

#: What the names of all settings begin with in the environment.
ENV_PREFIX = "FRAUDSTREAM_"


class Group(BaseModel):
    """A group of settings: frozen, and an unknown name is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
