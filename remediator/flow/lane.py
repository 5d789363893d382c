"""A lane: one stage's loop. It works while there is work, waits for its bell or its poll, and never dies quietly."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from remediator.flow.bells import Bells, Stage
from remediator.flow.forgive import forgive
from remediator.model.errors import PortError
from remediator.ports.clock import Clock
from remediator.ports.observer import Observer, StageEvent

MAX_PAUSE_S = 10.0
GATHER_FROM = 8
GATHER_MOST_S = 1.0


@dataclass(slots=True, kw_only=True)
class Lane:
    """Runs ``step`` until ``stopping``. ``beat`` is the monotonic time of its last sign of life.

    After a step that did ``full`` things or more, the next follows at once: more may wait. Else the lane has seen all
    that there was, and waits for its bell or its poll; whoever makes work for a stage rings its bell.

    Under load a lane with a ``gather_s`` lets work gather: a step that did ``GATHER_FROM`` things or more is followed
    by a rest of so many seconds, and by more while alerts pour in, for what has arrived must be durable first; but
    never by more than ``GATHER_MOST_S``. So the next transaction serves many. A backlog is worked off without a pause,
    but for that time at its beginning, and a single alert never waits for any of that.

    A PortError (our database or the cluster does not answer) makes the lane wait, ever longer, and go on. Anything else
    is a bug and goes up to the supervisor, and so does a PortError that says of itself that it is one (reason ``bug``).
    """

    stage: Stage
    step: Callable[[], Awaitable[int]]
    bells: Bells
    clock: Clock
    observer: Observer
    poll_s: float
    full: int
    gather_s: float = 0.0
    stopping: bool = False
    beat: float = 0.0
    troubles: int = field(default=0)
    _busy_until: float = field(default=0.0, init=False)

    async def run(self) -> None:
        """Loop until told to stop."""
        while not self.stopping:
            self.beat = self.clock.monotonic()
            done = await self._once()
            if self.gather_s and done >= GATHER_FROM:
                await self._gather(backlog=done >= self.full)
            elif done < self.full:
                self._busy_until = 0.0
                await self.bells.wait(self.stage, self._pause())

    def stop(self) -> None:
        """End the loop after the step under way."""
        self.stopping = True
        self.bells.ring(self.stage)

    async def _gather(self, *, backlog: bool) -> None:
        if not (backlog and self._busy_until):
            self._busy_until = self.clock.monotonic() + GATHER_MOST_S
        if not backlog:
            await self.clock.sleep(self.gather_s)
        while self.bells.arriving and not self.stopping and self.clock.monotonic() < self._busy_until:
            await self.clock.sleep(self.gather_s)

    async def _once(self) -> int:
        try:
            done = await self.step()
        except PortError as error:
            forgive(error, f"the lane {self.stage}")
            self.troubles += 1
            fields = {"lane": self.stage.value, "error": str(error), "in_a_row": self.troubles}
            self.observer.tell(StageEvent(stage=self.stage.value, outcome="trouble", fields=fields))
            return 0
        self.troubles = 0
        return done

    def _pause(self) -> float:
        return min(self.poll_s * 2 ** min(self.troubles, 6), MAX_PAUSE_S) if self.troubles else self.poll_s
