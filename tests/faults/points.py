"""Points: the moments at which the daemon touches the world, as a proxy sees them from outside.

Whatever the daemon does between two of them leaves no trace outside of it. So a crash anywhere has the same effect as a
crash at one of these points: before a call has left, or after it has had its effect and before its answer is heard. The
points are found by looking, not by a list in the code: a new statement or request is a new point by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One moment of one call.

    ``call`` is its name: ``claim_actions``, ``commit of put_actions``, ``PATCH deployments``. ``after``: it has had its
    effect, and the answer has not been heard. ``rows``: how many rows PostgreSQL told of (0 before). ``about``: the
    path of a request.
    """

    call: str
    after: bool
    rows: int = 0
    about: str = ""

    def __str__(self) -> str:
        """Return ``after PATCH deployments``."""
        return f"{'after' if self.after else 'before'} {self.call}"


class Cut(Exception):
    """Raised by a meeting: end the connection, without a word."""


@dataclass(eq=False)
class Reply(Exception):
    """Raised by a meeting: answer this, whatever the server would have said or has said. For HTTP only."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: bool = False
    """Break off in the middle of the body."""


Meeting = Callable[[Point], Awaitable[None]]
"""What a proxy does at a point: it waits until this returns, and obeys what it raises."""


async def nothing(_: Point) -> None:
    """Let everything pass."""


async def hang() -> None:
    """Say nothing for longer than anybody waits."""
    await asyncio.sleep(3600)
