"""The Table form of objects, which kubectl prints: columns and cells, kind by kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from remediator.sandbox.resources import Json, Resource

Cells = Callable[[Json, datetime], list[Any]]
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_SHORT_MINUTES, _SHORT_HOURS, _SHORT_DAYS = 10 * _MINUTE, 8 * _HOUR, 8 * _DAY


def wants_table(accept: str) -> bool:
    """Tell whether a client asks for a Table before anything else."""
    return "as=Table" in accept


def table(resource: Resource, objects: Sequence[Json], version: str, now: datetime) -> Json:
    """Return objects as a meta.k8s.io/v1 Table, with their metadata beside the cells."""
    columns, cells = _TABLES.get(resource.kind, (("Name", "Age"), _plain))
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": version},
        "columnDefinitions": [_column(name) for name in columns],
        "rows": [
            {
                "cells": cells(item, now),
                "object": {
                    "kind": "PartialObjectMetadata",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": item["metadata"],
                },
            }
            for item in objects
        ],
    }


def _column(name: str) -> Json:
    return {
        "name": name,
        "type": "string",
        "format": "name" if name == "Name" else "",
        "description": "",
        "priority": 0,
    }


def age(stamp: str | None, now: datetime) -> str:
    """Return how long ago a timestamp was, as short as kubectl writes it."""
    if not stamp:
        return "<unknown>"
    seconds = max(0, int((now - datetime.fromisoformat(stamp)).total_seconds()))
    if seconds < 2 * _MINUTE:
        return f"{seconds}s"
    if seconds < _SHORT_MINUTES:
        return f"{seconds // _MINUTE}m" + (f"{seconds % _MINUTE}s" if seconds % _MINUTE else "")
    if seconds < 3 * _HOUR:
        return f"{seconds // _MINUTE}m"
    if seconds < _SHORT_HOURS:
        minutes = seconds % _HOUR // _MINUTE
        return f"{seconds // _HOUR}h" + (f"{minutes}m" if minutes else "")
    if seconds < 2 * _DAY:
        return f"{seconds // _HOUR}h"
    hours = seconds % _DAY // _HOUR
    return f"{seconds // _DAY}d" + (f"{hours}h" if hours and seconds < _SHORT_DAYS else "")


def _born(obj: Json, now: datetime) -> str:
    return age(obj["metadata"].get("creationTimestamp"), now)


def _plain(obj: Json, now: datetime) -> list[Any]:
    return [obj["metadata"]["name"], _born(obj, now)]


def _pod(obj: Json, now: datetime) -> list[Any]:
    statuses = (obj.get("status") or {}).get("containerStatuses") or []
    ready = sum(1 for item in statuses if item.get("ready"))
    restarts = sum(item.get("restartCount", 0) for item in statuses)
    wanted = len(obj["spec"].get("containers") or ())
    return [obj["metadata"]["name"], f"{ready}/{wanted}", _pod_state(obj, statuses), restarts, _born(obj, now)]


def _pod_state(obj: Json, statuses: list[Json]) -> str:
    if "deletionTimestamp" in obj["metadata"]:
        return "Terminating"
    for item in statuses:
        state = item.get("state") or {}
        for part in ("waiting", "terminated"):
            if state.get(part, {}).get("reason"):
                return str(state[part]["reason"])
    status = obj.get("status") or {}
    return str(status.get("reason") or status.get("phase", "Unknown"))


def _deployment(obj: Json, now: datetime) -> list[Any]:
    status, wanted = obj.get("status") or {}, obj["spec"].get("replicas", 1)
    return [
        obj["metadata"]["name"], f"{status.get('readyReplicas', 0)}/{wanted}", status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0), _born(obj, now),
    ]  # fmt: skip


def _replica_set(obj: Json, now: datetime) -> list[Any]:
    status = obj.get("status") or {}
    return [
        obj["metadata"]["name"], obj["spec"].get("replicas", 1), status.get("replicas", 0),
        status.get("readyReplicas", 0), _born(obj, now),
    ]  # fmt: skip


def _stateful_set(obj: Json, now: datetime) -> list[Any]:
    ready = (obj.get("status") or {}).get("readyReplicas", 0)
    return [obj["metadata"]["name"], f"{ready}/{obj['spec'].get('replicas', 1)}", _born(obj, now)]


def _daemon_set(obj: Json, now: datetime) -> list[Any]:
    status = obj.get("status") or {}
    keys = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    return [obj["metadata"]["name"], *(status.get(key, 0) for key in keys), _born(obj, now)]


def _service(obj: Json, now: datetime) -> list[Any]:
    spec = obj["spec"]
    ports = ",".join(f"{port['port']}/{port.get('protocol', 'TCP')}" for port in spec.get("ports") or ())
    return [
        obj["metadata"]["name"], spec.get("type"), spec.get("clusterIP", "<none>"), "<none>", ports or "<none>",
        _born(obj, now),
    ]  # fmt: skip


def _node(obj: Json, now: datetime) -> list[Any]:
    status = obj.get("status") or {}
    ready = next((item["status"] for item in status.get("conditions") or () if item["type"] == "Ready"), "Unknown")
    state = {"True": "Ready", "False": "NotReady"}.get(ready, "Unknown")
    if obj.get("spec", {}).get("unschedulable"):
        state += ",SchedulingDisabled"
    version = (status.get("nodeInfo") or {}).get("kubeletVersion", "")
    return [obj["metadata"]["name"], state, "<none>", _born(obj, now), version]


def _namespace(obj: Json, now: datetime) -> list[Any]:
    return [obj["metadata"]["name"], (obj.get("status") or {}).get("phase", ""), _born(obj, now)]


def _event(obj: Json, now: datetime) -> list[Any]:
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    last = obj.get("lastTimestamp") or obj.get("eventTime") or obj["metadata"].get("creationTimestamp")
    message = obj.get("message", obj.get("note", ""))
    return [
        age(last, now),
        obj.get("type"),
        obj.get("reason"),
        f"{about.get('kind', '').lower()}/{about.get('name')}",
        message,
    ]


def _autoscaler(obj: Json, now: datetime) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    target = spec["scaleTargetRef"]
    return [
        obj["metadata"]["name"], f"{target['kind']}/{target['name']}", spec.get("minReplicas", 1), spec["maxReplicas"],
        status.get("currentReplicas", 0), _born(obj, now),
    ]  # fmt: skip


def _config_map(obj: Json, now: datetime) -> list[Any]:
    return [obj["metadata"]["name"], len(obj.get("data") or {}) + len(obj.get("binaryData") or {}), _born(obj, now)]


def _secret(obj: Json, now: datetime) -> list[Any]:
    return [obj["metadata"]["name"], obj.get("type"), len(obj.get("data") or {}), _born(obj, now)]


def _budget(obj: Json, now: datetime) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    return [
        obj["metadata"]["name"], spec.get("minAvailable", "N/A"), spec.get("maxUnavailable", "N/A"),
        status.get("disruptionsAllowed", 0), _born(obj, now),
    ]  # fmt: skip


def _application(obj: Json, _now: datetime) -> list[Any]:
    status = obj.get("status") or {}
    return [
        obj["metadata"]["name"], (status.get("sync") or {}).get("status"), (status.get("health") or {}).get("status")
    ]  # fmt: skip


_TABLES: dict[str, tuple[tuple[str, ...], Cells]] = {
    "Pod": (("Name", "Ready", "Status", "Restarts", "Age"), _pod),
    "Deployment": (("Name", "Ready", "Up-to-date", "Available", "Age"), _deployment),
    "ReplicaSet": (("Name", "Desired", "Current", "Ready", "Age"), _replica_set),
    "StatefulSet": (("Name", "Ready", "Age"), _stateful_set),
    "DaemonSet": (("Name", "Desired", "Current", "Ready", "Up-to-date", "Available", "Age"), _daemon_set),
    "Service": (("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age"), _service),
    "Node": (("Name", "Status", "Roles", "Age", "Version"), _node),
    "Namespace": (("Name", "Status", "Age"), _namespace),
    "Event": (("Last Seen", "Type", "Reason", "Object", "Message"), _event),
    "HorizontalPodAutoscaler": (("Name", "Reference", "MinPods", "MaxPods", "Replicas", "Age"), _autoscaler),
    "ConfigMap": (("Name", "Data", "Age"), _config_map),
    "Secret": (("Name", "Type", "Data", "Age"), _secret),
    "PodDisruptionBudget": (("Name", "Min Available", "Max Unavailable", "Allowed Disruptions", "Age"), _budget),
    "Application": (("Name", "Sync Status", "Health Status"), _application),
}
