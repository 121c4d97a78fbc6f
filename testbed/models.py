"""Models for tests: the shipped one under other names."""

import shutil
from pathlib import Path

import msgspec

from model.serving.artifact import METADATA_FILE, read_metadata
from model.serving.registry import PRETRAINED


def renamed(folder: Path, version: str) -> Path:
    """Makes `folder` the shipped model under another version. Returns it."""
    shutil.copytree(PRETRAINED, folder)
    metadata = msgspec.structs.replace(read_metadata(PRETRAINED), version=version)
    (folder / METADATA_FILE).write_bytes(metadata.encode())
    return folder
