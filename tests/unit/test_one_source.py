"""There is one way into Postgres, for tests too, and one sum of the ledger's outcomes."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from fraudstream.settings import PROJECT_DIR

FOLDERS = ("fraudstream", "model", "spark_jobs", "plugins", "dags", "superset", "benchmarks", "testbed")
CONNECT = "fraudstream/storage/connect.py"
#: Comes without a password on purpose.
REFUSED = "tests/integration/test_storage.py"
DRIVERS = {"psycopg", "psycopg2"}
#: The table's CHECK is the schema's own; a migration stays as it was applied.
SUMS = {"fraudstream/ledger/figures.py", "fraudstream/storage/tables/ledger.py"}
SUM = re.compile(r"dead_lettered\s*\+\s*(\w+\.)?duplicates")


def files_in(*folders: str) -> Iterator[tuple[str, str]]:
    """Path within the project and text of every Python, SQL, YAML and HTML file of the folders, migrations aside."""
    for folder in folders:
        for path in sorted((PROJECT_DIR / folder).rglob("*")):
            if path.suffix in {".py", ".sql", ".yaml", ".html"} and "migrations" not in path.parts:
                yield str(path.relative_to(PROJECT_DIR)), path.read_text()


def opens_postgres(node: ast.AST) -> bool:
    """True for `psycopg.connect`, `psycopg.Connection.connect` and `from psycopg import connect`, as code writes it."""
    if isinstance(node, ast.ImportFrom):
        return node.module in DRIVERS and any(alias.name == "connect" for alias in node.names)
    if not (isinstance(node, ast.Attribute) and node.attr == "connect"):
        return False
    return re.fullmatch(r"psycopg2?(\.(Async)?Connection)?|(Async)?Connection", ast.unparse(node.value)) is not None


def connecting(files: Iterator[tuple[str, str]]) -> set[str]:
    """The files with code that opens a connection by itself."""
    return {
        name
        for name, text in files
        if Path(name).suffix == ".py" and any(opens_postgres(node) for node in ast.walk(ast.parse(text)))
    }


def test_only_one_module_connects_to_postgres() -> None:
    assert connecting(files_in(*FOLDERS, "tests")) == {CONNECT, REFUSED}


def test_another_way_in_would_be_found() -> None:
    ways = (
        "import psycopg\npsycopg.connect('')",
        "from psycopg import Connection\nConnection.connect('')",
        "from psycopg import connect",
    )
    assert all(connecting(iter([("a.py", way)])) == {"a.py"} for way in ways)


def test_the_sum_of_outcomes_stands_once() -> None:
    assert {name for name, text in files_in(*FOLDERS) if SUM.search(text)} == SUMS
