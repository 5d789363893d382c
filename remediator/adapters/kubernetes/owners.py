"""Finds out who else decides about a workload: one list a kind and namespace, all at once.

What is not installed owns nothing. What we may not read owns perhaps something: that is unknown, and told with the way
out. An API server that does not answer now is an error, to be tried again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from remediator.adapters.kubernetes.client import KubeClient
from remediator.adapters.kubernetes.disruption import budgets
from remediator.adapters.kubernetes.errors import attempt
from remediator.adapters.kubernetes.facts import Found
from remediator.adapters.kubernetes.git_owners import (
    INSTANCE,
    Claim,
    Kept,
    application_of,
    claim_of,
    flux_of,
    keeper_of,
)
from remediator.adapters.kubernetes.headroom import rooms
from remediator.adapters.kubernetes.levers import AUTOSCALING, KEDA, lever_kept, of_autoscaler, of_keda
from remediator.adapters.kubernetes.names import core_path, group_path
from remediator.adapters.kubernetes.owner_shapes import (
    ApplicationList,
    AutoscalerList,
    ClaimantWorkload,
    DisruptionBudgetList,
    QuotaList,
    Reference,
    ScaledObjectList,
)
from remediator.model.errors import ClusterError
from remediator.model.owners import Budget, Keeper, Room, Scaler, Surroundings
from remediator.ports.clock import Clock

T = TypeVar("T")

APPLICATIONS = "/apis/argoproj.io/v1alpha1/applications"
FORGET_S = 1.0
"""A list may be so old, in seconds: many decisions about one namespace at once read it once."""
MOST_LISTS = 256


@dataclass(slots=True)
class OwnerReader:
    """Reads what surrounds workloads."""

    client: KubeClient
    clock: Clock
    _lists: dict[str, tuple[float, object]] = field(default_factory=dict)

    async def around(self, found: Found) -> Surroundings:
        """Read what surrounds one workload; ClusterError (retryable) where the API server does not answer."""
        space = found.target.namespace
        scalers_at = group_path(AUTOSCALING, space, "horizontalpodautoscalers")
        scaled_at = group_path(KEDA, space, "scaledobjects")
        quotas_at = core_path(space, "resourcequotas")
        async with asyncio.TaskGroup() as group:
            scalers = group.create_task(attempt(self._list(scalers_at, AutoscalerList)))
            scaled = group.create_task(attempt(self._list(scaled_at, ScaledObjectList)))
            quotas = group.create_task(attempt(self._list(quotas_at, QuotaList)))
            kept = group.create_task(attempt(self._kept(_workload(found))))
        unknown: list[str] = []
        keeper = _known(kept.result(), "", unknown)
        autoscalers = _known(scalers.result(), _may("horizontalpodautoscalers", "autoscaling", space), unknown)
        objects = _known(scaled.result(), _may("scaledobjects", "keda.sh", space), unknown)
        scaler = await self._scaler(found, autoscalers, objects, unknown)
        return Surroundings(
            scaler=scaler,
            keeper=keeper if isinstance(keeper, Keeper) else None,
            rooms=_rooms(quotas.result(), found),
            unknown=tuple(unknown),
        )

    async def budgets(self, found: Found) -> tuple[Budget, ...]:
        """Read the PodDisruptionBudgets over the workload's pods.

        None where we may not read them: what is done to pods is bounded by how many of them are ready in any case.
        """
        path = group_path("policy/v1", found.target.namespace, "poddisruptionbudgets")
        try:
            known = await self._list(path, DisruptionBudgetList)
        except ClusterError as error:
            if error.reason in {"forbidden", "not_found"}:
                return ()
            raise
        return budgets(known.items or (), found.workload.spec.template.metadata.labels or {})

    async def _scaler(self, found: Found, autoscalers: object, objects: object, unknown: list[str]) -> Scaler | None:
        """Return what scales the workload, ScaledObjects first: they own the autoscaler that they made."""
        items = autoscalers.items or () if isinstance(autoscalers, AutoscalerList) else ()
        mine = [item for item in items if _scales(item.spec.scale_target_ref, found)]
        scaled = objects.items or () if isinstance(objects, ScaledObjectList) else ()
        above = [item for item in scaled if _scales(item.spec.scale_target_ref, found)]
        direct = [item for item in mine if item.metadata.controller is None]
        made = [item for item in mine if item.metadata.controller is not None]
        if len(above) + len(direct) > 1:
            metas = [*(item.metadata for item in above), *(item.metadata for item in direct)]
            names = ", ".join(meta.name for meta in metas)
            unknown.append(f"several autoscalers scale it ({names}): leave one of them")
            return None
        if made and not above:
            owner = made[0].metadata.controller
            named = f"{owner.kind}/{owner.name}" if owner is not None else "nobody"
            unknown.append(f"its autoscaler {made[0].metadata.name} belongs to {named}, which cannot be read here")
            return None
        if not (above or direct):
            return None
        scaler = of_keda(above[0]) if above else of_autoscaler(direct[0])
        kept = lever_kept(scaler.lever, above[0].metadata if above else direct[0].metadata)
        keeper = _known(await attempt(self._kept(kept)), "", unknown)
        return msgspec.structs.replace(scaler, keeper=keeper if isinstance(keeper, Keeper) else None)

    async def _kept(self, kept: Kept) -> Keeper | None:
        """Return who brings an object back to what Git says; ClusterError ``unknown_owner`` where nobody can know."""
        flux = flux_of(kept)
        claim = claim_of(kept)
        if flux is not None or claim is None:
            return flux
        meta = kept.meta
        name = f"{kept.kind.lower()}/{meta.name} in {meta.namespace}"
        try:
            query = {"fieldSelector": f"metadata.name={claim.application}"}
            found = await self._list(APPLICATIONS, ApplicationList, query)
        except ClusterError as error:
            if error.retryable or error.reason not in {"forbidden", "not_found"}:
                raise
            if error.reason == "not_found" and not claim.sure:
                return None
            raise ClusterError("unknown_owner", _unreadable(claim, name, error.reason)) from error
        application = application_of(claim, found.items or (), kept)
        if application is not None:
            return keeper_of(application, kept)
        if claim.sure:
            raise ClusterError("unknown_owner", _unreadable(claim, name, "not_found"))
        return None

    async def _list(self, path: str, shape: type[T], query: dict[str, str] | None = None) -> T:
        """Read a list, or take the one that was read a moment ago."""
        key, now = f"{path}?{query or ''}", self.clock.monotonic()
        at, known = self._lists.get(key, (0.0, None))
        if isinstance(known, shape) and now - at < FORGET_S:
            return known
        fresh = await self.client.read(path, shape, query)
        self._lists.pop(key, None)
        while len(self._lists) >= MOST_LISTS:
            del self._lists[next(iter(self._lists))]
        self._lists[key] = (now, fresh)
        return fresh


def _workload(found: Found) -> Kept:
    return Kept(group="apps", kind=found.kind.value, meta=found.workload.metadata)


def _scales(reference: Reference, found: Found) -> bool:
    """Tell whether a reference means the workload."""
    named = reference.name == found.target.name and reference.kind == found.kind.value
    return named and reference.api_version.partition("/")[0] in {"", "apps"}


def _known(result: object, forbidden: str, unknown: list[str]) -> object:
    """Return what was read; None, and perhaps a word in ``unknown``, where it was not."""
    if not isinstance(result, ClusterError):
        return result
    if result.reason == "unknown_owner":
        unknown.append(result.message)
    elif result.reason == "forbidden" and forbidden:
        unknown.append(forbidden)
    elif result.reason != "not_found":
        raise result
    return None


def _rooms(result: object, found: Found) -> tuple[Room, ...]:
    """Return what quotas leave. Where we may not read them the API server still holds to them: no room is known."""
    if isinstance(result, ClusterError):
        if result.reason in {"forbidden", "not_found"}:
            return ()
        raise result
    if not isinstance(result, QuotaList) or not result.items or not found.body:
        return ()
    return rooms(result.items, msgspec.json.decode(found.body, type=ClaimantWorkload))


def _may(plural: str, group: str, namespace: str) -> str:
    return f"whether something else scales it: let remediator get and list {plural}.{group} in {namespace}"


def _unreadable(claim: Claim, name: str, reason: str) -> str:
    told = f"{name} says that Argo CD has it as application {claim.application}"
    if not claim.sure:
        told = f"{name} carries the label {INSTANCE}={claim.application}, which Argo CD tracks its own by"
    if reason == "forbidden":
        return f"{told}: let remediator list applications.argoproj.io in the cluster"
    return f"{told}, and there is none here: it may be an Argo CD of another cluster"
