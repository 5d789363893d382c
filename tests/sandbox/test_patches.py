"""The patch engine: laws of the three kinds of patch, on any document."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.sandbox.patches.json_patch import JsonPatchError, apply_json_patch
from remediator.sandbox.patches.merge_patch import diff, merge_patch
from remediator.sandbox.patches.strategic import MissingMergeKeyError, StrategicPatchError, strategic_merge

KEYS = st.text("abc/~", min_size=1, max_size=3)
SCALARS = st.booleans() | st.integers(-5, 5) | st.text("xyz", max_size=2)
DOCUMENTS: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=12
)
OBJECTS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(KEYS, DOCUMENTS, max_size=4)
PATCHES: st.SearchStrategy[Any] = st.recursive(
    SCALARS | st.none(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=10,
)
NAMES = st.sampled_from(["web", "proxy", "db"])
VARIABLES = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from(["A", "B", "C"]), "value": st.text("01", max_size=2)}),
    max_size=3,
    unique_by=lambda item: item["name"],
)
CONTAINERS = st.lists(
    st.fixed_dictionaries({"name": NAMES}, optional={"image": st.text("ab", min_size=1, max_size=2), "env": VARIABLES}),
    max_size=3,
    unique_by=lambda item: item["name"],
)
POD_SPECS = st.fixed_dictionaries({}, optional={"containers": CONTAINERS, "nodeName": st.text("n", max_size=2)})


def pointer(*keys: str) -> str:
    """A JSON pointer to nested keys."""
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)


@given(OBJECTS, PATCHES)
def test_merge_patch_is_idempotent(document: dict[str, Any], patch: Any) -> None:
    """Applied twice a merge patch does what it does once."""
    once = merge_patch(document, patch)
    assert merge_patch(once, patch) == once


@given(OBJECTS, OBJECTS)
def test_merge_patch_of_a_difference_reaches_the_target(before: dict[str, Any], after: dict[str, Any]) -> None:
    """The patch between two documents makes the second of the first; it is empty when they are equal."""
    patch = diff(before, after)
    assert merge_patch(before, patch) == after
    assert diff(after, after) == {}


@given(OBJECTS)
def test_merge_patch_keeps_what_it_does_not_name(document: dict[str, Any]) -> None:
    """The empty patch changes nothing; nulls take away."""
    assert merge_patch(document, {}) == document
    assert merge_patch(document, dict.fromkeys(document)) == {}


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_examples_of_the_rfc(document: Any, patch: Any, result: Any) -> None:
    """Cases out of RFC 7386, appendix A."""
    assert merge_patch(document, patch) == result


@given(OBJECTS, KEYS, DOCUMENTS)
def test_json_patch_add_and_remove_round_trip(document: dict[str, Any], key: str, value: Any) -> None:
    """What was added can be tested and removed, and the document is as before."""
    before = {name: item for name, item in document.items() if name != key}
    operations = [{"op": "add", "path": pointer(key), "value": value}]
    added = apply_json_patch(before, operations)
    assert added == {**before, key: value}
    assert apply_json_patch(added, [{"op": "test", "path": pointer(key), "value": value}]) == added
    assert apply_json_patch(added, [{"op": "remove", "path": pointer(key)}]) == before


@given(OBJECTS, KEYS, KEYS)
def test_json_patch_move_is_copy_and_remove(document: dict[str, Any], source: str, target: str) -> None:
    """A move equals a copy followed by a removal, wherever both are possible."""
    document = {**document, source: 1}
    move = apply_json_patch(document, [{"op": "move", "from": pointer(source), "path": pointer(target)}])
    operations = [{"op": "copy", "from": pointer(source), "path": pointer(target)}]
    if source != target:
        operations.append({"op": "remove", "path": pointer(source)})
    assert move == apply_json_patch(document, operations)


@given(st.lists(DOCUMENTS, max_size=4), DOCUMENTS, st.data())
def test_json_patch_inserts_into_lists(items: list[Any], value: Any, data: st.DataObject) -> None:
    """`add` at an index shifts the rest, `-` appends, an index behind the end is refused."""
    index = data.draw(st.integers(0, len(items)))
    document = {"list": items}
    inserted = apply_json_patch(document, [{"op": "add", "path": f"/list/{index}", "value": value}])
    assert inserted["list"] == [*items[:index], value, *items[index:]]
    appended = apply_json_patch(document, [{"op": "add", "path": "/list/-", "value": value}])
    assert appended["list"] == [*items, value]
    with pytest.raises(JsonPatchError):
        apply_json_patch(document, [{"op": "add", "path": f"/list/{len(items) + 1}", "value": value}])


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a", "value": True},
        {"op": "test", "path": "/a/b", "value": 1},
        {"op": "remove", "path": "/nope"},
        {"op": "remove", "path": ""},
        {"op": "replace", "path": "/nope", "value": 1},
        {"op": "replace", "path": "/list/01", "value": 1},
        {"op": "replace", "path": "/list/-", "value": 1},
        {"op": "add", "path": "/nope/x", "value": 1},
        {"op": "add", "path": "/list/x", "value": 1},
        {"op": "add", "path": "a", "value": 1},
        {"op": "add", "path": "/a"},
        {"op": "add", "path": "/a/b", "value": 1},
        {"op": "move", "from": "/map", "path": "/map/inside"},
        {"op": "copy", "path": "/b"},
        {"op": "set", "path": "/a", "value": 1},
        {"op": "add"},
        "add",
    ],
)
def test_json_patch_refuses(operation: Any) -> None:
    """Each fault is an error and leaves the document as it was; 1 is not true."""
    document = {"a": 1, "list": [1], "map": {}}
    with pytest.raises(JsonPatchError):
        apply_json_patch(document, [{"op": "add", "path": "/new", "value": 1}, operation])
    assert document == {"a": 1, "list": [1], "map": {}}


def test_json_patch_is_bounded() -> None:
    """Too many operations are refused before the first."""
    with pytest.raises(JsonPatchError):
        apply_json_patch({}, [{"op": "test", "path": "", "value": {}}] * 10_001)


@given(POD_SPECS, POD_SPECS)
def test_strategic_merge_is_idempotent(document: dict[str, Any], patch: dict[str, Any]) -> None:
    """Applied twice a strategic merge patch does what it does once."""
    once = strategic_merge("V1PodSpec", document, patch)
    assert strategic_merge("V1PodSpec", once, patch) == once


@given(POD_SPECS, POD_SPECS)
def test_strategic_merge_keeps_other_items(document: dict[str, Any], patch: dict[str, Any]) -> None:
    """Containers that the patch does not name stay as they are and in their order; no name stands twice."""
    merged = strategic_merge("V1PodSpec", document, patch).get("containers", [])
    named = {item["name"] for item in patch.get("containers", [])}
    others = [item for item in document.get("containers", []) if item["name"] not in named]
    assert [item for item in merged if item["name"] not in named] == others
    names = [item["name"] for item in merged]
    assert sorted(names) == sorted(set(names))
    assert named <= set(names)


@given(POD_SPECS)
def test_strategic_merge_of_nothing(document: dict[str, Any]) -> None:
    """The empty patch and the document itself change nothing."""
    assert strategic_merge("V1PodSpec", document, {}) == document
    assert strategic_merge("V1PodSpec", document, document) == document


SPEC: dict[str, Any] = {
    "containers": [
        {"name": "web", "image": "w", "env": [{"name": "A", "value": "1"}]},
        {"name": "proxy", "image": "p"},
    ],
    "volumes": [{"name": "data", "emptyDir": {}}],
    "tolerations": [{"key": "a"}],
}


@pytest.mark.parametrize(
    ("patch", "path", "expected"),
    [
        ({"containers": [{"$patch": "replace"}, {"name": "x"}]}, "containers", [{"name": "x"}]),
        ({"containers": [{"name": "web", "$patch": "delete"}]}, "containers", [SPEC["containers"][1]]),
        ({"tolerations": [{"key": "b"}]}, "tolerations", [{"key": "b"}]),
        ({"tolerations": None}, "tolerations", None),
        (
            {"volumes": [{"name": "data", "$retainKeys": ["name", "configMap"], "configMap": {"name": "c"}}]},
            "volumes",
            [{"name": "data", "configMap": {"name": "c"}}],
        ),
        (
            {"$setElementOrder/containers": [{"name": "proxy"}, {"name": "web"}]},
            "containers",
            [SPEC["containers"][1], SPEC["containers"][0]],
        ),
        ({"$patch": "replace", "nodeName": "n"}, "containers", None),
    ],
)
def test_strategic_directives(patch: dict[str, Any], path: str, expected: Any) -> None:
    """$patch, $retainKeys and $setElementOrder do what kubectl relies on."""
    assert strategic_merge("V1PodSpec", SPEC, patch).get(path) == expected


def test_strategic_merge_of_plain_sets() -> None:
    """Finalizers merge as a set and are taken off by $deleteFromPrimitiveList."""
    metadata = {"finalizers": ["a/x", "b/y"]}
    added = strategic_merge("V1ObjectMeta", metadata, {"finalizers": ["c/z"]})
    assert sorted(added["finalizers"]) == ["a/x", "b/y", "c/z"]
    less = strategic_merge("V1ObjectMeta", metadata, {"$deleteFromPrimitiveList/finalizers": ["a/x"]})
    assert less["finalizers"] == ["b/y"]


def test_a_new_item_goes_to_the_front() -> None:
    """A variable that was not there has no place of its own: it comes first, as in the API server."""
    patch = {"containers": [{"name": "web", "env": [{"name": "NEW", "value": "1"}]}]}
    merged = strategic_merge("V1PodSpec", SPEC, patch)
    assert [item["name"] for item in merged["containers"][0]["env"]] == ["NEW", "A"]
    assert [item["name"] for item in merged["containers"]] == ["web", "proxy"]


@pytest.mark.parametrize(
    ("patch", "error"),
    [
        ({"containers": [{"image": "x"}]}, MissingMergeKeyError),
        ({"$patch": "explode"}, StrategicPatchError),
        ({"$retainKeys": "name"}, StrategicPatchError),
        ({"$retainKeys": ["other"], "nodeName": "n"}, StrategicPatchError),
        ({"$setElementOrder/containers": {}}, StrategicPatchError),
        ({"$deleteFromPrimitiveList/x": {}}, StrategicPatchError),
    ],
)
def test_strategic_merge_refuses(patch: dict[str, Any], error: type[Exception]) -> None:
    """Directives of the wrong form and items without their key are errors."""
    with pytest.raises(error):
        strategic_merge("V1PodSpec", SPEC, patch)
