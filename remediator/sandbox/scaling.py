"""The scale subresource: replicas of a workload as an autoscaling/v1 Scale."""

from __future__ import annotations

from collections.abc import Callable

from remediator.sandbox import decoding, patching
from remediator.sandbox.calls import Answer, Call, Target
from remediator.sandbox.resources import Json, Resource
from remediator.sandbox.selectors import label_selector_text
from remediator.sandbox.status import conflict, invalid_kind, not_found
from remediator.sandbox.store import ConflictError, PreconditionError, Store
from remediator.sandbox.validation.workloads import scale as scale_faults

_TYPE = "V1Scale"
_KEPT_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_of(obj: Json) -> Json:
    """Return the Scale of a workload: labels and annotations are not part of it, zero replicas are left out."""
    replicas = obj["spec"].get("replicas", 0)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: obj["metadata"][key] for key in _KEPT_METADATA if key in obj["metadata"]},
        "spec": {"replicas": replicas} if replicas else {},
        "status": {
            "replicas": (obj.get("status") or {}).get("replicas", 0),
            "selector": label_selector_text(obj["spec"].get("selector")),
        },
    }


def get_scale(store: Store, resource: Resource, target: Target) -> Answer:
    """Answer a GET of the scale; ApiError 404."""
    return Answer(scale_of(_workload(store, resource, target)))


def replace_scale(store: Store, resource: Resource, call: Call, target: Target) -> Answer:
    """Answer a PUT of the scale; ApiError 400, 404, 409 and 422."""
    scale, warnings = decoding.decode_object(call, resource, _TYPE, "Scale")
    decoding.check_place(resource, scale, target.namespace, target.name)
    decoding.check_version_text(scale["metadata"])
    workload = _workload(store, resource, target)
    return Answer(_store_scale(store, resource, workload, scale, call), warnings=warnings)


def patch_scale(store: Store, resource: Resource, call: Call, target: Target) -> Answer:
    """Answer a PATCH of the scale by any kind of patch; ApiError 400, 404, 409, 415 and 422."""
    patching.check_media(call, resource)
    document = patching.read_patch(call)
    workload = _workload(store, resource, target)
    current = scale_of(workload)
    scale, warnings = patching.patched(call, resource, _TYPE, current, document)
    patching.check_unmoved(scale, current)
    return Answer(_store_scale(store, resource, workload, scale, call), warnings=warnings)


def _workload(store: Store, resource: Resource, target: Target) -> Json:
    found = store.find(resource.storage, target.namespace, target.name)
    if found is None:
        raise not_found(resource, target.name)
    return found


def _store_scale(store: Store, resource: Resource, workload: Json, scale: Json, call: Call) -> Json:
    """Store the wanted replicas and nothing else: what a Scale says about annotations is lost."""
    spec = scale.get("spec") or {}
    causes = scale_faults({"spec": spec})
    name = workload["metadata"]["name"]
    if causes:
        raise invalid_kind("Scale", "autoscaling", name, causes)
    metadata = {key: value for key, value in workload["metadata"].items() if key != "resourceVersion"}
    metadata |= {key: scale["metadata"][key] for key in ("resourceVersion", "uid") if scale["metadata"].get(key)}
    wanted = {**workload, "metadata": metadata, "spec": {**workload["spec"], "replicas": spec.get("replicas", 0)}}
    try:
        return scale_of(store.update(resource.storage, wanted, dry_run=call.dry_run, admit=_admit(resource, call)))
    except (ConflictError, PreconditionError) as error:
        raise conflict(resource, error.name, str(error)) from None


def _admit(resource: Resource, call: Call) -> Callable[[Json | None, Json | None], None] | None:
    """Return what a Scale must pass; it is judged as what it is, not as the workload behind it."""
    gate = call.admit(resource)
    if gate is None:
        return None
    return lambda new, old: gate(scale_of(new) if new else None, scale_of(old) if old else None)
