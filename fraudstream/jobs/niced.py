"""Commands that may wait when processors are short."""

from collections.abc import Sequence


def niced(command: Sequence[str], niceness: int) -> list[str]:
    """The command, run at that niceness; as it is for 0."""
    return [*(("nice", "-n", str(niceness)) if niceness else ()), *command]
