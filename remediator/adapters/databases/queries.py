"""The named statements of sql/*.sql: each begins with a line ``-- name: what_it_does``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

_NAMED = re.compile(r"^-- name: (\w+)\n(.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL)


def _load(*paths: Path) -> Mapping[str, str]:
    texts = (path.read_text(encoding="utf-8") for path in sorted(paths))
    return MappingProxyType({name: body.strip() for text in texts for name, body in _NAMED.findall(text)})


_SQL = Path(__file__).with_name("sql")
_CARE = _SQL / "care.sql"
QUERIES = _load(*(path for path in _SQL.glob("*.sql") if path != _CARE))
CARE = _load(_CARE)
"""What checks may ask a database: statements that read, by the names that a ``Query`` uses."""
SETUP = QUERIES["setup"]
"""What a database's administrator installs once; docs/how-to/raise-connections.md has the same."""
