"""The documentation says what the code does: generated text is fresh, and nothing that people use goes unexplained."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fraudstream.docs.commands import commands, examples
from fraudstream.docs.dags import Dag, dags
from fraudstream.docs.pages import MarkerError, documents, markers, put
from fraudstream.docs.picture import picture
from fraudstream.settings import PROJECT_DIR

DOCUMENTS = documents()
PROSE = {path.name: path.read_text() for path in (PROJECT_DIR / "README.md", *(PROJECT_DIR / "docs").glob("*.md"))}
BENCHMARKS = sorted((PROJECT_DIR / "benchmarks").glob("*.py"))
DASHBOARDS = sorted((PROJECT_DIR / "superset" / "assets" / "dashboards").glob("*.yaml"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_generated_text_is_fresh(path: Path) -> None:
    assert path.read_text() == DOCUMENTS[path], "run: python -m fraudstream.docs"


@pytest.mark.parametrize("name", [name for name in PROSE if name != "README.md"])
def test_each_page_is_linked(name: str) -> None:
    assert [page for page, text in PROSE.items() if page != name and f"{name})" in text]


@pytest.mark.parametrize("name", commands())
def test_each_command_explains_itself(name: str) -> None:
    command = commands()[name]
    assert [text for text in examples(command.help) if f"./fraudctl {name}" in text]
    assert [parameter.name for parameter in command.params if not parameter.help] == []
    assert f"\n## {name}\n" in PROSE["commands.md"]


@pytest.mark.parametrize("dag", dags(), ids=lambda dag: dag.dag_id)
def test_each_dag_has_a_runbook_and_a_place_in_the_picture(dag: Dag) -> None:
    assert "**Start**" in dag.runbook
    assert "### Triage" in dag.runbook
    assert picture().count(dag.dag_id) == 1


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_each_benchmark_is_documented_with_its_command(path: Path) -> None:
    command = f"./fraudctl bench {path.stem}"
    assert command in path.read_text()
    assert [page for page, text in PROSE.items() if command in text]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_each_dashboard_is_in_the_readme(path: Path) -> None:
    dashboard = yaml.safe_load(path.read_text())
    assert f"| {dashboard['dashboard_title']} | " in PROSE["README.md"]
    assert f"/superset/dashboard/{dashboard['slug']}/" in PROSE["README.md"]


def test_what_is_stale_is_named_and_written_anew(tmp_path: Path) -> None:
    for name in ("fraudstream", "model", "dags", "docs", "superset"):
        shutil.copytree(PROJECT_DIR / name, tmp_path / name, ignore=shutil.ignore_patterns("pretrained", "__pycache__"))
    pages = [tmp_path / "docs" / name for name in ("architecture.md", "settings.md")]
    fresh = [page.read_text() for page in pages]
    pages[0].write_text(fresh[0].replace("train_fraud_model", "train_model") + "Somebody's own words.\n")
    pages[1].write_text(fresh[1] + "Somebody's own words.\n")

    checked = _docs(tmp_path, "--check")
    assert checked.returncode == 1
    assert checked.stdout.splitlines() == ["stale: docs/settings.md", "stale: docs/architecture.md"]
    assert _docs(tmp_path).returncode == 0
    assert [page.read_text() for page in pages] == [fresh[0] + "Somebody's own words.\n", fresh[1]]
    assert _docs(tmp_path, "--check").returncode == 0


def test_a_page_without_markers_is_refused() -> None:
    begin, end = markers("rights")
    assert put(f"before\n{begin}\nold\n{end}\nafter\n", "p.md", "rights", "new\n") == (
        f"before\n{begin}\n\nnew\n\n{end}\nafter\n"
    )
    for text in ("", begin, f"{end}\n{begin}", f"{begin}{end}{begin}{end}"):
        with pytest.raises(MarkerError, match=r"docs/p\.md"):
            put(text, "p.md", "rights", "new")


def _docs(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fraudstream.docs", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=project, env=os.environ | {"PYTHONPATH": str(project)}
    )
