"""A rig for the stages: the real database, the sandbox's API server, and lanes that a test steps by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg
from msgspec import structs

from remediator.adapters.clock import SystemClock
from remediator.adapters.kubernetes.access import ClusterAccess
from remediator.adapters.kubernetes.client import KubeClient
from remediator.adapters.kubernetes.evidence import KubernetesEvidence
from remediator.adapters.kubernetes.reader import KubernetesReader
from remediator.adapters.kubernetes.writer import KubernetesWriter
from remediator.adapters.ledger.actions import LedgerActionStore, moves_together
from remediator.adapters.ledger.admission import LedgerAdmissionStore
from remediator.adapters.ledger.evidence import LedgerEvidenceStore
from remediator.adapters.ledger.inbox import LedgerInbox, deliveries_together
from remediator.adapters.ledger.incidents import LedgerIncidentStore, LedgerOutbox
from remediator.adapters.ledger.matching import LedgerMatchStore
from remediator.adapters.ledger.pool import open_pools
from remediator.adapters.ledger.record import LedgerAppender, LedgerView
from remediator.core.match import RuleIndex
from remediator.flow.bells import Bells
from remediator.flow.parts import Bounds, Cluster, Parts, Stores
from remediator.flow.pipeline import Pipeline, pipeline
from remediator.flow.receive import Receive
from remediator.model.entry import Entry
from remediator.model.errors import NotifyError
from remediator.model.freeze import Freeze
from remediator.model.policy import Policy
from remediator.model.rule import (
    Limits,
    Matcher,
    MatchOp,
    Mode,
    RateLimit,
    Recovery,
    Rule,
    RuleSet,
    Rung,
    Severity,
    TargetSpec,
)
from remediator.model.signal import Delivery, Receipt, Signal, Status
from remediator.model.target import Kind
from remediator.ports.ledger import LedgerQuery
from remediator.ports.observer import StageEvent
from remediator.sandbox.resources import DEPLOYMENTS
from remediator.sandbox.server import SandboxServer

ROOMY = Policy(
    spacing_s=0,
    open_per_namespace=100,
    open_per_cluster=100,
    cluster_burst=RateLimit(count=100, window_s=600),
    cluster_hourly=RateLimit(count=100, window_s=3600),
    blast_namespace_percent=100,
    blast_cluster_percent=100,
    storm=RateLimit(count=100_000, window_s=120),
    storm_percent=100,
    quarantine=RateLimit(count=1000, window_s=86400),
    masking=RateLimit(count=1000, window_s=21600),
)
QUICK = Bounds(poll_s=0.05, facts_deadline_s=5.0, doubt_s=2.0, write_tries=3)


def a_rule(**changes: Any) -> Rule:
    """Return an enforcing rule that restarts backstage when BackstageDown fires; it recovers once all is quiet."""
    base = Rule(
        name="service-unavailable",
        match=(Matcher(label="alertname", op=MatchOp.EQUAL, value="BackstageDown"),),
        severity=Severity.P1,
        target=TargetSpec(namespaces=("backstage",), kinds=(Kind.DEPLOYMENT,)),
        ladder=(Rung(action="restart", parameters={}),),
        limits=Limits(per_target=RateLimit(count=20, window_s=3600), cooldown_s=1),
        recover=Recovery(for_s=0, within_s=600),
        mode=Mode.ENFORCE,
        min_healthy_percent=0,
        evidence=False,
    )
    return structs.replace(base, **changes)


def deployment(name: str = "backstage", replicas: int = 3, **status: Any) -> dict[str, Any]:
    """Return a rolled-out Deployment; ``status`` replaces fields of its status."""
    labels = {"app": name}
    healthy = {
        "observedGeneration": 1,
        "replicas": replicas,
        "updatedReplicas": replicas,
        "readyReplicas": replicas,
        "availableReplicas": replicas,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "backstage", "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "app", "image": "example.com/app:1"}]},
            },
        },
        "status": {**healthy, **status},
    }


def alert(name: str = "backstage", status: Status = Status.FIRING, **changes: Any) -> Signal:
    """Return a signal of BackstageDown for the Deployment of that name, begun a minute ago."""
    now = SystemClock().now()
    base = Signal(
        source="alertmanager",
        fingerprint=f"{name:f<16}"[:16],
        status=status,
        labels={"alertname": "BackstageDown", "namespace": "backstage", "deployment": name},
        annotations={},
        starts_at=now - timedelta(minutes=1),
        ends_at=now if status is Status.RESOLVED else None,
    )
    return structs.replace(base, **changes)


@dataclass
class Rules:
    """A rule set in force that a test can exchange."""

    rules: tuple[Rule, ...]
    digest: str = "test"
    freezes: tuple[Freeze, ...] = ()

    def current(self) -> RuleSet:
        """Return the set."""
        return RuleSet(rules=self.rules, digest=self.digest, freezes=self.freezes)

    def named(self, name: str) -> Rule | None:
        """Return one rule."""
        return self.current().named(name)

    def matching(self, labels: dict[str, str]) -> tuple[Rule, ...]:
        """Return what matches."""
        return RuleIndex.build(self.rules).matching(labels)


@dataclass
class Sink:
    """People: keeps what they are told; refuses as long as ``failing`` is set."""

    heard: list[dict[str, Any]] = field(default_factory=list)
    failing: NotifyError | None = None

    async def send(self, notification_id: int, payload: dict[str, Any]) -> str:
        """Hear, or fail."""
        if self.failing is not None:
            raise self.failing
        self.heard.append({"id": notification_id, **payload})
        return "heard"


@dataclass
class Ear:
    """An observer that remembers."""

    events: list[StageEvent] = field(default_factory=list)

    def tell(self, event: StageEvent) -> None:
        """Remember."""
        self.events.append(event)

    def outcomes(self, stage: str) -> list[str]:
        """Return the outcomes of one stage."""
        return [event.outcome for event in self.events if event.stage == stage]


@dataclass
class Rig:
    """Everything a test of the stages touches."""

    sandbox: SandboxServer
    inbox: Receive
    line: Pipeline
    parts: Parts
    rules: Rules
    people: Sink
    ear: Ear
    view: LedgerView
    ledger: LedgerAppender
    sql: asyncpg.Connection[asyncpg.Record]

    async def deliver(self, *signals: Signal, truncated: int = 0) -> Receipt:
        """Put signals into the inbox."""
        return await self.inbox.accept(Delivery(source="alertmanager", signals=signals, truncated=truncated))

    async def settle(self, seconds: float = 15.0) -> None:
        """Step every lane until nothing is left to do now."""
        quiet = 0
        async with asyncio.timeout(seconds):
            while quiet < 3:
                busy = [await lane.step() for lane in self.line.lanes]
                await asyncio.sleep(0.005)
                quiet = 0 if any(busy) or self.under_way() else quiet + 1

    def under_way(self) -> bool:
        """Tell whether reads or actions are under way."""
        names = (task.get_name() for task in asyncio.all_tasks())
        return any(name.startswith(("assess-", "action-")) for name in names)

    async def hasten(self) -> None:
        """Make everything due that waits for a time, then settle."""
        await self.sql.execute("UPDATE remediator.actions SET check_at = now() WHERE state = 'verifying'")
        await self.sql.execute("UPDATE remediator.incidents SET check_at = now() WHERE state <> 'resolved'")
        await self.sql.execute("UPDATE remediator.candidates SET not_before = now() WHERE state = 'held'")
        await self.sql.execute("UPDATE remediator.outbox SET not_before = now() WHERE state = 'waiting'")
        await self.settle()

    def put(self, obj: dict[str, Any]) -> dict[str, Any]:
        """Create a Deployment in the sandbox, status and all."""
        status = obj.pop("status")
        made = self.sandbox.store.create(DEPLOYMENTS, obj)
        self.sandbox.store.update_status(DEPLOYMENTS, made["metadata"]["namespace"], made["metadata"]["name"], status)
        return self.live(made["metadata"]["name"])

    def live(self, name: str = "backstage") -> dict[str, Any]:
        """Return a Deployment as it is now."""
        return self.sandbox.store.get(DEPLOYMENTS, "backstage", name)

    def rolled_out(self, name: str = "backstage", **changes: Any) -> None:
        """Let the rollout of a Deployment be complete."""
        now = self.live(name)
        healthy = deployment(name, now["spec"]["replicas"])["status"]
        status = {**healthy, "observedGeneration": now["metadata"]["generation"], **changes}
        self.sandbox.store.update_status(DEPLOYMENTS, "backstage", name, status)

    def writes(self) -> list[Any]:
        """Return the patches that the API server stored."""
        return [one for one in self.sandbox.requests.writes() if one.changed]

    async def entries(self, **query: Any) -> list[Entry]:
        """Return ledger entries."""
        return list(await self.view.entries(LedgerQuery(**query)))

    async def kinds(self) -> list[str]:
        """Return the kinds of all ledger entries, in order."""
        return [entry.kind.value for entry in await self.entries()]

    async def rows(self, statement: str, *values: Any) -> Sequence[asyncpg.Record]:
        """Run a statement of the test's own, as the owner."""
        return await self.sql.fetch(statement, *values)

    async def states(self) -> list[str]:
        """Return the states of all actions, in order."""
        return [row["state"] for row in await self.rows("SELECT state FROM remediator.actions ORDER BY number")]


