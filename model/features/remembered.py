"""A customer's profile, and until when it is remembered: one rule for the stream and for an imported past."""

from dataclasses import dataclass, field
from typing import NamedTuple

from fraudstream.messages.contracts import BrowseEvent, Transaction
from model.features.observe import observe_browse, observe_transaction
from model.features.profile import Profile


class Retention(NamedTuple):
    """Time for which a profile is remembered after its customer's last message, in milliseconds."""

    customer_ms: int
    visitor_ms: int  # of one who never bought

    def of(self, profile: Profile) -> int:
        """The time for which `profile` is remembered."""
        return self.customer_ms if profile.history else self.visitor_ms


@dataclass(slots=True)
class Remembered:
    """A profile that is forgotten after `expires_ms`: a later event finds an empty one.

    `at_ms` is when an event arrived; this and `expires_ms` are in milliseconds since the epoch.
    """

    profile: Profile = field(default_factory=Profile)
    expires_ms: int = 0

    def browse(self, event: BrowseEvent, at_ms: int, retention: Retention) -> None:
        """Applies a browsing event."""
        self._forget_before(at_ms)
        observe_browse(self.profile, event)
        self._prolong(at_ms, retention)

    def purchase(self, event: Transaction, rate: float, at_ms: int, retention: Retention) -> list[float] | None:
        """Applies a transaction, and returns its features as `observe_transaction` does."""
        self._forget_before(at_ms)
        features = observe_transaction(self.profile, event, rate)
        if features is not None:  # a repeat changes nothing, not even how long the customer is remembered
            self._prolong(at_ms, retention)
        return features

    def _forget_before(self, at_ms: int) -> None:
        if at_ms > self.expires_ms:
            self.profile = Profile()

    def _prolong(self, at_ms: int, retention: Retention) -> None:
        self.expires_ms = max(self.expires_ms, at_ms + retention.of(self.profile))
