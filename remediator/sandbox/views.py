"""Other faces of stored objects: events.k8s.io over core events, autoscaling/v1 over v2, and metadata alone."""

from __future__ import annotations

import msgspec

from remediator.sandbox.resources import Json, Resource

# events.k8s.io name -> core name
_EVENT_FIELDS = {
    "note": "message",
    "regarding": "involvedObject",
    "reportingController": "reportingComponent",
    "deprecatedCount": "count",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedSource": "source",
}
_EVENT_NAMES = {core: new for new, core in _EVENT_FIELDS.items()}
_CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
_METRICS = "autoscaling.alpha.kubernetes.io/metrics"


def from_storage(resource: Resource, obj: Json) -> Json:
    """Return a stored object as that resource shows it (the same object where there is nothing to do)."""
    if resource.group == "events.k8s.io":
        seen = {_EVENT_NAMES.get(key, key): value for key, value in obj.items()}
    elif resource.kind == "HorizontalPodAutoscaler" and resource.version == "v1":
        seen = _autoscaler_v1(obj)
    else:
        return obj
    return {**seen, "apiVersion": resource.group_version}


def to_storage(resource: Resource, obj: Json) -> Json:
    """Return what is to be stored of an object that a client wrote by that resource's face."""
    if resource.group == "events.k8s.io":
        return {**{_EVENT_FIELDS.get(key, key): value for key, value in obj.items()}, "apiVersion": "v1"}
    if resource.kind == "HorizontalPodAutoscaler" and resource.version == "v1":
        return _autoscaler_v2(obj)
    return obj


def metadata_only(obj: Json) -> Json:
    """Return an object as PartialObjectMetadata."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def _autoscaler_v1(obj: Json) -> Json:
    spec, status = dict(obj["spec"]), dict(obj.get("status") or {})
    metadata = dict(obj["metadata"])
    annotations = dict(metadata.get("annotations") or {})
    metrics = spec.pop("metrics", [])
    rest = []
    for metric in metrics:
        share = ((metric.get("resource") or {}).get("target") or {}).get("averageUtilization")
        if (metric.get("resource") or {}).get("name") == "cpu" and share is not None:
            spec["targetCPUUtilizationPercentage"] = share
        else:
            rest.append(metric)
    spec.pop("behavior", None)
    conditions = status.pop("conditions", None)
    status.pop("currentMetrics", None)
    for key, value in ((_CONDITIONS, conditions), (_METRICS, rest)):
        if value:
            annotations[key] = msgspec.json.encode(value).decode()
    if annotations:
        metadata["annotations"] = annotations
    return {**obj, "metadata": metadata, "spec": spec, "status": status}


def _autoscaler_v2(obj: Json) -> Json:
    spec, metadata = dict(obj.get("spec") or {}), dict(obj["metadata"])
    annotations = dict(metadata.get("annotations") or {})
    annotations.pop(_CONDITIONS, None)
    metrics = msgspec.json.decode(annotations.pop(_METRICS, "[]"))
    share = spec.pop("targetCPUUtilizationPercentage", None)
    if share is not None:
        target = {"type": "Utilization", "averageUtilization": share}
        metrics.insert(0, {"type": "Resource", "resource": {"name": "cpu", "target": target}})
    metadata["annotations"] = annotations
    return {**obj, "apiVersion": "autoscaling/v2", "metadata": metadata, "spec": {**spec, "metrics": metrics}}
