"""The Dags, read from the files of dags/ without running them: Airflow isn't in the environment that writes docs."""

import ast
from dataclasses import dataclass
from pathlib import Path

from fraudstream.settings import ENV_PREFIX, PROJECT_DIR


@dataclass(frozen=True)
class Dag:
    """The Dag of a file in dags/, as the file declares it. Its docstring is the runbook."""

    dag_id: str
    description: str
    schedule: str
    tags: tuple[str, ...]
    runbook: str


def dags() -> list[Dag]:
    """All Dags, by name."""
    return [_read(path) for path in sorted((PROJECT_DIR / "dags").glob("*.py"))]


def dags_table() -> str:
    """The Dags as a table in Markdown, as docs/architecture.md shows it."""
    rows = (f"| [`{dag.dag_id}`](../dags/{dag.dag_id}.py) | {dag.schedule} | {dag.description} |" for dag in dags())
    return "\n".join(["| Dag | runs | what it does |", "| --- | --- | --- |", *rows, ""])


def _read(path: Path) -> Dag:
    module = ast.parse(path.read_text(), str(path))
    (call,) = (
        node
        for node in ast.walk(module)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "DAG"
    )
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    return Dag(
        dag_id=ast.literal_eval(call.args[0]),
        description=ast.literal_eval(given["description"]),
        schedule=_schedule(given["schedule"]),
        tags=tuple(ast.literal_eval(given["tags"])),
        runbook=ast.get_docstring(module) or "",
    )


def _schedule(value: ast.expr) -> str:
    """A Dag's schedule for people: `by hand`, `every 5 minutes`, or the expression itself."""
    match value:
        case ast.Constant(value=None):
            return "by hand"
        case ast.Constant(value=str(text)):
            return f"`{text}`"
        case ast.Call(
            func=ast.Name(id="timedelta"), keywords=[ast.keyword(arg=unit, value=ast.Constant(value=int(count)))]
        ):
            return f"every {count} {unit}"
        case ast.List(elts=assets):
            return " or ".join(f"when {_asset(asset)} is updated" for asset in assets)
        case ast.Call(func=ast.Name(id="AssetOrTimeSchedule"), keywords=given):
            parts_of = {keyword.arg: keyword.value for keyword in given}
            (cron, *_) = ast.literal_eval(ast.List(parts_of["timetable"].args))  # type: ignore[attr-defined]
            return f"`{cron}`, or {_schedule(parts_of['assets'])}"
        case ast.JoinedStr(values=parts):
            return f"`{''.join(_part(part) for part in parts)}`"
    return f"`{ast.unparse(value)}`"


def _asset(name: ast.expr) -> str:
    """An asset by the name that the UI shows, of the constant that `fraudstream_airflow.assets` calls it."""
    return f"`{ast.unparse(name).lower()}`"


def _part(part: ast.expr) -> str:
    """A piece of an f-string; a value of the settings by the name of its variable."""
    if isinstance(part, ast.FormattedValue):
        _, *names = ast.unparse(part.value).split(".")
        return f"<{ENV_PREFIX}{'__'.join(names).upper()}>"
    return str(ast.literal_eval(part))
