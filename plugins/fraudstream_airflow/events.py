"""What a trigger tells its operator: one vocabulary for both ends."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import msgspec

from fraudstream.jobs.slot import Identity


class Reason(StrEnum):
    """Why a watched job needs its operator."""

    FINISHED = "finished"  # it ended by itself with exit status 0
    STOPPED = "stopped"  # somebody had it stopped on purpose, as `fraudctl down` does
    REFUSED = "refused"  # it ended since only a person can decide how to go on
    DIED = "died"  # it ended in any other way
    STALLED = "stalled"  # it lives, but its heartbeat is too old
    SILENT = "silent"  # it lives, but gave no first heartbeat


#: The job still runs: the operator has to stop it before another attempt may start one.
STILL_RUNNING = frozenset({Reason.STALLED, Reason.SILENT})


@dataclass(frozen=True)
class JobEvent:
    """One message from trigger to operator. `detail` completes the sentence "The job …"."""

    reason: Reason
    detail: str
    identity: Identity

    def to_payload(self) -> dict[str, Any]:
        """The event as plain JSON types."""
        return asdict(self) | {"reason": self.reason.value, "identity": msgspec.to_builtins(self.identity)}

    @classmethod
    def from_payload(cls, payload: dict[str, Any]) -> "JobEvent":
        """The reverse of `to_payload`."""
        identity = msgspec.convert(payload["identity"], Identity)
        return cls(Reason(payload["reason"]), payload["detail"], identity)
