"""What can be wrong with the bytes of a message, and with the registry that holds their schemas."""

from fraudstream.errors import FraudstreamError
from fraudstream.messages.reasons import DeadLetterReason
from fraudstream.messages.refusal import Rejection


class PayloadError(Exception):
    """The bytes of a message can't be read as the source's format says: `rejection` has reason and detail.

    The detail quotes nothing of a message in a registry's format.
    """

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(rejection.detail)
        self.rejection = rejection


class RegistryUnavailableError(FraudstreamError):
    """The schema registry gives no answer, or refuses us: nothing can be said of a message, so it has to wait."""


def refused(reason: DeadLetterReason, detail: str) -> PayloadError:
    """The error for a message that is refused for `reason`."""
    return PayloadError(Rejection(reason, detail))
