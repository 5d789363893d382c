"""One replica, as the daemon puts it together: the real stages, adapters and sealer, over the simulated outside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from remediator.adapters.ledger.actions import moves_together
from remediator.adapters.ledger.inbox import LedgerInbox, deliveries_together
from remediator.adapters.ledger.lookout import LedgerLookoutStore
from remediator.adapters.ledger.record import LedgerAppender
from remediator.adapters.ledger.seals import LedgerSeals
from remediator.core.reconcile import Terms
from remediator.fittings import stores
from remediator.flow.asking import Lookout
from remediator.flow.bells import Bells, Stage
from remediator.flow.parts import Bounds, Cluster, Parts
from remediator.flow.pipeline import pipeline
from remediator.flow.receive import Receive
from remediator.flow.seal import Sealer
from remediator.flow.supervisor import Background, Supervisor
from remediator.model.errors import NotifyError
from remediator.model.policy import Policy
from remediator.model.seal import Checkpoint
from remediator.ports.inbox import Inbox
from remediator.ports.observer import StageEvent
from tests.simulation.cluster import MemoryCluster, ReplicasCluster
from tests.simulation.connection import memory_pool, memory_pools
from tests.simulation.life import HostClock, Life
from tests.simulation.monitoring import Alertmanager, AskedAlertmanager, MemoryHistory
from tests.simulation.rules import MemoryRulebook
from tests.simulation.tables import Database

BOUNDS = Bounds(
    poll_s=6.0,
    candidate_lease_s=20.0,
    action_lease_s=40.0,
    look_lease_s=15.0,
    facts_deadline_s=4.0,
    doubt_s=20.0,
    assess_concurrency=8,
    execute_concurrency=4,
    write_tries=3,
    notify_attempts=1000,
)
LOOKOUT_S = 30.0


@dataclass(slots=True)
class People:
    """Everybody who is told something, and what they heard."""

    heard: list[tuple[int, dict[str, Any]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Voice:
    """Implements ports.notifier.Notifier for one replica."""

    people: People
    life: Life

    async def send(self, notification_id: int, payload: dict[str, Any]) -> str:
        """Tell people; the way there may be broken."""
        await self.life.point("send")
        if self.life.chaos.hits(self.life.chaos.odds.send_fails, "failed page", self.life.name):
            raise NotifyError("unreachable", "nobody answers", retryable=True)
        self.people.heard.append((notification_id, payload))
        await self.life.point("send done", slow=False)
        return "heard"


@dataclass(frozen=True, slots=True)
class Ear:
    """Implements ports.observer.Observer: every event goes to the trace."""

    life: Life

    def tell(self, event: StageEvent) -> None:
        """Note it down, unless it is the last breath of a dead one."""
        if not self.life.dead:
            words = " ".join(f"{name}={value}" for name, value in event.fields.items())
            self.life.chaos.trace(f"{self.life.name} {event.stage}: {event.outcome} {words}".rstrip())


@dataclass(slots=True)
class Kept:
    """Implements ports.seals.Anchors: a file on the replica's machine, which outlives it."""

    checkpoint: Checkpoint | None = None

    async def last(self) -> Checkpoint | None:
        """Return the newest."""
        return self.checkpoint

    async def keep(self, checkpoint: Checkpoint) -> None:
        """Keep one."""
        self.checkpoint = checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What all replicas have around them."""

    db: Database
    cluster: MemoryCluster
    alertmanager: Alertmanager
    people: People
    policy: Policy


@dataclass(slots=True)
class Replica:
    """What runs in one life. ``inbox`` is its front door, None while it is closed."""

    world: World
    life: Life
    rulebook: MemoryRulebook
    kept: Kept
    tampered: Callable[[], None]
    bells: Bells = field(default_factory=Bells)
    inbox: Inbox | None = None
    supervisor: Supervisor | None = None

    async def run(self) -> None:
        """Live until a stop, a death or a bug."""
        db, life = self.world.db, self.life
        pool, clock, ear = memory_pool(db, life), HostClock(life), Ear(life)
        deliveries, moves = deliveries_together(pool), moves_together(pool)
        receive = Receive(LedgerInbox(pool, deliveries, limit=10_000), self.bells)
        sealer = Sealer(
            store=LedgerSeals(pool), anchors=self.kept, clock=clock, observer=ear, owner=life.name, gauge=self._gauge
        )

        @asynccontextmanager
        async def front() -> AsyncIterator[None]:
            self.inbox = receive
            try:
                yield
            finally:
                self.inbox = None

        self.supervisor = Supervisor(
            pipeline=partial(pipeline, self._parts(receive, clock, ear, moves), self.bells),
            front=front,
            background=[
                Background(name="deliveries", run=deliveries.run),
                Background(name="moves", run=moves.run),
                Background(name="seal", run=sealer.run),
            ],
            clock=clock,
            observer=ear,
            drain_s=15.0,
        )
        await self.supervisor.run()

    def ring(self, stage: str) -> None:
        """Hear a NOTIFY."""
        if self.life.works:
            self.bells.ring(Stage(stage))

    def _gauge(self, waiting_s: float, whole: bool) -> None:
        if not whole:
            self.tampered()

    def _parts(self, receive: Receive, clock: HostClock, ear: Ear, moves: Any) -> Parts:
        world, life = self.world, self.life
        pools = memory_pools(world.db, life)
        cluster = ReplicasCluster(world.cluster, life)
        return Parts(
            stores=stores(pools, moves, LedgerAppender(pools.stages)),
            cluster=Cluster(reader=cluster, evidence=cluster, writer=cluster),
            notifier=Voice(world.people, life),
            rulebook=self.rulebook,
            policy=world.policy,
            bounds=BOUNDS,
            clock=clock,
            observer=ear,
            owner=life.name,
            lookout=Lookout(
                store=LedgerLookoutStore(pools.stages, pools.leases, keep_gaps=True),
                inbox=receive,
                alertmanagers=AskedAlertmanager(world.alertmanager, life),
                history=MemoryHistory(world.alertmanager, life),
                terms=Terms(receivers=frozenset(), grace_s=10.0, settle_s=30.0, apart_s=LOOKOUT_S / 2),
                interval_s=LOOKOUT_S,
            ),
        )


async def living(replica: Replica, died: Callable[[BaseException], None]) -> None:
    """Run a replica to its end; a death that nobody caused is told."""
    try:
        await replica.run()
    except asyncio.CancelledError:
        if not replica.life.dead:
            raise
    except Exception as error:  # noqa: BLE001 - whatever kills a replica is what the simulation looks for
        if not replica.life.dead:
            died(error)
            replica.life.kill()
