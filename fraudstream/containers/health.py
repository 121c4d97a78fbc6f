"""A container's health check: asks a URL, and, of Airflow's health report, about the components that are named.

Python's own library only: an engine runs it every few seconds, and each import would cost. Exit status 1 and a line
for what isn't healthy. Example: python -m fraudstream.containers.health http://127.0.0.1:8088/health
"""

import json
import sys
import urllib.request
from collections.abc import Sequence

SECONDS = 8.0


def problems(url: str, components: Sequence[str], seconds: float = SECONDS) -> list[str]:
    """Complaints, a line each: the URL doesn't answer with status 200, or the report names a component sick."""
    try:
        with urllib.request.urlopen(url, timeout=seconds) as answer:  # noqa: S310 (http, our own)
            text = answer.read()
    except OSError as error:
        return [f"{url}: {error}"]
    if not components:
        return []
    report = json.loads(text)
    states = {name: (report.get(name) or {}).get("status") for name in components}
    return [f"{name} is {state}" for name, state in states.items() if state != "healthy"]


def main() -> int:
    """Prints the problems; the exit status tells whether there are any."""
    url, *components = sys.argv[1:]
    found = problems(url, components)
    print("\n".join(found) or "healthy")  # noqa: T201 - `docker inspect` shows it
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
