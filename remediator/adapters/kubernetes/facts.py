"""API objects to facts: pure, and the one place that knows how three kinds of workload count their pods."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from remediator.adapters.kubernetes.image import MAX_CONNECTIONS
from remediator.adapters.kubernetes.marks import REVISION, ours
from remediator.adapters.kubernetes.operators import operator_of
from remediator.adapters.kubernetes.shapes import Container, ContainerStatus, Pod, Revision, Workload
from remediator.model.facts import ContainerFacts, PodFacts, WorkloadFacts
from remediator.model.quantities import amount
from remediator.model.target import Kind, Target

COMPLETE = "NewReplicaSetAvailable"
# Reasons that every container passes through on its way up; they explain nothing.
_STARTING = frozenset({"ContainerCreating", "PodInitializing", ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A workload that was read; ``body`` is the answer that it was in."""

    kind: Kind
    workload: Workload
    body: bytes = b""

    @property
    def target(self) -> Target:
        """Return the target that it is, pinned by its uid."""
        meta = self.workload.metadata
        return Target(kind=self.kind, namespace=meta.namespace, name=meta.name, uid=meta.uid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """The newest ReplicaSet or ControllerRevision of a workload."""

    revision: str = ""
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counts:
    replicas: int
    updated: int
    ready: int
    available: int
    current: int


def workload_facts(found: Found, rollout: Rollout | None = None) -> WorkloadFacts:
    """Return the facts of a workload; what only its ReplicaSets know is left out where ``rollout`` is None."""
    workload, rollout = found.workload, rollout or Rollout()
    meta, spec, status = workload.metadata, workload.spec, workload.status
    counts = _counts(found)
    strategy = spec.strategy or spec.update_strategy
    progress = next((c for c in status.conditions or () if c.type == "Progressing"), None)
    # A Deployment says when its rollout was over, and says it once: pods that come and go do not change it.
    over_at = progress.last_update_time if progress and progress.reason == COMPLETE else None
    return WorkloadFacts(
        target=found.target,
        resource_version=meta.resource_version,
        generation=meta.generation,
        observed_generation=status.observed_generation,
        replicas=counts.replicas,
        updated=counts.updated,
        ready=counts.ready,
        available=counts.available,
        current=counts.current,
        paused=spec.paused,
        strategy=strategy.type if strategy else "RollingUpdate",
        progress=progress.reason if progress else "",
        annotations=ours(meta.annotations),
        template_annotations=ours(spec.template.metadata.annotations),
        containers=tuple(_container(container) for container in spec.template.spec.containers or ()),
        operator=operator_of(meta, spec.template.metadata),
        images=tuple(container.image for container in spec.template.spec.containers or ()),
        revision=rollout.revision or (meta.annotations or {}).get(REVISION, "") or status.update_revision,
        rollout_started_at=rollout.started_at or over_at,
        created_at=meta.creation_timestamp,
        deleting=meta.deletion_timestamp is not None,
    )


def _container(container: Container) -> ContainerFacts:
    """Return what actions on databases need of a container; no other variable's value leaves this room."""
    values = {variable.name: variable.value for variable in container.env or ()}
    memory = amount(str((container.resources.limits or {}).get("memory", "")))
    return ContainerFacts(
        name=container.name,
        memory=int(memory) if memory is not None else None,
        max_connections=values.get(MAX_CONNECTIONS, ""),
    )


def _counts(found: Found) -> _Counts:
    spec, status = found.workload.spec, found.workload.status
    if found.kind is Kind.DAEMONSET:
        return _Counts(
            replicas=status.desired_number_scheduled,
            updated=status.updated_number_scheduled,
            ready=status.number_ready,
            available=status.number_available,
            current=status.current_number_scheduled,
        )
    replicas = 1 if spec.replicas is None else spec.replicas
    updated = status.updated_replicas
    rolling = spec.update_strategy.rolling_update if spec.update_strategy else None
    if rolling and rolling.partition:
        # The pods below the partition are meant to stay as they are: their rollout is not outstanding.
        updated = min(replicas, updated + rolling.partition)
    return _Counts(
        replicas=replicas,
        updated=updated,
        ready=status.ready_replicas,
        available=status.available_replicas,
        current=status.replicas,
    )


def newest_replica_set(owner_uid: str, replica_sets: Iterable[Workload]) -> Rollout:
    """Return the ReplicaSet with the highest revision among those that the Deployment owns."""
    best: tuple[int, Workload] | None = None
    for item in replica_sets:
        revision = (item.metadata.annotations or {}).get(REVISION, "")
        number = int(revision) if revision.isascii() and revision.isdigit() else 0
        if owned_by(item.metadata.controller, owner_uid) and (best is None or number > best[0]):
            best = (number, item)
    if best is None:
        return Rollout()
    return Rollout(revision=str(best[0] or ""), started_at=best[1].metadata.creation_timestamp)


def newest_revision(owner_uid: str, revisions: Iterable[Revision]) -> Rollout:
    """Return the ControllerRevision with the highest number among those that the workload owns."""
    owned = [item for item in revisions if owned_by(item.metadata.controller, owner_uid)]
    if not owned:
        return Rollout()
    newest = max(owned, key=lambda item: item.revision)
    return Rollout(revision=newest.metadata.name, started_at=newest.metadata.creation_timestamp)


def owned_by(owner: object, uid: str) -> bool:
    """Tell whether an owner reference points at the object of that uid."""
    return getattr(owner, "uid", None) == uid


def pod_facts(pod: Pod) -> PodFacts:
    """Return the facts of one pod. One that is being deleted is ``Terminating`` and not ready, whatever it reports."""
    deleting = pod.metadata.deletion_timestamp is not None
    ready = any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or ())
    statuses = (*(pod.status.init_container_statuses or ()), *(pod.status.container_statuses or ()))
    return PodFacts(
        name=pod.metadata.name,
        phase="Terminating" if deleting else pod.status.phase,
        ready=ready and not deleting,
        restarts=sum(status.restart_count for status in statuses),
        waiting=_waiting(statuses),
        last_exit=_last_exit(statuses),
        node=pod.spec.node_name,
        created_at=pod.metadata.creation_timestamp,
    )


def _waiting(statuses: Iterable[ContainerStatus]) -> str:
    reasons = [status.state.waiting.reason for status in statuses if status.state and status.state.waiting]
    telling = [reason for reason in reasons if reason not in _STARTING]
    return next(iter(telling or reasons), "")


def _last_exit(statuses: Iterable[ContainerStatus]) -> str:
    for status in statuses:
        for state in (status.state, status.last_state):
            ended = state.terminated if state else None
            # An init container that ended with 0 did its work.
            if ended is not None and (ended.exit_code != 0 or ended.reason not in {"Completed", ""}):
                return ended.reason or f"exit {ended.exit_code}"
    return ""
