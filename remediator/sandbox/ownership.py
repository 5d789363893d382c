"""Which manager owns which field of an object: trees of fields, as managedFields has them.

A tree maps an element to the tree below it: ".name" is a field, a JSON text the key of a list item (`{"name":"x"}`).
A field that is owned as a whole has an empty tree below it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from remediator.sandbox import schema
from remediator.sandbox.history import Change
from remediator.sandbox.patches.merge_keys import MERGE_KEYS
from remediator.sandbox.resources import Json

Tree = dict[str, "Tree"]
Path = tuple[str, ...]

APPLY = "Apply"
UPDATE = "Update"
# Who owns the fields of an object that nobody was seen to write.
UNKNOWN_MANAGER = "before-first-apply"
_NOT_OWNED = {".apiVersion", ".kind", ".status"}
_NOT_OWNED_METADATA = {
    ".name", ".namespace", ".uid", ".resourceVersion", ".generation", ".creationTimestamp", ".managedFields",
    ".deletionTimestamp", ".deletionGracePeriodSeconds", ".generateName", ".selfLink",
}  # fmt: skip


def tree_of(type_name: str, obj: Json) -> Tree:
    """Return the fields that an object sets, without those that belong to the system."""
    return _owned(_tree(type_name, obj))


def _owned(tree: Tree) -> Tree:
    kept = {key: below for key, below in tree.items() if key not in _NOT_OWNED}
    metadata = {key: below for key, below in kept.pop(".metadata", {}).items() if key not in _NOT_OWNED_METADATA}
    return {**kept, ".metadata": metadata} if metadata else kept


def _tree(word: str, value: Any, place: str = "") -> Tree:
    if isinstance(value, dict):
        fields = schema.types().get(word)
        if fields is None:
            below = word.strip("{}") if word.startswith("{") else ""
            return {f".{key}": _tree(below, item) for key, item in value.items()}
        return {f".{key}": _tree(fields.get(key, ""), item, f"{word}.{key}") for key, item in value.items()}
    key = MERGE_KEYS.get(place)
    if isinstance(value, list) and key is not None:
        return {_item_key(key, item): _tree(word.strip("[]"), item) for item in value if key in item}
    return {}


def _item_key(key: str, item: Json) -> str:
    return msgspec.json.encode({key: item[key]}).decode()


def leaves(tree: Tree, path: Path = ()) -> Iterator[Path]:
    """Yield the path of every field that is owned as a whole."""
    if not tree and path:
        yield path
    for key, below in tree.items():
        yield from leaves(below, (*path, key))


def has(tree: Tree, path: Path) -> bool:
    """Tell whether a path is in a tree."""
    for key in path:
        below = tree.get(key)
        if below is None:
            return False
        tree = below
    return True


def union(left: Tree, right: Tree) -> Tree:
    """Return a tree with the fields of both."""
    return {**left, **{key: union(left.get(key, {}), below) for key, below in right.items()}}


def without(tree: Tree, gone: Tree) -> Tree:
    """Return a tree without the leaves of another."""
    result: Tree = {}
    for key, below in tree.items():
        if key not in gone:
            result[key] = below
        elif below and gone[key]:
            rest = without(below, gone[key])
            if rest:
                result[key] = rest
    return result


def value_at(obj: Any, path: Path) -> Any:
    """Return the value at a path, None when there is none."""
    for key in path:
        obj = _step(obj, key)
        if obj is None:
            return None
    return obj


def _step(obj: Any, key: str) -> Any:
    if key.startswith("."):
        return obj.get(key[1:]) if isinstance(obj, dict) else None
    return _find_item(obj, key)


def _find_item(items: Any, key: str) -> Any:
    wanted: Json = msgspec.json.decode(key)
    if not isinstance(items, list):
        return None
    return next((item for item in items if wanted.items() <= item.items()), None)


def remove_at(obj: Any, path: Path) -> Any:
    """Return a copy of `obj` without what stands at a path; the same object when nothing does."""
    head, rest = path[0], path[1:]
    if head.startswith("."):
        name = head[1:]
        if not isinstance(obj, dict) or name not in obj:
            return obj
        if not rest:
            return {key: value for key, value in obj.items() if key != name}
        return {**obj, name: remove_at(obj[name], rest)}
    item = _find_item(obj, head)
    if item is None:
        return obj
    if not rest:
        return [other for other in obj if other is not item]
    return [remove_at(other, rest) if other is item else other for other in obj]


def path_text(path: Path) -> str:
    """Write a path the way the causes of a conflict do."""
    parts = []
    for key in path:
        if key.startswith("."):
            parts.append(key)
        else:
            named = ",".join(
                f"{name}={msgspec.json.encode(value).decode()}" for name, value in msgspec.json.decode(key).items()
            )
            parts.append(f"[{named}]")
    return "".join(parts)


def changed_tree(type_name: str, before: Json, after: Json) -> Tree:
    """Return the fields whose value differs in `after`, without those that vanished."""
    return _owned(_changes(type_name, before, after))


def _changes(word: str, before: Any, after: Any, place: str = "") -> Tree:
    """Return the tree of what differs; walks only into what does."""
    key = MERGE_KEYS.get(place)
    if isinstance(before, dict) and isinstance(after, dict):
        fields = schema.types().get(word)
        below = word.strip("{}") if word.startswith("{") else ""
        return {
            f".{name}": _changes(
                below if fields is None else fields.get(name, ""), before.get(name), item, f"{word}.{name}"
            )
            for name, item in after.items()
            if before.get(name) != item
        }
    if isinstance(before, list) and isinstance(after, list) and key is not None:
        items = {_item_key(key, item): item for item in before if key in item}
        named = {_item_key(key, item): item for item in after if key in item}
        word = word.strip("[]")
        return {name: _changes(word, items.get(name), item) for name, item in named.items() if items.get(name) != item}
    return _tree(word, after, place)


class Owners:
    """Who owns which fields, object by object (by uid), as far as it was seen."""

    def __init__(self) -> None:
        """Begin knowing of nobody."""
        self._by_uid: dict[str, dict[tuple[str, str], Tree]] = {}

    def of(self, type_name: str, obj: Json) -> dict[tuple[str, str], Tree]:
        """Return (manager, operation) -> tree for an object; what nobody wrote belongs to an unknown manager."""
        known = self._by_uid.get(obj["metadata"]["uid"])
        if known is not None:
            return known
        recorded = obj["metadata"].get("managedFields")
        if recorded:
            return {
                (entry["manager"], entry["operation"]): _from_fields(entry.get("fieldsV1") or {})
                for entry in recorded
                if not entry.get("subresource")
            }
        return {(UNKNOWN_MANAGER, UPDATE): tree_of(type_name, obj)}

    def put(self, obj: Json, owners: dict[tuple[str, str], Tree]) -> None:
        """Keep who owns what of an object."""
        self._by_uid[obj["metadata"]["uid"]] = {key: tree for key, tree in owners.items() if tree}

    def note_update(self, type_name: str, manager: str, before: Json | None, after: Json) -> None:
        """Note that `manager` made `after` of `before` (None: made it) by a plain write: it takes what it changed."""
        if before is None:
            self.put(after, {(manager, UPDATE): tree_of(type_name, after)})
            return
        if before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]:
            return
        taken = changed_tree(type_name, before, after)
        if not taken:
            return
        mine = (manager, UPDATE)
        owners = self.of(type_name, before)
        owners = {key: tree if key == mine else without(tree, taken) for key, tree in owners.items()}
        self.put(after, {**owners, mine: union(owners.get(mine, {}), taken)})

    def forget(self, change: Change) -> None:
        """Forget an object that is gone; to be called at every change of the store."""
        if change.kind == "DELETED":
            self._by_uid.pop(change.object["metadata"]["uid"], None)


def _from_fields(fields: Json) -> Tree:
    """Return the tree that a fieldsV1 document describes."""
    tree: Tree = {}
    for key, below in fields.items():
        if key.startswith("f:"):
            tree[f".{key[2:]}"] = _from_fields(below)
        elif key.startswith("k:"):
            found: Json = msgspec.json.decode(key[2:])
            # Lists merge here by one key, while managedFields may name several.
            name = next(iter(found))
            tree[msgspec.json.encode({name: found[name]}).decode()] = _from_fields(below)
    return tree
