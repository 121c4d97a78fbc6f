"""Superset's event log, kept for what people do."""

import re
from typing import Any

from flask import has_request_context, request
from superset.utils.log import DBEventLogger

#: Where open dashboards ask for their charts' data, and tell how long that took. Events are named after whatever
#: function of Superset logs them (`ChartDataRestApi.data`, `_get_data_response`, …), so that names are no way to tell.
REFRESHES = re.compile(r"/api/v1/chart/(\d+/)?data|/superset/log/")


class PeopleEventLogger(DBEventLogger):
    """Logs what people do (sign in, edit, export) to the metadata database, not what their browsers repeat."""

    def log(self, user_id: int | None, action: str, *args: Any, **kwargs: Any) -> None:
        """Records one event, unless it comes from a refresh."""
        if has_request_context() and REFRESHES.match(request.path):
            return
        super().log(user_id, action, *args, **kwargs)
