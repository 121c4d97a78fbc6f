"""How parts become supervisord's configuration: as supervisord itself reads it."""

from pathlib import Path
from shlex import split

import pytest
from supervisor.options import ServerOptions

from fraudstream.local.parts.part import Part
from fraudstream.local.supervisord_config import render


def read_back(part: Part, folder: Path) -> object:
    config = folder / "supervisord.conf"
    config.write_text("[supervisord]\n" + render(part, folder))
    options = ServerOptions()
    options.realize(args=["-c", str(config)])
    return options.process_group_configs[0].process_configs[0]


def part(folder: Path, **fields: object) -> Part:
    return Part(**{"name": "kafka", "command": ("/bin/true",), "directory": folder, **fields})


def test_command_reaches_supervisord_word_by_word(tmp_path: Path) -> None:
    words = ("/bin/echo", "a b", "100%", 'say "hi"', "back\\slash", "it's", "$HOME")
    assert split(read_back(part(tmp_path, command=words), tmp_path).command) == list(words)  # type: ignore[attr-defined]


def test_environment_reaches_supervisord_unchanged(tmp_path: Path) -> None:
    environment = {"PLAIN": "x", "PERCENT": "50%", "COMMA": "a,b=c", "QUOTE": 'a"b', "OTHER": "it's", "BACK": "a\\b"}
    assert read_back(part(tmp_path, environment=environment), tmp_path).environment == environment  # type: ignore[attr-defined]


def test_parts_restart_but_start_only_when_asked(tmp_path: Path) -> None:
    config = read_back(part(tmp_path, stop_signal="INT", stop_seconds=7), tmp_path)
    assert config.autorestart is not False  # type: ignore[attr-defined]
    assert config.autostart is False  # type: ignore[attr-defined]
    assert config.stopsignal == 2  # type: ignore[attr-defined]
    assert config.stopwaitsecs == 7  # type: ignore[attr-defined]


@pytest.mark.parametrize("value", ["two\nlines", "a ;comment", "both \" and '"])
def test_what_the_format_cannot_hold_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(ValueError, match="can't take"):
        render(part(tmp_path, environment={"X": value}), tmp_path)
