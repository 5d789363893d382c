"""Keeps evidence within its size: the most telling parts first, and of each the most telling end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

LARGEST_PART = 128 * 1024
_WORTH_KEEPING = 256

# In this order parts get their room; logs keep the order in which they were chosen.
_ORDER = ("workload", "pods", "events", "logs/", "rollout_history", "endpoints", "ingress", "nodes", "usage/")


def fit(parts: Mapping[str, Any], max_bytes: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the parts that have room in ``max_bytes`` (as JSON), cut where they must be, and the names of the cut."""
    kept: dict[str, Any] = {}
    truncated: list[str] = []
    left = max_bytes
    for name in sorted(parts, key=_rank):
        room = min(left, LARGEST_PART)
        part = parts[name]
        if size(part) > room:
            truncated.append(name)
            part = _cut(part, room)
        if part is not None:
            kept[name] = part
            left -= size(part)
    return kept, tuple(truncated)


def size(part: Any) -> int:
    """Return the length of a part as JSON, in bytes."""
    return len(msgspec.json.encode(part))


def _rank(name: str) -> int:
    return next((rank for rank, known in enumerate(_ORDER) if name == known or name.startswith(known)), len(_ORDER))


def _cut(part: Any, room: int) -> Any:
    """Cut a text at its beginning and a list at its beginning too: both are in order of time. None: too little room."""
    if room < _WORTH_KEEPING or not isinstance(part, str | list):
        return None
    while part and size(part) > room:
        drop = max(1, len(part) - int(len(part) * room / size(part)))
        part = part[drop:]
    return part or None
