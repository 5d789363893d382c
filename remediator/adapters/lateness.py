"""How late the event loop is: whoever sleeps until a moment is woken after it, by as long as something else ran.

One slow callback delays everything that the daemon does, so what counts is the worst moment and not the usual one.
"""

from __future__ import annotations

from collections import deque

from remediator.ports.clock import Clock

LOOK_S = 0.04
LOOKS = 25
KEPT = 60


class Lateness:
    """Looks ``LOOKS`` times, ``LOOK_S`` seconds apart; remembers the worst of the last ``KEPT`` rounds (a minute)."""

    def __init__(self, clock: Clock) -> None:
        """Begin with nothing seen."""
        self._clock = clock
        self._worst: deque[float] = deque(maxlen=KEPT)

    async def look(self) -> float:
        """Look for about a second; return by how many seconds the loop was late at most in the last minute."""
        worst = 0.0
        for _ in range(LOOKS):
            due = self._clock.monotonic() + LOOK_S
            await self._clock.sleep(LOOK_S)
            worst = max(worst, self._clock.monotonic() - due)
        self._worst.append(worst)
        return max(self._worst)
