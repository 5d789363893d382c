"""Names, paths and selectors: what may stand in a request, and how."""

from __future__ import annotations

import msgspec
import pytest

from remediator.adapters.kubernetes.names import (
    apps_path,
    core_path,
    group_path,
    is_name,
    is_namespace,
    selector_text,
    workload_path,
)
from remediator.adapters.kubernetes.shapes import Selector
from remediator.model.errors import ClusterError
from remediator.model.target import Kind


@pytest.mark.parametrize("name", ["a", "a-1", "0", "x" * 63])
def test_a_dns_label_is_a_namespace(name: str) -> None:
    """Lower case, digits and dashes inside, 63 at most."""
    assert is_namespace(name)
    assert is_name(name)


@pytest.mark.parametrize(
    "name", ["", "A", "-a", "a-", "a_b", "a/b", "..", ".", "a..b", "a\n", "\u0430", "a" * 254, " a"]
)
def test_anything_else_is_not(name: str) -> None:
    """Slashes, dots, upper case, other alphabets, line ends: none gets near a path."""
    assert not is_namespace(name)
    assert not is_name(name)


def test_a_name_may_have_dots() -> None:
    """A workload's may, a namespace's may not."""
    assert is_name("a.b-c.d")
    assert not is_namespace("a.b")


def test_paths_are_quoted_all_the_same() -> None:
    """A second lock on the door."""
    assert workload_path(Kind.DAEMONSET, "ns", "x") == "/apis/apps/v1/namespaces/ns/daemonsets/x"
    assert core_path("n/s", "pods", "../x?y") == "/api/v1/namespaces/n%2Fs/pods/..%2Fx%3Fy"
    assert apps_path("ns", "replicasets") == "/apis/apps/v1/namespaces/ns/replicasets"
    assert group_path("networking.k8s.io/v1", "ns", "ingresses") == "/apis/networking.k8s.io/v1/namespaces/ns/ingresses"


def test_a_selector_is_written_as_the_query_wants_it() -> None:
    """All four operators beside the labels."""
    selector = msgspec.convert(
        {
            "matchLabels": {"app": "x"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["a", "b"]},
                {"key": "env", "operator": "NotIn", "values": ["dev"]},
                {"key": "ready", "operator": "Exists"},
                {"key": "old", "operator": "DoesNotExist"},
            ],
        },
        Selector,
    )
    assert selector_text(selector) == "app=x,tier in (a,b),env notin (dev),ready,!old"


def test_a_selector_of_nothing_selects_nothing() -> None:
    """Absent and empty alike give no text, which callers take for no pods."""
    assert selector_text(None) == ""
    assert selector_text(Selector()) == ""


def test_an_operator_that_nobody_knows_is_an_error() -> None:
    """Leaving it out would select more than was meant."""
    with pytest.raises(ClusterError, match="Like"):
        selector_text(msgspec.convert({"matchExpressions": [{"key": "a", "operator": "Like"}]}, Selector))
