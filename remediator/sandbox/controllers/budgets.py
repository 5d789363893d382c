"""The PodDisruptionBudget controller: how many pods may be evicted now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from remediator.sandbox.controllers.agenda import Key
from remediator.sandbox.controllers.indexes import SelectorIndex
from remediator.sandbox.controllers.objects import is_going, is_ready, labels_of, moment_of
from remediator.sandbox.controllers.rolling import share
from remediator.sandbox.controllers.world import World
from remediator.sandbox.history import Change
from remediator.sandbox.resources import DISRUPTION_BUDGETS, PODS, Json

_SPENT_SECONDS = 120.0
_JUST_AFTER = 0.01


class DisruptionController:
    """Keeps the status of budgets."""

    watches = (DISRUPTION_BUDGETS, PODS)

    def __init__(self, world: World) -> None:
        """Work in `world`."""
        self._world = world
        self._selectors = SelectorIndex()

    def concerns(self, change: Change) -> Iterable[Key]:
        """Yield a budget that changed, or those whose pod did."""
        if change.resource == DISRUPTION_BUDGETS:
            key = (change.namespace, change.name)
            selector = (change.object.get("spec") or {}).get("selector")
            self._selectors.put(key, None if change.kind == "DELETED" else selector)
            yield key
            return
        yield from self._selectors.selecting(change.object)
        if change.previous is not None and labels_of(change.previous) != labels_of(change.object):
            yield from self._selectors.selecting(change.previous)

    def reconcile(self, key: Key) -> None:
        """Count the pods of one budget."""
        budget = self._world.store.find(DISRUPTION_BUDGETS, *key)
        if budget is None or is_going(budget):
            return
        spec = budget["spec"]
        selector = spec.get("selector")
        pods = self._world.pods.selected(key[0], selector) if selector is not None else []
        pods = [pod for pod in pods if pod["status"].get("phase") not in {"Succeeded", "Failed"}]
        spent = self._spent(budget, {pod["metadata"]["name"]: pod for pod in pods})
        healthy = sum(1 for pod in pods if is_ready(pod) and not is_going(pod) and pod["metadata"]["name"] not in spent)
        expected = self._expected(pods)
        desired = _desired(spec, expected)
        status: Json = {
            "observedGeneration": budget["metadata"]["generation"],
            "disruptionsAllowed": max(0, healthy - desired) if expected else 0,
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "expectedPods": expected,
        }
        if spent:
            status["disruptedPods"] = spent
            self._world.agenda.after(self._seconds_left(spent.values()), self, key)
        old = (budget.get("status") or {}).get("conditions") or ()
        condition = self._condition(budget, allowed=status["disruptionsAllowed"] > 0, old=old)
        self._world.store.update_status(DISRUPTION_BUDGETS, *key, {**status, "conditions": [condition]})

    def _spent(self, budget: Json, pods: Mapping[str, Json]) -> dict[str, str]:
        """Return the pods whose eviction was granted but not begun: for a while they count as gone."""
        granted = (budget.get("status") or {}).get("disruptedPods") or {}
        oldest = self._world.now() - timedelta(seconds=self._world.quick(_SPENT_SECONDS))
        return {
            name: since
            for name, since in granted.items()
            if name in pods and not is_going(pods[name]) and (moment_of(since) or oldest) > oldest
        }

    def _seconds_left(self, since: Iterable[str]) -> float:
        """Return the seconds of the cluster until the first of the granted evictions is forgotten."""
        now, speed = self._world.now(), self._world.pace.speed
        passed = max((now - (moment_of(text) or now)).total_seconds() * speed for text in since)
        return max(0.0, _SPENT_SECONDS - passed) + _JUST_AFTER

    def _expected(self, pods: Sequence[Json]) -> int:
        """Return the replicas that the owners of the pods ask for; a bare pod counts for itself."""
        wanted: dict[str, int] = {}
        for pod in pods:
            workload = self._world.workload_of(pod)
            if workload is None:
                wanted[pod["metadata"]["uid"]] = 1
            else:
                status = workload.get("status") or {}
                count = workload["spec"].get("replicas", status.get("desiredNumberScheduled", 0))
                wanted[workload["metadata"]["uid"]] = int(count)
        return sum(wanted.values())

    def _condition(self, budget: Json, *, allowed: bool, old: Sequence[Json]) -> Json:
        status = str(allowed)
        before = next((item for item in old if item["type"] == "DisruptionAllowed"), None)
        since = before["lastTransitionTime"] if before and before["status"] == status else self._world.stamp()
        return {
            "type": "DisruptionAllowed",
            "status": status,
            "observedGeneration": budget["metadata"]["generation"],
            "lastTransitionTime": since,
            "reason": "SufficientPods" if allowed else "InsufficientPods",
            "message": "",
        }


def _desired(spec: Json, expected: int) -> int:
    if spec.get("minAvailable") is not None:
        return share(spec["minAvailable"], expected, up=True)
    if spec.get("maxUnavailable") is not None:
        return max(0, expected - share(spec["maxUnavailable"], expected, up=True))
    return 0
