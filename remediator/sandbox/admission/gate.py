"""Where every write passes before it is stored: the policies that are bound, in the order of their names."""

from __future__ import annotations

from typing import Any

from remediator.sandbox import views
from remediator.sandbox.admission.matching import Attributes, concerns
from remediator.sandbox.admission.policies import Denial, Policy, compile_policy, decide
from remediator.sandbox.calls import Call
from remediator.sandbox.resources import (
    ADMISSION_BINDINGS,
    ADMISSION_POLICIES,
    NAMESPACES,
    GroupResource,
    Json,
    Resource,
)
from remediator.sandbox.status import ApiError, details_of
from remediator.sandbox.store import Store

# What tells how writes are judged, or only asks something, is judged by nobody: else nobody could take it back.
_EXEMPT_GROUPS = frozenset({"admissionregistration.k8s.io", "authorization.k8s.io"})
_CODES = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413}
_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}
_KINDS = {
    "scale": ("autoscaling", "v1", "Scale"),
    "eviction": ("policy", "v1", "Eviction"),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
}


class AdmissionGate:
    """Implements calls.Gate over the policies and bindings in the store."""

    def __init__(self, store: Store) -> None:
        """Read policies from ``store`` at each write, so that a changed one holds at once."""
        self._store = store
        self._compiled: dict[str, tuple[str, Policy]] = {}

    def __call__(self, call: Call, resource: Resource, new: Json | None, old: Json | None) -> None:
        """Refuse (ApiError) what a bound policy denies; what it only warns of goes to ``call.warned``."""
        bindings = self._store.list(ADMISSION_BINDINGS)
        if not bindings or resource.group in _EXEMPT_GROUPS:
            return
        request = self._attributes(call, resource, _seen(resource, new), _seen(resource, old))
        data: dict[str, Any] = {}
        denied: tuple[str, Denial] | None = None
        for binding in bindings:
            policy = self._policy(binding["spec"]["policyName"])
            if policy is None or not self._bound(policy, binding, request):
                continue
            who = f"ValidatingAdmissionPolicy '{policy.name}' with binding '{binding['metadata']['name']}'"
            data = data or self._data(call, resource, request)
            for denial in decide(policy, data):
                actions = binding["spec"].get("validationActions") or ()
                if "Warn" in actions:
                    call.warned.append(f"Validation failed for {who}: {denial.message}")
                if "Deny" in actions and denied is None:
                    denied = who, denial
        if denied is not None:
            raise _refusal(resource, request.name, *denied)

    def _policy(self, name: str) -> Policy | None:
        stored = self._store.find(ADMISSION_POLICIES, "", name)
        if stored is None:
            return None
        version = stored["metadata"]["resourceVersion"]
        known = self._compiled.get(name)
        if known is None or known[0] != version:
            known = self._compiled[name] = version, compile_policy(stored)
        return known[1]

    @staticmethod
    def _bound(policy: Policy, binding: Json, request: Attributes) -> bool:
        return concerns(policy.constraints, request) and concerns(binding["spec"].get("matchResources") or {}, request)

    def _attributes(self, call: Call, resource: Resource, new: Json | None, old: Json | None) -> Attributes:
        target = call.target
        namespace = target.namespace if target is not None else ""
        name = target.name if target is not None else ""
        return Attributes(
            operation="DELETE" if new is None else "UPDATE" if old is not None else "CREATE",
            group=resource.group,
            version=resource.version,
            plural=resource.plural,
            subresource=target.subresource if target is not None else "",
            namespace=namespace,
            namespaced=resource.namespaced,
            name=name or str((new or {}).get("metadata", {}).get("name", "")),
            namespace_labels=self._namespace_labels(resource, namespace, new or old),
            new=new,
            old=old,
            equivalent=tuple(
                (other.group, other.version)
                for other in self._store.catalogue.resources
                if other.storage == resource.storage and other is not resource
            ),
        )

    def _namespace_labels(self, resource: Resource, namespace: str, obj: Json | None) -> Json | None:
        if resource.storage == NAMESPACES:
            return (obj or {}).get("metadata", {}).get("labels") or {}
        found = self._store.find(NAMESPACES, "", namespace) if resource.namespaced else None
        return found["metadata"].get("labels") or {} if found is not None else None

    def _data(self, call: Call, resource: Resource, request: Attributes) -> dict[str, Any]:
        namespace = self._store.find(NAMESPACES, "", request.namespace) if request.namespace else None
        return {
            "object": request.new,
            "oldObject": request.old,
            "request": _request(call, resource, request, self._store.ids.uid()),
            "namespaceObject": namespace,
        }


def _seen(resource: Resource, obj: Json | None) -> Json | None:
    """Return an object as the resource that was asked for shows it; what a subresource takes is itself."""
    return views.from_storage(resource, obj) if obj is not None and obj.get("kind") == resource.kind else obj


def _request(call: Call, resource: Resource, request: Attributes, uid: str) -> Json:
    """Return ``request`` as expressions see it: what is empty is left out, ``subResource`` on the main one too."""
    group, version, kind = _KINDS.get(request.subresource, (resource.group, resource.version, resource.kind))
    named = {"group": group, "version": version, "kind": kind}
    place = {"group": resource.group, "version": resource.version, "resource": resource.plural}
    user = {"username": call.user.name, "uid": call.user.uid, "groups": list(call.user.groups)}
    options = {"kind": _OPTIONS[request.operation], "apiVersion": "meta.k8s.io/v1", "fieldManager": call.manager}
    whole = {
        "uid": uid,
        "kind": named,
        "resource": place,
        "subResource": request.subresource,
        "requestKind": named,
        "requestResource": place,
        "requestSubResource": request.subresource,
        "name": request.name,
        "namespace": request.namespace,
        "operation": request.operation,
        "userInfo": {key: value for key, value in user.items() if value},
        "dryRun": call.dry_run,
        "options": {**options, "dryRun": ["All"]} if call.dry_run else options,
    }
    return {key: value for key, value in whole.items() if value != ""}


def _refusal(resource: Resource, name: str, who: str, denial: Denial) -> ApiError:
    """Return the answer to a denied write: it says forbidden, whatever the code (422 unless the policy says more)."""
    said = f"{who} denied request: {denial.message}"
    place = GroupResource(resource.group, resource.plural)
    subject = f'{place} "{name}"' if name else str(place)
    details = details_of(resource, name, causes=[{"message": said}])
    return ApiError(_CODES.get(denial.reason, 422), f"{subject} is forbidden: {said}", denial.reason, details)
