"""One life of one replica: everything that it does to the outside passes here, so here it can die or freeze."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from tests.simulation.chaos import Chaos
from tests.simulation.tables import PAUSED_IDLE_S, Database

LONGEST_FREEZE_S = 130.0


class Life:
    """From a start to a death. Nothing of a dead replica reaches the outside, and what it had open is rolled back."""

    def __init__(self, name: str, db: Database, chaos: Chaos, skew_s: float) -> None:
        """Begin; ``skew_s``: how far the host's clock is ahead of the database's."""
        self.name = name
        self.db = db
        self.chaos = chaos
        self.skew = timedelta(seconds=skew_s)
        self.dead = False
        self.task: asyncio.Task[None] | None = None
        self.thawed = asyncio.Event()
        self.thawed.set()
        self.frozen_at = -1.0
        """When it was last frozen, in seconds of the loop."""

    def check(self) -> None:
        """Stop here if it is dead."""
        if self.dead:
            raise asyncio.CancelledError(f"{self.name} is dead")

    async def point(self, place: str, *, slow: bool = True) -> None:
        """Pass a place before or after which it may die or freeze; ``slow``: which also takes its time."""
        self.check()
        if slow:
            await asyncio.sleep(self.chaos.latency())
        await self.thawed.wait()
        self.check()
        weight = self.chaos.weight(place.split(maxsplit=1)[0])
        if self.chaos.hits(self.chaos.odds.crash * weight, "crash", f"{self.name} {place}"):
            self.kill()
            self.check()
        if self.chaos.hits(self.chaos.odds.freeze * weight, "freeze", f"{self.name} {place}"):
            self.freeze(self.chaos.dice.uniform(1.0, LONGEST_FREEZE_S))
            await self.thawed.wait()
            self.check()

    def may_die(self, place: str) -> None:
        """Pass a place in the middle of a transaction that has written: it may die there, and all is rolled back."""
        self.check()
        if self.chaos.hits(self.chaos.odds.crash * self.chaos.weight(place), "crash", f"{self.name} inside {place}"):
            self.kill()
            self.check()

    def kill(self) -> None:
        """End as by kill -9: the server sees the connections go, and nobody cleans up."""
        self.dead = True
        self.db.cut(lambda session: session.owner is self)
        self.thawed.set()
        if self.task is not None:
            self.task.cancel()

    def freeze(self, seconds: float) -> None:
        """Stop as by SIGSTOP. The server ends transactions that idle meanwhile."""
        loop = asyncio.get_running_loop()
        self.thawed.clear()
        self.frozen_at = loop.time()
        loop.call_later(seconds, self.thawed.set)
        if seconds > PAUSED_IDLE_S:
            loop.call_later(PAUSED_IDLE_S, self.db.cut, lambda session: session.owner is self and session.open)

    @property
    def works(self) -> bool:
        """Tell whether it is alive and awake."""
        return not self.dead and self.thawed.is_set()


class HostClock:
    """Implements ports.clock.Clock: the loop's time, and a date that may be wrong."""

    def __init__(self, life: Life) -> None:
        """Be the clock of a replica's host."""
        self._life = life

    def now(self) -> datetime:
        """Return what this host takes for the present."""
        return self._life.db.now() + self._life.skew

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait, and longer if frozen."""
        await asyncio.sleep(seconds)
        await self._life.thawed.wait()
        self._life.check()
