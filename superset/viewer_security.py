"""Access to a chart's data: who may not explore its dataset gets what a saved chart asks for, and nothing else.

Superset lets everybody who sees a dashboard send any query to the datasets of its charts, SQL expressions included. It
compares with the saved chart for embedded guests alone, and by fields that leave filters and `extras` out.
"""

import json
from typing import Any

from superset.errors import ErrorLevel, SupersetError, SupersetErrorType
from superset.exceptions import SupersetSecurityException
from superset.security import SupersetSecurityManager

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
#: Fields that no chart here sets.
UNUSED = ("annotation_layers", "apply_fetch_values_predicate", "time_offsets", "time_shift", "granularity")


class ViewerSecurityManager(SupersetSecurityManager):  # type: ignore[misc]  # Superset is untyped here
    """Superset's security manager, which refuses viewers every query that isn't a saved chart's."""

    #: The desk is given to analysts by name (bootstrap.py), and to no role of Superset's but Admin.
    ADMIN_ONLY_VIEW_MENUS = SupersetSecurityManager.ADMIN_ONLY_VIEW_MENUS | {"Desk"}

    def raise_for_access(self, *args: Any, **kwargs: Any) -> None:
        """Raises SupersetSecurityException when the user can't access the resource that is named (as Superset's)."""
        super().raise_for_access(*args, **kwargs)
        context, viz = kwargs.get("query_context"), kwargs.get("viz")
        if context and not self._may_explore(context.datasource) and not self._is_saved(context):
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


def matches(query: Any, saved: dict[str, Any]) -> bool:
    """Whether a query asks for nothing beyond the saved one: the same terms or fewer, no filter, no SQL of its own."""
    return (
        all(_frozen(getattr(query, field)) <= _allowed(saved, sources) for field, sources in COMPARED.items())
        and not any(getattr(query, field) for field in UNUSED)
        and not any((query.extras or {}).values())
        and (query.series_limit_metric is None or _frozen([query.series_limit_metric]) <= _allowed(saved, ("metrics",)))
        and all(_drops_nulls(condition, saved) for condition in query.filter)
        and all(_is_step(step, saved) for step in query.post_processing)
    )


def _is_step(step: dict[str, Any] | None, saved: dict[str, Any]) -> bool:
    """Whether a step after the query is harmless, or the saved chart's."""
    return step is None or step.get("operation") in POST_PROCESSING or step in saved.get("post_processing", ())


def _drops_nulls(condition: dict[str, Any], saved: dict[str, Any]) -> bool:
    """Whether a filter is the map's: `column IS NOT NULL`, of a column that the chart asks for."""
    return condition.get("op") == "IS NOT NULL" and condition.get("col") in saved["columns"]


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
