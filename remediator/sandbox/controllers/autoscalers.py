"""The HorizontalPodAutoscaler controller: decides anew every few seconds, and takes back what hands have scaled.

What the metric says comes from an annotation of the workload: `load` is the work that there is, in percent of what one
pod requests, shared by its ready pods. Without it there is no work, and the least number of pods is enough.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from remediator.sandbox.clock import timestamp
from remediator.sandbox.controllers.agenda import Key
from remediator.sandbox.controllers.behaviour import PREFIX, BehaviourError
from remediator.sandbox.controllers.objects import annotations_of, condition_of, is_going, is_ready
from remediator.sandbox.controllers.recorder import Happening, Source
from remediator.sandbox.controllers.world import WORKLOADS, World
from remediator.sandbox.history import Change
from remediator.sandbox.resources import AUTOSCALERS, GroupResource, Json

LOAD = PREFIX + "load"
_SOURCE = Source(component="horizontal-pod-autoscaler")
_TOLERANCE = 0.1
_STABILIZATION_SECONDS = 300.0
_DEFAULT_TARGET = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What the metric asks for: pods, the share of the request in percent that was seen, and whether it is held up."""

    pods: int
    seen: int | None
    stabilized: bool = False


class HorizontalController:
    """Brings workloads to what their autoscalers want, once a period; a change in between waits for the next one."""

    watches = (AUTOSCALERS,)

    def __init__(self, world: World) -> None:
        """Work in `world`."""
        self._world = world
        self._wishes: dict[Key, list[tuple[datetime, int]]] = {}

    def concerns(self, change: Change) -> Iterable[Key]:
        """Yield an autoscaler that came or whose wishes changed; its own writes of the status are none of them."""
        key = (change.namespace, change.name)
        if change.kind == "DELETED":
            self._wishes.pop(key, None)
        elif change.kind == "ADDED":
            yield key

    def reconcile(self, key: Key) -> None:
        """Look at one autoscaler, scale, tell, and come back after a period."""
        autoscaler = self._world.store.find(AUTOSCALERS, *key)
        if autoscaler is None or is_going(autoscaler):
            return
        self._world.agenda.after(self._world.pace.autoscale_every, self, key)
        reference = autoscaler["spec"]["scaleTargetRef"]
        resource = WORKLOADS.get(reference.get("kind", ""))
        workload = self._world.store.find(resource, key[0], reference["name"]) if resource is not None else None
        if workload is None or resource is None:
            gone = f'"{reference["name"]}" not found'
            message = f"the HPA controller was unable to get the target's current scale: {gone}"
            self._tell(autoscaler, 0, 0, {"AbleToScale": ("False", "FailedGetScale", message)})
            return
        self._decide(autoscaler, workload, resource)

    def _decide(self, autoscaler: Json, workload: Json, resource: GroupResource) -> None:
        present = int(workload["spec"].get("replicas", 1))
        if present == 0:
            message = "scaling is disabled since the replica count of the target is zero"
            got = ("True", "SucceededGetScale", "the HPA controller was able to get the target's current scale")
            told = {"AbleToScale": got, "ScalingActive": ("False", "ScalingDisabled", message)}
            self._tell(autoscaler, 0, 0, told)
            return
        least, most = autoscaler["spec"].get("minReplicas", 1), autoscaler["spec"]["maxReplicas"]
        if present > most or present < least:
            wanted, wish = (most, None) if present > most else (least, None)
            bound = "above Spec.MaxReplicas" if present > most else "below Spec.MinReplicas"
            reason = f"Current number of replicas {bound}"
        else:
            wish = self._stabilized(autoscaler, self._wish(autoscaler, workload, present), present)
            wanted = max(least, min(wish.pods, most))
            reason = "cpu resource utilization (percentage of request) above target"
            if wanted < present:
                reason = "All metrics below target"
        if wanted != present:
            self._scale(resource, workload, wanted)
            happening = Happening(reason="SuccessfulRescale", message=f"New size: {wanted}; reason: {reason}")
            self._world.events.record(_SOURCE, autoscaler, happening)
        self._tell(autoscaler, present, wanted, self._conditions(autoscaler, present, wanted, wish), wish)

    def _wish(self, autoscaler: Json, workload: Json, present: int) -> _Wish:
        """Return how many pods the load asks for, by the formula of Kubernetes: ceil(pods * seen / target)."""
        ready = sum(1 for pod in self._world.pods_of(workload) if is_ready(pod) and not is_going(pod))
        try:
            load = load_of(workload)
        except BehaviourError as error:
            happening = Happening(reason="BadAnnotation", message=str(error), kind="Warning")
            self._world.events.record(_SOURCE, autoscaler, happening)
            load = 0.0
        if not ready:
            return _Wish(pods=present, seen=None)
        seen = load / ready
        ratio = seen / _target(autoscaler)
        pods = present if abs(ratio - 1) <= _TOLERANCE else math.ceil(ready * ratio)
        return _Wish(pods=pods, seen=round(seen))

    def _stabilized(self, autoscaler: Json, wish: _Wish, present: int) -> _Wish:
        """Return the highest wish of the window: a smaller one must have been all that was wished for a while."""
        metadata, now = autoscaler["metadata"], self._world.now()
        key = (metadata["namespace"], metadata["name"])
        window = timedelta(seconds=self._world.quick(_window(autoscaler)))
        known = self._wishes.get(key) or [(now, present)]
        kept = [(at, pods) for at, pods in known if now - at < window]
        self._wishes[key] = [*kept, (now, wish.pods)]
        highest = max((pods for _, pods in kept), default=wish.pods)
        if highest <= wish.pods:
            return wish
        return _Wish(pods=highest, seen=wish.seen, stabilized=True)

    def _scale(self, resource: GroupResource, workload: Json, wanted: int) -> None:
        """Write the number of pods, and nothing else, as the scale subresource does."""
        metadata = workload["metadata"]
        self._world.store.mutate(
            resource,
            metadata["namespace"],
            metadata["name"],
            lambda obj: {**obj, "spec": {**obj["spec"], "replicas": wanted}},
        )

    def _conditions(
        self, autoscaler: Json, present: int, wanted: int, wish: _Wish | None
    ) -> dict[str, tuple[str, str, str]]:
        able = ("True", "ReadyForNewScale", "recommended size matches current size")
        if wanted != present:
            able = ("True", "SucceededRescale", f"the HPA controller was able to update the target scale to {wanted}")
        elif wish is not None and wish.stabilized:
            why = "recent recommendations were higher than current one, applying the highest recent recommendation"
            able = ("True", "ScaleDownStabilized", why)
        told = {"AbleToScale": able}
        if wish is None:
            return told
        counted = "the HPA was able to successfully calculate a replica count from cpu resource utilization"
        told["ScalingActive"] = ("True", "ValidMetricFound", f"{counted} (percentage of request)")
        least, most = autoscaler["spec"].get("minReplicas", 1), autoscaler["spec"]["maxReplicas"]
        limited = ("False", "DesiredWithinRange", "the desired count is within the acceptable range")
        if wish.pods > most:
            limited = ("True", "TooManyReplicas", "the desired replica count is more than the maximum replica count")
        elif wish.pods < least:
            limited = ("True", "TooFewReplicas", "the desired replica count is less than the minimum replica count")
        told["ScalingLimited"] = limited
        return told

    def _tell(
        self,
        autoscaler: Json,
        present: int,
        wanted: int,
        told: dict[str, tuple[str, str, str]],
        wish: _Wish | None = None,
    ) -> None:
        """Write the status; zero pods are left out, as the server does."""
        metadata, before = autoscaler["metadata"], autoscaler.get("status") or {}
        status: Json = {"desiredReplicas": wanted, "currentMetrics": None}
        if present:
            status["currentReplicas"] = present
        if wanted != present and present:
            status["lastScaleTime"] = timestamp(self._world.now())
        elif "lastScaleTime" in before:
            status["lastScaleTime"] = before["lastScaleTime"]
        if wish is not None and wish.seen is not None:
            current = {"averageValue": f"{wish.seen}m", "averageUtilization": wish.seen}
            status["currentMetrics"] = [{"type": "Resource", "resource": {"name": "cpu", "current": current}}]
        names = [*told, *(item["type"] for item in before.get("conditions") or () if item["type"] not in told)]
        status["conditions"] = [self._condition(name, told.get(name), condition_of(before, name)) for name in names]
        self._world.store.update_status(AUTOSCALERS, metadata["namespace"], metadata["name"], status)

    def _condition(self, name: str, now: tuple[str, str, str] | None, before: Json | None) -> Json:
        """Return a condition; its time stays while its status does, and all of it where nothing new is known."""
        if now is None:
            return before or {}
        status, reason, message = now
        same = before is not None and before["status"] == status
        since = before["lastTransitionTime"] if same and before is not None else self._world.stamp()
        return {"type": name, "status": status, "lastTransitionTime": since, "reason": reason, "message": message}


def load_of(workload: Json) -> float:
    """Return the work that a workload has, in percent of what one pod requests; BehaviourError when it is no number."""
    text = annotations_of(workload).get(LOAD, "0")
    if not text.isdecimal():
        raise BehaviourError(f"{LOAD}: {text!r} is no load; write a whole number, percent of one pod's request")
    return float(text)


def _target(autoscaler: Json) -> int:
    """Return how busy each pod is meant to be, in percent of its request."""
    for metric in autoscaler["spec"].get("metrics") or ():
        share = ((metric.get("resource") or {}).get("target") or {}).get("averageUtilization")
        if share:
            return int(share)
    return _DEFAULT_TARGET


def _window(autoscaler: Json) -> float:
    """Return for how many seconds a smaller wish must stand before pods are taken away."""
    rules = ((autoscaler["spec"].get("behavior") or {}).get("scaleDown")) or {}
    return float(rules.get("stabilizationWindowSeconds", _STABILIZATION_SECONDS))
