"""A cluster in memory: workloads with uid, resourceVersion and generation, rollouts that take time, and sicknesses.

It is its own witness: ``effects`` lists every write that was stored, and nobody else writes that list.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from msgspec import structs

from remediator.model.action import BeforeImage
from remediator.model.errors import ClusterError
from remediator.model.facts import Facts, Population, WorkloadFacts
from remediator.model.owners import Lever, Surroundings
from remediator.model.plan import CaptureEvidence, PatchObject
from remediator.model.rule import TargetSpec
from remediator.model.target import Kind, Target
from remediator.ports.cluster import (
    Applied,
    EvidenceBundle,
    InDoubt,
    LiveObject,
    Resolution,
    WriteMark,
    WriteRefused,
    WriteResult,
)
from tests.simulation.chaos import Chaos
from tests.simulation.life import Life
from tests.simulation.tables import Database

ACTION = "remediator.io/action"
FENCE = "remediator.io/fence"
TIMEOUT_S = 5.0
"""How long a client waits for an answer to a write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One write that was stored. ``held_up_s``: for so long it was on its way, after its replica had sent it."""

    at: float
    sent_at: float
    by: str
    key: str
    uid: str
    mark: WriteMark

    @property
    def held_up_s(self) -> float:
        """Return how long it was on its way."""
        return self.at - self.sent_at


@dataclass(slots=True, kw_only=True)
class Workload:
    """One object. ``cure``: what heals it when it is sick: ``restart``, ``scale``, ``never``."""

    target: Target
    document: dict[str, Any]
    version: int = 1
    generation: int = 1
    began: float = -100.0
    until: float = -100.0
    marks: set[str] = field(default_factory=set)
    sick: bool = False
    cure: str = "restart"
    wanted: int = 0

    @property
    def replicas(self) -> int:
        """Return how many pods are wanted."""
        count: int = self.document["spec"]["replicas"]
        return count

    def annotation(self, name: str) -> str:
        """Return one of our marks, "" if it is not there."""
        text: str = self.document["metadata"]["annotations"].get(name, "")
        return text


class MemoryCluster:
    """All workloads. ``enforces``: the admission policy that refuses stale fences is installed."""

    def __init__(self, db: Database, chaos: Chaos, *, enforces: bool) -> None:
        """Begin empty."""
        self.db = db
        self.chaos = chaos
        self.enforces = enforces
        self.down = False
        self.workloads: dict[str, Workload] = {}
        self.effects: list[Effect] = []
        self.stored: Callable[[Effect], None] = lambda effect: None
        self.healed: Callable[[Workload], None] = lambda workload: None
        self._made = 0

    def make(self, namespace: str, name: str, *, replicas: int, kind: Kind = Kind.DEPLOYMENT) -> Workload:
        """Make a workload, or the next of that name."""
        self._made += 1
        target = Target(kind=kind, namespace=namespace, name=name, uid=f"uid-{self._made}")
        meta = {"name": name, "namespace": namespace, "uid": target.uid, "annotations": {}}
        spec = {"replicas": replicas, "template": {"metadata": {"annotations": {}}}}
        workload = Workload(target=target, document={"metadata": meta, "spec": spec}, version=self._made * 1000)
        self.workloads[target.key] = workload
        return workload

    def touch(self, workload: Workload, patch: dict[str, Any]) -> None:
        """Merge a patch into a workload, whoever sends it; a new pod template or number of pods rolls out."""
        before = copy.deepcopy(workload.document["spec"])
        _merge(workload.document, patch)
        workload.version += 1
        if workload.document["spec"] == before:
            return
        workload.generation += 1
        if workload.document["spec"]["template"] != before["template"]:
            workload.marks.add(workload.document["spec"]["template"]["metadata"]["annotations"].get(ACTION, ""))
        loop = asyncio.get_running_loop()
        workload.began = loop.time()
        workload.until = loop.time() + self.chaos.dice.uniform(3.0, 25.0)
        generation = workload.generation
        loop.call_at(workload.until, lambda: self._rolled_out(workload, generation, before))

    def _rolled_out(self, workload: Workload, generation: int, before: dict[str, Any]) -> None:
        workload.version += 1
        if workload.generation != generation or not workload.sick:
            return
        restarted = workload.document["spec"]["template"] != before["template"]
        if (workload.cure == "restart" and restarted) or (
            workload.cure == "scale" and workload.replicas >= workload.wanted
        ):
            self.heal(workload)

    def heal(self, workload: Workload) -> None:
        """Make a workload well."""
        workload.sick = False
        workload.version += 1
        self.healed(workload)

    def facts_of(self, workload: Workload, now: datetime) -> Facts:
        """Return what a read of the workload tells."""
        time = asyncio.get_running_loop().time()
        rolling = time < workload.until
        seen = not rolling or time > workload.began + 1.0
        missing = 1 if rolling or workload.sick else 0
        load = WorkloadFacts(
            target=workload.target,
            resource_version=str(workload.version),
            generation=workload.generation,
            observed_generation=workload.generation if seen else workload.generation - 1,
            replicas=workload.replicas,
            updated=workload.replicas - (1 if rolling else 0),
            ready=workload.replicas - missing,
            available=workload.replicas - missing,
            current=workload.replicas,
            annotations=dict(workload.document["metadata"]["annotations"]),
            template_annotations=dict(workload.document["spec"]["template"]["metadata"]["annotations"]),
        )
        same = sum(one.target.namespace == workload.target.namespace for one in self.workloads.values())
        population = Population(namespace=same, cluster=len(self.workloads))
        return Facts(read_at=now, workload=load, population=population)

    def store(self, step: PatchObject, mark: WriteMark, sent_at: float, by: str) -> Applied | WriteRefused:
        """Store a write, or refuse it, as the API server does."""
        workload = self.workloads.get(step.target.key)
        if workload is None or workload.target.uid != mark.uid:
            return WriteRefused(reason="gone", message="HTTP 404")
        if str(workload.version) != mark.resource_version:
            return WriteRefused(reason="conflict", message="HTTP 409: the object has been modified")
        if self.enforces and mark.fence <= int(workload.annotation(FENCE) or 0):
            return WriteRefused(reason="invalid", message="HTTP 422: the fence does not rise")
        self.touch(workload, _with_marks(step, mark))
        time = asyncio.get_running_loop().time()
        effect = Effect(at=time, sent_at=sent_at, by=by, key=step.target.key, uid=mark.uid, mark=mark)
        self.effects.append(effect)
        self.stored(effect)
        return Applied(resource_version=str(workload.version), generation=workload.generation)


def _with_marks(step: PatchObject, mark: WriteMark) -> dict[str, Any]:
    patch = copy.deepcopy(step.patch)
    _merge(patch, {"metadata": {"annotations": {ACTION: mark.action_id, FENCE: str(mark.fence)}}})
    if step.mark_template:
        _merge(patch, {"spec": {"template": {"metadata": {"annotations": {ACTION: mark.action_id}}}}})
    return patch


def _merge(document: dict[str, Any], patch: dict[str, Any]) -> None:
    """Merge as RFC 7386 says."""
    for key, value in patch.items():
        if value is None:
            document.pop(key, None)
        elif isinstance(value, dict):
            _merge(document.setdefault(key, {}), value)
        else:
            document[key] = value


class ReplicasCluster:
    """The cluster as one replica reaches it: implements the reader, the reader of evidence, and the writer."""

    def __init__(self, cluster: MemoryCluster, life: Life) -> None:
        """Connect."""
        self._cluster = cluster
        self._life = life
        self._chaos = life.chaos
        self._recent: dict[Target, tuple[float, LiveObject]] = {}

    async def _reach(self, place: str) -> None:
        await self._life.point(place)
        fails = self._chaos.hits(self._chaos.odds.read_fails, "failed read", f"{self._life.name} {place}")
        if self._cluster.down or fails:
            raise ClusterError("unreachable", "the API server does not answer", retryable=True)

    def _now(self) -> datetime:
        return self._life.db.now() + self._life.skew

    async def resolve(self, labels: dict[str, str], spec: TargetSpec) -> Resolution:
        """Find the workload that the labels mean."""
        return (await self.resolve_and_read(labels, spec))[0]

    async def resolve_and_read(
        self, labels: dict[str, str], spec: TargetSpec, *, around: bool = False
    ) -> tuple[Resolution, Facts]:
        """Find the workload, and read it."""
        await self._reach("read")
        workload = self._cluster.workloads.get(f"deployment/{labels['namespace']}/{labels['deployment']}")
        if workload is None:
            facts = Facts(read_at=self._now(), problem="target_not_found", detail="there is no such workload")
            return Resolution(problem=facts.problem, detail=facts.detail), facts
        found = self._look(workload)
        self._recent[workload.target] = (asyncio.get_running_loop().time(), found)
        await self._life.point("read done", slow=False)
        facts = structs.replace(found.facts, around=Surroundings() if around else None)
        return Resolution(target=workload.target), facts

    async def facts(self, target: Target) -> Facts:
        """Read one workload by itself."""
        await self._reach("facts")
        workload = self._same(target)
        if workload is None:
            return Facts(read_at=self._now(), problem="target_not_found", detail="it is gone")
        return structs.replace(self._cluster.facts_of(workload, self._now()), population=Population())

    async def live(self, target: Target, *, within_s: float = 0.0, through: Lever | None = None) -> LiveObject:
        """Read one workload for a write; the facts' own read will do where it is young enough."""
        at, known = self._recent.pop(target, (0.0, None))
        if known is not None and asyncio.get_running_loop().time() - at < within_s:
            await self._life.point("live", slow=False)
            return known
        await self._reach("live")
        workload = self._same(target)
        if workload is None:
            raise ClusterError("not_found", "it is gone")
        found = self._look(workload)
        await self._life.point("live done")
        return found

    def _look(self, workload: Workload) -> LiveObject:
        image = BeforeImage(
            resource_version=str(workload.version),
            uid=workload.target.uid,
            generation=workload.generation,
            object=copy.deepcopy(workload.document),
        )
        return LiveObject(
            image=image,
            marker=workload.annotation(ACTION),
            fence=int(workload.annotation(FENCE) or 0),
            facts=self._cluster.facts_of(workload, self._now()),
        )

    async def proof(self, target: Target, action_id: str, *, through: Lever | None = None) -> bool | None:
        """Look for an action's mark."""
        await self._reach("proof")
        workload = self._same(target)
        if workload is None:
            return None
        return action_id == workload.annotation(ACTION) or action_id in workload.marks

    def _same(self, target: Target) -> Workload | None:
        workload = self._cluster.workloads.get(target.key)
        return workload if workload is not None and workload.target.uid == target.uid else None

    async def capture(self, step: CaptureEvidence) -> EvidenceBundle:
        """Look at the pods."""
        await self._reach("capture")
        return EvidenceBundle(parts={"pods": [step.target.name]})

    async def patch(self, step: PatchObject, mark: WriteMark, *, dry_run: bool = False) -> WriteResult:
        """Send one write; the network may lose it, hold it up, or lose the answer."""
        sent_at = asyncio.get_running_loop().time()
        await self._life.point("patch")
        if dry_run:
            return Applied(resource_version="", generation=0)
        if self._cluster.down:
            return WriteRefused(reason="unreachable", message="connection refused")
        result = await self._send(step, mark, sent_at)
        await self._life.point("patch done")
        return result

    async def _send(self, step: PatchObject, mark: WriteMark, sent_at: float) -> WriteResult:
        name = self._life.name

        def store() -> WriteResult:
            return self._cluster.store(step, mark, sent_at, name)

        if not self._chaos.hits(self._chaos.odds.write_fails, "failed write", f"{name} A{mark.number}"):
            return store()
        match self._chaos.dice.choice(("lost", "held up", "answer lost", "throttled", "500")):
            case "held up":
                # Much later, or in the very moment in which it is looked for.
                soon, late = self._chaos.dice.uniform(5.0, 5.4), self._chaos.dice.uniform(0.5, 90.0)
                asyncio.get_running_loop().call_later(self._chaos.dice.choice((soon, late)), store)
                await asyncio.sleep(TIMEOUT_S)
                return InDoubt(message="no answer within 5 s")
            case "answer lost":
                store()
                return InDoubt(message="the connection was closed")
            case "throttled":
                return WriteRefused(reason="throttled", message="HTTP 429", retry_after=1.0)
            case "500":
                return InDoubt(message="HTTP 500")
            case _:
                await asyncio.sleep(TIMEOUT_S)
                return InDoubt(message="no answer within 5 s")
