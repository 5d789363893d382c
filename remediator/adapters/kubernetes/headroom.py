"""How many more pods like those of a workload the quotas of its namespace leave. Pure."""

from __future__ import annotations

from decimal import Decimal

from remediator.adapters.kubernetes.owner_shapes import ClaimantWorkload, Quota
from remediator.model.owners import Room
from remediator.model.quantities import amount

_PODS = frozenset({"pods", "count/pods"})
_AMOUNTS = {
    **{name: ("requests", name) for name in ("cpu", "memory")},
    **{f"{part}.{name}": (part, name) for part in ("requests", "limits") for name in ("cpu", "memory")},
}


def rooms(quotas: tuple[Quota, ...], workload: ClaimantWorkload) -> tuple[Room, ...]:
    """Return what each limit leaves. A quota with scopes counts only some pods, and is not looked at.

    A container that does not say what it takes is not counted: the namespace's defaults may count it, so there may be
    less room than this says, never more.
    """
    found = []
    for quota in quotas:
        if quota.spec.scopes or quota.spec.scope_selector:
            continue
        for key, hard in quota.spec.hard.items():
            left = _left(hard, quota.status.used.get(key, "0"))
            each = _each(key, workload)
            if left is not None and each:
                found.append(Room(quota=quota.metadata.name, key=key, pods=max(0, int(left // each))))
    return tuple(found)


def _left(hard: str, used: str) -> Decimal | None:
    limit, taken = amount(hard), amount(used)
    return None if limit is None or taken is None else limit - taken


def _each(key: str, workload: ClaimantWorkload) -> Decimal:
    """Return how much of a quota one pod of the workload takes."""
    if key in _PODS:
        return Decimal(1)
    part, name = _AMOUNTS.get(key, ("", ""))
    total = Decimal(0)
    for container in workload.spec.template.spec.containers or ():
        limits = container.resources.limits or {}
        # A request that is left out is as large as the limit.
        given = limits if part == "limits" else {**limits, **(container.resources.requests or {})}
        total += amount(str(given.get(name, "0"))) or Decimal(0)
    return total
