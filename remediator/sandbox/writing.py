"""Create, replace and delete: from a checked request to a change in the store."""

from __future__ import annotations

from remediator.sandbox import decoding, defaults, pod_limits, schema, views
from remediator.sandbox.calls import Answer, Call, Target
from remediator.sandbox.lifecycle import Part, Propagation
from remediator.sandbox.resources import (
    LEASES,
    NAMESPACES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    RESOURCE_QUOTAS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Json,
    Resource,
)
from remediator.sandbox.status import (
    ApiError,
    Cause,
    already_exists,
    conflict,
    details_of,
    forbidden,
    invalid,
    invalid_kind,
    invalid_options,
    not_found,
    success,
)
from remediator.sandbox.store import (
    AlreadyExistsError,
    ConflictError,
    Deletion,
    NotFoundError,
    PreconditionError,
    Store,
)
from remediator.sandbox.validation import plain, validate
from remediator.sandbox.validation.faults import bad

# Kinds whose PUT must say which version it replaces.
_CONDITIONAL = {LEASES}
# Kinds that come back when they are deleted for good; the others answer with a Status.
_RETURNED = {PODS, SERVICES, PERSISTENT_VOLUME_CLAIMS, SERVICE_ACCOUNTS, RESOURCE_QUOTAS}
_POLICIES: dict[str, Propagation] = {"Background": "Background", "Foreground": "Foreground", "Orphan": "Orphan"}


def create(store: Store, resource: Resource, call: Call, target: Target) -> Answer:
    """Answer a POST to a collection: 201 with the object; ApiError."""
    obj, warnings = decoding.decode_object(call, resource, schema.type_name(resource))
    decoding.check_place(resource, obj, target.namespace, "")
    if obj["metadata"].get("resourceVersion"):
        raise ApiError(500, "resourceVersion should not be set on objects to be created")
    stored = insert(store, resource, obj, call)
    warnings += finalizer_warnings(resource, obj)
    return Answer(views.from_storage(resource, stored), 201, warnings=warnings)


def insert(store: Store, resource: Resource, obj: Json, call: Call) -> Json:
    """Default, check and store a new object as a call wants it (which may be dry); ApiError."""
    dry_run = call.dry_run
    kind = store.catalogue.stored(resource.storage)
    fresh = decoding.stored_form(resource, obj, kind)
    if kind.status:
        fresh.pop("status", None)
    name = fresh["metadata"].get("name") or ""
    if kind.namespaced:
        check_namespace(store, kind, fresh["metadata"]["namespace"], name)
    defaults.fill_in(kind.storage, fresh)
    defaults.prepare_create(kind.storage, fresh)
    causes = plain.new_event(fresh) if resource.group == "events.k8s.io" else []
    causes = causes or validate(kind, fresh, None)
    if causes:
        raise invalid(kind, name, causes)
    if kind.storage == PODS:
        _within_limits(store, kind, fresh)
    try:
        created = store.create(kind.storage, fresh, dry_run=dry_run, admit=call.admit(resource))
    except AlreadyExistsError as error:
        raise already_exists(kind, error.name) from None
    return created


def _within_limits(store: Store, kind: Resource, pod: Json) -> None:
    """Refuse (403) a pod that its namespace does not allow."""
    try:
        pod_limits.admit(store, pod["metadata"]["namespace"], pod)
    except pod_limits.LimitExceeded as error:
        raise forbidden(kind, pod["metadata"].get("name") or "", str(error)) from None


def check_namespace(store: Store, kind: Resource, namespace: str, name: str) -> None:
    """Refuse new content in a namespace that is absent (404) or going away (403)."""
    found = store.find(NAMESPACES, "", namespace)
    if found is None:
        raise not_found(store.catalogue.stored(NAMESPACES), namespace)
    if "deletionTimestamp" in found["metadata"]:
        cause = Cause("NamespaceTerminating", f"namespace {namespace} is being terminated", "metadata.namespace")
        message = f"unable to create new content in namespace {namespace} because it is being terminated"
        raise forbidden(kind, name, message, [cause])


def finalizer_warnings(resource: Resource, obj: Json) -> list[str]:
    """Return the warnings about finalizers of a custom resource that name no path."""
    if not resource.custom:
        return []
    advice = (
        "prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other "
        "finalizer writers"
    )
    found = obj["metadata"].get("finalizers") or ()
    return [f'metadata.finalizers: "{name}": {advice}' for name in found if "/" not in name]


