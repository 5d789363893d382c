"""The supervisor: owns every task, starts them in order, stops them in order, and lets none die quietly.

A task that dies takes the process with it: whoever runs it starts it anew, and the rows say what is next. A stop
drains: no new work is taken, what is under way ends, and after the deadline the rest is cut off; leases give it to the
next owner.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import NoReturn

from remediator.flow.lane import Lane
from remediator.flow.pipeline import Pipeline
from remediator.ports.clock import Clock
from remediator.ports.observer import Observer, StageEvent


class Stopped(Exception):
    """Ends the group of background tasks; never seen outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """A task beside the lanes: ``run`` loops until it is cancelled, and must not end by itself."""

    name: str
    run: Callable[[], Awaitable[None]]


@dataclass(slots=True, kw_only=True)
class Supervisor:
    """Runs the pipeline and background tasks until ``stop`` is set; ``drain_s`` bounds the end, in seconds.

    ``front`` is the front door: open while everything behind it runs, and the first to close.
    """

    pipeline: Callable[[], AbstractAsyncContextManager[Pipeline]]
    front: Callable[[], AbstractAsyncContextManager[None]]
    background: Sequence[Background]
    clock: Clock
    observer: Observer
    drain_s: float
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    lanes: tuple[Lane, ...] = ()

    async def run(self) -> None:
        """Return after a stop was asked for and everything has ended; raise what killed a task."""
        try:
            async with asyncio.TaskGroup() as around:
                for task in self.background:
                    around.create_task(_never_ends(task), name=task.name)
                await self._work()
                _end_group()
        except* Stopped:
            self.observer.tell(StageEvent(stage="supervisor", outcome="stopped"))

    def silent_lanes(self, longer_than_s: float) -> tuple[str, ...]:
        """Return the lanes that have given no sign of life for so long: for liveness."""
        now = self.clock.monotonic()
        return tuple(lane.stage.value for lane in self.lanes if now - lane.beat > longer_than_s)

    async def _work(self) -> None:
        try:
            async with asyncio.timeout(None) as patience, self.pipeline() as line:
                self.lanes = line.lanes
                async with asyncio.TaskGroup() as working:
                    for lane in line.lanes:
                        working.create_task(lane.run(), name=f"lane-{lane.stage}")
                    async with self.front():
                        await self.stop.wait()
                        patience.reschedule(asyncio.get_running_loop().time() + self.drain_s)
                    for lane in line.lanes:
                        lane.stop()
        except TimeoutError:
            self.observer.tell(StageEvent(stage="supervisor", outcome="cut_off", fields={"after_s": self.drain_s}))


def _end_group() -> NoReturn:
    raise Stopped


async def _never_ends(task: Background) -> None:
    await task.run()
    raise RuntimeError(f"the task {task.name} ended by itself")
