"""Superset's event log, kept for what people do."""

from typing import Any

from superset.utils.log import DBEventLogger

#: Written by every chart of every open dashboard at each refresh: 100,000 rows a day for one viewer.
REFRESHES = ("ChartDataRestApi", "log")


class PeopleEventLogger(DBEventLogger):
    """Logs what people do (sign in, edit, export) to the metadata database, not what their browsers repeat."""

    def log(self, user_id: int | None, action: str, *args: Any, **kwargs: Any) -> None:
        """Records one event, unless it comes from a refresh."""
        if action.partition(".")[0] not in REFRESHES:
            super().log(user_id, action, *args, **kwargs)
