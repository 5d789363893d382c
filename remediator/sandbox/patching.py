"""PATCH: picks the kind of patch by the media type, applies it and stores what comes of it."""

from __future__ import annotations

from typing import Any

from remediator.sandbox import decoding, schema, views
from remediator.sandbox.calls import Answer, Call, Target
from remediator.sandbox.patches.json_patch import JsonPatchError, apply_json_patch
from remediator.sandbox.patches.merge_patch import merge_patch
from remediator.sandbox.patches.strategic import MissingMergeKeyError, StrategicPatchError, strategic_merge
from remediator.sandbox.resources import Json, Resource
from remediator.sandbox.status import (
    ApiError,
    bad_request,
    invalid,
    not_found,
    unprocessable_patch,
    unsupported_media,
)
from remediator.sandbox.store import Store
from remediator.sandbox.validation.pods import resize as resize_faults
from remediator.sandbox.writing import change

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
_BUILT_IN = {MERGE, STRATEGIC, JSON_PATCH}
_CUSTOM = {MERGE, JSON_PATCH}


def patch(store: Store, resource: Resource, call: Call, target: Target) -> Answer:
    """Answer a PATCH of an object or its status: 200 with what is stored now; ApiError."""
    check_media(call, resource)
    document = read_patch(call)
    current = store.find(resource.storage, target.namespace, target.name)
    if current is None:
        raise not_found(resource, target.name)
    name = schema.type_name(resource)
    obj, warnings = patched(call, resource, name, views.from_storage(resource, current), document)
    check_unmoved(obj, current)
    part = "status" if target.subresource == "status" else "main"
    stored = change(store, resource, obj, call, part="status" if part == "status" else "main")
    return Answer(views.from_storage(resource, stored), warnings=warnings)


def resize(store: Store, resource: Resource, call: Call, target: Target) -> Answer:
    """Answer a PATCH of a pod's resize subresource: resources of its containers change, all else is left out."""
    dry_run = call.dry_run
    check_media(call, resource)
    document = read_patch(call)
    current = store.find(resource.storage, target.namespace, target.name)
    if current is None:
        raise not_found(resource, target.name)
    wanted, warnings = patched(call, resource, schema.type_name(resource), current, document)
    check_unmoved(wanted, current)
    by_name = {item["name"]: item.get("resources") or {} for item in wanted["spec"]["containers"]}
    containers = [
        {**item, "resources": by_name.get(item["name"], item.get("resources") or {})}
        for item in current["spec"]["containers"]
    ]
    resized = {**current, "spec": {**current["spec"], "containers": containers}}
    causes = resize_faults(resized, current)
    if causes:
        raise invalid(resource, target.name, causes)
    stored = store.update(resource.storage, resized, dry_run=dry_run, admit=call.admit(resource))
    return Answer(stored, warnings=warnings)


def check_media(call: Call, resource: Resource) -> None:
    """Refuse (ApiError 415) a media type that this resource takes no patches in."""
    if call.content_type in (_CUSTOM if resource.custom else _BUILT_IN):
        return
    if resource.custom:
        taken = f"{JSON_PATCH}, {MERGE}, {APPLY}"
        raise unsupported_media(
            f"the body of the request was in an unknown format - accepted media types include: {taken}"
        )
    raise unsupported_media("415: Unsupported Media Type", {})


def read_patch(call: Call) -> decoding.Document:
    """Return the patch in the body, checked to be of the form that its media type has; ApiError 400."""
    media = call.content_type
    prefix = "" if media == STRATEGIC else "error decoding patch: "
    if not call.body.strip():
        raise bad_request(f"{prefix}unexpected end of JSON input")
    try:
        document = decoding.parse_json(call.body, find_duplicates=call.field_validation != "Ignore")
    except ValueError as error:
        raise bad_request(f"{prefix}{error}") from None
    if media == JSON_PATCH:
        if not isinstance(document.value, list):
            raise bad_request(f"{prefix}json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp")
    elif document.value is None:
        raise bad_request("Invalid JSON Patch")
    elif not isinstance(document.value, dict):
        raise bad_request(f"{prefix}json: cannot unmarshal array into Go value of type map[string]interface {{}}")
    return document


def patched(
    call: Call, resource: Resource, type_name: str, current: Json, document: decoding.Document
) -> tuple[Json, list[str]]:
    """Return the object after the patch, in canonical form, and the warnings about it; ApiError 422 and 500."""
    result = _apply(call.content_type, type_name, current, document.value)
    quoted = document.value if call.content_type == STRATEGIC else result
    return decoding.read_patched(call, resource, type_name, result, quoted=quoted, duplicates=document.duplicates)


def _apply(media: str, type_name: str, current: Json, value: Any) -> Any:
    try:
        if media == JSON_PATCH:
            return apply_json_patch(current, value)
        if media == STRATEGIC:
            return strategic_merge(type_name, current, value)
        return merge_patch(current, value)
    except JsonPatchError:
        raise unprocessable_patch() from None
    except MissingMergeKeyError as error:
        raise ApiError(500, str(error)) from None
    except StrategicPatchError as error:
        raise bad_request(str(error)) from None


def check_unmoved(obj: Json, current: Json) -> None:
    """Refuse (ApiError 400) a patch that gives the object another name, namespace, kind or apiVersion."""
    metadata, was = obj.get("metadata") or {}, current["metadata"]
    if metadata.get("name") != was["name"]:
        raise bad_request(
            f"the name of the object ({metadata.get('name', '')}) does not match the name on the URL ({was['name']})"
        )
    if metadata.get("namespace") != was.get("namespace"):
        raise bad_request(
            f"the namespace of the object ({metadata.get('namespace', '')}) does not match the namespace on the "
            f"URL ({was.get('namespace', '')})"
        )
    decoding.check_version_text(metadata)
