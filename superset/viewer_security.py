"""Access to a chart's data: who may not explore its dataset gets what a saved chart asks for, and nothing else.

Besides, a dashboard's filters: values of the columns that filters.py names, as strings, which end as quoted strings in
SQL; and the values that a native filter offers.

Superset lets everybody who sees a dashboard send any query to the datasets of its charts, SQL expressions included. It
compares with the saved chart for embedded guests alone, and by fields that leave filters and `extras` out.
"""

import json
from typing import Any

import filters
from superset.errors import ErrorLevel, SupersetError, SupersetErrorType
from superset.exceptions import SupersetSecurityException
from superset.security import SupersetSecurityManager

#: What a native filter's query says of itself.
NATIVE_FILTER = "NATIVE_FILTER"
#: Kinds of answers that hold a query's rows. Others run a query of their own, or tell SQL.
RESULT_TYPES = frozenset({"full", "results", "post_processed"})
#: Steps after the query that only give rows another form. Other steps are compared with the saved chart's.
POST_PROCESSING = frozenset({"pivot", "flatten", "rename"})
#: Field of a query object, and the fields of the saved query that hold what may stand in it.
COMPARED = {
    "columns": ("columns",),
    "series_columns": ("columns",),
    "metrics": ("metrics",),
    "orderby": ("orderby",),
}
#: What one filter may hold.
VALUES, CHARACTERS = 100, 200
#: Fields that no chart here sets.
UNUSED = ("apply_fetch_values_predicate", "time_offsets", "time_shift", "granularity")


class ViewerSecurityManager(SupersetSecurityManager):  # type: ignore[misc]  # Superset is untyped here
    """Superset's security manager, which refuses viewers every query that isn't a saved chart's."""

    #: The desk is given to analysts by name (bootstrap.py), and to no role of Superset's but Admin.
    ADMIN_ONLY_VIEW_MENUS = SupersetSecurityManager.ADMIN_ONLY_VIEW_MENUS | {"Desk"}

    def raise_for_access(self, *args: Any, **kwargs: Any) -> None:
        """Raises SupersetSecurityException when the user can't access the resource that is named (as Superset's)."""
        super().raise_for_access(*args, **kwargs)
        context, viz = kwargs.get("query_context"), kwargs.get("viz")
        if context and not self._may_explore(context.datasource):
            is_choice = (context.form_data or {}).get("type") == NATIVE_FILTER
            if not (self._is_choice(context) if is_choice else self._is_saved(context)):
                raise _refusal()
        if viz and not self._may_explore(viz.datasource):  # Superset's older charts, of which none is used here
            raise _refusal()

    def _may_explore(self, datasource: Any) -> bool:
        return bool(
            self.can_access_schema(datasource)
            or self.can_access("datasource_access", datasource.perm or "")
            or self.is_owner(datasource)
        )

    def _is_saved(self, context: Any) -> bool:
        """Whether every query is one of the saved chart that it names, on that chart's own dataset."""
        from superset.models.slice import Slice

        number = (context.form_data or {}).get("slice_id")
        chart = self.session.get(Slice, number) if isinstance(number, int) else None
        if chart is None or chart.datasource != context.datasource or not chart.query_context:
            return False
        saved = json.loads(chart.query_context)["queries"][0]
        return _is_rows(context) and all(_is_rows(query) and matches(query, saved) for query in context.queries)

    def _is_choice(self, context: Any) -> bool:
        """Whether every query asks for the values that a native filter of a dashboard offers.

        That the dashboard may be seen, and has the filter, Superset has found.
        """
        from superset.models.dashboard import Dashboard

        board = self.session.get(Dashboard, context.form_data["dashboardId"])
        columns = {
            target["column"]["name"]
            for each in json.loads(board.json_metadata)["native_filter_configuration"]
            for target in each["targets"]
            if each["id"] == context.form_data["native_filter_id"] and target.get("datasetId") == context.datasource.id
        }
        return _is_rows(context) and all(
            _is_rows(query) and any(asks_for_values(query, column) for column in columns) for query in context.queries
        )


def asks_for_values(query: Any, column: str) -> bool:
    """Whether a query asks for a column's values, and nothing else."""
    return matches(query, {"columns": [column], "metrics": [], "orderby": [[column, True], [column, False]]})


def matches(query: Any, saved: dict[str, Any]) -> bool:
    """Whether a query asks for nothing beyond the saved one: the same terms or fewer, no SQL of its own.

    Its filters may be those of a dashboard.
    """
    return (
        all(_frozen(getattr(query, field)) <= _allowed(saved, sources) for field, sources in COMPARED.items())
        and not any(getattr(query, field) for field in UNUSED)
        and _layers(query.annotation_layers) <= _layers(saved.get("annotation_layers"))
        and not any((query.extras or {}).values())
        and (query.series_limit_metric is None or _frozen([query.series_limit_metric]) <= _allowed(saved, ("metrics",)))
        and all(_drops_nulls(condition, saved) or is_filter(condition) for condition in query.filter)
        and all(_is_step(step, saved) for step in query.post_processing)
    )


def _layers(layers: Any) -> set[str]:
    """What annotation layers are of: another's rows, or of a chart, are no viewer's."""
    return _frozen({"of": layer.get("sourceType"), "value": layer.get("value")} for layer in layers or ())


def _is_step(step: dict[str, Any] | None, saved: dict[str, Any]) -> bool:
    """Whether a step after the query is harmless, or the saved chart's."""
    return step is None or step.get("operation") in POST_PROCESSING or step in saved.get("post_processing", ())


def _drops_nulls(condition: dict[str, Any], saved: dict[str, Any]) -> bool:
    """Whether a filter is the map's: `column IS NOT NULL`, of a column that the chart asks for."""
    return condition.get("op") == "IS NOT NULL" and condition.get("col") in saved["columns"]


def is_filter(condition: dict[str, Any]) -> bool:
    """Whether it is a dashboard's filter: a declared column is one of a few strings."""
    column, values = condition.get("col"), condition.get("val")
    return (
        isinstance(column, str)
        and column in filters.NAMES
        and condition.get("op") == "IN"
        and isinstance(values, list)
        and 0 < len(values) <= VALUES
        and all(isinstance(value, str) and len(value) <= CHARACTERS and "\0" not in value for value in values)
    )


def _is_rows(asked: Any) -> bool:
    return asked.result_type is None or asked.result_type in RESULT_TYPES


def _allowed(saved: dict[str, Any], fields: tuple[str, ...]) -> set[str]:
    return {term for field in fields for term in _frozen(saved.get(field))}


def _frozen(terms: Any) -> set[str]:
    """Terms in a form that can be compared: columns and metrics are names, or objects in which null is absent."""
    return {
        json.dumps({key: value for key, value in term.items() if value is not None}, sort_keys=True)
        if isinstance(term, dict)
        else json.dumps(term)
        for term in terms or ()
    }


def _refusal() -> SupersetSecurityException:
    return SupersetSecurityException(
        SupersetError(
            message="Viewers get what the saved charts ask for, and nothing else",
            error_type=SupersetErrorType.DATASOURCE_SECURITY_ACCESS_ERROR,
            level=ErrorLevel.WARNING,
        )
    )
