"""The named statements of sql/*.sql, read once.

A file is a row of statements, each under a line ``-- name: what_it_does`` and, by custom, comment lines that say why.
The comments stay in the statement, so that they show in pg_stat_activity and in the server's log.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from remediator.model.errors import InvariantBroken

_NAME = re.compile(r"^-- name:(.*)$", re.MULTILINE)
_WORD = re.compile(r"[a-z][a-z0-9_]*")


def load(folder: Path) -> Mapping[str, str]:
    """Every statement of the .sql files in ``folder``, by name.

    Raises InvariantBroken, naming the file, on a bad or doubled name, an empty statement or text before the first name.
    """
    return parse((file.name, file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.sql")))


def parse(files: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """As ``load``, from pairs of a file's name and its text."""
    found: dict[str, str] = {}
    for file, text in files:
        head, *parts = _NAME.split(text)
        if _code(head):
            raise InvariantBroken(f"{file}: a statement stands before the first '-- name:' line")
        for given, body in zip(parts[::2], parts[1::2], strict=True):
            name = given.strip()
            if not _WORD.fullmatch(name):
                raise InvariantBroken(f"{file}: {name!r} is no name for a statement (use lower case and _)")
            if name in found:
                raise InvariantBroken(f"{file}: the statement {name!r} is there twice")
            if not _code(body):
                raise InvariantBroken(f"{file}: the statement {name!r} is empty")
            found[name] = f"-- {name}\n{body.strip()}"
    return MappingProxyType(found)


def _code(text: str) -> str:
    lines = (line.partition("--")[0].strip() for line in text.splitlines())
    return "".join(lines).strip("; ")


QUERIES: Mapping[str, str] = load(Path(__file__).with_name("sql"))
