"""The page of all settings, docs/settings.md, from `Settings` itself."""

from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from fraudstream.settings import ENV_PREFIX, PROJECT_DIR, Group, Settings

HEADER = """# Settings

Written by `python -m fraudstream.docs` from `fraudstream/settings/`.

Set them in the environment, or as the same lines in a file `fraudstream.env` in the project's folder; the environment
wins. A wrong value or name is refused by name. Passwords that you don't set are generated at the first
`./fraudctl up`, in files under `var/secrets/`.
"""


def reference() -> str:
    """The page, in Markdown."""
    parts = [HEADER, *_table(_own_fields())]
    for name, field in Settings.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, Group):
            parts += [f"## {name.replace('_', ' ').capitalize()}", "", cleandoc(group.__doc__ or ""), ""]
            parts += _table(
                (f"{name}__{key}", value) for key, value in group.model_fields.items() if not _is_group(value)
            )
            parts += _repeated(name, group)
    return "\n".join(parts)


def _repeated(name: str, group: type[Group]) -> list[str]:
    """The table of the groups within a group, which are all of one type."""
    inner = {key: field.annotation for key, field in group.model_fields.items() if _is_group(field)}
    if not inner:
        return []
    (kind,) = set(inner.values())
    assert isinstance(kind, type) and issubclass(kind, Group)  # noqa: S101 (what _is_group says)
    names = ", ".join(f"`{key.upper()}`" for key in inner)
    return [
        f"{(kind.__doc__ or '').strip()} `<ROLE>` is one of {names}.",
        "",
        *_table((f"{name}__<ROLE>__{key}", field) for key, field in kind.model_fields.items()),
    ]


def _is_group(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, Group)


def _own_fields() -> Iterator[tuple[str, FieldInfo]]:
    for name, field in Settings.model_fields.items():
        if not _is_group(field):
            yield name, field


def _table(fields: Iterator[tuple[str, FieldInfo]]) -> list[str]:
    rows = [f"| `{ENV_PREFIX}{name.upper()}` | {_default(field)} | {field.description} |" for name, field in fields]
    return ["| setting | default | what |", "| --- | --- | --- |", *rows, ""]


def _default(field: FieldInfo) -> str:
    value = field.default
    if isinstance(value, Path):
        return f"`{value.relative_to(PROJECT_DIR)}`"
    if isinstance(value, SecretStr) or value in (None, ""):
        return ""
    return f"`{value}`"
