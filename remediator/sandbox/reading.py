"""Get and list: selectors, pages, versions of the past, and the forms that a client may ask for."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Literal, NamedTuple

import msgspec

from remediator.sandbox import tables, views
from remediator.sandbox.calls import Answer, Call, Target, parse_version
from remediator.sandbox.resources import Json, Resource
from remediator.sandbox.selectors import Predicate, parse_fields, parse_labels
from remediator.sandbox.status import (
    ApiError,
    Cause,
    bad_request,
    cause_list,
    expired,
    invalid_options,
    not_found,
)
from remediator.sandbox.store import ExpiredError, Store

_LIST_TOO_OLD = "The resourceVersion for the provided list is too old."
_PAGE_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


class _Page(msgspec.Struct, frozen=True, kw_only=True):
    """What a continue token says: the version of the list (-1: the present) and the last key handed out."""

    v: Literal["meta.k8s.io/v1"] = "meta.k8s.io/v1"
    rv: int
    start: str


class Selection(NamedTuple):
    """Which objects of a collection are meant, and whether any selector was given at all."""

    labels: Predicate | None
    fields: Predicate | None

    def __call__(self, obj: Json) -> bool:
        """Tell whether an object is among them."""
        return (self.labels is None or self.labels(obj)) and (self.fields is None or self.fields(obj))

    @property
    def is_all(self) -> bool:
        """Tell whether nothing is left out."""
        return self.labels is None and self.fields is None


def selection(resource: Resource, call: Call) -> Selection:
    """Return the selection that a query asks for; ApiError 400."""
    labels, fields = call.query.get("labelSelector"), call.query.get("fieldSelector")
    return Selection(parse_labels(labels) if labels else None, parse_fields(resource, fields)[0] if fields else None)


def get(store: Store, resource: Resource, call: Call, target: Target) -> Answer:
    """Answer a GET of one object in the form that the client accepts; ApiError 404."""
    found = store.find(resource.storage, target.namespace, target.name)
    if found is None:
        raise not_found(resource, target.name)
    check_not_ahead(store, call)
    seen = views.from_storage(resource, found)
    if tables.wants_table(call.accept):
        return Answer(tables.table(resource, [seen], found["metadata"]["resourceVersion"], store.clock.now()))
    return Answer(views.metadata_only(seen) if wants_metadata(call.accept) else seen)


def wants_metadata(accept: str) -> bool:
    """Tell whether a client asks for metadata alone."""
    return "as=PartialObjectMetadata" in accept


def check_not_ahead(store: Store, call: Call) -> None:
    """Refuse (ApiError 504) to read at a version that this server has not reached."""
    version = parse_version(call.query.get("resourceVersion", ""))
    if version > store.version:
        causes = cause_list([Cause("ResourceVersionTooLarge", "Too large resource version", "")])
        message = f"Timeout: Too large resource version: {version}, current: {store.version}"
        raise ApiError(504, message, "Timeout", {"causes": causes, "retryAfterSeconds": 1})


def matching(store: Store, resource: Resource, call: Call, namespace: str) -> list[Json]:
    """Return the present objects of a collection that the selectors take, as that resource shows them."""
    wanted = selection(resource, call)
    items = store.list(resource.storage, namespace or None)
    return [bare(resource, views.from_storage(resource, item)) for item in items if wanted(item)]


def bare(resource: Resource, obj: Json) -> Json:
    """Return an object as it stands in a list: of built-in kinds without apiVersion and kind."""
    if resource.custom:
        return obj
    return {key: value for key, value in obj.items() if key not in {"apiVersion", "kind"}}


def list_objects(store: Store, resource: Resource, call: Call, target: Target) -> Answer:
    """Answer a GET of a collection; ApiError 400, 410, 422 and 504."""
    wanted = selection(resource, call)
    limit = call.number("limit") or 0
    token = call.query.get("continue", "")
    version, start = _place(store, call, token)
    found = _objects_at(store, resource, target, version, start, has_token=bool(token))
    items = [item for item in found if wanted(item) and (not start or _key(item) > start)]
    metadata: Json = {"resourceVersion": str(version if version > 0 else store.version)}
    if resource.custom:
        metadata["continue"] = ""
    if 0 < limit < len(items):
        metadata["continue"] = _token(version if version > 0 else store.version, _key(items[limit - 1]))
        if wanted.is_all:
            metadata["remainingItemCount"] = len(items) - limit
        items = items[:limit]
    seen = [views.from_storage(resource, item) for item in items]
    if tables.wants_table(call.accept):
        return Answer({**tables.table(resource, seen, "", store.clock.now()), "metadata": metadata})
    if wants_metadata(call.accept):
        return Answer(
            {
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata,
                "items": [views.metadata_only(item) for item in seen],
            }
        )
    head = {"kind": f"{resource.kind}List", "apiVersion": resource.group_version, "metadata": metadata}
    return Answer({**head, "items": [bare(resource, item) for item in seen]})


def _place(store: Store, call: Call, token: str) -> tuple[int, str]:
    """Return the version to list at (0: the present, -1: the present in spite of a token) and where to begin."""
    version_text, match = call.query.get("resourceVersion", ""), call.query.get("resourceVersionMatch", "")
    if match and not version_text:
        message = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
        raise invalid_options("ListOptions", Cause("FieldValueForbidden", message, "resourceVersionMatch"))
    if token:
        if version_text and version_text != "0":
            raise bad_request("specifying resource version is not allowed when using continue")
        return _read_token(token)
    check_not_ahead(store, call)
    version = parse_version(version_text)
    return (version, "") if match == "Exact" else (0, "")


def _objects_at(
    store: Store, resource: Resource, target: Target, version: int, start: str, *, has_token: bool
) -> list[Json]:
    namespace = target.namespace or None
    if version <= 0:
        return store.list(resource.storage, namespace)
    try:
        return store.list_at(resource.storage, namespace, version)
    except ExpiredError:
        if has_token:
            raise expired(_PAGE_TOO_OLD, token=_token(-1, start)) from None
        raise expired(_LIST_TOO_OLD) from None


def _key(obj: Json) -> str:
    return f"{obj['metadata'].get('namespace', '')}/{obj['metadata']['name']}\0"


def _token(version: int, start: str) -> str:
    return urlsafe_b64encode(msgspec.json.encode(_Page(rv=version, start=start))).rstrip(b"=").decode()


def _read_token(token: str) -> tuple[int, str]:
    try:
        page = msgspec.json.decode(urlsafe_b64decode(token + "=" * (-len(token) % 4)), type=_Page)
    except (ValueError, msgspec.MsgspecError) as error:
        raise bad_request(f"invalid continue token: continue key is not valid: {error}") from None
    return page.rv, page.start
