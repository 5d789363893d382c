"""Server-side apply: conflicts between owners of fields, and what an applier gives up by leaving it out."""

from __future__ import annotations

from typing import Any

import yaml

from remediator.sandbox import decoding, schema, views, writing
from remediator.sandbox.calls import Answer, Call, Target
from remediator.sandbox.ownership import (
    APPLY,
    Owners,
    Path,
    Tree,
    has,
    leaves,
    path_text,
    remove_at,
    tree_of,
    value_at,
    without,
)
from remediator.sandbox.patches.strategic import strategic_merge
from remediator.sandbox.patching import check_unmoved
from remediator.sandbox.resources import Json, Resource
from remediator.sandbox.status import ApiError, Cause, bad_request, cause_list, invalid_options
from remediator.sandbox.store import Store

_Owned = dict[tuple[str, str], Tree]


def apply_patch(store: Store, owners: Owners, resource: Resource, call: Call, target: Target) -> Answer:
    """Answer a PATCH of type apply: 200, or 201 when the object was not there; ApiError 400, 409 and 422."""
    dry_run = call.dry_run
    manager = call.query.get("fieldManager")
    if not manager:
        cause = Cause("FieldValueRequired", "Required value: is required for apply patch", "fieldManager")
        raise invalid_options("PatchOptions", cause)
    applied, warnings = _read(call, resource)
    decoding.check_place(resource, applied, target.namespace, target.name)
    decoding.check_version_text(applied["metadata"])
    name = schema.type_name(resource)
    wanted = tree_of(name, applied)
    current = store.find(resource.storage, target.namespace, target.name)
    if current is None:
        created = writing.insert(store, resource, applied, call)
        if not dry_run:
            owners.put(created, {(manager, APPLY): wanted})
        return Answer(views.from_storage(resource, created), 201, warnings=warnings)
    live = views.from_storage(resource, current)
    owned = owners.of(name, current)
    version = applied["metadata"].get("resourceVersion")
    # A stale version is a conflict of its own, and comes before those between managers.
    if version is None or version == current["metadata"]["resourceVersion"]:
        taken = _check_conflicts(resource, owned, (manager, APPLY), applied, live, force=call.flag("force"))
        owned = {key: without(tree, taken) for key, tree in owned.items()}
    merged = _merged(resource, name, live, applied, _given_up(owned, (manager, APPLY), wanted))
    check_unmoved(merged, current)
    stored = writing.change(store, resource, merged, call, part="main")
    if not dry_run:
        now_owned = {**owned, (manager, APPLY): wanted}
        unchanged = stored["metadata"]["resourceVersion"] == current["metadata"]["resourceVersion"]
        if unchanged and now_owned != owners.of(name, current):
            # Ownership is part of the object: to share a field is a change of its own.
            stored = store.touch(resource.storage, target.namespace, target.name)
        owners.put(stored, now_owned)
    return Answer(views.from_storage(resource, stored), warnings=warnings)


def _read(call: Call, resource: Resource) -> tuple[Json, list[str]]:
    try:
        value = yaml.safe_load(call.body)
    except yaml.YAMLError as error:
        raise bad_request(f"error decoding YAML: {error}") from None
    if not isinstance(value, dict) or not value.get("kind") or not value.get("apiVersion"):
        raise bad_request("invalid object type: /, Kind=")
    if (value["apiVersion"], value["kind"]) != (resource.group_version, resource.kind):
        raise bad_request(f"invalid object type: {value['apiVersion']}, Kind={value['kind']}")
    obj, warnings = decoding.read_patched(
        call, resource, schema.type_name(resource), value, quoted=value, duplicates=[]
    )
    obj.setdefault("metadata", {})
    return obj, warnings


def _check_conflicts(
    resource: Resource, owned: _Owned, mine: tuple[str, str], applied: Json, live: Json, *, force: bool
) -> Tree:
    """Return the fields that are taken from others by force; ApiError 409 when there are some and it is not forced."""
    found: list[tuple[str, Path]] = []
    for path in leaves(tree_of(schema.type_name(resource), applied)):
        present = value_at(live, path)
        if present is None or present == value_at(applied, path):
            continue
        found += [(key[0], path) for key, tree in owned.items() if key != mine and has(tree, path)]
    if found and not force:
        causes = [
            Cause("FieldManagerConflict", f'conflict with "{who}" using {resource.group_version}', path_text(path))
            for who, path in sorted(found, key=lambda item: (item[0], path_text(item[1])))
        ]
        word = "conflict" if len(causes) == 1 else "conflicts"
        text = "; ".join(f"{cause.message}: {cause.field}" for cause in causes)
        message = f"Apply failed with {len(causes)} {word}: {text}"
        raise ApiError(409, message, "Conflict", {"causes": cause_list(causes)})
    taken: Tree = {}
    for _, path in found:
        node = taken
        for key in path:
            node = node.setdefault(key, {})
    return taken


def _given_up(owned: _Owned, mine: tuple[str, str], wanted: Tree) -> list[Path]:
    """Return what the applier owned alone and does not name any more."""
    others = [tree for key, tree in owned.items() if key != mine]
    former = leaves(owned.get(mine, {}))
    return [path for path in former if not has(wanted, path) and not any(has(tree, path) for tree in others)]


def _merged(resource: Resource, name: str, live: Json, applied: Json, given_up: list[Path]) -> Json:
    merged: Any = live
    for path in given_up:
        merged = remove_at(merged, path)
    return strategic_merge(name if not resource.custom else "", merged, applied)
