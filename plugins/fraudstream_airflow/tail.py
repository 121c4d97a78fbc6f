"""Follows a job's log file."""

from pathlib import Path

CHUNK_BYTES = 256 * 1024
BACKLOG_BYTES = 16 * 1024


class LogTail:
    """Whole new lines of a growing file; begins at `position`, or at the last 16 KiB when that is further on."""

    def __init__(self, path: Path, position: int) -> None:
        self.path = path
        self.position = max(position if position <= size(path) else 0, size(path) - BACKLOG_BYTES)

    def lines(self) -> list[str]:
        """The lines that were completed since the last call, at most 256 KiB of them."""
        if size(self.path) < self.position:  # rotated
            self.position = 0
        try:
            with self.path.open("rb") as file:
                file.seek(self.position)
                chunk = file.read(CHUNK_BYTES)
        except FileNotFoundError:
            return []
        end = chunk.rfind(b"\n") + 1
        if not end and len(chunk) == CHUNK_BYTES:  # one endless line
            end = CHUNK_BYTES
        self.position += end
        return chunk[:end].decode(errors="replace").splitlines()


def size(path: Path) -> int:
    """The file's length in bytes; 0 when there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
