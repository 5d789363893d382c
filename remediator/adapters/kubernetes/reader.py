"""Reads for decisions, for writes and for proofs: the ClusterReader of a real API server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from remediator.adapters.kubernetes.client import KubeClient, Request
from remediator.adapters.kubernetes.errors import attempt
from remediator.adapters.kubernetes.facts import (
    Found,
    Rollout,
    newest_replica_set,
    newest_revision,
    owned_by,
    pod_facts,
    workload_facts,
)
from remediator.adapters.kubernetes.image import before_image
from remediator.adapters.kubernetes.levers import lever_image, lever_path, scaler_from
from remediator.adapters.kubernetes.marks import ACTION, action_of, fence_of
from remediator.adapters.kubernetes.names import apps_path, core_path, is_name, is_namespace, selector_text, target_path
from remediator.adapters.kubernetes.owners import OwnerReader
from remediator.adapters.kubernetes.recent import RecentReads
from remediator.adapters.kubernetes.resolve import Resolver, problem_of
from remediator.adapters.kubernetes.shapes import PodList, Revision, RevisionList, Workload, WorkloadList
from remediator.model.errors import ClusterError
from remediator.model.facts import Facts, PodFacts, Population
from remediator.model.owners import Lever, Surroundings
from remediator.model.rule import TargetSpec
from remediator.model.target import Kind, Target
from remediator.ports.clock import Clock
from remediator.ports.cluster import LiveObject, Resolution

MOST_PODS = 250
MOST_REVISIONS = 100
# What a list of owned objects may be refused with and leave the facts only poorer, not unusable.
_OPTIONAL = frozenset({"forbidden", "not_found"})


class KubernetesReader:
    """Implements ports.cluster.ClusterReader.

    At most four requests for the facts of a named workload, and five more at most for what surrounds it.
    """

    def __init__(self, client: KubeClient, clock: Clock, population: Callable[[str], Population] | None = None) -> None:
        """Take the client, the clock that ``read_at`` comes from, and what knows how many workloads there are."""
        self._client = client
        self._clock = clock
        self._population = population or (lambda _: Population())
        self._resolver = Resolver(client)
        self._recent = RecentReads(clock)
        self._owners = OwnerReader(client, clock)

    async def resolve(self, labels: dict[str, str], spec: TargetSpec) -> Resolution:
        """Find the one workload that the labels of an alert mean, inside what the rule allows."""
        found = await self._resolver.find(labels, spec)
        return found if isinstance(found, Resolution) else Resolution(target=found.target)

    async def resolve_and_read(
        self, labels: dict[str, str], spec: TargetSpec, *, around: bool = False
    ) -> tuple[Resolution, Facts]:
        """Find the workload and read its facts; the read that finds a named workload is not made twice."""
        found = await self._resolver.find(labels, spec)
        if isinstance(found, Resolution):
            return found, self._unknown(found)
        self._recent.keep(found.target, found.body)
        return Resolution(target=found.target), await self._around(found, owners=around)

    async def facts(self, target: Target) -> Facts:
        """Read one workload by itself; a problem is a value."""
        try:
            found = await self._get(target)
        except ClusterError as error:
            return self._unknown(problem_of(error))
        return self._facts(found)

    async def live(self, target: Target, *, within_s: float = 0.0, through: Lever | None = None) -> LiveObject:
        """Read one workload for a write: one request at most, ClusterError where it cannot be written to.

        The facts' own read will do where it is younger than ``within_s`` seconds. ``through``: one request more.
        """
        if through is not None:
            return await self._live_through(target, through, await self.live(target, within_s=within_s))
        known = self._recent.take(target, within_s)
        body = known.body if known is not None else await self._client.get(Request(path=_path(target)))
        read_at = known.at if known is not None else self._clock.now()
        try:
            workload = msgspec.json.decode(body, type=Workload)
            document: dict[str, Any] = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ClusterError("malformed", f"GET {_path(target)} answered what cannot be read: {error}") from error
        found = Found(kind=target.kind, workload=workload)
        _same(target, found)
        if workload.metadata.deletion_timestamp is not None:
            raise ClusterError("not_found", f"{target} is being deleted")
        annotations = workload.metadata.annotations
        return LiveObject(
            image=before_image(document, workload.metadata),
            marker=action_of(annotations),
            fence=fence_of(annotations),
            facts=Facts(read_at=read_at, workload=workload_facts(found)),
        )

    async def _live_through(self, target: Target, lever: Lever, workload: LiveObject) -> LiveObject:
        """Read a lever for a write; of the workload stay the facts."""
        body = await self._client.get(Request(path=lever_path(lever)))
        try:
            scaler, meta = scaler_from(lever, body)
            document: dict[str, Any] = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ClusterError("malformed", f"GET {lever_path(lever)} answered what cannot be read: {error}") from error
        if scaler.lever.uid != lever.uid or meta.deletion_timestamp is not None:
            raise ClusterError("not_found", f"{lever} of {target} was deleted, or made anew")
        return LiveObject(
            image=lever_image(document, meta),
            marker=action_of(meta.annotations),
            fence=fence_of(meta.annotations),
            facts=msgspec.structs.replace(workload.facts, around=Surroundings(scaler=scaler)),
        )

    async def proof(self, target: Target, action_id: str, *, through: Lever | None = None) -> bool | None:
        """Look for the action's mark on the object, on its template, and on what its templates left behind.

        Nothing keeps the marks that a lever once had: there is only the one that it carries.
        """
        if through is not None:
            return (await self.live(target, through=through)).marker == action_id
        try:
            found = await self._get(target)
        except ClusterError as error:
            if error.reason == "not_found":
                return None
            raise
        workload = found.workload
        if action_id in {
            action_of(workload.metadata.annotations),
            action_of(workload.spec.template.metadata.annotations),
        }:
            return True
        try:
            return action_id in await self._marks_left(found)
        except ClusterError as error:
            if error.reason in _OPTIONAL:
                return None
            raise

    async def _get(self, target: Target) -> Found:
        found = Found(kind=target.kind, workload=await self._client.read(_path(target), Workload))
        _same(target, found)
        return found

    async def _around(self, found: Found, *, owners: bool) -> Facts:
        try:
            selector = selector_text(found.workload.spec.selector)
        except ClusterError as error:
            return self._unknown(problem_of(error))
        if not selector:
            return self._unknown(Resolution(problem="target_not_found", detail=f"{found.target} selects no pods"))
        # Pods say what is wrong with those that are not ready, ReplicaSets when the latest rollout began: nobody asks
        # for pods while all of them are ready, and a Deployment says itself when its rollout was over.
        workload = workload_facts(found)
        well = workload.rolled_out and workload.ready >= workload.replicas
        known = workload.rolled_out and workload.rollout_started_at is not None
        async with asyncio.TaskGroup() as group:
            pods_task = None if well else group.create_task(attempt(self._pods(found, selector)))
            budgets_task = None if well else group.create_task(attempt(self._owners.budgets(found)))
            rollout_task = None if known else group.create_task(attempt(self._rollout(found, selector)))
            owners_task = group.create_task(attempt(self._owners.around(found))) if owners else None
        pods = pods_task.result() if pods_task else ()
        rollout = rollout_task.result() if rollout_task else None
        if isinstance(pods, ClusterError):
            return self._unknown(problem_of(pods))
        if isinstance(rollout, ClusterError):
            return self._unknown(problem_of(rollout))
        around = owners_task.result() if owners_task else None
        if isinstance(around, ClusterError):
            return self._unknown(problem_of(around))
        budgets = budgets_task.result() if budgets_task else ()
        if isinstance(budgets, ClusterError):
            return self._unknown(problem_of(budgets))
        return msgspec.structs.replace(self._facts(found, rollout, pods), around=around, budgets=budgets)

    def _facts(self, found: Found, rollout: Rollout | None = None, pods: tuple[PodFacts, ...] = ()) -> Facts:
        return Facts(
            read_at=self._clock.now(),
            workload=workload_facts(found, rollout),
            pods=pods,
            population=self._population(found.target.namespace),
        )

    async def _pods(self, found: Found, selector: str) -> tuple[PodFacts, ...]:
        query = {"labelSelector": selector, "limit": str(MOST_PODS)}
        pods = await self._client.read(core_path(found.target.namespace, "pods"), PodList, query)
        return tuple(pod_facts(pod) for pod in pods.items or ())

    async def _rollout(self, found: Found, selector: str) -> Rollout:
        try:
            if found.kind is Kind.DEPLOYMENT:
                return newest_replica_set(found.target.uid, await self._replica_sets(found, selector))
            return newest_revision(found.target.uid, await self._revisions(found, selector))
        except ClusterError as error:
            if error.reason in _OPTIONAL:
                return Rollout()
            raise

    async def _marks_left(self, found: Found) -> set[str]:
        selector = selector_text(found.workload.spec.selector)
        if not selector:
            return set()
        uid = found.target.uid
        if found.kind is Kind.DEPLOYMENT:
            sets = await self._replica_sets(found, selector)
            templates = [item.spec.template for item in sets if owned_by(item.metadata.controller, uid)]
        else:
            revisions = await self._revisions(found, selector)
            owned = [item.data for item in revisions if owned_by(item.metadata.controller, uid)]
            templates = [data.spec.template for data in owned if data is not None]
        return {(template.metadata.annotations or {}).get(ACTION, "") for template in templates}

    async def _replica_sets(self, found: Found, selector: str) -> tuple[Workload, ...]:
        query = {"labelSelector": selector, "limit": str(MOST_REVISIONS)}
        return (
            await self._client.read(apps_path(found.target.namespace, "replicasets"), WorkloadList, query)
        ).items or ()

    async def _revisions(self, found: Found, selector: str) -> tuple[Revision, ...]:
        query = {"labelSelector": selector, "limit": str(MOST_REVISIONS)}
        path = apps_path(found.target.namespace, "controllerrevisions")
        return (await self._client.read(path, RevisionList, query)).items or ()

    def _unknown(self, why: Resolution) -> Facts:
        return Facts(read_at=self._clock.now(), problem=why.problem, detail=why.detail, retryable=why.retryable)


def _path(target: Target) -> str:
    if not (is_namespace(target.namespace) and is_name(target.name)):
        raise ClusterError("not_found", f"{target.key[:120]!r} is not a name that Kubernetes allows")
    return target_path(target)


def _same(target: Target, found: Found) -> None:
    if target.uid and found.target.uid != target.uid:
        raise ClusterError("not_found", f"{target} was deleted and made anew: it is another object")
