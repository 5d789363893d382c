"""Every right that the rules need is asked for, and every request that is made needs one of them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from remediator.adapters.clock import SystemClock
from remediator.adapters.kubernetes.access import ClusterAccess
from remediator.adapters.kubernetes.client import KubeClient
from remediator.adapters.kubernetes.evidence import KubernetesEvidence
from remediator.adapters.kubernetes.reader import KubernetesReader
from remediator.doctor import cluster
from remediator.doctor.finding import Finding, Grade
from remediator.doctor.permissions import EVERYWHERE, Need, Right, needs
from remediator.model.plan import CaptureEvidence
from remediator.model.rule import Matcher, MatchOp, Rule, Rung, Severity, TargetSpec, Threshold
from remediator.model.target import Kind
from remediator.sandbox import scenario
from remediator.sandbox.cluster import SandboxCluster
from remediator.sandbox.resources import CLUSTER_ROLES, PODS, ROLES

SHOP = TargetSpec(namespaces=("shop",), kinds=(Kind.DEPLOYMENT,))
CPU = Threshold(
    expr='x / kube_pod_container_resource_limits{resource="cpu"}', unit="percent", warning=1, critical=2, for_s=1
)


def rule(*actions: str, name: str = "one", target: TargetSpec = SHOP, threshold: Threshold | None = None) -> Rule:
    """A rule with these actions on its ladder; it takes every alert that says anything."""
    return Rule(
        name=name,
        match=(Matcher(label="alertname", op=MatchOp.REGEX, value=".+"),),
        severity=Severity.P3,
        target=target,
        ladder=tuple(Rung(action=action, parameters={}) for action in actions),
        threshold=threshold,
    )


def rights(*rules: Rule, needed: bool) -> set[str]:
    """What the rules need, as a person says it."""
    return {str(one.right) for one in needs(rules) if one.needed is needed}


def test_to_tell_people_nothing_is_changed() -> None:
    """A rule that only notifies reads what it needs to know whom the alert is about."""
    found = rights(rule("notify"), needed=True)
    assert {"get pods", "list deployments.apps", "get services"} <= found
    assert not any(one.startswith("patch") for one in found)
    assert rights(rule("notify"), needed=False) == set()


def test_only_the_kinds_of_the_rule_are_patched() -> None:
    """A rule about Deployments needs no right to change StatefulSets."""
    found = rights(rule("restart"), needed=True)
    assert {one for one in found if one.startswith("patch")} == {"patch deployments.apps"}


def test_what_scales_is_written_to_as_well() -> None:
    """Autoscalers and KEDA's objects are needed; quotas help, and Applications may be anywhere."""
    found = needs([rule("scale")])
    assert {str(one.right) for one in found if one.needed} >= {
        "patch horizontalpodautoscalers.autoscaling",
        "patch scaledobjects.keda.sh",
    }
    applications = next(one for one in found if one.right.resource == "applications")
    assert (applications.right.namespace, applications.needed) == (EVERYWHERE, True)
    assert not next(one for one in found if one.right.resource == "resourcequotas").needed


def test_evidence_is_not_needed_and_wished_for() -> None:
    """Where something is looked at before it is disrupted, or looking is all there is."""
    assert "get pods/log" in rights(rule("investigate"), needed=False)
    assert "get pods/log" in rights(rule("restart"), needed=False)
    assert rights(rule("investigate"), needed=True) == rights(rule("notify"), needed=True)


def test_each_is_asked_for_once_with_all_who_need_it() -> None:
    """Two rules in one namespace, and one in two."""
    both = TargetSpec(namespaces=("shop", "stage"), kinds=(Kind.DEPLOYMENT,))
    found = needs([rule("restart"), rule("restart", name="two", target=both)])
    patch = {one.right.namespace: one for one in found if one.right.verb == "patch"}
    assert patch["shop"] == Need(right=Right("shop", "apps", "deployments", "patch"), rules=("one", "two"), needed=True)
    assert patch["stage"].rules == ("two",)


@asynccontextmanager
async def examined(folder: Path, *seed: dict[str, Any]) -> AsyncIterator[tuple[SandboxCluster, KubeClient]]:
    """A cluster with a shop in it, and a client that is a service account with no rights."""
    base = [scenario.namespace("shop"), *scenario.nodes(1)]
    async with SandboxCluster.running(seed=[*base, *seed]) as sandbox:
        await sandbox.settle()
        token = folder / "token"
        token.write_text(sandbox.server.add_service_account("shop", "remediator"))
        client = await KubeClient.connect(ClusterAccess(url=sandbox.url, token_file=token))
        try:
            yield sandbox, client
        finally:
            await client.close()


def role(found: Sequence[Need], namespace: str) -> list[dict[str, Any]]:
    """A role with exactly these rights, bound to the service account."""
    kind = "Role" if namespace else "ClusterRole"
    group = "rbac.authorization.k8s.io"
    place = {"name": "remediator"} | ({"namespace": namespace} if namespace else {})
    rules = [
        {"apiGroups": [one.right.group], "resources": [one.right.resource], "verbs": [one.right.verb]}
        for one in found
        if one.right.namespace == namespace
    ]
    subject = {"kind": "ServiceAccount", "namespace": "shop", "name": "remediator"}
    return [
        {"apiVersion": f"{group}/v1", "kind": kind, "metadata": place, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": f"{kind}Binding",
            "metadata": place,
            "roleRef": {"apiGroup": group, "kind": kind, "name": "remediator"},
            "subjects": [subject],
        },
    ]


