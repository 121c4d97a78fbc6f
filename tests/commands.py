"""./fraudctl and the modules that Dags run, run as a user or a supervisor runs them, or in this process."""

import io
import os
import runpy
import signal
import subprocess
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout

import pytest

from fraudstream.settings import ENV_PREFIX, PROJECT_DIR

FAILPOINTS = f"{ENV_PREFIX}STREAM__FAILPOINTS"
KILL_SECONDS = 120.0


def fraudctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs ./fraudctl with this process's environment. The caller looks at the exit status."""
    return subprocess.run([PROJECT_DIR / "fraudctl", *arguments], capture_output=True, text=True, check=False)


def run_here(module: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`python -m module` without a process of its own, which would take seconds to import what is imported here.

    For what a command does and says. `variables` are set besides the environment's.
    """
    out, errors = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(errors):
        patch.setattr(sys, "argv", [module, *arguments])
        patch.setattr(sys, "excepthook", sys.excepthook)  # the commands set their own
        for name, value in variables.items():
            patch.setenv(name, value)
        status = _status_of(module)
    return subprocess.CompletedProcess([module, *arguments], status, out.getvalue(), errors.getvalue())


def _status_of(module: str) -> int:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".* found in sys.modules", RuntimeWarning)  # imported by a test, too
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
            return 1
        return end.code or 0
    except Exception as error:
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    return 0


def run_until(failpoint: str, module: str, *arguments: str, **variables: str) -> None:
    """`python -m module` until `failpoint`, such as `in-rescoring=kill`, kills it, with the process group it leads."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=os.environ | variables | {FAILPOINTS: failpoint},
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=KILL_SECONDS,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
