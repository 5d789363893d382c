"""The labels of an alert to one workload, inside what the rule allows.

Order of trust: the name that the rule gives; the workload that the alert names; the pod; the service last, for many an
alert carries the service that was scraped and not the one that fails.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from remediator.adapters.kubernetes.client import KubeClient
from remediator.adapters.kubernetes.errors import attempt
from remediator.adapters.kubernetes.facts import Found
from remediator.adapters.kubernetes.names import (
    apps_path,
    core_path,
    is_name,
    is_namespace,
    selector_text,
    workload_path,
)
from remediator.adapters.kubernetes.shapes import Owner, Pod, PodList, Selector, Service, Workload
from remediator.model.errors import ClusterError
from remediator.model.rule import TargetSpec
from remediator.model.target import Kind
from remediator.ports.cluster import Resolution

# A service whose pods belong to more workloads than this is ambiguous anyway.
MOST_OWNERS = 10
PODS_OF_A_SERVICE = 200

_KIND_OF_LABEL = {kind.lower(): kind for kind in Kind}


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """The workload is called ``name`` and is of one of ``kinds``."""

    namespace: str
    name: str
    kinds: tuple[Kind, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OfPod:
    """The workload that owns this pod."""

    namespace: str
    pod: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OfService:
    """The workload whose pods this service selects."""

    namespace: str
    service: str


Clue = Named | OfPod | OfService


def problem(word: str, detail: str, *, retryable: bool = False) -> Resolution:
    """Return the resolution that there is none, and why."""
    return Resolution(problem=word, detail=detail, retryable=retryable)


def problem_of(error: ClusterError) -> Resolution:
    """Return what a failed read means for a resolution. What is not known to be permanent may be tried again."""
    if error.reason == "not_found":
        return problem("target_not_found", error.message)
    if error.reason == "forbidden":
        return problem("target_not_allowed", f"the API server does not let us: {error.message}")
    return problem("cluster_unreachable", error.message, retryable=True)


def clue_of(labels: dict[str, str], spec: TargetSpec) -> Clue | Resolution:
    """Return what the labels and the rule say about the target; pure. An empty label is a missing one."""
    namespace = _namespace(labels, spec)
    if isinstance(namespace, Resolution):
        return namespace
    if spec.name:
        return _checked(Named(namespace=namespace, name=spec.name, kinds=_kinds(labels, spec)))
    named = [(kind, labels[label]) for label, kind in _KIND_OF_LABEL.items() if labels.get(label)]
    if len(named) > 1:
        said = ", ".join(f"{kind.lower()}={name}" for kind, name in named)
        return problem("target_ambiguous", f"the labels name several workloads: {said}")
    if named:
        return _one_kind(*named[0], namespace, spec)
    if labels.get("workload"):
        return _workload(labels, namespace, spec)
    if labels.get("pod"):
        return _checked(OfPod(namespace=namespace, pod=labels["pod"]))
    if labels.get("service"):
        return _checked(OfService(namespace=namespace, service=labels["service"]))
    wanted = "deployment, statefulset, daemonset, workload, pod or service"
    return problem("target_missing", f"the alert carries no label {wanted}, and the rule names no target")


def _namespace(labels: dict[str, str], spec: TargetSpec) -> str | Resolution:
    value = labels.get(spec.namespace_label, "")
    if not value:
        if spec.name and len(spec.namespaces) == 1:
            # Rule and rule alone say which object: nothing is guessed.
            return spec.namespaces[0]
        return problem("target_missing", f"the alert carries no label {spec.namespace_label}")
    if not is_namespace(value):
        return problem("target_not_allowed", f"{spec.namespace_label}={value[:80]!r} is not the name of a namespace")
    if value not in spec.namespaces:
        allowed = ", ".join(spec.namespaces)
        return problem("target_not_allowed", f"namespace {value} is not among those of the rule ({allowed})")
    return value


def _kinds(labels: dict[str, str], spec: TargetSpec) -> tuple[Kind, ...]:
    told = _KIND_OF_LABEL.get(labels.get("workload_type", "").lower())
    return (told,) if told in spec.kinds and told is not None else spec.kinds


def _workload(labels: dict[str, str], namespace: str, spec: TargetSpec) -> Clue | Resolution:
    told = labels.get("workload_type", "")
    if not told:
        return _checked(Named(namespace=namespace, name=labels["workload"], kinds=spec.kinds))
    kind = _KIND_OF_LABEL.get(told.lower())
    if kind is None:
        return problem("target_not_allowed", f"workload_type={told[:40]!r} is not a kind that can be acted on")
    return _one_kind(kind, labels["workload"], namespace, spec)


def _one_kind(kind: Kind, name: str, namespace: str, spec: TargetSpec) -> Clue | Resolution:
    if kind not in spec.kinds:
        return problem("target_not_allowed", f"kind {kind} is not among those of the rule ({', '.join(spec.kinds)})")
    return _checked(Named(namespace=namespace, name=name, kinds=(kind,)))


def _checked(clue: Clue) -> Clue | Resolution:
    match clue:
        case Named(name=name) | OfPod(pod=name) | OfService(service=name):
            if not is_name(name):
                return problem("target_not_allowed", f"{name[:80]!r} is not a name that Kubernetes allows")
    return clue


class Resolver:
    """Follows a clue through the cluster."""

    def __init__(self, client: KubeClient) -> None:
        """Take the client to read with."""
        self._client = client

    async def find(self, labels: dict[str, str], spec: TargetSpec) -> Found | Resolution:
        """Return the one workload, read, or why there is none. Never raises ClusterError."""
        clue = clue_of(labels, spec)
        try:
            match clue:
                case Named():
                    return await self._named(clue)
                case OfPod():
                    return await self._of_pod(clue, spec)
                case OfService():
                    return await self._of_service(clue, spec)
                case Resolution():
                    return clue
        except ClusterError as error:
            return problem_of(error)

    async def _named(self, clue: Named) -> Found | Resolution:
        if len(clue.kinds) == 1:
            return await self._get(clue.kinds[0], clue.namespace, clue.name)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(attempt(self._get(kind, clue.namespace, clue.name))) for kind in clue.kinds]
        results = [task.result() for task in tasks]
        failed = next((item for item in results if isinstance(item, ClusterError) and item.reason != "not_found"), None)
        if failed is not None:
            return problem_of(failed)
        found = [item for item in results if isinstance(item, Found)]
        if len(found) == 1:
            return found[0]
        kinds = ", ".join(item.kind for item in found) or ", ".join(clue.kinds)
        if found:
            return problem("target_ambiguous", f"{clue.name} in {clue.namespace} is the name of several: {kinds}")
        return problem("target_not_found", f"no {kinds} {clue.name} in {clue.namespace}")

    async def _get(self, kind: Kind, namespace: str, name: str) -> Found:
        workload, body = await self._client.read_whole(workload_path(kind, namespace, name), Workload)
        return Found(kind=kind, workload=workload, body=body)

    async def _of_pod(self, clue: OfPod, spec: TargetSpec) -> Found | Resolution:
        try:
            pod = await self._client.read(core_path(clue.namespace, "pods", clue.pod), Pod)
        except ClusterError as error:
            if error.reason != "not_found":
                raise
            return await self._of_replaced_pod(clue, spec, error)
        owner = pod.metadata.controller
        if owner is None:
            return problem("target_not_allowed", f"pod {clue.pod} belongs to no workload")
        return await self._owner(clue.namespace, owner, spec)

    async def _of_replaced_pod(self, clue: OfPod, spec: TargetSpec, gone: ClusterError) -> Found | Resolution:
        """Follow a pod that is gone through its ReplicaSet, which stays and by which it was named.

        A restart of our own replaces the pods of alerts that are still to be decided about: they belong to the incident
        of that workload, and to none of their own. Raises ``gone`` where there is no such ReplicaSet.
        """
        name = clue.pod.rpartition("-")[0]
        if not is_name(name):
            raise gone
        found = await attempt(self._client.read(apps_path(clue.namespace, "replicasets", name), Workload))
        if isinstance(found, ClusterError):
            raise gone if found.reason == "not_found" else found
        owner = Owner(api_version="apps/v1", kind="ReplicaSet", name=name, uid=found.metadata.uid, controller=True)
        return await self._owner(clue.namespace, owner, spec)

    async def _of_service(self, clue: OfService, spec: TargetSpec) -> Found | Resolution:
        service = await self._client.read(core_path(clue.namespace, "services", clue.service), Service)
        selector = selector_text(Selector(match_labels=service.spec.selector))
        if not selector:
            return problem("target_not_found", f"service {clue.service} has no selector, so it leads to no pods")
        query = {"labelSelector": selector, "limit": str(PODS_OF_A_SERVICE)}
        pods = await self._client.read(core_path(clue.namespace, "pods"), PodList, query)
        owners = {
            pod.metadata.controller.uid: pod.metadata.controller for pod in pods.items or () if pod.metadata.controller
        }
        if not owners:
            return problem("target_not_found", f"service {clue.service} selects no pod that belongs to a workload")
        if len(owners) > MOST_OWNERS:
            return problem("target_ambiguous", f"the pods of service {clue.service} have {len(owners)} owners")
        return await self._one_owner(clue, tuple(owners.values()), spec)

    async def _one_owner(self, clue: OfService, owners: tuple[Owner, ...], spec: TargetSpec) -> Found | Resolution:
        found: dict[str, Found] = {}
        for owner in owners:
            result = await self._owner(clue.namespace, owner, spec)
            if isinstance(result, Resolution):
                return result
            found[result.target.uid] = result
        if len(found) > 1:
            names = ", ".join(sorted(item.target.key for item in found.values()))
            return problem("target_ambiguous", f"the pods of service {clue.service} belong to several: {names}")
        return next(iter(found.values()))

    async def _owner(self, namespace: str, owner: Owner, spec: TargetSpec) -> Found | Resolution:
        if owner.kind == "ReplicaSet" and owner.api_version.startswith("apps/"):
            replica_set = await self._client.read(apps_path(namespace, "replicasets", owner.name), Workload)
            above = replica_set.metadata.controller
            if replica_set.metadata.uid != owner.uid or above is None:
                return problem("target_not_found", f"ReplicaSet {owner.name} belongs to no Deployment (any more)")
            owner = above
        kind = _KIND_OF_LABEL.get(owner.kind.lower()) if owner.api_version.startswith("apps/") else None
        if kind is None or kind not in spec.kinds:
            allowed = ", ".join(spec.kinds)
            return problem("target_not_allowed", f"{owner.kind} {owner.name} is none of the rule's kinds ({allowed})")
        found = await self._get(kind, namespace, owner.name)
        if found.target.uid != owner.uid:
            return problem("target_not_found", f"{found.target} was made anew: the owner of these pods is gone")
        return found
