"""Messages from a trigger to its operator: one vocabulary, the *ending* of a watched job, for both ends."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from fraudstream.jobs.slot import Identity


class Ending(StrEnum):
    """Ways in which the watch over a job ends."""

    FINISHED = "finished"  # it ended by itself with exit status 0
    STOPPED = "stopped"  # somebody had it stopped on purpose, as `fraudctl down` does
    REFUSED = "refused"  # it ended since only a person can decide how to go on
    DIED = "died"  # it ended in any other way
    STALLED = "stalled"  # it lives, but its heartbeat is too old
    SILENT = "silent"  # it lives, but gave no first heartbeat


#: The job still runs: the operator has to stop it before another attempt may start one.
STILL_RUNNING = frozenset({Ending.STALLED, Ending.SILENT})


@dataclass(frozen=True)
class JobEvent:
    """One message from trigger to operator. `detail` completes the sentence "The job …"."""

    ending: Ending
    detail: str
    identity: Identity

    def to_payload(self) -> dict[str, Any]:
        """The event as plain JSON types.

        The ending's key is `reason`: Airflow stores events, and an upgrade finds those of older releases.
        """
        return {"reason": self.ending.value, "detail": self.detail, "identity": msgspec.to_builtins(self.identity)}

    @classmethod
    def from_payload(cls, payload: dict[str, Any]) -> "JobEvent":
        """The reverse of `to_payload`."""
        identity = msgspec.convert(payload["identity"], Identity)
        return cls(Ending(payload["reason"]), payload["detail"], identity)
