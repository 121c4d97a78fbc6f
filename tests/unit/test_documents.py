"""The documentation is true of the repository: its links, paths, commands and modules exist, and its form is kept.

Each check is a function from a page to its findings, and is tried on planted mistakes as well.
"""

import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from fraudstream.cli.main import app
from fraudstream.local.testing import SUITES
from fraudstream.settings import PROJECT_DIR
from tests.commands import run_here
from tests.unit.documents import Page

#: The folders of the repository. Others beside them (`var`, a history, a model of one's own) aren't ours.
ROOMS = (
    "benchmarks", "dags", "deploy", "docs", "examples", "fraudstream", "model", "plugins", "requirements", "spark_jobs",
    "superset", "testbed", "tests",
)  # fmt: skip
#: Written by release: what it says was true then.
HISTORY = PROJECT_DIR / "CHANGELOG.md"
PATHS = [*PROJECT_DIR.glob("*.md"), *(path for room in ROOMS for path in (PROJECT_DIR / room).rglob("*.md"))]
PAGES = [Page(path) for path in sorted(PATHS)]
CURRENT = [page for page in PAGES if page.path != HISTORY]
WRITTEN_BY_HAND = [page for page in CURRENT if not page.generated]
WIDTH = 120
CELL = 200

#: Images, named as images are: not folders.
IMAGES = frozenset({"fraudstream/platform", "fraudstream/superset", "fraudstream/airflow", "fraudstream/spark"})
#: Files that whoever runs the platform makes, or PostgreSQL does.
MADE_LATER = frozenset(
    {
        ".env",
        "columns.toml",
        "compose.env",
        "disputes.toml",
        "docker-compose.override.yaml",
        "fraudstream.env",
        "orders.toml",
        "pg_hba.conf",
        "policy.toml",
    }
)
FILE_NAME = re.compile(r"[\w.-]*\.(?:py|yaml|md|toml|lock|properties|env|conf|in)")

#: Modules of the commands that hand all their arguments on.
PASSED_TO = {
    "produce": ("fraudstream.simulator", "produce"),
    "train": ("model.training.train",),
    "evaluate": ("model.evaluate",),
    "models": ("model.serving.registry_cli",),
    "history": ("model.past",),
    "erase": ("fraudstream.erasure",),
    "mapping": ("fraudstream.mappings",),
    **{name: (f"model.policy.{name}_cli",) for name in ("rules", "lists", "policy")},
}
#: Options of pytest itself that the docs use.
PYTEST = frozenset({"-k"})


#: What describes a deployment, and names files and modules in its comments and commands.
DEPLOYMENT = [
    *(PROJECT_DIR / name for name in ("docker-compose.yaml", ".env.example", "pyproject.toml")),
    *(path for path in sorted((PROJECT_DIR / "deploy").rglob("*")) if path.is_file()),
]
PATH_IN_TEXT = re.compile(rf"(?<![\w/.-])(?:{'|'.join(ROOMS)})/[\w./-]*\w")
MODULE_IN_TEXT = re.compile(r" -m ((?:fraudstream|model|spark_jobs)\b[\w.]*)")


def by_name(page: Page) -> str:
    return str(page.path.relative_to(PROJECT_DIR))


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_links_lead_somewhere(page: Page) -> None:
    assert broken_links(page) == []


@pytest.mark.parametrize("page", CURRENT, ids=by_name)
def test_named_paths_exist(page: Page) -> None:
    assert missing_paths(page) == []


@pytest.mark.parametrize("page", CURRENT, ids=by_name)
def test_commands_and_their_options_exist(page: Page) -> None:
    assert [problem for words in page.commands for problem in command_problems(words)] == []


@pytest.mark.parametrize("page", CURRENT, ids=by_name)
def test_modules_and_their_options_exist(page: Page) -> None:
    assert [problem for module, words in page.modules for problem in module_problems(module, words)] == []


