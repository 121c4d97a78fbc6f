"""Writes a fitted model as skops does, but so that equal models give equal bytes."""

import io
import re
import zipfile

import skops.io
from sklearn.base import BaseEstimator

_SCHEMA = "schema.json"
_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can hold
_IDENTIFIER = re.compile(r'("__id__": |"file": ")(\d+)')


def dump(model: BaseEstimator) -> bytes:
    """The model in skops' format.

    skops names objects by their address in memory and dates the zip's members now: both are replaced here, addresses by
    numbers in the order of their first mention.
    """
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as source:
        schema = source.read(_SCHEMA).decode()
        members = {name: source.read(name) for name in source.namelist() if name != _SCHEMA}
    numbers: dict[str, str] = {}

    def number(match: re.Match[str]) -> str:
        return match[1] + numbers.setdefault(match[2], str(len(numbers) + 1))

    renamed = {_SCHEMA: _IDENTIFIER.sub(number, schema).encode()}
    for name, content in members.items():
        address, dot, suffix = name.partition(".")
        renamed[numbers[address] + dot + suffix] = content
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(renamed):
            member = zipfile.ZipInfo(name, _DATE)
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, renamed[name])
    return target.getvalue()
