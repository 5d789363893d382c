"""How late the event loop is, on a clock that sleeps too long when told to."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import pytest

from remediator.adapters.lateness import KEPT, LOOK_S, LOOKS, Lateness
from tests.fakes.clock import StillClock


@dataclass(slots=True)
class Sleepy:
    """Wakes whoever sleeps on it ``late`` seconds after the time, once for each that is listed, otherwise in time."""

    late: list[float] = field(default_factory=list)
    clock: StillClock = field(default_factory=StillClock)

    def now(self) -> datetime:
        """Not asked for."""
        return self.clock.now()

    def monotonic(self) -> float:
        """Return the time of the clock beneath."""
        return self.clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep, and then some."""
        await self.clock.sleep(seconds + (self.late.pop(0) if self.late else 0.0))


async def test_the_worst_moment_counts() -> None:
    """Not the last one and not the usual one; a round is about a second."""
    clock = Sleepy(late=[0.0, 0.25, 0.1])
    assert await Lateness(clock).look() == pytest.approx(0.25)
    assert clock.clock.ahead == pytest.approx(LOOKS * LOOK_S + 0.35)


async def test_it_is_remembered_for_a_minute() -> None:
    """However seldom the figure is scraped, it is seen; and then it is over."""
    clock = Sleepy(late=[0.3])
    lateness = Lateness(clock)
    seen = [await lateness.look() for _ in range(KEPT + 1)]
    assert seen[:KEPT] == pytest.approx([0.3] * KEPT)
    assert seen[KEPT] == pytest.approx(0.0, abs=1e-6)
