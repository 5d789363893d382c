"""What the containers of the sandbox have printed: written by the simulated kubelet, read by the pods/log handler."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from remediator.sandbox.podlogs import LogLine
from remediator.sandbox.resources import Json

DEFAULT_LINES = 500
_LINE_LIMIT = 4096


@dataclass(slots=True)
class _Run:
    lines: deque[LogLine]


@dataclass(slots=True)
class _Container:
    current: _Run
    previous: _Run | None = field(default=None)


class LogBook:
    """The lines of this and the previous run of every container, by pod uid; each run keeps its last lines only."""

    def __init__(self, lines: int = DEFAULT_LINES) -> None:
        """Keep at most `lines` lines of each run."""
        self._lines = lines
        self._pods: dict[str, dict[str, _Container]] = {}

    def start(self, uid: str, container: str) -> None:
        """Begin a run; what the container printed so far becomes the previous run, the one before is forgotten."""
        run = _Run(deque(maxlen=self._lines))
        containers = self._pods.setdefault(uid, {})
        known = containers.get(container)
        if known is None:
            containers[container] = _Container(run)
        else:
            known.previous, known.current = known.current, run

    def write(self, uid: str, container: str, at: datetime, text: str) -> None:
        """Append a line to the run under way (and begin one where there is none); long lines are cut."""
        if container not in self._pods.get(uid, {}):
            self.start(uid, container)
        self._pods[uid][container].current.lines.append(LogLine(at, text[:_LINE_LIMIT]))

    def read(self, uid: str, container: str, *, previous: bool = False) -> list[LogLine] | None:
        """Return the lines of a run, oldest first; None when there was no such run."""
        known = self._pods.get(uid, {}).get(container)
        run = known and (known.previous if previous else known.current)
        return list(run.lines) if run else None

    def lines(self, pod: Json, container: str, *, previous: bool) -> Sequence[LogLine]:
        """Return the lines of a pod's container for the log subresource; none when there was no such run."""
        return self.read(pod["metadata"]["uid"], container, previous=previous) or ()

    def forget(self, uid: str) -> None:
        """Drop all that a pod printed; its log goes with it."""
        self._pods.pop(uid, None)
