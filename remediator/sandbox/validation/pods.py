"""Faults of pods and pod templates: containers, environment, ports, requests and limits."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from remediator.sandbox.defaults import fill_in, qos_class
from remediator.sandbox.quantities import parse
from remediator.sandbox.resources import PODS, Json
from remediator.sandbox.status import Cause
from remediator.sandbox.validation.faults import LABEL_RULE, bad, is_label, not_allowed, required

_LAST_PORT = 65535
_STANDARD = {"cpu", "memory", "ephemeral-storage", "storage"}
_ENV_RULE = "a valid environment variable name must consist only of printable ASCII characters other than '='"
_UPDATE_RULE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def pod(obj: Json, old: Json | None) -> list[Cause]:
    """Return the faults of a pod; hardly anything of its spec may change."""
    causes = pod_spec(obj.get("spec") or {}, "spec")
    if old is not None and _frozen_part(obj["spec"]) not in (_frozen_part(old["spec"]), _frozen_part(_filled(old))):
        causes.append(not_allowed("spec", _UPDATE_RULE))
    return causes


def _filled(pod: Json) -> Json:
    """Return the spec that a pod would have had by this API; one put into the store directly may lack defaults."""
    copy: Json = deepcopy(pod)
    fill_in(PODS, copy)
    spec: Json = copy["spec"]
    return spec


def resize(obj: Json, old: Json) -> list[Cause]:
    """Return the faults of an in-place resize of a pod's containers."""
    causes = pod_spec(obj["spec"], "spec")
    was = qos_class(old["spec"])
    if qos_class(obj["spec"]) != was:
        causes.append(bad("spec", was, "Pod QOS Class may not change as a result of resizing"))
    for index, (new, before) in enumerate(zip(obj["spec"]["containers"], old["spec"]["containers"], strict=True)):
        for part in ("requests", "limits"):
            gone = (before["resources"].get(part) or {}).keys() - (new["resources"].get(part) or {}).keys()
            if gone:
                field = f"spec.containers[{index}].resources.{part}"
                causes.append(not_allowed(field, f"resource {part} cannot be removed"))
    return causes


def pod_spec(spec: Json, path: str) -> list[Cause]:
    """Return the faults of a pod spec that stands at `path`."""
    containers = spec.get("containers") or []
    if not containers:
        return [required(f"{path}.containers")]
    causes: list[Cause] = []
    names: set[str] = set()
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(kind) or ()):
            place = f"{path}.{kind}[{index}]"
            causes += _container(container, place)
            name = container.get("name", "")
            if name in names:
                causes.append(Cause("FieldValueDuplicate", f'Duplicate value: "{name}"', f"{place}.name"))
            names.add(name)
    return causes


def _container(container: Json, path: str) -> list[Cause]:
    causes: list[Cause] = []
    name = container.get("name")
    if not name:
        causes.append(required(f"{path}.name"))
    elif not is_label(name):
        causes.append(bad(f"{path}.name", name, LABEL_RULE))
    if not container.get("image"):
        causes.append(required(f"{path}.image"))
    for index, port in enumerate(container.get("ports") or ()):
        number = port.get("containerPort", 0)
        if not 1 <= number <= _LAST_PORT:
            causes.append(bad(f"{path}.ports[{index}].containerPort", number, "must be between 1 and 65535, inclusive"))
    for index, variable in enumerate(container.get("env") or ()):
        causes += _variable(variable, f"{path}.env[{index}]")
    return causes + _resources(container.get("resources") or {}, f"{path}.resources")


def _variable(variable: Json, path: str) -> list[Cause]:
    name = variable.get("name", "")
    causes: list[Cause] = []
    if not name:
        causes.append(required(f"{path}.name"))
    elif "=" in name or not (name.isascii() and name.isprintable()):
        causes.append(bad(f"{path}.name", name, _ENV_RULE))
    if variable.get("value") and variable.get("valueFrom"):
        causes.append(bad(f"{path}.valueFrom", "", "may not be specified when `value` is not empty"))
    return causes


def _resources(resources: Json, path: str) -> list[Cause]:
    causes: list[Cause] = []
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for part, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            causes += _amount(name, amount, f"{path}.{part}[{name}]")
    for name, amount in requests.items():
        if name in limits and parse(amount) > parse(limits[name]):
            why = f"must be less than or equal to {name} limit of {limits[name]}"
            causes.append(bad(f"{path}.requests", amount, why))
    return causes


def _amount(name: str, amount: str, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if name not in _STANDARD and "/" not in name and not name.startswith("hugepages-"):
        causes.append(bad(path, name, "must be a standard resource type or fully qualified"))
        causes.append(bad(path, name, "must be a standard resource for containers"))
    if parse(amount) < 0:
        causes.append(bad(path, amount, "must be greater than or equal to 0"))
    return causes


def _frozen_part(spec: Json) -> Any:
    """Return a pod spec without what may be changed in place."""
    free = {"containers", "initContainers", "activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"}
    rest = {key: value for key, value in spec.items() if key not in free}
    images = [
        [{key: value for key, value in item.items() if key != "image"} for item in spec.get(kind) or ()]
        for kind in ("containers", "initContainers")
    ]
    return rest, images
