"""Whether a node takes a pod: pure tests of selectors, taints, readiness and room."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from remediator.sandbox.controllers.objects import condition_of, labels_of
from remediator.sandbox.quantities import parse
from remediator.sandbox.resources import Json

_BLOCKING = {"NoSchedule", "NoExecute"}
_NOTHING = Decimal(0)


@dataclass(slots=True)
class Load:
    """What the pods of a node have asked for."""

    pods: int = 0
    cpu: Decimal = _NOTHING
    memory: Decimal = _NOTHING

    def add(self, pod: Json, sign: int = 1) -> None:
        """Count a pod in, or out with -1."""
        cpu, memory = requests_of(pod)
        self.pods += sign
        self.cpu += sign * cpu
        self.memory += sign * memory


def requests_of(pod: Json) -> tuple[Decimal, Decimal]:
    """Return the CPU (cores) and memory (bytes) that the containers of a pod request."""
    found = [(item.get("resources") or {}).get("requests") or {} for item in pod["spec"].get("containers") or ()]
    return (
        sum((parse(item.get("cpu", 0)) for item in found), _NOTHING),
        sum((parse(item.get("memory", 0)) for item in found), _NOTHING),
    )


def admits_daemon(node: Json, spec: Json) -> bool:
    """Tell whether a DaemonSet with that pod spec runs on the node: its selector matches and its taints are borne."""
    return _selects(spec, node) and _bears(spec, node)


def refusal(node: Json, load: Load, pod: Json) -> str | None:
    """Return why the node does not take the pod, in the scheduler's words; None when it does."""
    spec = pod["spec"]
    if not _selects(spec, node):
        return "node(s) didn't match Pod's node affinity/selector"
    if (node.get("spec") or {}).get("unschedulable") and not _bears_cordon(spec):
        return "node(s) were unschedulable"
    taint = next((item for item in _taints(node) if not _is_borne(spec, item)), None)
    if taint is not None:
        return f"node(s) had untolerated taint(s) {{{taint['key']}: {taint.get('value', '')}}}"
    cpu, memory = requests_of(pod)
    room = node["status"]["allocatable"]
    if load.pods + 1 > int(room["pods"]):
        return "Too many pods"
    if load.cpu + cpu > parse(room["cpu"]):
        return "Insufficient cpu"
    return "Insufficient memory" if load.memory + memory > parse(room["memory"]) else None


def is_up(node: Json | None) -> bool:
    """Tell whether the node is there and its Ready condition is True."""
    condition = condition_of(node.get("status"), "Ready") if node else None
    return condition is not None and condition["status"] == "True"


def _taints(node: Json) -> Iterable[Json]:
    return [item for item in (node.get("spec") or {}).get("taints") or () if item["effect"] in _BLOCKING]


def _bears(spec: Json, node: Json) -> bool:
    return all(_is_borne(spec, taint) for taint in _taints(node))


def _bears_cordon(spec: Json) -> bool:
    return _is_borne(spec, {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"})


def _is_borne(spec: Json, taint: Json) -> bool:
    for item in spec.get("tolerations") or ():
        if item.get("effect") not in {None, "", taint["effect"]}:
            continue
        if item.get("operator", "Equal") == "Exists":
            if item.get("key") in {None, "", taint["key"]}:
                return True
        elif (item.get("key"), item.get("value", "")) == (taint["key"], taint.get("value", "")):
            return True
    return False


def _selects(spec: Json, node: Json) -> bool:
    labels = labels_of(node)
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or any(_matches(term, node) for term in required.get("nodeSelectorTerms") or ())


def _matches(term: Json, node: Json) -> bool:
    fields = {"metadata.name": node["metadata"]["name"]}
    tests = [(labels_of(node), item) for item in term.get("matchExpressions") or ()]
    tests += [(fields, item) for item in term.get("matchFields") or ()]
    return bool(tests) and all(_holds(values, item) for values, item in tests)


def _holds(values: dict[str, str], item: Json) -> bool:
    value = values.get(item["key"])
    match item["operator"]:
        case "In":
            return value in item.get("values", ())
        case "NotIn":
            return value not in item.get("values", ())
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case _:
            return False
