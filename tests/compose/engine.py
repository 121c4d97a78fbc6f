"""The stack of docker-compose.yaml, brought up on whatever engine `docker` reaches, under a project name of its own."""

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fraudstream.settings import PROJECT_DIR

PROJECT = "fraudstream-test"
BUILD_SECONDS = 5400
UP_SECONDS = 1800
STANDINS = {f"{name.upper()}_IMAGE": f"fraudstream-standin/{name}" for name in ("python", "postgres", "kafka")}
#: What pip's configuration may say of where packages come from, as the environment names it.
PIP_SETTINGS = ("index-url", "extra-index-url", "cert")


@dataclass(frozen=True)
class Stack:
    """A compose project with its own secrets and ports. What its containers said is kept in `log`."""

    folder: Path
    log: Path

    @property
    def env_file(self) -> Path:
        return self.folder / ".env"

    @property
    def variables(self) -> dict[str, str]:
        """What `.env` holds."""
        lines = (line for line in self.env_file.read_text().splitlines() if line and not line.startswith("#"))
        return dict(line.split("=", 1) for line in lines)

    def prepare(self, ports: dict[str, int], others: dict[str, str]) -> None:
        """Makes `.env` as the README says, with other ports."""
        shutil.copy(PROJECT_DIR / ".env.example", self.env_file)
        subprocess.run([PROJECT_DIR / "deploy" / "generate-secrets", self.env_file], check=True)
        changed = {name: str(port) for name, port in ports.items()} | others
        kept = [line for line in self.env_file.read_text().splitlines() if line.split("=")[0] not in changed]
        self.env_file.write_text("\n".join([*kept, *(f"{name}={value}" for name, value in changed.items()), ""]))

    def compose(self, *arguments: str, env_file: Path | None = None, seconds: float = 600) -> str:
        """Runs docker compose. Raises CalledProcessError, with what it said as a note."""
        command = ["docker", "compose", "--project-name", PROJECT, "--env-file", str(env_file or self.env_file)]
        # Otherwise what this process's environment holds would win over the file.
        clean = {name: value for name, value in os.environ.items() if not name.startswith("FRAUDSTREAM_")}
        done = subprocess.run(
            [*command, *arguments], cwd=PROJECT_DIR, env=clean, capture_output=True, text=True, timeout=seconds
        )
        try:
            done.check_returncode()
        except subprocess.CalledProcessError as error:
            error.add_note(done.stderr[-2000:])
            raise
        return done.stdout

    def build(self) -> None:
        """Builds both images."""
        self.compose("build", seconds=BUILD_SECONDS)

    def up(self) -> None:
        """Starts everything, and waits until `start` has ended well. Raises AssertionError with its last lines."""
        self.compose("up", "--detach", "--no-build", seconds=UP_SECONDS)
        deadline = time.monotonic() + UP_SECONDS
        while (state := self.inspect("start")["State"])["Status"] != "exited":
            assert time.monotonic() < deadline, self.compose("logs", "--tail", "20", "start")
            time.sleep(2)
        assert state["ExitCode"] == 0, self.compose("logs", "--tail", "20", "start")

    def containers(self) -> list[dict[str, Any]]:
        """What the engine knows of every container, ended ones too."""
        ids = self.compose("ps", "--all", "--quiet").split()
        shown = subprocess.run(["docker", "inspect", *ids], capture_output=True, text=True, check=True).stdout
        found: list[dict[str, Any]] = json.loads(shown)
        return found

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine knows of a service's container."""
        return next(container for container in self.containers() if name_of(container) == service)

    def down(self, *arguments: str) -> None:
        """Adds how every container is, what it uses and what it has said to the log; removes them and networks."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        used = subprocess.run(["docker", "stats", "--no-stream"], capture_output=True, text=True, check=True).stdout
        with self.log.open("a") as log:
            log.write(self.compose("ps", "--all") + used + self.compose("logs", "--no-color", "--timestamps"))
        self.compose("--profile", "cluster", "down", "--timeout", "40", *arguments)


def name_of(container: dict[str, Any]) -> str:
    """The service that a container belongs to."""
    return str(container["Config"]["Labels"]["com.docker.compose.service"])


def use_standins(jars: Path, folder: Path) -> None:
    """Makes the stand-in base images, and has the builds use them and this machine's package index."""
    subprocess.run([PROJECT_DIR / "deploy" / "standin" / "build", jars], check=True)
    os.environ.update(STANDINS)
    values = {name: os.environ.get(f"PIP_{name.upper().replace('-', '_')}") for name in PIP_SETTINGS}
    lines = [f"{name} = {value}" for name, value in values.items() if value]
    file = folder / "pip.conf"
    file.write_text("\n".join(["[global]", *lines, ""]))
    os.environ["PIP_CONFIG_FILE"] = str(file)