def replace(store: Store, resource: Resource, call: Call, target: Target) -> Answer:
    """Answer a PUT of an object or its status: 200, or 201 for a Lease that was not there; ApiError."""
    obj, warnings = decoding.decode_object(call, resource, schema.type_name(resource))
    decoding.check_place(resource, obj, target.namespace, target.name)
    decoding.check_version_text(obj["metadata"])
    current = store.find(resource.storage, target.namespace, target.name)
    if current is None:
        if resource.storage != LEASES or target.subresource:
            raise not_found(resource, target.name)
        obj["metadata"].pop("resourceVersion", None)
        return Answer(insert(store, resource, obj, call), 201, warnings=warnings)
    if resource.storage in _CONDITIONAL and not obj["metadata"].get("resourceVersion"):
        cause = bad("metadata.resourceVersion", 0, "must be specified for an update")
        raise invalid_kind(resource.plural, resource.group, target.name, [cause])
    part: Part = "status" if target.subresource == "status" else "main"
    stored = change(store, resource, obj, call, part=part, by_put=True)
    return Answer(views.from_storage(resource, stored), warnings=warnings)


def change(store: Store, resource: Resource, obj: Json, call: Call, *, part: Part, by_put: bool = False) -> Json:
    """Default, check and store a changed object; ApiError 409 and 422. A wrong uid is a 409 in a PUT only."""
    kind = store.catalogue.stored(resource.storage)
    metadata, dry_run = obj["metadata"], call.dry_run
    try:
        current = store.get(kind.storage, metadata.get("namespace", ""), metadata["name"])
        fresh = decoding.stored_form(resource, obj, kind)
        if (
            metadata.get("resourceVersion", current["metadata"]["resourceVersion"])
            == current["metadata"]["resourceVersion"]
        ):
            wrong_uid = metadata.get("uid", current["metadata"]["uid"]) != current["metadata"]["uid"]
            if part == "main" and not (by_put and wrong_uid):
                defaults.fill_in(kind.storage, fresh)
                defaults.follow_change(kind.storage, fresh, current)
                causes = validate(kind, fresh, current)
                if causes:
                    raise invalid(kind, metadata["name"], causes)
        return store.update(kind.storage, fresh, part=part, dry_run=dry_run, admit=call.admit(resource))
    except NotFoundError as error:
        raise not_found(resource, error.name) from None
    except (ConflictError, PreconditionError) as error:
        raise conflict(resource, error.name, str(error)) from None


def deletion_of(call: Call) -> tuple[Deletion, Json]:
    """Return how a DELETE is to be done, out of its query and body; ApiError 400 and 422."""
    options = decoding.decode_options(call)
    grace = call.number("gracePeriodSeconds")
    policy = call.query.get("propagationPolicy") or options.get("propagationPolicy")
    if policy is not None and policy not in _POLICIES:
        message = f'Unsupported value: "{policy}": supported values: "Foreground", "Background", "Orphan", "nil"'
        raise invalid_options("DeleteOptions", Cause("FieldValueNotSupported", message, "propagationPolicy"))
    preconditions = options.get("preconditions") or {}
    how = Deletion(
        grace=grace if grace is not None else options.get("gracePeriodSeconds"),
        propagation=_POLICIES[policy] if policy else None,
        uid=preconditions.get("uid"),
        resource_version=preconditions.get("resourceVersion"),
        dry_run=call.dry_run or options.get("dryRun") == ["All"],
    )
    return how, options


def delete(store: Store, resource: Resource, call: Call, target: Target) -> Answer:
    """Answer a DELETE of one object: the object while something is left to do, else a Status; ApiError."""
    how, _ = deletion_of(call)
    deleted, gone = remove(store, resource, target, how, call)
    if gone and resource.storage not in _RETURNED:
        return Answer(success(resource, target.name, deleted["metadata"]["uid"]))
    return Answer(views.from_storage(resource, deleted))


def remove(
    store: Store, resource: Resource, target: Target, how: Deletion, call: Call | None = None
) -> tuple[Json, bool]:
    """Delete one object and return it and whether it is gone; ApiError 404 and 409.

    `call` is the request that asks for this very deletion; without one nothing is asked of admission.
    """
    admit = call.admit(resource) if call is not None else None
    try:
        deleted = store.delete(resource.storage, target.namespace, target.name, how, admit=admit)
    except NotFoundError:
        raise not_found(resource, target.name) from None
    except PreconditionError as error:
        details = details_of(resource, target.name, kind=resource.kind)
        raise ApiError(409, str(error), "Conflict", details) from None
    return deleted.object, deleted.gone


def delete_all(store: Store, resource: Resource, call: Call, matching: list[Json]) -> Answer:
    """Answer a DELETE of a collection: a list of what matched, as it was."""
    how, _ = deletion_of(call)
    for item in matching:
        metadata = item["metadata"]
        place = metadata.get("namespace", ""), metadata["name"]
        store.delete(resource.storage, *place, how, admit=call.admit(resource))
    return Answer(
        {
            "kind": f"{resource.kind}List",
            "apiVersion": resource.group_version,
            "metadata": {"resourceVersion": str(store.version)},
            "items": matching,
        }
    )
