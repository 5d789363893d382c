"""A crew: what a stage has under way beside its lane; the tasks have an owner, a number, and are waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self


class Crew:
    """A stage that begins with work and goes on; ``under_way`` counts what has not ended.

    The stage sees to it that it begins no more than it has room for. Work that raises ends the stage.
    """

    def __init__(self) -> None:
        """Start with nothing under way."""
        self.under_way = 0
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        """Open the group that owns what is under way."""
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for what is under way: a write that was sent is classified before the process ends."""
        await self._tasks.__aexit__(kind, error, trace)

    def begin(self, work: Callable[[], Awaitable[None]], *, name: str) -> None:
        """Begin with a piece of work, in a task of this name."""
        self.under_way += 1
        self._tasks.create_task(self._see_through(work), name=name)

    def freed(self) -> None:
        """Note that a piece of work has ended, however it did; a stage may use the room at once."""

    async def _see_through(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        finally:
            self.under_way -= 1
            self.freed()