@contextmanager
def token_file(token: str) -> Iterator[Path]:
    """Yield a private file that holds a token."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "token"
        path.write_text(token)
        path.chmod(0o600)
        yield path


Dress = Callable[[Parts], Parts]


@asynccontextmanager
async def rig(
    dsn: str, *rules: Rule, policy: Policy = ROOMY, bounds: Bounds = QUICK, dress: Dress = lambda parts: parts
) -> AsyncIterator[Rig]:
    """Set a rig up; ``dress`` may exchange parts, for faults."""
    bells, ear, people = Bells(), Ear(), Sink()
    book = Rules(rules=rules or (a_rule(),))
    async with AsyncExitStack() as stack:
        sandbox = SandboxServer()
        url = await sandbox.start()
        stack.push_async_callback(sandbox.stop)
        sandbox.add_namespace("backstage")
        token = stack.enter_context(token_file(sandbox.admin_token))
        client = await KubeClient.connect(ClusterAccess(url=url, token_file=token))
        stack.push_async_callback(client.close)
        pools = await stack.enter_async_context(open_pools(dsn))
        deliveries = deliveries_together(pools.intake)
        moves = moves_together(pools.stages)
        clock = SystemClock()
        parts = Parts(
            stores=Stores(
                matching=LedgerMatchStore(pools.leases),
                admission=LedgerAdmissionStore(pools.stages, pools.leases),
                actions=LedgerActionStore(pools.stages, moves, pools.leases),
                evidence=LedgerEvidenceStore(pools.stages),
                incidents=LedgerIncidentStore(pools.stages, pools.leases),
                outbox=LedgerOutbox(pools.stages, pools.leases),
                ledger=LedgerAppender(pools.stages),
                alarm=LedgerAppender(pools.stages),
            ),
            cluster=Cluster(
                reader=KubernetesReader(client, clock),
                evidence=KubernetesEvidence(client),
                writer=KubernetesWriter(client),
            ),
            notifier=people,
            rulebook=book,
            policy=policy,
            bounds=bounds,
            clock=clock,
            observer=ear,
            owner="test",
        )
        parts = dress(parts)
        sql = await asyncpg.connect(dsn)
        stack.push_async_callback(sql.close)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(deliveries.run())
            tasks.create_task(moves.run())
            async with pipeline(parts, bells) as line:
                yield Rig(
                    sandbox=sandbox,
                    inbox=Receive(LedgerInbox(pools.intake, deliveries, limit=10_000), bells),
                    line=line,
                    parts=parts,
                    rules=book,
                    people=people,
                    ear=ear,
                    view=LedgerView(pools.read),
                    ledger=LedgerAppender(pools.stages),
                    sql=sql,
                )
            deliveries.close()
            moves.close()
