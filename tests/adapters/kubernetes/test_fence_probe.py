"""Trying out whether a cluster enforces fences: with and without the policy, with no more rights than actions need."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from aiohttp import web

from remediator.actions.catalogue import ACTIONS
from remediator.adapters.clock import SystemClock
from remediator.adapters.kubernetes.access import ClusterAccess
from remediator.adapters.kubernetes.client import KubeClient
from remediator.adapters.kubernetes.fence_probe import FenceProbe
from remediator.adapters.kubernetes.marks import FENCE
from remediator.adapters.kubernetes.policy import manifest, service_account_user
from remediator.adapters.kubernetes.reader import KubernetesReader
from remediator.adapters.kubernetes.writer import KubernetesWriter
from remediator.model.rule import TargetSpec
from remediator.model.target import Kind, Target
from remediator.ports.fences import FenceReport, FenceState
from remediator.sandbox import scenario
from remediator.sandbox.calls import Call
from remediator.sandbox.cluster import SandboxCluster
from remediator.sandbox.resources import ADMISSION_BINDINGS, ADMISSION_POLICIES, ROLES

EVERY_KIND = (Kind.DEPLOYMENT, Kind.STATEFULSET, Kind.DAEMONSET)
SHOP = TargetSpec(namespaces=("shop",), kinds=EVERY_KIND)
USER = service_account_user("shop", "remediator")


def role() -> list[dict[str, Any]]:
    """Return what the actions ask for, and nothing more, for the service account of the tests."""
    rules = [
        {"apiGroups": [one.group], "resources": list(one.resources), "verbs": list(one.verbs)}
        for action in ACTIONS.values()
        for one in action.permissions
        if not one.cluster
    ]
    group = "rbac.authorization.k8s.io"
    place = {"namespace": "shop", "name": "remediator"}
    return [
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": place, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": place,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "remediator"},
            "subjects": [{"kind": "ServiceAccount", "namespace": "shop", "name": "remediator"}],
        },
    ]


def policies() -> list[dict[str, Any]]:
    """Return the shipped policies and bindings."""
    return list(yaml.safe_load_all(manifest(USER, 20)))


class Stage:
    """A cluster and a probe that runs as our service account."""

    def __init__(self, sandbox: SandboxCluster, client: KubeClient) -> None:
        """Keep both."""
        self.sandbox = sandbox
        reader = KubernetesReader(client, SystemClock())
        self._probe = FenceProbe(client, reader, KubernetesWriter(client))
        self.protected = ""

    def allowed(self, target: Target) -> bool:
        """Tell whether a workload may be tried on."""
        return target.name != self.protected

    async def probe(self, specs: tuple[TargetSpec, ...] | None = None) -> FenceReport:
        """Try it out, and see that nothing was stored."""
        report = await self._probe.run((SHOP,) if specs is None else specs, self.allowed)
        assert [one for one in self.sandbox.requests if one.changed] == []
        assert self.sandbox.requests.writes() == []
        return report


@asynccontextmanager
async def staged(folder: Path, *seed: dict[str, Any]) -> AsyncIterator[Stage]:
    """Run a cluster with a shop in it."""
    shop = [scenario.namespace("shop"), *scenario.nodes(1), *role()]
    async with SandboxCluster.running(seed=[*shop, *seed]) as sandbox:
        await sandbox.settle()
        token = folder / "token"
        token.write_text(sandbox.server.add_service_account("shop", "remediator"))
        client = await KubeClient.connect(ClusterAccess(url=sandbox.url, token_file=token))
        try:
            yield Stage(sandbox, client)
        finally:
            await client.close()


@pytest.mark.parametrize(
    "workload",
    [scenario.deployment("shop", "web"), scenario.stateful_set("shop", "db"), scenario.daemon_set("shop", "agent")],
    ids=lambda workload: workload["kind"],
)
async def test_the_policy_is_found_where_it_is(tmp_path: Path, workload: dict[str, Any]) -> None:
    """On every kind of workload, with the rights of our actions: enforced with the policy, missing without."""
    async with staged(tmp_path, workload) as stage:
        assert (await stage.probe()).state is FenceState.MISSING
        stage.sandbox.put(policies())
        report = await stage.probe()
        assert report.state is FenceState.ENFORCED
        assert f"{workload['kind'].lower()}/{workload['metadata']['name']} in shop" in report.detail


async def test_a_binding_that_only_warns_enforces_nothing(tmp_path: Path) -> None:
    """What counts is whether the write goes through."""
    async with staged(tmp_path, scenario.deployment("shop", "web"), *policies()) as stage:
        store = stage.sandbox.store
        store.mutate(
            ADMISSION_BINDINGS,
            "",
            "remediator-workloads",
            lambda one: {**one, "spec": {**one["spec"], "validationActions": ["Warn"]}},
        )
        assert (await stage.probe()).state is FenceState.MISSING


async def test_a_policy_for_somebody_else_enforces_nothing(tmp_path: Path) -> None:
    """The user of the policy must be the one that we are."""
    others = list(yaml.safe_load_all(manifest("system:serviceaccount:other:remediator", 20)))
    async with staged(tmp_path, scenario.deployment("shop", "web"), *others) as stage:
        assert (await stage.probe()).state is FenceState.MISSING


async def test_a_workload_that_bears_a_fence(tmp_path: Path) -> None:
    """The good write is above the fence that is there, however high it is."""
    async with staged(tmp_path, scenario.deployment("shop", "web"), *policies()) as stage:
        stage.sandbox.annotate("Deployment", "shop", "web", {FENCE: "123456789012"})
        assert (await stage.probe()).state is FenceState.ENFORCED


async def test_a_cluster_that_refuses_every_write_is_no_proof(tmp_path: Path) -> None:
    """A policy that cannot be evaluated denies the stale write too; the good one tells the two apart."""
    async with staged(tmp_path, scenario.deployment("shop", "web"), *policies()) as stage:
        broken = {"expression": "object.spec.nothing == 1"}
        stage.sandbox.store.mutate(
            ADMISSION_POLICIES,
            "",
            "remediator-workloads",
            lambda one: {**one, "spec": {**one["spec"], "validations": [broken]}},
        )
        report = await stage.probe()
        assert report.state is FenceState.BLOCKED
        assert "resulted in error" in report.detail


async def test_without_the_right_to_patch_it_is_blocked(tmp_path: Path) -> None:
    """RBAC refuses the good write: that is said, and nothing is concluded about fences."""
    async with staged(tmp_path, scenario.deployment("shop", "web"), *policies()) as stage:
        rights = next(one for one in role() if one["kind"] == "Role")
        reading = [{**rule, "verbs": [verb for verb in rule["verbs"] if verb != "patch"]} for rule in rights["rules"]]
        stage.sandbox.store.mutate(ROLES, "shop", "remediator", lambda one: {**one, "rules": reading})
        report = await stage.probe()
        assert report.state is FenceState.BLOCKED
        assert "forbidden" in report.detail


@pytest.mark.parametrize(
    ("specs", "why"),
    [
        ((SHOP,), "no workload was found"),
        ((), "no rule names a namespace"),
        ((TargetSpec(namespaces=("elsewhere",), kinds=EVERY_KIND),), "forbidden"),
        ((TargetSpec(namespaces=("shop",), kinds=EVERY_KIND, name="absent"),), "no workload was found"),
    ],
)
async def test_where_there_is_nothing_to_try_it_on(tmp_path: Path, specs: tuple[TargetSpec, ...], why: str) -> None:
    """Unknown, with the reason: no pods, no rules, no right to look."""
    async with staged(tmp_path, *policies()) as stage:
        report = await stage.probe(specs)
        assert report.state is FenceState.UNKNOWN
        assert why in report.detail


async def test_the_next_place_is_tried(tmp_path: Path) -> None:
    """A namespace without workloads, or one that we may not look into, does not end the search; a name is used."""
    specs = (
        TargetSpec(namespaces=("elsewhere", "shop"), kinds=(Kind.STATEFULSET,)),
        TargetSpec(namespaces=("shop",), kinds=(Kind.DEPLOYMENT,), name="web"),
    )
    async with staged(tmp_path, scenario.deployment("shop", "web"), *policies()) as stage:
        report = await stage.probe(specs)
        assert (report.state, "deployment/web" in report.detail) == (FenceState.ENFORCED, True)


async def test_what_is_protected_is_left_alone(tmp_path: Path) -> None:
    """Not even a dry run: another workload of the namespace is taken, or none."""
    web, api = scenario.deployment("shop", "web"), scenario.deployment("shop", "api")
    async with staged(tmp_path, web, api, *policies()) as stage:
        for protected, other in (("web", "api"), ("api", "web")):
            stage.protected = protected
            assert f"deployment/{other} in shop" in (await stage.probe()).detail
        named = TargetSpec(namespaces=("shop",), kinds=(Kind.DEPLOYMENT,), name="api")
        stage.sandbox.requests.clear()
        assert (await stage.probe((named,))).state is FenceState.UNKNOWN
        assert [one.path for one in stage.sandbox.requests if one.method == "PATCH"] == []


async def test_a_busy_server_leaves_it_open(tmp_path: Path) -> None:
    """Neither 429 nor 500 tells anything; a conflict is tried again on a fresh read."""
    async with staged(tmp_path, scenario.deployment("shop", "web"), *policies()) as stage:
        answers = [429, 500, 503]

        async def busy(call: Call, proceed: Any) -> web.StreamResponse:
            if call.method != "PATCH" or not answers:
                return await proceed()  # type: ignore[no-any-return]
            body = msgspec.json.encode({"kind": "Status", "message": "busy"})
            return web.Response(status=answers.pop(), body=body, content_type="application/json")

        stage.sandbox.server.middlewares.append(busy)
        assert (await stage.probe()).state is FenceState.UNKNOWN
        answers.append(409)
        assert (await stage.probe()).state is FenceState.ENFORCED
