"""Where labels lead without a cluster: the same way that the adapter takes with one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.adapters.kubernetes.resolve import Named, OfPod, OfService, clue_of
from remediator.model.rule import TargetSpec
from remediator.model.target import Kind
from remediator.ports.cluster import Resolution
from remediator.rulebook.clue import clue_text

_NAMES = st.sampled_from(["web", "postgres", "a.b", "Bad_Name", "", "x" * 254, "-x"])
_LABELS = st.fixed_dictionaries(
    {},
    optional={
        "namespace": st.sampled_from(["backstage", "dev-portal", "kube-system", "", "Bad Space"]),
        "exported_namespace": st.sampled_from(["backstage", "billing"]),
        "deployment": _NAMES,
        "statefulset": _NAMES,
        "daemonset": _NAMES,
        "workload": _NAMES,
        "workload_type": st.sampled_from(["deployment", "StatefulSet", "job", ""]),
        "pod": _NAMES,
        "service": _NAMES,
    },
)
_SPECS = st.builds(
    TargetSpec,
    namespaces=st.sampled_from([("backstage",), ("backstage", "dev-portal")]),
    kinds=st.lists(st.sampled_from(list(Kind)), min_size=1, max_size=3, unique=True).map(tuple),
    name=st.sampled_from(["", "postgres"]),
    namespace_label=st.sampled_from(["namespace", "exported_namespace"]),
)


def as_the_adapter_says(labels: dict[str, str], spec: TargetSpec) -> str:
    """Return the adapter's clue in our words."""
    match clue_of(labels, spec):
        case Named(namespace=namespace, name=name, kinds=kinds):
            return f"{kinds[0].lower() if len(kinds) == 1 else 'workload'}/{namespace}/{name}"
        case OfPod(namespace=namespace, pod=name):
            return f"pod/{namespace}/{name}"
        case OfService(namespace=namespace, service=name):
            return f"service/{namespace}/{name}"
        case Resolution() as nowhere:
            return nowhere.problem


@settings(deadline=None)
@given(_LABELS, _SPECS)
def test_cases_and_cluster_agree(labels: dict[str, str], spec: TargetSpec) -> None:
    """What a case says about a target is what the daemon will look for."""
    assert clue_text(labels, spec) == as_the_adapter_says(labels, spec)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"deployment": "web"}, "target_missing"),
        ({"namespace": "kube-system", "deployment": "web"}, "target_not_allowed"),
        ({"namespace": "backstage"}, "target_missing"),
        ({"namespace": "backstage", "deployment": "web"}, "deployment/backstage/web"),
        ({"namespace": "backstage", "daemonset": "web"}, "target_not_allowed"),
        ({"namespace": "backstage", "deployment": "a", "statefulset": "b"}, "target_ambiguous"),
        ({"namespace": "backstage", "deployment": "../x"}, "target_not_allowed"),
        ({"namespace": "backstage", "workload": "web"}, "workload/backstage/web"),
        ({"namespace": "backstage", "workload": "web", "workload_type": "statefulset"}, "statefulset/backstage/web"),
        ({"namespace": "backstage", "workload": "web", "workload_type": "job"}, "target_not_allowed"),
        ({"namespace": "backstage", "pod": "web-1", "service": "s"}, "pod/backstage/web-1"),
        ({"namespace": "backstage", "service": "s"}, "service/backstage/s"),
    ],
)
def test_ways(labels: dict[str, str], expected: str) -> None:
    """The labels in their order of trust."""
    spec = TargetSpec(namespaces=("backstage",), kinds=(Kind.DEPLOYMENT, Kind.STATEFULSET))
    assert clue_text(labels, spec) == expected


def test_the_rule_names_it() -> None:
    """A name in the rule is the name; its only namespace stands in for a missing label."""
    spec = TargetSpec(namespaces=("backstage",), kinds=(Kind.DEPLOYMENT, Kind.STATEFULSET), name="postgres")
    assert clue_text({"deployment": "web"}, spec) == "workload/backstage/postgres"
    assert clue_text({"workload_type": "StatefulSet"}, spec) == "statefulset/backstage/postgres"
