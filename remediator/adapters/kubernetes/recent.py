"""What was read of workloads a moment ago, for the write that may follow at once.

A write carries the version of the read that it rests on, so the API server itself refuses it when anything of the
object, its status included, has changed since: how old a read may be is a question of wasted writes, not of wrong ones.
Each read serves one write, and is forgotten after some seconds or when there are too many.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from remediator.model.target import Target
from remediator.ports.clock import Clock

OLDEST_S = 10.0
MOST = 256
LARGEST = 64 * 1024
"""Seconds, reads and bytes of one: together at most 16 MB, for ten seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """An object as the API server sent it, and when."""

    body: bytes
    at: datetime
    monotonic: float


@dataclass(slots=True)
class RecentReads:
    """The latest reads, one for each object."""

    clock: Clock
    _reads: dict[tuple[str, str], Read] = field(default_factory=dict)

    def keep(self, target: Target, body: bytes) -> None:
        """Remember a read that has just been answered."""
        key = target.key, target.uid
        now = self.clock.monotonic()
        self._reads.pop(key, None)
        # They stand in the order of their time.
        while self._reads and (len(self._reads) >= MOST or self._oldest() < now - OLDEST_S):
            del self._reads[next(iter(self._reads))]
        if len(body) <= LARGEST:
            self._reads[key] = Read(body=body, at=self.clock.now(), monotonic=now)

    def take(self, target: Target, within_s: float) -> Read | None:
        """Return the read of this very object, if it is younger than ``within_s`` seconds, and forget it."""
        read = self._reads.pop((target.key, target.uid), None)
        return read if read is not None and self.clock.monotonic() - read.monotonic < within_s else None

    def _oldest(self) -> float:
        return next(iter(self._reads.values())).monotonic
