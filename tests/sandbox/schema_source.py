"""Makes remediator/sandbox/schema.json out of the field lists that the Kubernetes client ships.

Run `python -m tests.sandbox.schema_source` after an upgrade of kubernetes-asyncio; a test holds the two equal.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
from kubernetes_asyncio.client import models

SCHEMA_FILE = Path(__file__).parents[2] / "remediator" / "sandbox" / "schema.json"

ROOTS = (
    "V1ConfigMap", "V1Endpoints", "CoreV1Event", "V1Namespace", "V1Node", "V1PersistentVolumeClaim", "V1Pod",
    "V1LimitRange", "V1ResourceQuota", "V1Secret", "V1ServiceAccount", "V1Service", "V1ControllerRevision",
    "V1DaemonSet",
    "V1Deployment", "V1ReplicaSet", "V1StatefulSet", "V2HorizontalPodAutoscaler", "V1HorizontalPodAutoscaler",
    "EventsV1Event", "V1EndpointSlice", "V1Ingress", "V1NetworkPolicy", "V1PodDisruptionBudget", "V1Lease",
    "V1ClusterRoleBinding", "V1ClusterRole", "V1RoleBinding", "V1Role", "V1Scale", "V1ValidatingAdmissionPolicy",
    "V1ValidatingAdmissionPolicyBinding",
)  # fmt: skip

QUANTITY_MAPS = {
    "V1LimitRangeItem.default", "V1LimitRangeItem.defaultRequest", "V1LimitRangeItem.max",
    "V1LimitRangeItem.maxLimitRequestRatio", "V1LimitRangeItem.min",
    "V1ContainerStatus.allocatedResources", "V1NodeStatus.allocatable", "V1NodeStatus.capacity",
    "V1PersistentVolumeClaimStatus.allocatedResources", "V1PersistentVolumeClaimStatus.capacity",
    "V1PodSpec.overhead", "V1PodStatus.allocatedResources", "V1ResourceQuotaSpec.hard", "V1ResourceQuotaStatus.hard",
    "V1ResourceQuotaStatus.used", "V1ResourceRequirements.limits", "V1ResourceRequirements.requests",
    "V1VolumeResourceRequirements.limits", "V1VolumeResourceRequirements.requests",
}  # fmt: skip
QUANTITIES = {
    "V1EmptyDirVolumeSource.sizeLimit", "V1ResourceFieldSelector.divisor", "V2MetricTarget.averageValue",
    "V2MetricTarget.value", "V2MetricValueStatus.averageValue", "V2MetricValueStatus.value",
}  # fmt: skip
MICRO_TIMES = {
    "V1LeaseSpec.acquireTime", "V1LeaseSpec.renewTime", "CoreV1Event.eventTime", "EventsV1Event.eventTime",
    "CoreV1EventSeries.lastObservedTime", "EventsV1EventSeries.lastObservedTime",
}  # fmt: skip
BINARY_MAPS = {"V1Secret.data", "V1ConfigMap.binaryData"}
ANY = {"V1ControllerRevision.data", "V1ManagedFieldsEntry.fieldsV1"}
PLAIN = {"str": "str", "int": "int", "bool": "bool", "float": "number", "datetime": "time", "object": "int-or-str"}


def _kind(place: str, kind: str) -> str:
    """Return the type of one field in the words of remediator/sandbox/schema.py."""
    for places, word in (
        (QUANTITY_MAPS, "{quantity}"), (QUANTITIES, "quantity"), (MICRO_TIMES, "microtime"), (BINARY_MAPS, "{bytes}"),
        (ANY, "any"),
    ):  # fmt: skip
        if place in places:
            return word
    if kind.startswith("list["):
        return f"[{_kind(place, kind[5:-1])}]"
    if kind.startswith("dict("):
        return "{" + _kind(place, kind[5:-1].split(", ")[1]) + "}"
    return PLAIN.get(kind, kind)


def build() -> dict[str, dict[str, str]]:
    """Return type name -> JSON field name -> type, for every type that a served kind is made of."""
    types: dict[str, dict[str, str]] = {}
    waiting = list(ROOTS)
    while waiting:
        name = waiting.pop()
        if name in types:
            continue
        model = getattr(models, name)
        fields = {model.attribute_map[field]: kind for field, kind in sorted(model.openapi_types.items())}
        types[name] = {field: _kind(f"{name}.{field}", kind) for field, kind in fields.items()}
        for kind in types[name].values():
            waiting += [part for part in re.findall(r"\w+", kind) if hasattr(models, part)]
    return dict(sorted(types.items()))


def encode() -> bytes:
    """Return the schema as it is stored: one type a line, so that a change reads well."""
    lines = [f"{msgspec.json.encode(k).decode()}: {msgspec.json.encode(v).decode()}" for k, v in build().items()]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


if __name__ == "__main__":
    SCHEMA_FILE.write_bytes(encode())
