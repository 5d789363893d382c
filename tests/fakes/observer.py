"""An observer that remembers."""

from __future__ import annotations

from typing import Any

from remediator.ports.observer import StageEvent


class Notebook:
    """Implements ports.observer.Observer; keeps every event."""

    def __init__(self) -> None:
        """Be empty."""
        self.events: list[StageEvent] = []

    def tell(self, event: StageEvent) -> None:
        """Remember one event."""
        self.events.append(event)

    def outcomes(self, stage: str) -> list[str]:
        """Return the outcomes of one stage, in order."""
        return [event.outcome for event in self.events if event.stage == stage]

    def fields(self, stage: str, outcome: str) -> dict[str, Any]:
        """Return the fields of the last such event."""
        return [event.fields for event in self.events if (event.stage, event.outcome) == (stage, outcome)][-1]
