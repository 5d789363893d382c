"""Reading objects as their kind: the schema file, types, quantities, times and selectors."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediator.sandbox import quantities, schema, selectors
from remediator.sandbox.resources import Catalogue
from remediator.sandbox.status import ApiError
from tests.sandbox import schema_source

CATALOGUE = Catalogue()


def test_the_schema_is_that_of_the_client() -> None:
    """schema.json holds what the installed client says; run `python -m tests.sandbox.schema_source` if not."""
    assert schema_source.SCHEMA_FILE.read_bytes() == schema_source.encode()


def test_every_served_kind_has_a_schema() -> None:
    """No kind but the custom ones is served without a schema."""
    named = {schema.type_name(item) for item in CATALOGUE.resources if not item.custom}
    assert named <= schema.types().keys()


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2048Mi", "2Gi"), ("0.5", "500m"), (0.5, "500m"), (1, "1"), ("1000m", "1"), ("2000000000000m", "2G"),
        ("1e3", "1k"), ("-100m", "-100m"), ("0", "0"), ("1.5Gi", "1536Mi"), ("100n", "100n"), ("1Ki", "1Ki"),
    ],
)  # fmt: skip
def test_quantities_come_back_canonical(text: str | float, written: str) -> None:
    """A quantity is written as the API server writes it."""
    assert quantities.canonical(text) == written


@given(st.integers(-(10**12), 10**12), st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi", "u", "n"]))
def test_canonical_quantities_keep_their_value(number: int, suffix: str) -> None:
    """The canonical form has the same value, and is its own canonical form."""
    text = f"{number}{suffix}"
    written = quantities.canonical(text)
    assert quantities.parse(written) == quantities.parse(text)
    assert quantities.canonical(written) == written


@pytest.mark.parametrize("text", ["2 Gi", "2GB", "lots", "", "1e99", "1e", "Ki", "9" * 100, "1..2"])
def test_what_is_no_quantity(text: str) -> None:
    """Text that is none is refused."""
    with pytest.raises(quantities.QuantityError):
        quantities.parse(text)


def test_quantities_compare_by_value() -> None:
    """Different spellings are the same number."""
    assert quantities.parse("1Gi") == Decimal(1024**3)
    assert quantities.parse("1000m") == quantities.parse("1")


def test_reading_prunes_and_normalises() -> None:
    """Unknown fields are left out and named, nulls vanish, quantities and times become canonical."""
    container = {"name": "c", "image": None, "resources": {"limits": {"memory": "1024Mi"}}, "foo": 1}
    spec = {"template": {"spec": {"containers": [container]}}, "replica": 3}
    obj, unknown = schema.read("V1Deployment", {"metadata": {"name": "x"}, "spec": spec})
    assert unknown == ["spec.template.spec.containers[0].foo", "spec.replica"]
    kept = obj["spec"]["template"]["spec"]["containers"]
    assert kept == [{"name": "c", "resources": {"limits": {"memory": "1Gi"}}}]
    lease, _ = schema.read("V1Lease", {"spec": {"renewTime": "2026-07-01T02:00:00.000000+02:00"}})
    assert lease["spec"]["renewTime"] == "2026-07-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("V1Deployment", {"spec": {"replicas": "3"}}),
        ("V1Deployment", {"spec": {"replicas": 2.5}}),
        ("V1Deployment", {"spec": {"replicas": True}}),
        ("V1Deployment", {"spec": []}),
        ("V1Deployment", {"metadata": {"labels": {"a": 1}}}),
        ("V1Deployment", {"metadata": {"finalizers": "x"}}),
        ("V1Deployment", {"metadata": {"labels": []}}),
        ("V1Deployment", {"spec": {"paused": "yes"}}),
        ("V1Deployment", {"metadata": {"creationTimestamp": "yesterday"}}),
        ("V1Deployment", {"metadata": {"creationTimestamp": 7}}),
        ("V1Deployment", {"metadata": {"creationTimestamp": "2026-07-01T00:00:00"}}),
        ("V1Lease", {"spec": {"renewTime": "2026-07-01T00:00:00Z"}}),
        ("V1Secret", {"data": {"a": "no base64!"}}),
        ("V1Secret", {"data": {"a": 1}}),
        ("V1ResourceQuota", {"spec": {"hard": {"pods": []}}}),
        ("V1PodDisruptionBudget", {"spec": {"minAvailable": []}}),
        ("V1Deployment", "text"),
    ],
)
def test_wrong_types_are_refused(name: str, value: Any) -> None:
    """Each value of another type than its field's is a fault."""
    with pytest.raises(schema.TypeFault):
        schema.read(name, value)


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("app=web", True), ("app==web", True), ("app!=web", False), ("app in (web,db)", True),
        ("app notin (web)", False),
        ("app", True), ("!app", False), ("tier", False), ("tier notin (a),app", True), ("tier!=x", True),
        ("app in (db)", False), ("app=web,tier=x", False), ("", True),
    ],
)  # fmt: skip
def test_label_selectors(text: str, matches: bool) -> None:
    """Every form of a label selector decides as Kubernetes does."""
    assert selectors.parse_labels(text)({"metadata": {"labels": {"app": "web"}}}) is matches


