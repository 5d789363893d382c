"""The seals over the ledger: making them, reading them, and where their essence is kept outside of the database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from remediator.model.seal import Checkpoint, Seal, StoredEntry


class Look(Struct, frozen=True, kw_only=True):
    """How sealing stands. ``newest``: the highest number that can be seen; ``head``: the newest seal.

    ``writers`` are the transactions that write to the ledger now: only they can still bring an entry with a number
    below ``newest``. ``known_hash`` is the hash, in hex, of the seal that was asked for ("": there is none),
    ``waiting_s`` the age of the oldest entry that is not sealed (0: all are).
    """

    newest: int
    writers: frozenset[str]
    head: Checkpoint | None
    known_hash: str
    waiting_s: float


Make = Callable[[Checkpoint | None, tuple[StoredEntry, ...], datetime], Seal]
"""Given the newest seal, the entries that follow and the database's time: the seal to be stored."""


class SealStore(Protocol):
    """Where seals are made."""

    async def look(self, known: int) -> Look:
        """See how it stands; ``known`` is the number of a seal whose hash is wanted."""
        ...

    async def seal(self, upto: int, limit: int, make: Make) -> Seal | None:
        """Seal the next entries, at most ``limit``, none beyond the number ``upto``; None: nothing to do for us now.

        In a transaction of its own, by one replica at a time.
        """
        ...


class Unsealed(Struct, frozen=True, kw_only=True):
    """The entries that no seal covers yet: how many (counted no further than 100,000), and the age of the oldest."""

    count: int
    oldest_s: float


class SealReader(Protocol):
    """What verification and export read; nothing here takes a lock."""

    async def seals(self, after: int, limit: int) -> tuple[Seal, ...]:
        """Return seals in the order of their numbers, those after one."""
        ...

    async def stored(self, after: int, upto: int, limit: int) -> tuple[StoredEntry, ...]:
        """Return entries as they are stored, in the order of their numbers: after one, up to another."""
        ...

    async def unsealed(self, after: int) -> Unsealed:
        """Tell of the entries after a number, that of the newest seal."""
        ...

    async def recorded(
        self, after: tuple[datetime, int], until: datetime | None, limit: int
    ) -> tuple[StoredEntry, ...]:
        """Return entries as they are stored, by time and number: after one such place, before a time."""
        ...


class Anchors(Protocol):
    """Keeps checkpoints where whoever can change the database cannot change them."""

    async def last(self) -> Checkpoint | None:
        """Return the newest checkpoint that was kept. Raises PortError."""
        ...

    async def keep(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint for good. Raises PortError."""
        ...
