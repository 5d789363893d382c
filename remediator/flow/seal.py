"""Seal: beside the stages, and never in their transactions, what they wrote down is chained so that changes show.

Every replica runs this; the database lets one at a time make a seal. Entries are sealed up to the newest number once no
transaction is left that could still bring an earlier one. Checkpoints of the chain go to the log and to a file, and
what this replica has seen of the chain it expects to see again: a chain that is shorter or another one is told loudly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from remediator.core.chain import checkpoint_of, make_seal
from remediator.flow.forgive import forgive
from remediator.model.errors import PortError
from remediator.model.seal import Checkpoint, Seal, StoredEntry
from remediator.ports.clock import Clock
from remediator.ports.observer import Observer, StageEvent
from remediator.ports.seals import Anchors, Look, Make, SealStore

BATCH = 250
"""Entries under one seal: some milliseconds of work between two looks at the clock."""

EVERY_S = 5.0
SOON_S = 0.2
CHECKPOINT_EVERY_S = 300.0
CHECKPOINT_ENTRIES = 1000
LATE_S = 60.0
TELL_AGAIN_S = 60.0

# A transaction that was prepared for two-phase commit goes on under another name, which begins like this.
_PREPARED = "-1/"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Horizon:
    """Up to which number is to be sealed, and the transactions that could still bring an entry below it."""

    upto: int
    writers: frozenset[str]

    def is_settled(self, look: Look) -> bool:
        waits = self.writers & look.writers
        return not waits and not any(writer.startswith(_PREPARED) for writer in look.writers)


@dataclass(slots=True, kw_only=True)
class Sealer:
    """``gauge`` takes the age of the oldest entry that is not sealed, in seconds, and whether the chain is whole."""

    store: SealStore
    anchors: Anchors
    clock: Clock
    observer: Observer
    owner: str
    gauge: Callable[[float, bool], None]
    _horizon: _Horizon | None = None
    _known: Checkpoint | None = None
    _kept: Checkpoint | None = None
    _kept_at: float = float("-inf")
    _told_at: dict[str, float] = field(default_factory=dict)
    _whole: bool = True

    async def run(self) -> None:
        """Seal for ever."""
        await self.recall()
        while True:
            await self.clock.sleep(SOON_S if await self._try() else EVERY_S)

    async def finish(self, seconds: float) -> None:
        """Seal what can be sealed within so many seconds, and leave a checkpoint: the last thing a daemon does."""
        # What an earlier look has set out to seal is not all that there is now.
        self._horizon = None
        try:
            async with asyncio.timeout(seconds):
                while await self._try():
                    await self.clock.sleep(SOON_S)
        except TimeoutError:
            self._tell("late", after_s=seconds)
        await self._checkpoint()

    async def step(self) -> bool:
        """Look, and seal what is settled; tell whether there is more to seal soon."""
        look = await self.store.look(self._known.seal if self._known else 0)
        self._watch(look)
        sealed_upto = look.head.seq if look.head else 0
        if self._horizon is None and look.newest > sealed_upto:
            self._horizon = _Horizon(upto=look.newest, writers=look.writers)
        if self._horizon is not None and self._horizon.is_settled(look):
            await self._seal(self._horizon.upto)
            self._horizon = None
        if self._due():
            await self._checkpoint()
        return self._horizon is not None

    async def _try(self) -> bool:
        try:
            return await self.step()
        except PortError as error:
            forgive(error, "the sealing of the ledger")
            self._tell("trouble", error=str(error))
            return False

    async def recall(self) -> None:
        """Begin with what an earlier life of this replica saw of the chain."""
        try:
            self._known = self._kept = await self.anchors.last()
        except PortError as error:
            self._tell("trouble", error=str(error))

    async def _seal(self, upto: int) -> None:
        while seal := await self.store.seal(upto, BATCH, maker(self.owner)):
            # What was seen of a chain that is no longer whole stays the measure.
            self._known = checkpoint_of(seal) if self._whole else self._known
            self._tell("sealed", seal=seal.number, seq=seal.upto, count=len(seal.seqs))
            # Others come first: intake waits for nobody.
            await self.clock.sleep(0)

    def _watch(self, look: Look) -> None:
        """Compare the chain with what was seen of it, and tell for how long entries have waited for their seal."""
        known, head = self._known, look.head
        if known is not None and look.known_hash != known.hash:
            self._whole = False
            there = f"ends with seal {head.seal}" if head else "is empty"
            what = "has another hash" if look.known_hash else f"is gone: the chain {there}"
            self._warn("tampered", detail=f"seal {known.seal} (entry {known.seq}) {what}", **_words(known))
        elif self._whole:
            self._known = head
        if look.waiting_s > LATE_S:
            self._warn("late", waiting_s=round(look.waiting_s), writers=len(look.writers))
        self.gauge(look.waiting_s, self._whole)

    def _due(self) -> bool:
        if not self._whole or self._known is None or self._known == self._kept:
            return False
        entries = self._known.seq - (self._kept.seq if self._kept else 0)
        return entries >= CHECKPOINT_ENTRIES or self.clock.monotonic() - self._kept_at >= CHECKPOINT_EVERY_S

    async def _checkpoint(self) -> None:
        known = self._known
        if known is None or known == self._kept or not self._whole:
            return
        self._tell("checkpoint", **_words(known))
        self._kept, self._kept_at = known, self.clock.monotonic()
        try:
            await self.anchors.keep(known)
        except PortError as error:
            self._tell("trouble", error=str(error))

    def _warn(self, outcome: str, **fields: Any) -> None:
        """Tell of something that lasts: at once, and then once a minute."""
        now = self.clock.monotonic()
        if now - self._told_at.get(outcome, float("-inf")) >= TELL_AGAIN_S:
            self._told_at[outcome] = now
            self._tell(outcome, **fields)

    def _tell(self, outcome: str, **fields: Any) -> None:
        self.observer.tell(StageEvent(stage="seal", outcome=outcome, fields=fields))


def maker(owner: str) -> Make:
    """Return how ``owner`` makes a seal."""

    def make(head: Checkpoint | None, entries: tuple[StoredEntry, ...], at: datetime) -> Seal:
        return make_seal(head, entries, at=at, by=owner)

    return make


def _words(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return a checkpoint as the log has it; ``remediator ledger verify`` reads it from there, too."""
    return {
        "seal": checkpoint.seal,
        "seq": checkpoint.seq,
        "hash": checkpoint.hash,
        "sealed_at": checkpoint.sealed_at.isoformat(),
    }
