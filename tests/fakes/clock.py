"""A clock that stands still until it is moved."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta


class StillClock:
    """Implements ports.clock.Clock; ``ahead`` seconds after its beginning."""

    def __init__(self, start: datetime = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)) -> None:
        """Begin at ``start``."""
        self._start = start
        self.ahead = 0.0

    def now(self) -> datetime:
        """Return the present time, aware, in UTC."""
        return self._start + timedelta(seconds=self.ahead)

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return 1000.0 + self.ahead

    async def sleep(self, seconds: float) -> None:
        """Move ahead at once."""
        self.ahead += seconds
        await asyncio.sleep(0)
