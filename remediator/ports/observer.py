"""What the stages tell the outside about themselves: one event at each seam, for log and metrics."""

from __future__ import annotations

from typing import Any, Protocol

from msgspec import Struct, field


class StageEvent(Struct, frozen=True, kw_only=True):
    """Something a stage did. ``outcome`` comes from a closed set of the stage; ``fields`` go to the log only."""

    stage: str
    outcome: str
    count: int = 1
    seconds: float | None = None
    fields: dict[str, Any] = field(default_factory=dict)


class Observer(Protocol):
    """Turns events into log lines and counters. Never raises."""

    def tell(self, event: StageEvent) -> None:
        """Record one event."""
        ...
