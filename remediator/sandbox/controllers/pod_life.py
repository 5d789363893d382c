"""The life of one simulated pod as plain data, and the status that shows it: pure, without a store or a clock."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from remediator.sandbox.clock import timestamp
from remediator.sandbox.controllers.objects import condition_of
from remediator.sandbox.resources import Json

_NO_DIGEST = "0" * 64


class Stage(Enum):
    """Where a pod stands; all its containers share it."""

    CREATING = "creating"
    PULL_FAILED = "pull failed"
    PULL_BACK_OFF = "pull back-off"
    STARTED = "started"
    READY = "ready"
    EXITED = "exited"
    BACK_OFF = "back-off"
    ENDING = "ending"


@dataclass(slots=True)
class Life:
    """What the kubelet knows of one pod; `due` is the next moment of change, on the monotonic clock."""

    uid: str
    node: str
    ip: str
    born: datetime
    stage: Stage = Stage.CREATING
    due: float | None = None
    restarts: int = 0
    wait: float = 0.0
    started: datetime | None = None
    ended: datetime | None = None
    exit_code: int = 0
    last_run: Json | None = None
    last_number: int = 0


def status_of(pod: Json, life: Life, now: datetime) -> Json:
    """Return the status of a pod on its node, with the conditions' times kept where they did not change."""
    ready = life.stage is Stage.READY
    waiting = life.stage in {Stage.CREATING, Stage.PULL_FAILED, Stage.PULL_BACK_OFF}
    names = [item["name"] for item in pod["spec"]["containers"]]
    old = pod.get("status") or {}
    generation = pod["metadata"].get("generation", 1)
    status = {key: value for key, value in old.items() if key in {"qosClass", "nominatedNodeName"}}
    address = {"podIP": life.ip, "podIPs": [{"ip": life.ip}]} if life.stage is not Stage.CREATING else {}
    conditions = [_condition(old, kind, "", generation, now) for kind in ("PodScheduled", "Initialized")]
    conditions.append(_condition(old, "PodReadyToStartContainers", "", generation, now))
    fault = "" if ready else f"containers with unready status: [{' '.join(names)}]"
    conditions += [_condition(old, kind, fault, generation, now) for kind in ("ContainersReady", "Ready")]
    disruption = condition_of(old, "DisruptionTarget")
    if disruption is not None:
        conditions.append(disruption)
    return {
        **status,
        "observedGeneration": generation,
        "phase": "Pending" if waiting else "Running",
        "conditions": conditions,
        "hostIP": "127.0.0.1",
        "hostIPs": [{"ip": "127.0.0.1"}],
        **address,
        "startTime": timestamp(life.born),
        "containerStatuses": [_container(pod, item, life) for item in pod["spec"]["containers"]],
    }


def ended_run(life: Life, reason: str) -> Json:
    """Return the `terminated` state of a run that has just ended."""
    return {
        "exitCode": life.exit_code,
        "reason": reason,
        "startedAt": timestamp(life.started or life.born),
        "finishedAt": timestamp(life.ended or life.born),
    }


def container_id(life: Life, container: str, run: int) -> str:
    """Return the id of one run of a container."""
    return "containerd://" + hashlib.sha256(f"{life.uid}/{container}/{run}".encode()).hexdigest()


def _container(pod: Json, spec: Json, life: Life) -> Json:
    name, image = spec["name"], spec["image"]
    running = life.stage in {Stage.STARTED, Stage.READY}
    pulled = life.stage not in {Stage.CREATING, Stage.PULL_FAILED, Stage.PULL_BACK_OFF}
    status: Json = {
        "name": name,
        "state": _state(pod, life, name, image),
        "lastState": _last_state(life, name),
        "ready": life.stage is Stage.READY,
        "restartCount": life.restarts,
        "image": image,
        "imageID": f"docker.io/{image}@sha256:{_NO_DIGEST}" if pulled else "",
        "started": running,
    }
    if pulled:
        status["containerID"] = container_id(life, name, life.restarts)
        resources = spec.get("resources") or {}
        if resources:
            status["allocatedResources"] = resources.get("requests", {})
            status["resources"] = resources
    return status


def _state(pod: Json, life: Life, name: str, image: str) -> Json:
    match life.stage:
        case Stage.CREATING:
            return {"waiting": {"reason": "ContainerCreating"}}
        case Stage.PULL_FAILED:
            return {"waiting": {"reason": "ErrImagePull", "message": pull_failed(image)}}
        case Stage.PULL_BACK_OFF:
            return {"waiting": {"reason": "ImagePullBackOff", "message": pull_back_off(image)}}
        case Stage.EXITED:
            return {"terminated": _run(life, name)}
        case Stage.BACK_OFF:
            metadata = pod["metadata"]
            whole = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
            message = f"back-off {life.wait:g}s restarting failed container={name} pod={whole}"
            return {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
        case _:
            return {"running": {"startedAt": timestamp(life.started or life.born)}}


def _last_state(life: Life, name: str) -> Json:
    if life.last_run is None or life.stage is Stage.EXITED:
        return {}
    return {"terminated": _run(life, name)}


def _run(life: Life, name: str) -> Json:
    return {**(life.last_run or {}), "containerID": container_id(life, name, life.last_number)}


def pull_failed(image: str) -> str:
    """Return what a kubelet says when an image is not to be had."""
    return f'Failed to pull image "{image}": not found'


def pull_back_off(image: str) -> str:
    """Return what a kubelet says while it waits to try again."""
    return f'Back-off pulling image "{image}"'


def _condition(old: Json, kind: str, fault: str, generation: int, now: datetime) -> Json:
    status = "False" if fault else "True"
    before = condition_of(old, kind)
    kept = before is not None and before["status"] == status
    since = before["lastTransitionTime"] if before is not None and kept else timestamp(now)
    condition = {
        "type": kind,
        "observedGeneration": generation,
        "status": status,
        "lastProbeTime": None,
        "lastTransitionTime": since,
    }
    return {**condition, "reason": "ContainersNotReady", "message": fault} if fault else condition


def names_of(pod: Json) -> Iterable[str]:
    """Yield the names of a pod's containers."""
    return (item["name"] for item in pod["spec"]["containers"])
