"""What a workload says of the database in it: who runs it, its memory, how many connections it was given."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from remediator.adapters.kubernetes.facts import Found, workload_facts
from remediator.adapters.kubernetes.image import before_image
from remediator.adapters.kubernetes.shapes import Workload
from remediator.model.facts import ContainerFacts
from remediator.model.target import Kind

MIB = 2**20


def found(container: dict[str, Any] | None = None, **metadata: Any) -> Found:
    """Return a workload as it was read."""
    document = {
        "metadata": {"name": "postgres", "namespace": "backstage", "uid": "u", **metadata},
        "spec": {"template": {"metadata": {}, "spec": {"containers": [container or {"name": "postgres"}]}}},
    }
    return Found(kind=Kind.STATEFULSET, workload=msgspec.json.decode(msgspec.json.encode(document), type=Workload))


@pytest.mark.parametrize(
    ("metadata", "operator"),
    [
        ({}, ""),
        ({"labels": {"app": "postgres", "application": "portal"}}, ""),
        ({"labels": {"application": "spilo", "cluster-name": "acid"}}, "Zalando postgres-operator"),
        ({"labels": {"cnpg.io/cluster": "portal"}}, "CloudNativePG"),
        ({"labels": {"postgres-operator.crunchydata.com/cluster": "hippo"}}, "Crunchy postgres-operator"),
        ({"labels": {"app.kubernetes.io/name": "patroni"}}, "Patroni"),
        (
            {"ownerReferences": [{"apiVersion": "acid.zalan.do/v1", "kind": "postgresql", "name": "a", "uid": "1"}]},
            "Zalando postgres-operator",
        ),
        (
            {"ownerReferences": [{"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "name": "a", "uid": "1"}]},
            "CloudNativePG",
        ),
        ({"ownerReferences": [{"apiVersion": "cluster.x-k8s.io/v1", "kind": "Cluster", "name": "a", "uid": "1"}]}, ""),
    ],
)
def test_who_runs_the_database(metadata: dict[str, Any], operator: str) -> None:
    """By an owner of the right kind and group, or by a label; a word in common is not enough."""
    assert workload_facts(found(**metadata)).operator == operator


@pytest.mark.parametrize(
    ("limits", "memory"),
    [(None, None), ({"cpu": "1"}, None), ({"memory": "2Gi"}, 2048 * MIB), ({"memory": "lots"}, None)],
)
def test_the_memory_of_a_container(limits: dict[str, str] | None, memory: int | None) -> None:
    """In bytes; none, and what is no amount, is not known."""
    container = {"name": "postgres", "resources": {} if limits is None else {"limits": limits}}
    assert workload_facts(found(container)).containers == (ContainerFacts(name="postgres", memory=memory),)


def test_of_the_environment_only_the_number_of_connections_is_read() -> None:
    """No other value leaves the room, neither in facts nor in the image; from a Secret it is no number."""
    env = [{"name": "MAX_CONNECTIONS", "value": "100"}, {"name": "POSTGRES_PASSWORD", "value": "s3same"}]
    seen = workload_facts(found({"name": "postgres", "env": env}))
    assert seen.containers[0].max_connections == "100"
    assert "s3same" not in repr(seen)
    by_reference = {"name": "MAX_CONNECTIONS", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}
    assert workload_facts(found({"name": "postgres", "env": [by_reference]})).containers[0].max_connections == ""


@pytest.mark.parametrize(("value", "kept"), [("100", True), ("s3same", False), ("", False), ("10 0", False)])
def test_the_image_keeps_the_number(value: str, kept: bool) -> None:
    """An undo brings it back; what is no number may be anything, and is kept as a digest."""
    container = {"name": "postgres", "env": [{"name": "MAX_CONNECTIONS", "value": value}]}
    one = found(container)
    document = {"metadata": {"uid": "u"}, "spec": {"template": {"spec": {"containers": [container]}}}}
    image = before_image(document, one.workload.metadata).object
    (variable,) = image["spec"]["template"]["spec"]["containers"][0]["env"]
    assert (variable["value"] == value) == kept
    assert kept or variable["value"].startswith("sha256:")
