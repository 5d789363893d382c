"""JSON patch (RFC 6902): a list of operations, all of which must hold."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

MAX_OPERATIONS = 10_000

_MISSING = object()
_INDEX = re.compile(r"^(0|[1-9][0-9]{0,9})$")
_Change = Callable[[Any], Any]


class JsonPatchError(ValueError):
    """The patch cannot be applied: no such path, a test that fails, or no operation at all."""


def apply_json_patch(document: Any, operations: list[Any]) -> Any:
    """Return `document` after all operations; neither is altered. JsonPatchError when one of them fails."""
    if len(operations) > MAX_OPERATIONS:
        raise JsonPatchError(f"more than {MAX_OPERATIONS} operations")
    for operation in operations:
        document = _apply(document, operation)
    return document


def _apply(document: Any, operation: Any) -> Any:
    if not isinstance(operation, dict) or not isinstance(operation.get("path"), str):
        raise JsonPatchError("an operation is an object with op and path")
    apply = _OPERATIONS.get(str(operation.get("op")))
    if apply is None:
        raise JsonPatchError(f"unknown op {operation.get('op')!r}")
    return apply(document, _tokens(operation["path"]), operation)


def _op_replace(document: Any, path: list[str], operation: dict[str, Any]) -> Any:
    _get(document, path)
    return _replace(document, path, _value(operation))


def _op_move(document: Any, path: list[str], operation: dict[str, Any]) -> Any:
    source = _tokens(operation.get("from"))
    if path[: len(source)] == source and path != source:
        raise JsonPatchError("a value cannot be moved into itself")
    moved = _get(document, source)
    return document if path == source else _add(_remove(document, source), path, moved)


def _op_test(document: Any, path: list[str], operation: dict[str, Any]) -> Any:
    if not _equal(_get(document, path), _value(operation)):
        raise JsonPatchError(f"test of {operation['path']} failed")
    return document


def _value(operation: dict[str, Any]) -> Any:
    if "value" not in operation:
        raise JsonPatchError("the operation has no value")
    return operation["value"]


def _tokens(pointer: Any) -> list[str]:
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise JsonPatchError(f"{pointer!r} is no JSON pointer")
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    return bool(left == right)


def _get(document: Any, path: list[str]) -> Any:
    for token in path:
        document = _child(document, token)
    return document


def _child(container: Any, token: str) -> Any:
    if isinstance(container, dict):
        found = container.get(token, _MISSING)
        if found is _MISSING:
            raise JsonPatchError(f"there is no {token!r}")
        return found
    if isinstance(container, list):
        return container[_position(token, len(container) - 1)]
    raise JsonPatchError(f"there is no {token!r} in a plain value")


def _position(token: str, last: int) -> int:
    if not _INDEX.match(token) or int(token) > last:
        raise JsonPatchError(f"there is no item {token!r}")
    return int(token)


def _within(document: Any, path: list[str], change: _Change) -> Any:
    """Return a copy of `document` in which the container at `path` is what `change` makes of it."""
    if not path:
        return change(document)
    head, rest = path[0], path[1:]
    changed = _within(_child(document, head), rest, change)
    if isinstance(document, dict):
        return {**document, head: changed}
    position = int(head)
    return [*document[:position], changed, *document[position + 1 :]]


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    last = path[-1]

    def change(container: Any) -> Any:
        if isinstance(container, dict):
            return {**container, last: value}
        if isinstance(container, list):
            position = len(container) if last == "-" else _position(last, len(container))
            return [*container[:position], value, *container[position:]]
        raise JsonPatchError("a plain value has no members")

    return _within(document, path[:-1], change)


def _replace(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    last = path[-1]

    def change(container: Any) -> Any:
        if isinstance(container, dict):
            return {**container, last: value}
        position = int(last)
        return [*container[:position], value, *container[position + 1 :]]

    return _within(document, path[:-1], change)


def _remove(document: Any, path: list[str]) -> Any:
    if not path:
        raise JsonPatchError("the whole document cannot be removed")
    last = path[-1]

    def change(container: Any) -> Any:
        _child(container, last)
        if isinstance(container, dict):
            return {key: value for key, value in container.items() if key != last}
        position = int(last)
        return [*container[:position], *container[position + 1 :]]

    return _within(document, path[:-1], change)


_OPERATIONS: dict[str, Callable[[Any, list[str], dict[str, Any]], Any]] = {
    "add": lambda document, path, operation: _add(document, path, _value(operation)),
    "remove": lambda document, path, _: _remove(document, path),
    "replace": _op_replace,
    "move": _op_move,
    "copy": lambda document, path, operation: _add(document, path, _get(document, _tokens(operation.get("from")))),
    "test": _op_test,
}
