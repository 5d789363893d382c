"""What of each object is kept as evidence: an allow-list by kind, in Kubernetes' own field names.

Whatever is not named here stays out: values of environment variables, arguments, annotations, volumes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]

_CONDITION = {"type": True, "status": True, "reason": True, "message": True, "lastTransitionTime": True}
_TEMPLATE_CONTAINER = {
    "name": True,
    "image": True,
    "resources": {"requests": True, "limits": True},
    "ports": {"name": True, "containerPort": True},
    "env": {"name": True},
    "readinessProbe": {"httpGet": {"path": True, "port": True}, "tcpSocket": {"port": True}, "periodSeconds": True},
    "livenessProbe": {"httpGet": {"path": True, "port": True}, "tcpSocket": {"port": True}, "periodSeconds": True},
}
_STATE = {
    "waiting": {"reason": True, "message": True},
    "running": {"startedAt": True},
    "terminated": {
        "reason": True,
        "exitCode": True,
        "signal": True,
        "message": True,
        "startedAt": True,
        "finishedAt": True,
    },
}
_STATUS_OF_CONTAINER = {
    "name": True,
    "ready": True,
    "started": True,
    "restartCount": True,
    "image": True,
    "state": _STATE,
    "lastState": _STATE,
}
_META = {"name": True, "creationTimestamp": True, "deletionTimestamp": True, "generation": True, "labels": True}

WORKLOAD = {
    "metadata": _META,
    "spec": {
        "replicas": True,
        "paused": True,
        "selector": True,
        "strategy": True,
        "updateStrategy": True,
        "progressDeadlineSeconds": True,
        "template": {"spec": {"containers": _TEMPLATE_CONTAINER, "initContainers": _TEMPLATE_CONTAINER}},
    },
    "status": {
        "observedGeneration": True,
        "replicas": True,
        "updatedReplicas": True,
        "readyReplicas": True,
        "availableReplicas": True,
        "unavailableReplicas": True,
        "desiredNumberScheduled": True,
        "currentNumberScheduled": True,
        "updatedNumberScheduled": True,
        "numberReady": True,
        "numberAvailable": True,
        "numberUnavailable": True,
        "currentRevision": True,
        "updateRevision": True,
        "conditions": _CONDITION,
    },
}
POD = {
    "metadata": _META,
    "spec": {"nodeName": True, "containers": _TEMPLATE_CONTAINER, "initContainers": _TEMPLATE_CONTAINER},
    "status": {
        "phase": True,
        "reason": True,
        "message": True,
        "podIP": True,
        "startTime": True,
        "qosClass": True,
        "conditions": _CONDITION,
        "containerStatuses": _STATUS_OF_CONTAINER,
        "initContainerStatuses": _STATUS_OF_CONTAINER,
    },
}
EVENT = {
    "type": True,
    "reason": True,
    "message": True,
    "count": True,
    "firstTimestamp": True,
    "lastTimestamp": True,
    "eventTime": True,
    "involvedObject": {"kind": True, "name": True},
    "source": {"component": True},
    "reportingComponent": True,
}
ENDPOINT_SLICE = {
    "metadata": {"name": True},
    "addressType": True,
    "ports": {"name": True, "port": True, "protocol": True},
    "endpoints": {
        "addresses": True,
        "conditions": True,
        "nodeName": True,
        "targetRef": {"kind": True, "name": True},
    },
}
SERVICE = {
    "metadata": {"name": True},
    "spec": {"type": True, "selector": True, "ports": {"name": True, "port": True, "targetPort": True}},
}
INGRESS = {
    "metadata": {"name": True, "creationTimestamp": True},
    "spec": {
        "ingressClassName": True,
        "rules": {"host": True, "http": {"paths": {"path": True, "backend": True}}},
        "defaultBackend": True,
    },
    "status": {"loadBalancer": True},
}
NODE = {
    "metadata": {"name": True, "creationTimestamp": True},
    "spec": {"unschedulable": True, "taints": {"key": True, "effect": True, "timeAdded": True}},
    "status": {"allocatable": True, "conditions": _CONDITION},
}
POD_USAGE = {"metadata": {"name": True}, "timestamp": True, "containers": {"name": True, "usage": True}}
NODE_USAGE = {"metadata": {"name": True}, "timestamp": True, "usage": True}


def keep(value: Any, allowed: Any) -> Any:
    """Return what the allow-list names of a value; for a list, of each of its items."""
    if isinstance(value, list):
        return [keep(item, allowed) for item in value]
    if isinstance(value, dict) and isinstance(allowed, dict):
        return {key: keep(value[key], inner) for key, inner in allowed.items() if value.get(key) is not None}
    return value if allowed is True else None


def items_of(document: Any) -> list[Json]:
    """Return the items of a list; a null list is an empty one."""
    found = document.get("items") if isinstance(document, dict) else None
    return [item for item in found or [] if isinstance(item, dict)]


def name_of(item: Json) -> str:
    """Return metadata.name."""
    return str(dig(item, "metadata", "name") or "")


def dig(value: Any, *path: str) -> Any:
    """Return what is at a path of keys, None where it ends early."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def related_events(events: Iterable[Json], name: str, pods: Iterable[str]) -> list[Json]:
    """Return the events of a workload, its ReplicaSets and its pods, oldest first."""
    names = {name, *pods}

    def concerns(event: Json) -> bool:
        about = str(dig(event, "involvedObject", "name") or "")
        return about in names or (
            dig(event, "involvedObject", "kind") in {"ReplicaSet", "Pod"} and about.startswith(f"{name}-")
        )

    return sorted((event for event in events if concerns(event)), key=_time_of)