@pytest.mark.parametrize("page", WRITTEN_BY_HAND, ids=by_name)
def test_lines_and_cells_are_short(page: Page) -> None:
    assert wide_lines(page) == []
    assert long_cells(page) == []


@pytest.mark.parametrize("path", DEPLOYMENT, ids=lambda path: str(path.relative_to(PROJECT_DIR)))
def test_deployments_name_what_exists(path: Path) -> None:
    text = path.read_text()
    named = set(PATH_IN_TEXT.findall(text)) - IMAGES
    assert sorted(name for name in named if not (PROJECT_DIR / name).exists()) == []
    assert [module for module in MODULE_IN_TEXT.findall(text) if not exists(module)] == []


def test_each_room_is_described() -> None:
    rooms = [path.parent for path in (PROJECT_DIR / "fraudstream").glob("*/__init__.py")]
    named = Page(PROJECT_DIR / "docs" / "architecture.md").words
    assert [room.name for room in rooms if f"fraudstream/{room.name}/" not in named] == []


def broken_links(page: Page) -> list[str]:
    return [link for link in page.links if not re.match(r"\w+:", link) and not leads_somewhere(page, link)]


def leads_somewhere(page: Page, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = page.path.parent / name if name else page.path
    return target.exists() and (not anchor or anchor in Page(target).anchors)


def missing_paths(page: Page) -> list[str]:
    return sorted(word for word in page.words - IMAGES - MADE_LATER if names_path(word) and not path_exists(page, word))


def names_path(word: str) -> bool:
    return word.split("/")[0] in ROOMS if "/" in word else FILE_NAME.fullmatch(word) is not None


def path_exists(page: Page, word: str) -> bool:
    """Whether a path lies in the repository. A name alone is that of any file there, or of one beside the page."""
    if "/" in word:
        return (PROJECT_DIR / word).exists()
    return word in file_names() or (page.path.parent / word).exists()


@cache
def file_names() -> frozenset[str]:
    inside = (path for room in ROOMS for path in (PROJECT_DIR / room).rglob("*"))
    return frozenset(path.name for path in (*PROJECT_DIR.iterdir(), *inside))


def wide_lines(page: Page) -> list[tuple[int, str]]:
    return [(number, line) for number, line in page.prose if len(line) > WIDTH]


def long_cells(page: Page) -> list[str]:
    return [cell for cell in page.cells if len(cell) > CELL]


def command_problems(words: list[str]) -> Iterator[str]:
    """What is wrong with the arguments of a `fraudctl …`."""
    command: Any = typer.main.get_command(app)
    rest = words
    while rest and (inner := getattr(command, "commands", {}).get(rest[0])):
        command, rest = inner, rest[1:]
    name = command.name
    own = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    if getattr(command, "commands", None):
        yield f"no command {' '.join(words)!r}"
    elif name in PASSED_TO:
        module, *before = PASSED_TO[name]
        yield from module_problems(module, [*before, *rest])
    elif name == "bench":
        yield from benchmark_problems(rest)
    elif name == "test":
        yield from suite_problems(rest)
    elif name != "psql":
        yield from unknown(words, rest, own)
        places = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
        if len(positional(rest)) > len(places) and not any(place.nargs == -1 for place in places):
            yield f"{' '.join(words)!r} takes fewer arguments"


def module_problems(module: str, words: list[str]) -> Iterator[str]:
    """What is wrong with a `python -m …`. A module is asked for its help when options are told, or a command of it."""
    if not exists(module):
        yield f"no module {module}"
    elif words:
        commands = [words[0]] if re.fullmatch(r"[a-z]+", words[0]) else []
        said = help_of(module, *commands)
        if not said:
            yield f"no command of {module}: {words[0]}"
        yield from unknown([module, *words], words, options_in(said))


def exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def benchmark_problems(words: list[str]) -> Iterator[str]:
    if not words:
        return
    if not (PROJECT_DIR / "benchmarks" / f"{words[0]}.py").exists():
        yield f"no benchmark {words[0]}"
    elif options(words):
        yield from unknown(words, words, options_in(help_of(f"benchmarks.{words[0]}")))


def suite_problems(words: list[str]) -> Iterator[str]:
    """Suites are folders of tests, whose options their conftest.py declares."""
    suite = words[0] if positional(words[:1]) else "all"
    if suite not in (*SUITES, "all"):
        yield f"no suite {suite}"
        return
    tests = PROJECT_DIR / "tests"
    declared = [file.read_text() for file in (tests / "conftest.py", tests / suite / "conftest.py") if file.exists()]
    known = set(re.findall(r'addoption\(\s*"(--[\w-]+)"', "\n".join(declared)))
    yield from unknown(words, words, PYTEST | known)


def unknown(words: list[str], told: list[str], known: set[str] | frozenset[str]) -> Iterator[str]:
    return (f"no option {option} of {' '.join(words)!r}" for option in options(told) if option not in known)


def options(words: list[str]) -> list[str]:
    return [word.split("=")[0] for word in words if re.match(r"-{1,2}[a-z]", word)]


def positional(words: list[str]) -> list[str]:
    """The arguments before the first option, whose own values can't be told from arguments."""
    first = next((place for place, word in enumerate(words) if word.startswith("-")), len(words))
    return words[:first]


def options_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", text))


@cache
def help_of(module: str, *commands: str) -> str:
    """What a program prints for --help, or "" when it doesn't know the command."""
    shown = run_here(module, *commands, "--help", COLUMNS="200")
    return shown.stdout if shown.returncode == 0 else ""


PLANTED = """\
# A page, with `code`

[a file](absent.md), [a heading](page.md#nowhere), [right](page.md#a-page-with-code), [elsewhere](https://example.com)

`spark_jobs/takeover.py`, `fraudstream/messages/contracts.py`, `takeover.py`, `fraudstream/platform`

```
./fraudctl up  # and not: ./fraudctl rise
./fraudctl statsu --json
./fraudctl status --jsno && ./fraudctl down now
./fraudctl produce --rtae 5 --rate 5
./fraudctl models demote VERSION
./fraudctl test fault --long
./fraudctl test faults --longer -k "not random"
./fraudctl bench soak -- --minuets 60
python -m fraudstream.absent --help
```

| column |
| --- |
| short |
"""
GENERATED = "<!-- table: written by `python -m fraudstream.docs` -->\n\n{table}\n<!-- end of table -->\n"


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Page:
    path: Path = tmp_path_factory.mktemp("docs") / "page.md"
    long = "wide " * 50
    generated = GENERATED.format(table=f"| generated |\n| --- |\n| {long} |\n")
    path.write_text(f"{PLANTED}| {long} |\n\n{long}\n\n```\n{long}\n```\n\n{generated}")
    return Page(path)


def test_planted_links_and_paths_are_found(planted: Page) -> None:
    assert broken_links(planted) == ["absent.md", "page.md#nowhere"]
    assert missing_paths(planted) == ["spark_jobs/takeover.py", "takeover.py"]


def test_planted_commands_are_found(planted: Page) -> None:
    assert [problem for words in planted.commands for problem in command_problems(words)] == [
        "no command 'statsu --json'",
        "no option --jsno of 'status --jsno'",
        "'down now' takes fewer arguments",
        "no option --rtae of 'fraudstream.simulator produce --rtae 5 --rate 5'",
        "no command of model.serving.registry_cli: demote",
        "no suite fault",
        "no option --longer of 'faults --longer -k not random'",
        "no option --minuets of 'soak -- --minuets 60'",
    ]


def test_planted_modules_are_found(planted: Page) -> None:
    assert [problem for module, words in planted.modules for problem in module_problems(module, words)] == [
        "no module fraudstream.absent"
    ]


def test_planted_width_is_found(planted: Page) -> None:
    (line,) = wide_lines(planted)
    assert line[1].startswith("wide")
    (cell,) = long_cells(planted)
    assert cell.startswith("wide")
