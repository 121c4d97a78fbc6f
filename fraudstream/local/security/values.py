"""Checks that secrets are hard to guess, and stand on no command line."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator

import psutil

from fraudstream.local import secrets
from fraudstream.local.security.finding import Finding, failed, ok, unchecked
from fraudstream.settings import Settings
from fraudstream.settings.exports import secret_values

#: Words that don't count towards a secret's strength: defaults and examples of this platform and of its parts.
EXAMPLES = (
    "fraudstream",
    "fraud_writer",
    "fraud_reader",
    "fraud_charts",
    "fraud_desk",
    "fraud",
    "postgres",
    "superset",
    "airflow",
    "kafka",
    "viewer",
    "administrator",
    "admin",
    "password",
    "passwort",
    "secret",
    "changeme",
    "change_me",
    "change-me",
    "temporary_key",
    "temporary",
    "default",
    "example",
    "to_a_complex_random",
    "thisisa",
    "test_non_dev",
    "letmein",
    "qwerty",
    "0123456789",
    "123456",
    "1234",
)
MINIMUM_LENGTH = 12
#: Entropy, in bits, of characters as they are distributed in the secret: 12 random letters and digits have about 40.
MINIMUM_BITS = 36.0
#: A shorter one is reported as weak; to look for it on command lines would find it by chance.
SEARCHABLE_LENGTH = 8


def weakness(value: str) -> str:
    """Why a secret can be guessed; empty when it can't."""
    if not value:
        return "is empty"
    rest = value.casefold()
    for word in EXAMPLES:
        rest = rest.replace(word, "")
    if rest != value.casefold() and len(rest) < MINIMUM_LENGTH:
        return "is a default or an example, or little more"
    if len(value) < MINIMUM_LENGTH:
        return f"has {len(value)} characters, fewer than {MINIMUM_LENGTH}"
    if len(rest) * _entropy(rest) < MINIMUM_BITS:
        return "repeats few characters"
    return ""


def _entropy(text: str) -> float:
    """Bits a character, by how often each occurs in the text (Shannon)."""
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())


def known(settings: Settings) -> dict[str, str]:
    """Every secret that the platform holds now, by where it is."""
    paths = settings.paths
    files = [paths.secrets / name for name in secrets.GENERATORS] + [
        paths.superset / f"{user}_password" for user in ("viewer", "analyst")
    ]
    found = {str(file): file.read_text().strip() for file in files if file.is_file()}
    given = dict(secret_values(settings))
    if "FRAUDSTREAM_POSTGRES__ADMIN_PASSWORD" in given:  # then the generated one isn't used
        found.pop(str(paths.secrets / "postgres_admin"), None)
    return found | given


def check(settings: Settings) -> Iterator[Finding]:
    """No secret is short, an example, or used twice."""
    found = known(settings)
    if not found:
        yield unchecked("there are no secrets yet", "run ./fraudctl up")
        return
    problems = [
        failed(f"{place} {why}", _advice(settings, place)) for place, value in found.items() if (why := weakness(value))
    ]
    places = defaultdict(list)
    for place, value in found.items():
        places[value].append(place)
    problems += [
        failed(f"{' and '.join(same)} are the same", _advice(settings, same[0]))
        for same in places.values()
        if len(same) > 1
    ]
    yield from problems
    if not problems:
        yield ok(f"{len(found)} secrets are long, random and different")


def check_command_lines(settings: Settings) -> Iterator[Finding]:
    """No process that we can see has a secret on its command line, where every user of the machine reads it."""
    found = {place: value for place, value in known(settings).items() if len(value) >= SEARCHABLE_LENGTH}
    problems, seen = [], 0
    for process in psutil.process_iter(["cmdline", "name"]):
        line = " ".join(process.info["cmdline"] or ())
        seen += bool(line)
        problems += [
            failed(
                f"{place} stands on the command line of {process.info['name']} (pid {process.pid})",
                "hand it over in a file of mode 0600, and change it: it has been seen",
            )
            for place, value in found.items()
            if value in line
        ]
    yield from problems
    if not problems:
        yield ok(f"none of {len(found)} secrets stands on any of {seen} command lines")


def _advice(settings: Settings, place: str) -> str:
    if place.startswith("FRAUDSTREAM_"):
        return f"change the password on the server and in {place}: openssl rand -base64 24"
    return f"./fraudctl down, delete {place}, ./fraudctl up: it makes a new one"
