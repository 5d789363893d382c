"""What the controllers still have to do: a queue without doubles, and timers, all on one injected clock.

Driven in one of two ways: `run` in a task, for a live cluster; `advance` by hand, for a world without an event loop.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import Protocol

from remediator.sandbox.clock import Clock, VirtualClock

Key = tuple[str, str]

_BATCH = 200
# So many jobs without time passing mean that a controller undoes its own work.
_PATIENCE = 2_000_000


class Worker(Protocol):
    """Something that brings one object (namespace, name) closer to what it should be."""

    def reconcile(self, key: Key) -> None:
        """Look at the object anew and do what is due."""


class RestlessError(RuntimeError):
    """The controllers keep working although no time passes: two of them undo each other's work."""


class Agenda:
    """Jobs in the order they came, each (worker, key) at most once, and the same for a later moment."""

    def __init__(self, clock: Clock, speed: float = 1.0, patience: int = _PATIENCE) -> None:
        """Tell time by `clock`; a delay of n seconds takes n / `speed`. ValueError for a speed that is not positive.

        `patience` is how many jobs may be done in one go before the world is taken for restless.
        """
        if speed <= 0:
            raise ValueError(f"speed is {speed}; it must be more than 0 (1 is real time, 10 is ten times as fast)")
        self.clock = clock
        self.speed = speed
        self._patience = patience
        self._jobs: dict[tuple[Worker, Key], None] = {}
        self._timers: list[tuple[float, int, Worker, Key]] = []
        self._earliest: dict[tuple[Worker, Key], float] = {}
        self._order = 0
        self._wake = asyncio.Event()
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = 0.0

    @property
    def idle(self) -> bool:
        """Tell whether nothing is left to do before time passes."""
        return not self._jobs and not self._due()

    def add(self, worker: Worker, key: Key) -> None:
        """Have `worker` look at `key` soon; does nothing when that is planned already."""
        self._jobs.setdefault((worker, key))
        self._wake.set()

    def after(self, seconds: float, worker: Worker, key: Key) -> float:
        """Have `worker` look at `key` in `seconds` of the cluster; returns the moment on the monotonic clock."""
        due = self.clock.monotonic() + max(0.0, seconds) / self.speed
        self.at(due, worker, key)
        return due

    def at(self, due: float, worker: Worker, key: Key) -> None:
        """Have `worker` look at `key` at a moment of the monotonic clock.

        Only the earliest timer of the same is kept: who wants to be woken later too says so when it is woken.
        """
        planned = self._earliest.get((worker, key))
        if planned is None or due < planned:
            self._order += 1
            self._earliest[worker, key] = due
            heapq.heappush(self._timers, (due, self._order, worker, key))
            self._wake.set()

    def drain(self, limit: int | None = None) -> int:
        """Do what is due now, at most `limit` jobs; returns how many were done."""
        done = 0
        while limit is None or done < limit:
            self._ring()
            if not self._jobs:
                break
            job = next(iter(self._jobs))
            del self._jobs[job]
            job[0].reconcile(job[1])
            done += 1
            if done >= self._patience:
                raise RestlessError(f"{done} jobs done and no time has passed; the last was {job}")
        return done

    def advance(self, seconds: float, *, until: Callable[[], bool] | None = None) -> bool:
        """Move a VirtualClock on by `seconds`, doing everything in the order of its time.

        Stops early and returns True once `until` holds; returns False (True without `until`) at the end.
        """
        clock = self.clock
        if not isinstance(clock, VirtualClock):
            raise TypeError("only a VirtualClock can be advanced by hand; run() follows any other")
        end = clock.monotonic() + seconds
        self.drain()
        while until is None or not until():
            coming = self._timers[0][0] if self._timers else end
            if coming > end or not self._timers:
                clock.jump(end)
                return until is None
            clock.jump(coming)
            self.drain()
        return True

    async def run(self) -> None:
        """Do what is due, for ever, letting other tasks in between; a fault of a worker ends it."""
        async with asyncio.TaskGroup() as group:
            while True:
                self.drain(_BATCH)
                if self._jobs or self._due():
                    await asyncio.sleep(0)
                    continue
                self._wake.clear()
                self._set_alarm(group)
                await self._wake.wait()

    def _due(self) -> bool:
        return bool(self._timers) and self._timers[0][0] <= self.clock.monotonic()

    def _ring(self) -> None:
        while self._due():
            due, _, worker, key = heapq.heappop(self._timers)
            if self._earliest.get((worker, key)) == due:
                del self._earliest[worker, key]
                self._jobs.setdefault((worker, key))

    def _set_alarm(self, group: asyncio.TaskGroup) -> None:
        if not self._timers:
            return
        due = self._timers[0][0]
        if self._alarm is not None and not self._alarm.done():
            if self._alarm_at <= due:
                return
            self._alarm.cancel()
        self._alarm_at = due
        self._alarm = group.create_task(self._sound(due - self.clock.monotonic()), name="sandbox alarm")

    async def _sound(self, seconds: float) -> None:
        await self.clock.sleep(seconds)
        self._wake.set()
