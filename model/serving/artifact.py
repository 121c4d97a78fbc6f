"""A model's folder: `model.skops`, `metadata.json`, `README.md`; their contents and the checks before use.

The artifact is opened with skops and a fixed list of trusted types, never with pickle: a file that somebody changed
can't run code. This module needs neither scikit-learn nor skops, so that the registry works without them.
"""

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from fraudstream.errors import FraudstreamError

ARTIFACT_FILE = "model.skops"
METADATA_FILE = "metadata.json"
CARD_FILE = "README.md"


class ArtifactError(FraudstreamError):
    """A model's folder can't be used: missing, damaged, or trained with something else than what runs."""


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """Calibrated log-odds are slope · z + intercept, where z are the classifier's."""

    slope: float = 1.0
    intercept: float = 0.0


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `metadata.json`, about the artifact beside it."""

    version: str
    trained_at: datetime
    features: list[str]
    usual: dict[str, float | None]  # median over legitimate training transactions, for the sentences of reasons
    threshold: float
    sha256: str  # of model.skops
    libraries: dict[str, str]  # scikit-learn, numpy, python: what it was trained with
    metrics: dict[str, Any]
    data: dict[str, Any]  # periods and counts
    seed: int
    calibration: Calibration = Calibration()
    threshold_rule: str = ""  # in words
    tuning: list[dict[str, Any]] = []  # trials, the best first

    def encode(self) -> bytes:
        """The metadata as indented JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def sha256_of(artifact: bytes) -> str:
    """SHA-256 of the file's bytes, in hexadecimal."""
    return hashlib.sha256(artifact).hexdigest()


def decode_metadata(data: bytes) -> Metadata:
    """The metadata in a `metadata.json`. Raises ArtifactError when `data` isn't a model's metadata."""
    try:
        return msgspec.json.decode(data, type=Metadata)
    except msgspec.DecodeError as error:
        raise ArtifactError(f"{METADATA_FILE} isn't a model's metadata: {error}; train the model again") from error


def read_folder(folder: Path) -> tuple[bytes, bytes]:
    """The artifact's and the metadata's bytes. Raises ArtifactError naming the file that is missing."""
    try:
        return (folder / ARTIFACT_FILE).read_bytes(), (folder / METADATA_FILE).read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"cannot read the model in {folder}: {error}; "
            f"train one with `python -m model.training.train --history DIR --out {folder}`"
        ) from error


def read_metadata(folder: Path) -> Metadata:
    """The folder's metadata, after checking that the artifact is the one it describes. Raises ArtifactError."""
    artifact, data = read_folder(folder)
    metadata = decode_metadata(data)
    check_sha256(artifact, metadata)
    return metadata


def check_sha256(artifact: bytes, metadata: Metadata) -> None:
    """Raises ArtifactError when the artifact isn't the one that `metadata` describes."""
    found = sha256_of(artifact)
    if found != metadata.sha256:
        raise ArtifactError(
            f"model {metadata.version}: SHA-256 of {ARTIFACT_FILE} is {found}, but {METADATA_FILE} says "
            f"{metadata.sha256}: the file was changed or damaged; restore it or train the model again"
        )