@pytest.mark.parametrize("text", ["app in web", "app in (web", "=x", "a b", "-x", "app=-"])
def test_malformed_label_selectors(text: str) -> None:
    """What cannot be read is a bad request."""
    with pytest.raises(ApiError) as refused:
        selectors.parse_labels(text)
    assert refused.value.code == 400


@pytest.mark.parametrize(
    ("expression", "matches"),
    [
        ({"key": "app", "operator": "In", "values": ["web"]}, True),
        ({"key": "app", "operator": "NotIn", "values": ["web"]}, False),
        ({"key": "app", "operator": "Exists"}, True),
        ({"key": "app", "operator": "DoesNotExist"}, False),
        ({"key": "app", "operator": "Sideways"}, False),
    ],
)
def test_label_selector_objects(expression: dict[str, Any], matches: bool) -> None:
    """MatchExpressions decide likewise; no selector selects nothing, an empty one everything."""
    labels = {"app": "web"}
    assert selectors.match_label_selector({"matchExpressions": [expression]}, labels) is matches
    assert not selectors.match_label_selector(None, labels)
    assert selectors.match_label_selector({}, labels)


def test_selector_text() -> None:
    """A selector object is written as a query parameter has it."""
    expressions = [
        {"key": "a", "operator": "In", "values": ["y", "x"]},
        {"key": "b", "operator": "NotIn", "values": ["z"]},
        {"key": "c", "operator": "Exists"},
        {"key": "d", "operator": "DoesNotExist"},
    ]
    text = selectors.label_selector_text({"matchLabels": {"app": "web"}, "matchExpressions": expressions})
    assert text == "app=web,a in (x,y),b notin (z),c,!d"


def test_field_selectors() -> None:
    """Known fields select, unknown ones and nonsense are bad requests."""
    pods = CATALOGUE.find("", "v1", "pods")
    nodes = CATALOGUE.find("", "v1", "nodes")
    assert pods is not None
    assert nodes is not None
    matches, name = selectors.parse_fields(pods, "status.phase!=Running,metadata.name=x")
    assert name == "x"
    assert matches({"metadata": {"name": "x"}, "status": {"phase": "Failed"}})
    assert not matches({"metadata": {"name": "x"}, "status": {"phase": "Running"}})
    cordoned, _ = selectors.parse_fields(nodes, "spec.unschedulable=true")
    assert cordoned({"metadata": {}, "spec": {"unschedulable": True}})
    for text in ("spec.colour=red", "nonsense"):
        with pytest.raises(ApiError):
            selectors.parse_fields(pods, text)
