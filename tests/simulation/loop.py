"""Virtual time: an event loop that does not wait for a timer but jumps to it, so that an hour passes in a second.

Nothing else moves time, and nothing comes from outside (no sockets, no threads), so the same program does the same
things in the same order.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class Deadlock(AssertionError):
    """Everybody waits, and nothing will ever happen."""


class Jump(selectors.BaseSelector):
    """Implements a selector: watches nothing, and moves its clock ahead by the time that it was to wait."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.time = 0.0
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Take note of the loop's own pipe; it is never written to."""
        key = selectors.SelectorKey(fileobj, -1, events, data)
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Forget it."""
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Let the time pass."""
        if timeout is None:
            raise Deadlock("nothing is left that could happen")
        self.time += max(timeout, 0.0)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Return what is registered."""
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is the selector's."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._jump = Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        """Return virtual seconds since the beginning."""
        return self._jump.time


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a program in virtual time of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
