"""What the poller of the threshold table is made of: whom to ask, where its state lasts, and the numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from remediator.model.signal import Labels
from remediator.ports.measuring import Prometheus, ThresholdStore

LEASE_S = 8.0
"""So long a poller may give no sign of life; a tick takes less, and the lane beats every second."""

ASK_S = 6.0
"""So long the questions for one row may take together: then the tick is stored while the lease still holds."""

ReadLabels = Callable[[Labels], tuple[str, Labels]]
"""From labels to the fingerprint of the alert and to labels that may be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Ports and numbers, in seconds.

    ``interval_s``: from one tick to the next, more or less. ``unknown_after_s``: when people are told of what is not
    known. ``settle_s``: so long Prometheus must have scraped before it is believed. ``ask_s`` bounds the questions for
    one row.
    """

    store: ThresholdStore
    prometheus: Prometheus
    read_labels: ReadLabels
    interval_s: float
    unknown_after_s: float
    settle_s: float
    ask_s: float = ASK_S

    @property
    def gap_s(self) -> float:
        """Return how long may lie between two looks that count as one after the other: a poller may die between."""
        return 2 * self.interval_s + LEASE_S + 2.0
