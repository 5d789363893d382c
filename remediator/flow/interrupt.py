"""SIGTERM and SIGINT: they break a start off, and ask a daemon that works to stop. Both end in good order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from remediator.model.errors import InvariantBroken

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupt:
    """What the signals do. ``broke_off``: the start was broken off by one."""

    def __init__(self, starting: asyncio.Task[object]) -> None:
        """Begin with a start under way in the task ``starting``."""
        self.broke_off = False
        self._starting = starting
        self._stop: asyncio.Event | None = None

    def works(self, stop: asyncio.Event) -> None:
        """From now on a signal sets ``stop``."""
        self._stop = stop

    def ask(self) -> None:
        """Answer a signal. What is cleaned up after the first is not disturbed by a second."""
        if self._stop is not None:
            self._stop.set()
        elif not self.broke_off:
            self.broke_off = True
            self._starting.cancel()


@asynccontextmanager
async def interruptible() -> AsyncIterator[Interrupt]:
    """Answer signals inside the block, which is left where a start is broken off: whatever it opened is closed."""
    task = asyncio.current_task()
    if task is None:
        raise InvariantBroken("a daemon is started in a task")
    interrupt = Interrupt(task)
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, interrupt.ask)
    try:
        yield interrupt
    except asyncio.CancelledError:
        if not interrupt.broke_off:
            raise
        task.uncancel()
