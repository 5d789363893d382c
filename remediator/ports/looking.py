"""Looking, for checks: one look at a time, and never an exception for what the other side says or fails to say."""

from __future__ import annotations

from typing import Protocol

from remediator.model.look import Look, Seen, Unseen


class Looker(Protocol):
    """Whoever can answer looks. Each has a deadline of its own."""

    async def look(self, look: Look) -> Seen | Unseen:
        """Look once. What cannot be seen is a value that says why."""
        ...
