"""Where the sandbox gets its time and its chance: the only file in it that reads a real clock or draws a number."""

from __future__ import annotations

import asyncio
import heapq
import random
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Protocol

# No vowels and no digits that look like letters, as in the names that Kubernetes makes.
_SAFE_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_SETTLE_ROUNDS = 50


class Clock(Protocol):
    """Time as the sandbox sees it; everything that waits or stamps takes one as an argument."""

    def now(self) -> datetime:
        """Return the present moment, in UTC."""

    def monotonic(self) -> float:
        """Return seconds since some fixed moment; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds of this clock."""


class RealClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the present moment, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds since some fixed moment; never goes back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after that many real seconds."""
        await asyncio.sleep(max(0.0, seconds))


class VirtualClock:
    """A clock that moves only when a test moves it; sleepers wake in the order of their time."""

    def __init__(self, start: datetime = _EPOCH) -> None:
        """Begin at `start` (aware, UTC)."""
        self._start = start
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = 0

    def now(self) -> datetime:
        """Return the start plus what has been advanced."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Return the seconds advanced so far."""
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """Return once the clock was advanced by that many seconds (at once for zero and less)."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._order += 1
        heapq.heappush(self._sleepers, (self._elapsed + seconds, self._order, waiter))
        await waiter

    async def advance(self, seconds: float) -> None:
        """Move on by `seconds`, stopping at each sleeper's moment so that what it starts is seen in order."""
        target = self._elapsed + seconds
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= target:
            due, _, waiter = heapq.heappop(self._sleepers)
            self._elapsed = max(self._elapsed, due)
            if not waiter.done():
                waiter.set_result(None)
            await self.settle()
        self._elapsed = target

    def jump(self, moment: float) -> None:
        """Move on to a moment of `monotonic` without waking a sleeper: for a world driven by hand, without tasks."""
        self._elapsed = max(self._elapsed, moment)

    async def settle(self) -> None:
        """Let every task that can run without time passing run for a while."""
        for _ in range(_SETTLE_ROUNDS):
            await asyncio.sleep(0)


class Ids(Protocol):
    """Where new objects get their identity."""

    def uid(self) -> str:
        """Return a new uid, in the form of a UUID."""

    def suffix(self, length: int = 5) -> str:
        """Return the random end of a generated name."""


class RandomIds:
    """Ids from a generator; the same seed gives the same ids in the same order."""

    def __init__(self, seed: int | None = None) -> None:
        """Draw from `seed`, or from the system's entropy when there is none."""
        # Names and uids of a sandbox guard nothing, so a seedable generator is the right one.
        self._random = random.Random(seed)  # noqa: S311

    def uid(self) -> str:
        """Return a new uid, in the form of a UUID."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def suffix(self, length: int = 5) -> str:
        """Return `length` letters out of those that Kubernetes uses in names."""
        return "".join(self._random.choices(_SAFE_LETTERS, k=length))


def timestamp(moment: datetime) -> str:
    """Write a moment the way metav1.Time does: whole seconds, UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_timestamp(moment: datetime) -> str:
    """Write a moment the way metav1.MicroTime does: six digits of fraction, UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
