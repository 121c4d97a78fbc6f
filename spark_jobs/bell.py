"""The bell: one message to Kafka when alerts come in a burst, which starts the Dag fraud_alert_response.

One a burst and not one an alert: each starts a run, and a run costs more than hundreds of alerts.
"""

from collections import deque

#: A burst is so many alerts within this time; and the bell rings no more often.
WINDOW_SECONDS = 60.0


class Bell:
    """Counts alerts, and says when to ring."""

    def __init__(self, burst: int) -> None:
        """`burst`: alerts within `WINDOW_SECONDS` that are one."""
        self._burst = burst
        self._counted: deque[tuple[float, int]] = deque()
        self._rang = float("-inf")

    def rings(self, alerts: int, now: float) -> int:
        """Counts a batch's alerts. Returns how many came within the window when it is time to ring, else 0.

        `now` is of a monotonic clock, seconds.
        """
        if alerts:
            self._counted.append((now, alerts))
        while self._counted and self._counted[0][0] <= now - WINDOW_SECONDS:
            self._counted.popleft()
        recent = sum(number for _, number in self._counted)
        if recent < self._burst or now < self._rang + WINDOW_SECONDS:
            return 0
        self._rang = now
        return recent