async def look(client: KubeClient, *rules: Rule) -> list[Finding]:
    """What is said of permissions."""
    found = await cluster.look(client, rules, SystemClock().now())
    return [one for one in found.findings if one.what == "permissions"]


async def test_with_exactly_these_rights_nothing_is_said(tmp_path: Path) -> None:
    """And with one less, that one is named, with who needs it and where."""
    rules = (rule("investigate", "restart", "scale"),)
    wanted = needs(rules)
    async with examined(tmp_path, *role(wanted, "shop"), *role(wanted, EVERYWHERE)) as (sandbox, client):
        [all_well] = await look(client, *rules)
        assert (all_well.grade, all_well.found) == (Grade.OK, f"all {len(wanted)} that 1 rules need are granted")
        less = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]
        sandbox.store.mutate(CLUSTER_ROLES, "", "remediator", lambda one: {**one, "rules": less})
        sandbox.store.mutate(
            ROLES,
            "shop",
            "remediator",
            lambda one: {**one, "rules": [item for item in one["rules"] if "patch" not in item["verbs"]]},
        )
        cluster_wide, shop, wished = await look(client, *rules)
        assert (cluster_wide.grade, cluster_wide.found) == (
            Grade.STOP,
            "in the whole cluster we may not list applications.argoproj.io",
        )
        assert shop.grade is Grade.STOP
        assert shop.found.startswith("in shop we may not patch deployments.apps, patch horizontal")
        assert shop.advice == "add them to our Role and RoleBinding; needed by one"
        assert (wished.grade, wished.found) == (
            Grade.NOTE,
            "in the whole cluster we may not get nodes, list nodes.metrics.k8s.io",
        )
        assert not any(one.changed for one in sandbox.requests)


async def test_who_may_nothing_is_told_all_of_it(tmp_path: Path) -> None:
    """In one line for a place, with a number for what does not fit."""
    async with examined(tmp_path) as (_, client):
        needed, wished = (await look(client, rule("restart")))[:2]
        assert needed.found.startswith("in shop we may not ")
        assert needed.found.endswith("more")
        assert wished.grade is Grade.NOTE


@pytest.mark.parametrize(("limit", "grade"), [(None, Grade.NOTE), ("500m", Grade.OK)])
async def test_workloads_without_limits_are_named(tmp_path: Path, limit: str | None, grade: Grade) -> None:
    """A row that divides by limits does not see them, and nobody else says so."""
    web = scenario.deployment("shop", "web")
    if limit:
        web["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] = limit
    row = rule("notify", name="cpu-usage", threshold=CPU)
    async with examined(tmp_path, web, *role(needs([row]), "shop")) as (_, client):
        found = await cluster.look(client, [row], SystemClock().now())
        [limits] = [one for one in found.findings if one.what == "limits"]
        assert limits.grade is grade
        words = "1 of 1 without a cpu limit, unseen by cpu-usage: deployment/shop/web"
        assert limits.found == (words if limit is None else "all 1 workloads of cpu-usage have a cpu limit")


def test_the_page_of_permissions_grants_what_is_asked_for_here() -> None:
    """What docs/reference/permissions.md gives is what rules that investigate and restart are looked at for."""
    page = Path("docs/reference/permissions.md").read_text(encoding="utf-8")
    blocks = [yaml.safe_load(block)["rules"] for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    granted = {
        Right(namespace, group, resource, verb)
        for namespace, rules in zip(("shop", EVERYWHERE), blocks, strict=True)
        for one in rules
        for group in one["apiGroups"]
        for resource in one["resources"]
        for verb in one["verbs"]
    }
    every_kind = TargetSpec(namespaces=("shop",), kinds=tuple(Kind))
    assert {one.right for one in needs([rule("investigate", "restart", target=every_kind)])} <= granted


async def test_whoever_has_these_rights_is_refused_nothing(tmp_path: Path) -> None:
    """All reads that lead from an alert to a decision, to evidence and to a proof, as that account."""
    wanted = needs([rule("investigate", "restart", "scale")])
    seed = [
        scenario.deployment("shop", "web"),
        scenario.service("shop", "web"),
        scenario.ingress("shop", "web", "w.example"),
    ]
    async with examined(tmp_path, *seed, *role(wanted, "shop"), *role(wanted, EVERYWHERE)) as (sandbox, client):
        reader = KubernetesReader(client, SystemClock())
        pod = next(one["metadata"]["name"] for one in sandbox.store.list(PODS, "shop"))
        for clue in ({"service": "web"}, {"pod": pod}, {"deployment": "web"}):
            _, facts = await reader.resolve_and_read({"namespace": "shop", **clue}, SHOP, around=True)
            assert facts.problem == ""
        target = (await reader.resolve({"namespace": "shop", "deployment": "web"}, SHOP)).target
        assert target is not None
        await reader.live(target)
        assert await reader.proof(target, "a" * 40) is False
        await KubernetesEvidence(client).capture(CaptureEvidence(target=target))
        refused = [f"{one.method} {one.path}" for one in sandbox.requests if one.status == 403]
        assert refused == []
        assert len([one for one in sandbox.requests if one.method == "GET"]) > 10
