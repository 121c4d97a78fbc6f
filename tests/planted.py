"""Secrets that are planted in the settings, and looked for wherever they must not be."""

import json
import re
from dataclasses import dataclass
from secrets import token_urlsafe

from fraudstream.local.security import values
from fraudstream.settings import Settings
from fraudstream.settings.exports import secret_variables


def planted_secrets() -> dict[str, str]:
    """A value of its own for each of them."""
    return {name: f"Canary.{token_urlsafe(24)}" for name in secret_variables()}


@dataclass(frozen=True)
class Canaries:
    """The secrets of a platform, by where they belong."""

    places: dict[str, str]

    @property
    def pattern(self) -> re.Pattern[bytes]:
        """Finds any of them, as it is or as Postgres shows bytes."""
        written = [form for value in self.places.values() for form in (value, value.encode().hex())]
        return re.compile(b"|".join(re.escape(form.encode()) for form in written))

    def seen_in(self, shown: bytes | str) -> set[str]:
        """The places whose secrets stand there; the secrets themselves are not for a test's report."""
        data = shown.encode() if isinstance(shown, str) else shown
        found = {match.decode() for match in self.pattern.findall(data)}
        return {place for place, value in self.places.items() if value in found or value.encode().hex() in found}


def canaries(settings: Settings) -> Canaries:
    """Every secret that the platform holds: planted ones, generated ones, and Airflow's viewer's."""
    users = json.loads((settings.paths.secrets / "airflow_users.json").read_text())
    return Canaries(values.known(settings) | {f"Airflow's {user}": password for user, password in users.items()})
