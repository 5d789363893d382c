"""From the bytes of a request to an object of the right kind: media types, JSON faults, unknown and double fields."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import yaml

from remediator.sandbox import schema, views
from remediator.sandbox.calls import Call
from remediator.sandbox.resources import Json, Resource
from remediator.sandbox.status import ApiError, bad_request, rejected_patch, unsupported_media

_MAX_DEPTH_ERROR = "json: exceeded max depth"
_JSON_TYPES = {"", "application/json"}
_YAML_TYPES = {"application/yaml"}
_CUSTOM_FIELDS = {"apiVersion", "kind", "metadata", "spec", "status", "operation"}
_TAKEN = "application/json, application/yaml, application/vnd.kubernetes.protobuf"


@dataclass(slots=True)
class Document:
    """What a body holds, and the keys that stand twice in it."""

    value: Any
    duplicates: list[str] = field(default_factory=list)


class _Pairs(dict[str, Any]):
    """A JSON object that remembers which of its keys were given twice."""

    twice: tuple[str, ...] = ()


def _pairs(items: list[tuple[str, Any]]) -> _Pairs:
    result = _Pairs(items)
    if len(result) != len(items):
        counted = Counter(key for key, _ in items)
        result.twice = tuple(key for key, count in counted.items() if count > 1)
    return result


def parse_json(body: bytes, *, find_duplicates: bool) -> Document:
    """Return the document in a body; ValueError (with a message fit for the client) when it is no JSON."""
    try:
        value = msgspec.json.decode(body)
    except RecursionError:
        raise ValueError(_MAX_DEPTH_ERROR) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None
    if not find_duplicates:
        return Document(value)
    # The strict reader above has taken it, so the slower one, which shows every pair, takes it too.
    value = json.loads(body, object_pairs_hook=_pairs)
    return Document(value, list(_duplicates(value, "")))


def _duplicates(value: Any, path: str) -> Iterable[str]:
    if isinstance(value, _Pairs):
        yield from (f"{path}{key}" for key in value.twice)
        for key, item in value.items():
            yield from _duplicates(item, f"{path}{key}.")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _duplicates(item, f"{path[:-1]}[{index}].")


def decode_object(call: Call, resource: Resource, type_name: str, kind: str | None = None) -> tuple[Json, list[str]]:
    """Return the object of a POST or PUT and the warnings about it; ApiError 400 or 415.

    `type_name` and `kind` say what it must be; by default the kind of the resource.
    """
    kind = kind or resource.kind
    value = _load(call, kind)
    _check_identity(resource, value, kind, own=kind == resource.kind)
    unread = f'{kind} in version "{resource.version}" cannot be handled as a {kind}: '
    try:
        obj, unknown = read_as(resource, type_name, value.value)
    except schema.TypeFault as error:
        raise bad_request(unread + str(error)) from None
    if isinstance(value.value.get("metadata"), dict):
        obj.setdefault("metadata", {})
    faults = fault_texts(unknown, value.duplicates)
    if faults and call.field_validation == "Strict":
        raise bad_request(f"{unread}strict decoding error: {', '.join(faults)}")
    obj.setdefault("metadata", {})
    return obj, faults if call.field_validation == "Warn" else []


def _load(call: Call, kind: str) -> Document:
    media = call.content_type
    try:
        if media in _JSON_TYPES:
            document = parse_json(call.body, find_duplicates=call.field_validation != "Ignore")
        elif media in _YAML_TYPES:
            document = Document(yaml.safe_load(call.body))
        else:
            raise unsupported_media(
                f"the body of the request was in an unknown format - accepted media types include: {_TAKEN}"
            )
    except (ValueError, yaml.YAMLError) as error:
        text = call.body[:200].decode(errors="replace") or "<empty>"
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; "
            f"json parse error: {error} ({text})"
        ) from None
    if not isinstance(document.value, dict):
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; "
            "json parse error: json: cannot unmarshal into Go value of type struct"
        )
    return document


def _check_identity(resource: Resource, document: Document, kind: str, *, own: bool) -> None:
    given_kind, given_version = document.value.get("kind"), document.value.get("apiVersion")
    if given_kind and given_kind != kind:
        raise bad_request(
            f'{given_kind} in version "{resource.version}" cannot be handled as a {kind}: converting '
            f"({given_kind}) to ({kind}): unknown conversion"
        )
    if own and given_version and given_version != resource.group_version:
        raise bad_request(
            f"the API version in the data ({given_version}) does not match the expected API version "
            f"({resource.group_version})"
        )


def read_as(resource: Resource, type_name: str, value: Any) -> tuple[Json, list[str]]:
    """Return a value read as an object of that type and its unknown fields; TypeFault on a wrong type."""
    if not resource.custom:
        return schema.read(type_name, value)
    if not isinstance(value, dict):
        raise schema.TypeFault("json: cannot unmarshal into Go value of type map[string]interface {}")
    metadata, unknown = schema.read("V1ObjectMeta", value.get("metadata") or {})
    kept = {key: _without_nulls(item) for key, item in value.items() if key in _CUSTOM_FIELDS and item is not None}
    unknown = [f"metadata.{name}" for name in unknown]
    return {**kept, "metadata": metadata}, unknown + [key for key in value if key not in _CUSTOM_FIELDS]


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def fault_texts(unknown: list[str], duplicates: list[str]) -> list[str]:
    """Return what strict decoding says of unknown and double fields."""
    return [f'duplicate field "{name}"' for name in duplicates] + [f'unknown field "{name}"' for name in unknown]


def read_patched(
    call: Call, resource: Resource, type_name: str, patched: Any, *, quoted: Any, duplicates: list[str]
) -> tuple[Json, list[str]]:
    """Return a patched object in canonical form and the warnings about it; ApiError 422 when it cannot be read.

    The message quotes `quoted` whole, as the API server's does: values of env and Secrets included.
    """
    try:
        obj, unknown = read_as(resource, type_name, patched)
    except schema.TypeFault as error:
        raise rejected_patch(_quote(quoted), str(error)) from None
    faults = fault_texts(unknown, duplicates)
    if faults and call.field_validation == "Strict":
        raise rejected_patch(_quote(quoted), f"strict decoding error: {', '.join(faults)}")
    return obj, faults if call.field_validation == "Warn" else []


def _quote(value: Any) -> str:
    return msgspec.json.encode(value).decode().replace('"', '\\"')


def decode_options(call: Call) -> Json:
    """Return the DeleteOptions in the body of a DELETE, or an empty object; ApiError 400."""
    if not call.body.strip():
        return {}
    try:
        value = parse_json(call.body, find_duplicates=False).value
    except ValueError as error:
        raise bad_request(f"json parse error: {error}") from None
    if not isinstance(value, dict):
        raise bad_request("the body must be a DeleteOptions object")
    return value


def check_place(resource: Resource, obj: Json, namespace: str, name: str) -> None:
    """Refuse (ApiError 400) an object that names another place than the path; fills in what it leaves out."""
    metadata = obj["metadata"]
    given = metadata.get("namespace")
    if resource.namespaced:
        if given and given != namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        metadata["namespace"] = namespace
    elif given:
        del metadata["namespace"]
    if name and metadata.get("name", name) != name:
        raise bad_request(f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})")
    if name:
        metadata["name"] = name


def check_version_text(metadata: Json) -> None:
    """Refuse (ApiError 500, as the API server has it) a resourceVersion that is no number."""
    version = metadata.get("resourceVersion")
    if version and not version.isdecimal():
        raise ApiError(500, f'strconv.ParseUint: parsing "{version}": invalid syntax')


def stored_form(resource: Resource, obj: Json, kind: Resource) -> Json:
    """Return an object as the store keeps it, with the kind's own apiVersion and kind."""
    return {**views.to_storage(resource, obj), "apiVersion": kind.group_version, "kind": kind.kind}
