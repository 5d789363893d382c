"""Finds out whether the cluster refuses stale fences: two writes that store nothing, one good and one overtaken.

The good one tells that it is the fence which is refused, and not every write of ours. Both need no permission beyond
those of the actions: a workload is found by the pods of a namespace, as the workload of an alert is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from remediator.adapters.kubernetes.client import KubeClient
from remediator.adapters.kubernetes.names import core_path
from remediator.adapters.kubernetes.shapes import PodList
from remediator.model.errors import ClusterError
from remediator.model.plan import PatchObject
from remediator.model.rule import TargetSpec
from remediator.model.target import Target
from remediator.ports.cluster import (
    Applied,
    ClusterReader,
    ClusterWriter,
    LiveObject,
    WriteMark,
    WriteRefused,
    WriteResult,
)
from remediator.ports.fences import FenceReport, FenceState

NOBODY = "0" * 40
"""The id of no action: what the two writes are marked with."""
MOST_PLACES = 20
MOST_PODS = 20
TRIES = 3
_NO = frozenset({"invalid", "forbidden"})


@dataclass(frozen=True, slots=True)
class FenceProbe:
    """One trial."""

    client: KubeClient
    reader: ClusterReader
    writer: ClusterWriter

    async def run(self, specs: Sequence[TargetSpec], allowed: Callable[[Target], bool]) -> FenceReport:
        """Try it on the first workload that can be found; at most ``MOST_PLACES`` namespaces are looked into."""
        places = list(
            dict.fromkeys((namespace, spec.kinds, spec.name) for spec in specs for namespace in spec.namespaces)
        )
        why = "no rule names a namespace"
        for namespace, kinds, name in places[:MOST_PLACES]:
            spec = TargetSpec(namespaces=(namespace,), kinds=kinds, name=name)
            try:
                target = await self._workload(namespace, spec, allowed)
                if target is not None:
                    return await self._try(target)
                why = f"no workload was found to try it on, the last place was namespace {namespace}"
            except ClusterError as error:
                why = str(error)
        return FenceReport(state=FenceState.UNKNOWN, detail=why)

    async def _workload(self, namespace: str, spec: TargetSpec, allowed: Callable[[Target], bool]) -> Target | None:
        if spec.name:
            named = (await self.reader.resolve({"namespace": namespace}, spec)).target
            return named if named is not None and allowed(named) else None
        pods = await self.client.read(core_path(namespace, "pods"), PodList, {"limit": str(MOST_PODS)})
        owners: set[str] = set()
        for pod in pods.items or ():
            owner = pod.metadata.controller
            if owner is None or owner.uid in owners:
                continue
            owners.add(owner.uid)
            found = await self.reader.resolve({"namespace": namespace, "pod": pod.metadata.name}, spec)
            if found.target is not None and allowed(found.target):
                return found.target
        return None

    async def _try(self, target: Target) -> FenceReport:
        said = ""
        for _ in range(TRIES):
            live = await self.reader.live(target)
            good = await self._write(target, live, live.fence + 1)
            if isinstance(good, WriteRefused) and good.reason in _NO:
                detail = f"a good write to {target}, tried with dryRun=All, is refused: {good.message}"
                return FenceReport(state=FenceState.BLOCKED, detail=detail)
            stale = await self._write(target, live, 0) if isinstance(good, Applied) else good
            match stale:
                case Applied():
                    detail = f"a write to {target} with a stale fence, tried with dryRun=All, is not refused"
                    return FenceReport(state=FenceState.MISSING, detail=detail)
                case WriteRefused(reason=reason) if reason in _NO:
                    detail = f"a write to {target} with a stale fence, tried with dryRun=All, is refused"
                    return FenceReport(state=FenceState.ENFORCED, detail=detail)
                case other:
                    # Somebody changed the object in between, or the server is busy: read again, try again.
                    said = other.message
        return FenceReport(state=FenceState.UNKNOWN, detail=f"no clear answer to a dry run on {target}: {said}")

    async def _write(self, target: Target, live: LiveObject, fence: int) -> WriteResult:
        image = live.image
        mark = WriteMark(
            action_id=NOBODY, number=0, fence=fence, uid=image.uid, resource_version=image.resource_version
        )
        return await self.writer.patch(PatchObject(target=target, patch={}), mark, dry_run=True)
