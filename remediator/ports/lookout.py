"""The lookout's brackets: whose turn it is to ask, what we hold to compare with, and what is noted down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from remediator.model.entry import NewEntry
from remediator.model.sighting import Gap, Holdings, Hush, KnownAlert


class Turn(Struct, frozen=True, kw_only=True):
    """A round that is ours until its lease ends. ``number`` rises with every turn of any replica."""

    number: int
    now: datetime


class Notes(Struct, frozen=True, kw_only=True):
    """What a look at one source leaves behind: alerts that are missing, since when; silent ones, and silent no more.

    ``absent`` replaces all that was noted for the source before.
    """

    source: str
    absent: Mapping[str, datetime]
    hushed: tuple[Hush, ...]
    audible: tuple[str, ...]


class MissedIncident(Struct, frozen=True, kw_only=True):
    """An alert that fired and ended while nobody listened: an incident that is over. ``rule`` "": none matches it."""

    source: str
    fingerprint: str
    rule: str
    severity: str
    title: str
    began_at: datetime
    ended_at: datetime
    entry: NewEntry


class LookoutStore(Protocol):
    """Our side of reconciliation. One replica at a time has the turn; whoever dies in it loses it with its lease."""

    async def take(self, owner: str, lease_s: float, *, hurry: bool) -> Turn | None:
        """Take the turn if it is due, or if it is wanted in a ``hurry`` and the last is not too fresh.

        Also notes that a replica is at work; a silence of all of them before that is kept as a gap.
        """
        ...

    async def known(self, source: str, fingerprints: Sequence[str]) -> Holdings:
        """Return what fires here of a source, and what is known of the given alerts."""
        ...

    async def note(self, turn: Turn, notes: Notes) -> bool:
        """Write down what was found, if the turn is still ours; candidates of alerts that are silent no more wake."""
        ...

    async def finish(self, turn: Turn, again_s: float, heard: Mapping[str, str]) -> tuple[str, ...]:
        """End the turn; the next is due in about ``again_s`` seconds.

        ``heard`` tells of each source why nobody of it answered ("" where somebody did). Returns the sources for which
        people were called now, because they have been silent for too long.
        """
        ...

    async def gaps(self, limit: int) -> tuple[Gap, ...]:
        """Return gaps whose history is still to be looked at and is due, oldest first."""
        ...

    async def known_since(self, begin: datetime) -> tuple[KnownAlert, ...]:
        """Return the alerts that fire here, or whose state has changed since then; a bounded number, latest first."""
        ...

    async def settle(self, gap: Gap, missed: Sequence[MissedIncident], told: str) -> bool:
        """Record what was missed in a gap and tell people, once; the gap is done with."""
        ...

    async def postpone(self, gap: Gap, seconds: float) -> None:
        """Look at a gap again later."""
        ...