def _time_of(event: Json) -> str:
    # All are RFC 3339 in UTC; seconds and micro-seconds compare well enough as text once the Z is off.
    times = [event.get("lastTimestamp"), dig(event, "series", "lastObservedTime"), event.get("eventTime")]
    times += [event.get("firstTimestamp"), dig(event, "metadata", "creationTimestamp")]
    return next((str(time).rstrip("Z") for time in times if time), "")


def history(items: Iterable[Json]) -> list[Json]:
    """Return the rollout history of ReplicaSets or ControllerRevisions, newest first."""
    rows = []
    for item in items:
        annotations = dig(item, "metadata", "annotations") or {}
        template = dig(item, "spec", "template") or dig(item, "data", "spec", "template")
        containers = dig(template, "spec", "containers") or []
        revision = str(item.get("revision", annotations.get("deployment.kubernetes.io/revision", "")))
        rows.append(
            {
                "revision": int(revision) if revision.isascii() and revision.isdigit() else 0,
                "name": name_of(item),
                "createdAt": dig(item, "metadata", "creationTimestamp"),
                "images": [container.get("image") for container in containers if isinstance(container, dict)],
                "replicas": dig(item, "spec", "replicas"),
                "ready": dig(item, "status", "readyReplicas") or 0,
                "cause": annotations.get("kubernetes.io/change-cause"),
            }
        )
    return sorted(rows, key=lambda row: (row["revision"], str(row["createdAt"])), reverse=True)


def services_of(services: Iterable[Json], labels: dict[str, str]) -> list[Json]:
    """Return the services whose selector chooses pods of these labels; one without a selector chooses none."""
    found = []
    for service in services:
        selector = dig(service, "spec", "selector") or {}
        if selector and all(labels.get(key) == value for key, value in selector.items()):
            found.append(service)
    return found


def ingresses_of(ingresses: Iterable[Json], services: set[str]) -> list[Json]:
    """Return the ingresses that lead to one of these services."""
    return [ingress for ingress in ingresses if services & set(_backends(ingress))]


def _backends(ingress: Json) -> Iterable[str]:
    yield str(dig(ingress, "spec", "defaultBackend", "service", "name") or "")
    for rule in dig(ingress, "spec", "rules") or []:
        for path in dig(rule, "http", "paths") or []:
            yield str(dig(path, "backend", "service", "name") or "")
