"""Strategic merge patch: a merge that knows which lists merge by key, and the `$` directives that steer it.

What an item is, and by which key, comes from the schema of the kind (schema.py, merge_keys.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from remediator.sandbox import schema
from remediator.sandbox.patches.merge_keys import MERGE_KEYS, MERGED_SETS
from remediator.sandbox.resources import Json

_DIRECTIVE = "$patch"
_RETAIN = "$retainKeys"
_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"


class StrategicPatchError(ValueError):
    """A directive or a list item is not of the form that it must have."""


class MissingMergeKeyError(StrategicPatchError):
    """A list item does not have the key by which its list is merged."""


def strategic_merge(type_name: str, document: Json, patch: Json) -> Json:
    """Return `document` of that schema type changed by `patch`; neither is altered. StrategicPatchError."""
    return _merge_object(type_name, document, patch)


def _merge_object(type_name: str, current: Json, patch: Json) -> Json:
    match patch.get(_DIRECTIVE):
        case None | "merge":
            pass
        case "replace":
            return {key: value for key, value in patch.items() if key != _DIRECTIVE}
        case "delete":
            return {}
        case other:
            raise StrategicPatchError(f"unknown patch type found: {other}")
    result = _retained(current, patch)
    for key, value in patch.items():
        if key.startswith("$"):
            _apply_list_directive(type_name, result, patch, key)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = _merge_value(type_name, key, result.get(key), value, patch.get(_ORDER + key))
    return result


def _retained(current: Json, patch: Json) -> Json:
    keep = patch.get(_RETAIN)
    if keep is None:
        return dict(current)
    if not isinstance(keep, list):
        raise StrategicPatchError(f"{_RETAIN} must be a list")
    lacking = [key for key, value in patch.items() if not key.startswith("$") and value is not None and key not in keep]
    if lacking:
        raise StrategicPatchError(f"{_RETAIN} does not name {', '.join(lacking)}")
    return {key: value for key, value in current.items() if key in keep}


def _apply_list_directive(type_name: str, result: Json, patch: Json, directive: str) -> None:
    """Handle what stands beside a list: items to delete, or a new order for a list that is not patched itself."""
    if directive.startswith(_DELETE):
        field = directive.removeprefix(_DELETE)
        gone = patch[directive]
        if not isinstance(gone, list):
            raise StrategicPatchError(f"{directive} must be a list")
        if field in result:
            result[field] = [item for item in result[field] if item not in gone]
    elif directive.startswith(_ORDER):
        field = directive.removeprefix(_ORDER)
        if not isinstance(patch[directive], list):
            raise StrategicPatchError(f"{directive} must be a list")
        if field not in patch and field in result:
            result[field] = _merge_list(type_name, field, result[field], [], patch[directive])


def _merge_value(type_name: str, field: str, current: Any, value: Any, order: list[Any] | None) -> Any:
    if isinstance(value, dict):
        return _merge_object(_type_of(type_name, field), current if isinstance(current, dict) else {}, value)
    if isinstance(value, list):
        return _merge_list(type_name, field, current if isinstance(current, list) else [], value, order)
    return value


def _type_of(type_name: str, field: str) -> str:
    """Return the type word of a field without its list or map brackets; "" when it is unknown."""
    return schema.types().get(type_name, {}).get(field, "").strip("[]{}")


def _merge_list(type_name: str, field: str, current: list[Any], patch: list[Any], order: list[Any] | None) -> list[Any]:
    place = f"{type_name}.{field}"
    if place in MERGED_SETS:
        merged = [*current, *(item for item in patch if item not in current)]
        return _ordered(merged, current, order if order is not None else patch, lambda item: item)
    key = MERGE_KEYS.get(place)
    if key is None:
        return patch
    replaced = [item for item in patch if isinstance(item, dict) and item.get(_DIRECTIVE) == "replace"]
    if replaced:
        return [item for item in patch if item not in replaced]
    merged = _merge_items(_type_of(type_name, field), key, current, patch)
    wanted = [item for item in patch if item.get(_DIRECTIVE) != "delete"] if order is None else order
    return _ordered(merged, current, wanted, lambda item: item.get(key) if isinstance(item, dict) else item)


def _merge_items(item_type: str, key: str, current: list[Any], patch: list[Any]) -> list[Any]:
    merged = list(current)
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise MissingMergeKeyError(f"map: {item} does not contain declared merge key: {key}")
        same = [index for index, other in enumerate(merged) if other.get(key) == item[key]]
        if item.get(_DIRECTIVE) == "delete":
            merged = [other for other in merged if other.get(key) != item[key]]
        elif same:
            merged[same[0]] = _merge_object(item_type, merged[same[0]], item)
        else:
            merged.append(_merge_object(item_type, {}, item))
    return merged


def _ordered(merged: list[Any], current: list[Any], wanted: list[Any], identity: Callable[[Any], Any]) -> list[Any]:
    """Put items named in `wanted` in that order; the others keep their place relative to what they stood beside."""
    wish = {_hashable(identity(item)): index for index, item in reversed(list(enumerate(wanted)))}
    was = {_hashable(identity(item)): index for index, item in reversed(list(enumerate(current)))}
    name = [_hashable(identity(item)) for item in merged]
    named = sorted((i for i in range(len(merged)) if name[i] in wish), key=lambda i: wish[name[i]])
    others = [i for i in range(len(merged)) if name[i] not in wish]
    result: list[Any] = []
    while named and others:
        left, right = name[named[0]], name[others[0]]
        # An item that was not there before has no place of its own: it goes first.
        later = left in was and right in was and was[left] > was[right]
        result.append(merged[(others if later else named).pop(0)])
    return [*result, *(merged[i] for i in (*named, *others))]


def _hashable(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
