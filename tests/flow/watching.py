"""A lookout for a rig: the real store, and Alertmanagers and a Prometheus that say what a test wants."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from msgspec import structs

from remediator.adapters.clock import SystemClock
from remediator.adapters.ledger.lookout import LedgerLookoutStore
from remediator.adapters.ledger.pool import open_pools
from remediator.core.reconcile import Terms
from remediator.flow.asking import Lookout
from remediator.flow.reconcile import Reconcile
from remediator.model.errors import MonitoringError
from remediator.model.sighting import Disposition, Episode, PeerAnswer, Sighting
from remediator.model.signal import Signal
from tests.flow.rig import Rig

TERMS = Terms(receivers=frozenset(), grace_s=30.0, settle_s=300.0, apart_s=30.0)


def seen(signal: Signal, **changes: Any) -> Sighting:
    """Return a firing alert as an Alertmanager has it that heard of it this moment."""
    plain = Sighting(
        signal=structs.replace(signal, ends_at=None),
        disposition=Disposition.ACTIVE,
        by=(),
        receivers=("remediator",),
        updated_ago_s=-1.0,
        firing_for_s=600.0,
    )
    return structs.replace(plain, **changes)


@dataclass
class Peers:
    """Alertmanagers of one source. ``has`` is what all of them have; ``problem`` why none of them answers."""

    has: tuple[Sighting, ...] = ()
    problem: str = ""
    sources: tuple[str, ...] = ("alertmanager",)
    up_for_s: float = 86400.0
    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def ask(self, source: str) -> tuple[PeerAnswer, ...]:
        """Answer."""
        if self.meanwhile is not None:
            await self.meanwhile()
        sightings = () if self.problem else self.has
        named = tuple(structs.replace(one, signal=structs.replace(one.signal, source=source)) for one in sightings)
        return (PeerAnswer(peer="am-0", problem=self.problem, sightings=named, up_for_s=self.up_for_s, settled=True),)


@dataclass
class Memory:
    """A Prometheus."""

    episodes_: tuple[Episode, ...] = ()
    failing: MonitoringError | None = None
    asked: list[tuple[datetime, datetime]] = field(default_factory=list)

    async def episodes(self, begin: datetime, end: datetime) -> tuple[Episode, ...]:
        """Remember."""
        self.asked.append((begin, end))
        if self.failing is not None:
            raise self.failing
        return self.episodes_


@dataclass
class Watch:
    """The stage, on a rig."""

    rig: Rig
    stage: Reconcile

    async def look(self) -> None:
        """Let a minute pass, ask, and settle all that follows."""
        await self.ask()
        await self.rig.settle()

    async def ask(self) -> None:
        """Let a minute pass, and ask."""
        await self.rig.sql.execute(
            """UPDATE remediator.duties SET due_at = now();
               UPDATE remediator.absent_alerts SET since = since - interval '1 min';
               UPDATE remediator.alerts SET changed_at = changed_at - interval '1 min';
               UPDATE remediator.signals SET last_seen_at = last_seen_at - interval '1 min'"""
        )
        await self.stage.step()

    async def away(self, seconds: float) -> None:
        """Let nobody have been at work for so long."""
        await self.stage.step()
        await self.rig.sql.execute("UPDATE remediator.pulse SET at = at - make_interval(secs => $1)", seconds)


@asynccontextmanager
async def watching(
    r: Rig, database: str, peers: Peers | None, memory: Memory | None = None, **changes: Any
) -> AsyncIterator[Watch]:
    """Give a rig a lookout; ``changes`` go to the parts of its stage."""
    async with open_pools(database) as pools:
        lookout = Lookout(
            store=LedgerLookoutStore(pools.stages, pools.leases, keep_gaps=memory is not None, hurry_s=0.0),
            inbox=r.inbox,
            alertmanagers=peers,
            history=memory,
            terms=TERMS,
            interval_s=60.0,
        )
        parts = replace(r.parts, lookout=lookout, **changes)
        yield Watch(rig=r, stage=Reconcile(parts, r.line.bells, lookout))


def ago(seconds: float) -> datetime:
    """Return the moment so many seconds ago."""
    return SystemClock().now() - timedelta(seconds=seconds)
