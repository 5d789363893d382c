"""The kill switch as commands and stages see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from remediator.model.pause import Pause, PauseScope


class PauseStore(Protocol):
    """Pauses that every replica obeys. Each change is in the ledger."""

    async def pause(self, scope: PauseScope, key: str, *, reason: str, actor: str, seconds: float | None) -> Pause:
        """Stop changes within a scope, for ``seconds`` or (None) until somebody resumes it."""
        ...

    async def resume(self, scope: PauseScope, key: str, *, actor: str) -> Sequence[Pause]:
        """Lift every pause of exactly this scope; return them."""
        ...

    async def resume_one(self, number: int, *, actor: str) -> Sequence[Pause]:
        """Lift the pause with this number; return it, or nothing if it was not in force."""
        ...

    async def in_force(self) -> Sequence[Pause]:
        """Return what is paused now, the oldest first."""
        ...


class PauseFile(Protocol):
    """A file on a replica's own machine that pauses everything it does, also where the database is away."""

    def read(self) -> Pause | None:
        """Return the pause that the file makes, None where there is none. What cannot be read counts as a pause."""
        ...
