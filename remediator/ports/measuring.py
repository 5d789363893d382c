"""The threshold table's outside: Prometheus to ask, and where the state of every series lasts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from msgspec import Struct

from remediator.model.entry import NewEntry
from remediator.model.measure import Answer, Measure, RowState, SeriesState
from remediator.model.signal import Signal

T = TypeVar("T")


class Query(Struct, frozen=True, kw_only=True):
    """One expression, evaluated for one moment. ``dated``: the times of the samples are asked for, too."""

    expr: str
    at: datetime
    dated: bool = False


class Prometheus(Protocol):
    """Answers instant queries. Bounded in threads, bytes and time, whatever the other side does."""

    async def ask(self, query: Query, work: Callable[[Answer], T]) -> T:
        """Ask, and return what ``work`` makes of the answer, beside the event loop.

        Never raises for what Prometheus does: why there is no answer is an answer as well.
        """
        ...


class PollTurn(Struct, frozen=True, kw_only=True):
    """This replica is the poller until its lease ends. ``due``: a tick is due now, and it is ``number``."""

    number: int
    now: datetime
    due: bool


class Message(Struct, frozen=True, kw_only=True):
    """A message to people that belongs to no incident."""

    text: str
    urgent: bool


class Tick(Struct, frozen=True, kw_only=True):
    """All that one tick leaves behind. ``retired`` are rows that no rule speaks of any more."""

    rows: tuple[RowState, ...] = ()
    changed: tuple[SeriesState, ...] = ()
    forgotten: tuple[SeriesState, ...] = ()
    retired: tuple[str, ...] = ()
    signals: tuple[Signal, ...] = ()
    entries: tuple[NewEntry, ...] = ()
    message: Message | None = None


class Held(Struct, frozen=True, kw_only=True):
    """What the last tick of any replica has left."""

    rows: tuple[RowState, ...]
    series: tuple[SeriesState, ...]


class IncidentMeasures(Struct, frozen=True, kw_only=True):
    """The measures of an incident's alerts. ``others``: how many of its alerts are no series of the table."""

    measures: tuple[Measure, ...]
    others: int


class RowSummary(Struct, frozen=True, kw_only=True):
    """A row for people to read: how many of its series stand how. ``unknown_why`` "": the row itself is known."""

    row: str
    looked_at: datetime
    unknown_since: datetime | None
    unknown_why: str
    ok: int
    pending: int
    warning: int
    critical: int
    unknown: int


class ThresholdView(Protocol):
    """The threshold table, for people to read."""

    async def rows(self) -> tuple[RowSummary, ...]:
        """Return the rows that are or were polled, by name."""
        ...


class ThresholdStore(Protocol):
    """Where the state of the threshold table lasts. One replica at a time is the poller."""

    async def take(self, owner: str, lease_s: float, interval_s: float) -> PollTurn | None:
        """Become or stay the poller; None: another one is. After a due tick the next is due in ``interval_s``."""
        ...

    async def load(self) -> Held:
        """Return all state."""
        ...

    async def commit(self, owner: str, turn: PollTurn, tick: Tick) -> bool:
        """Store a tick in one transaction; False: another replica is the poller by now, and nothing was stored."""
        ...

    async def measures(self, incidents: Sequence[int], fresh_s: float) -> Mapping[int, IncidentMeasures]:
        """Return how the series of these incidents' alerts stand; one not looked at for ``fresh_s`` is unknown."""
        ...
