"""The status of a Deployment as pure functions of it and its ReplicaSets: counts, conditions and what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from remediator.sandbox.clock import timestamp
from remediator.sandbox.controllers.objects import condition_of, moment_of, sum_of, with_condition, without_condition
from remediator.sandbox.controllers.rolling import Bounds, bounds
from remediator.sandbox.resources import Json

PROGRESSING = "Progressing"
AVAILABLE = "Available"
REPLICA_FAILURE = "ReplicaFailure"
NEW_SET_AVAILABLE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
_NO_DEADLINE = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sets:
    """The ReplicaSets of a Deployment: the one of its template (None when there is none yet), and the others."""

    new: Json | None
    old: tuple[Json, ...]

    @property
    def every(self) -> tuple[Json, ...]:
        """Return all of them, the new one last."""
        return (*self.old, self.new) if self.new is not None else self.old


def limits_of(deployment: Json) -> Bounds:
    """Return how far a rolling update may go; Recreate goes nowhere beyond."""
    spec = deployment["spec"]
    strategy = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return Bounds(0, 0)
    rolling = strategy.get("rollingUpdate") or {}
    return bounds(spec["replicas"], rolling.get("maxSurge"), rolling.get("maxUnavailable"))


def deadline_of(deployment: Json) -> int | None:
    """Return progressDeadlineSeconds; None when the Deployment has none."""
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return None if seconds is None or seconds == _NO_DEADLINE else int(seconds)


def progressing(status: str, reason: str, message: str, now: datetime) -> Json:
    """Return a Progressing condition of this moment."""
    return _condition(PROGRESSING, status, reason, message, now)


def counts(deployment: Json, sets: Sets, now: datetime) -> Json:
    """Return the status with its counts and the Available condition; zeros are left out, as the server does."""
    every, new = sets.every, [sets.new] if sets.new is not None else []
    available = sum_of(every, "status", "availableReplicas")
    numbers = {
        "replicas": sum_of(every, "status", "replicas"),
        "updatedReplicas": sum_of(new, "status", "replicas"),
        "readyReplicas": sum_of(every, "status", "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, sum_of(every, "spec", "replicas") - available),
    }
    status: Json = {"observedGeneration": deployment["metadata"]["generation"]}
    status |= {key: value for key, value in numbers.items() if value}
    status["terminatingReplicas"] = sum_of(every, "status", "terminatingReplicas")
    collisions = (deployment.get("status") or {}).get("collisionCount")
    if collisions:
        status["collisionCount"] = collisions
    enough = available >= deployment["spec"]["replicas"] - limits_of(deployment).unavailable
    word, have = ("Available", "has") if enough else ("Unavailable", "does not have")
    condition = _condition(
        AVAILABLE, str(enough), f"MinimumReplicas{word}", f"Deployment {have} minimum availability.", now
    )
    status["conditions"] = with_condition((deployment.get("status") or {}).get("conditions") or (), condition)
    return status


def is_complete(deployment: Json, status: Json) -> bool:
    """Tell whether a rollout has ended well: all pods updated and available, no old one left."""
    wanted = deployment["spec"]["replicas"]
    keys = ("updatedReplicas", "replicas", "availableReplicas")
    return (
        all(status.get(key, 0) == wanted for key in keys)
        and status["observedGeneration"] >= deployment["metadata"]["generation"]
    )


def with_progress(deployment: Json, status: Json, sets: Sets, now: datetime, speed: float) -> Json:
    """Return the status with its Progressing and ReplicaFailure conditions brought up to date."""
    conditions = status["conditions"]
    if deadline_of(deployment) is None:
        conditions = without_condition(conditions, PROGRESSING)
    elif not _was_complete(deployment, status):
        conditions = _progress(deployment, status, sets, now, speed)
    failure = _replica_failure(sets, now)
    if failure is None:
        conditions = without_condition(conditions, REPLICA_FAILURE)
    else:
        conditions = with_condition(conditions, failure)
    return {**status, "conditions": conditions}


def seconds_to_deadline(deployment: Json, now: datetime, speed: float) -> float | None:
    """Return the seconds (of the clock) after which the rollout is overdue; None when it is not under way."""
    condition, deadline = condition_of(deployment.get("status"), PROGRESSING), deadline_of(deployment)
    if condition is None or deadline is None or condition.get("reason") in {NEW_SET_AVAILABLE, TIMED_OUT}:
        return None
    since = moment_of(condition["lastUpdateTime"]) or now
    return (since + timedelta(seconds=deadline / speed) - now).total_seconds()


def _was_complete(deployment: Json, status: Json) -> bool:
    current = condition_of(deployment.get("status"), PROGRESSING)
    complete = status.get("replicas", 0) == status.get("updatedReplicas", 0)
    return complete and current is not None and current.get("reason") == NEW_SET_AVAILABLE


def _progress(deployment: Json, status: Json, sets: Sets, now: datetime, speed: float) -> list[Json]:
    conditions = status["conditions"]
    name = f'ReplicaSet "{sets.new["metadata"]["name"]}"' if sets.new else f'Deployment "{_name(deployment)}"'
    if is_complete(deployment, status):
        message = f"{name} has successfully progressed."
        return with_condition(conditions, progressing("True", NEW_SET_AVAILABLE, message, now))
    if _moved(deployment.get("status") or {}, status):
        new = progressing("True", "ReplicaSetUpdated", f"{name} is progressing.", now)
        current = condition_of(deployment.get("status"), PROGRESSING)
        if current is not None and current["status"] == "True":
            new["lastTransitionTime"] = current["lastTransitionTime"]
        return [*without_condition(conditions, PROGRESSING), new]
    left = seconds_to_deadline(deployment, now, speed)
    if left is not None and left < 0:
        return with_condition(conditions, progressing("False", TIMED_OUT, f"{name} has timed out progressing.", now))
    return list(conditions)


def _moved(old: Json, new: Json) -> bool:
    def leftover(status: Json) -> int:
        return int(status.get("replicas", 0)) - int(status.get("updatedReplicas", 0))

    more = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return leftover(new) < leftover(old) or any(new.get(key, 0) > old.get(key, 0) for key in more)


def _replica_failure(sets: Sets, now: datetime) -> Json | None:
    candidates: Sequence[Json] = (*([sets.new] if sets.new is not None else []), *sets.old)
    for item in candidates:
        found = condition_of(item.get("status"), REPLICA_FAILURE)
        if found is not None:
            return _condition(REPLICA_FAILURE, found["status"], found["reason"], found["message"], now)
    return None


def _condition(kind: str, status: str, reason: str, message: str, now: datetime) -> Json:
    stamp = timestamp(now)
    return {
        "type": kind,
        "status": status,
        "lastUpdateTime": stamp,
        "lastTransitionTime": stamp,
        "reason": reason,
        "message": message,
    }


def _name(deployment: Json) -> str:
    return str(deployment["metadata"]["name"])
