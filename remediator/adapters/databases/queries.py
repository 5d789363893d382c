"""The named statements of sql/*.sql: each begins with a line ``-- name: what_it_does``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

_NAMED = re.compile(r"^-- name: (\w+)\n(.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL)


def _load(folder: Path) -> Mapping[str, str]:
    texts = (path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.sql")))
    return MappingProxyType({name: body.strip() for text in texts for name, body in _NAMED.findall(text)})


QUERIES = _load(Path(__file__).with_name("sql"))
SETUP = QUERIES["setup"]
"""What a database's administrator installs once; docs/how-to/raise-connections.md has the same."""
