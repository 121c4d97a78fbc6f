"""Following a log file."""

import tempfile
import unittest
from pathlib import Path

from fraudstream_airflow.tail import BACKLOG_BYTES, CHUNK_BYTES, LogTail


class TailTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.log = Path(folder.name) / "job.log"

    def append(self, text: str) -> None:
        with self.log.open("a") as file:
            file.write(text)

    def test_a_missing_file_is_waited_for(self) -> None:
        tail = LogTail(self.log, 0)
        self.assertEqual(tail.lines(), [])
        self.append("first\n")
        self.assertEqual(tail.lines(), ["first"])

    def test_a_line_is_shown_once_and_only_when_complete(self) -> None:
        tail = LogTail(self.log, 0)
        self.append("one\ntw")
        self.assertEqual(tail.lines(), ["one"])
        self.append("o\n")
        self.assertEqual(tail.lines(), ["two"])
        self.assertEqual(tail.lines(), [])

    def test_what_was_there_before_the_launch_is_not_shown(self) -> None:
        self.append("old\n")
        tail = LogTail(self.log, len("old\n"))
        self.append("new\n")
        self.assertEqual(tail.lines(), ["new"])

    def test_a_long_past_is_cut(self) -> None:
        self.append("x" * 99 + "\n" * 1)
        self.append(("y" * 99 + "\n") * 1000)
        self.assertLessEqual(sum(len(line) + 1 for line in LogTail(self.log, 0).lines()), BACKLOG_BYTES)

    def test_a_rotated_file_is_read_from_its_start(self) -> None:
        self.append("a long first line\n")
        tail = LogTail(self.log, 0)
        tail.lines()
        self.log.write_text("fresh\n")
        self.assertEqual(tail.lines(), ["fresh"])

    def test_an_endless_line_does_not_stop_it(self) -> None:
        tail = LogTail(self.log, 0)
        self.append("z" * (CHUNK_BYTES + 5) + "\nafter\n")
        self.assertEqual(len(tail.lines()[0]), CHUNK_BYTES)
        self.assertEqual(tail.lines(), ["zzzzz", "after"])


if __name__ == "__main__":
    unittest.main()
