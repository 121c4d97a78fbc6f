"""How the registry names artifacts: relative inside the project, so that a moved checkout works."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from fraudstream.settings import PROJECT_DIR
from model.serving.registry import PRETRAINED, ModelVersion, stored_path


def version(artifact: Path) -> ModelVersion:
    return ModelVersion("v", "champion", artifact, "00", ("a",), 0.5, {}, datetime.now(UTC), False)


def test_a_folder_of_the_project_is_stored_relative_and_found_again() -> None:
    assert stored_path(PRETRAINED) == "model/pretrained"
    assert version(Path("model/pretrained")).artifact == PROJECT_DIR / "model" / "pretrained"


def test_a_folder_elsewhere_is_stored_absolute(tmp_path: Path) -> None:
    assert stored_path(tmp_path) == str(tmp_path.resolve())
    assert version(tmp_path).artifact == tmp_path


def test_the_registry_needs_no_model_library() -> None:
    heavy = ("sklearn", "skops", "numpy", "pandas", "shap", "pyspark")
    code = f"import sys, model.serving.registry; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
