"""Who else decides about a workload: what the reader finds around it, and what it calls unknown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from remediator.adapters.kubernetes.access import ClusterAccess
from remediator.adapters.kubernetes.client import KubeClient
from remediator.adapters.kubernetes.levers import lever_image
from remediator.adapters.kubernetes.reader import KubernetesReader
from remediator.adapters.kubernetes.shapes import Meta
from remediator.model.facts import Facts
from remediator.model.owners import Budget, Keeper, LeverKind, Room, Surroundings
from remediator.model.quantities import amount
from remediator.model.rule import TargetSpec
from remediator.model.target import Kind
from remediator.sandbox import scenario
from remediator.sandbox.api import Proceed
from remediator.sandbox.calls import Call
from remediator.sandbox.resources import (
    AUTOSCALERS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    RESOURCE_QUOTAS,
    ROLE_BINDINGS,
    ROLES,
    SCALED_OBJECTS,
    GroupResource,
)
from remediator.sandbox.server import SandboxServer
from tests.adapters.kubernetes.given import FixedClock
from tests.sandbox.replay import catalogue_without

SHOP = TargetSpec(namespaces=("shop",), kinds=(Kind.DEPLOYMENT,))
WEB = {"namespace": "shop", "deployment": "web"}
TRACKED = "portal:apps/Deployment:shop/web"
REPLICAS = {"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"]}

Json = dict[str, Any]


class Shop:
    """A cluster with the Deployment `web`, at rest, and a reader of it."""

    def __init__(self, server: SandboxServer, client: KubeClient) -> None:
        """Keep both."""
        self.server = server
        self.client = client
        self.reader = KubernetesReader(client, FixedClock())

    def put(self, *manifests: Json) -> None:
        """Add objects."""
        scenario.put(self.server.store, manifests)

    def mark(
        self,
        annotations: Json | None = None,
        *,
        labels: Json | None = None,
        resource: GroupResource = DEPLOYMENTS,
    ) -> None:
        """Set labels and annotations of an object."""
        told = {"annotations": annotations or {}, "labels": labels or {}}
        self.server.store.mutate(resource, "shop", "web", lambda obj: {**obj, "metadata": {**obj["metadata"], **told}})

    async def facts(self) -> Facts:
        """Read the facts with what is around."""
        _, facts = await self.reader.resolve_and_read(WEB, SHOP, around=True)
        return facts

    async def around(self) -> Surroundings:
        """Return what is around."""
        facts = await self.facts()
        assert facts.around is not None, facts
        return facts.around


@asynccontextmanager
async def opened(
    folder: Path, *manifests: Json, without: tuple[str, ...] = (), rules: Any = None
) -> AsyncIterator[Shop]:
    """Run a cluster; `rules`: what its account may do in the namespace, everything if None."""
    server = SandboxServer(catalogue=catalogue_without(without))
    url = await server.start()
    server.add_namespace("shop")
    server.add_namespace("argocd")
    scenario.put(server.store, [scenario.deployment("shop", "web", replicas=3), *manifests])
    token = server.admin_token
    if rules is not None:
        token = server.add_service_account("shop", "narrow", uid="narrow")
        server.store.seed(ROLES, [{"metadata": {"name": "narrow", "namespace": "shop"}, "rules": rules}])
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "narrow"}
        subjects = [{"kind": "ServiceAccount", "name": "narrow", "namespace": "shop"}]
        binding = {"metadata": {"name": "narrow", "namespace": "shop"}, "subjects": subjects, "roleRef": reference}
        server.store.seed(ROLE_BINDINGS, [binding])
    (folder / "token").write_text(token)
    (folder / "token").chmod(0o600)
    client = await KubeClient.connect(ClusterAccess(url=url, token_file=folder / "token"))
    try:
        yield Shop(server, client)
    finally:
        await client.close()
        await server.stop()


async def test_nothing_is_around(tmp_path: Path) -> None:
    """A plain workload: nobody scales it, nobody keeps it, no quota; and nothing is asked about it unless wanted."""
    async with opened(tmp_path) as shop:
        assert await shop.around() == Surroundings()
        _, facts = await shop.reader.resolve_and_read(WEB, SHOP)
        assert facts.around is None


async def test_what_is_not_installed_owns_nothing(tmp_path: Path) -> None:
    """Without KEDA and Argo CD their lists are 404, as text; the label that Helm sets too says nothing then."""
    async with opened(tmp_path, without=("keda.sh", "argoproj.io")) as shop:
        shop.mark(labels={"app.kubernetes.io/instance": "portal"})
        assert await shop.around() == Surroundings()


async def test_an_autoscaler_is_found_by_what_it_scales(tmp_path: Path) -> None:
    """Not that of another workload, or of another kind of the same name."""
    others = (scenario.autoscaler("shop", "other", most=9), scenario.autoscaler("shop", "web2", most=9))
    stateful = scenario.autoscaler("shop", "web-db", kind="StatefulSet", most=9)
    stateful["spec"]["scaleTargetRef"]["name"] = "web"
    async with opened(tmp_path, *others, stateful, scenario.autoscaler("shop", "web", least=2, most=6)) as shop:
        scaler = (await shop.around()).scaler
        assert scaler is not None
        assert (scaler.lever.kind, scaler.lever.name) == (LeverKind.AUTOSCALER, "web")
        assert scaler.lever.uid == shop.server.store.get(AUTOSCALERS, "shop", "web")["metadata"]["uid"]
        assert (scaler.minimum, scaler.maximum, scaler.keeper) == (2, 6, None)


async def test_a_scaled_object_comes_before_its_autoscaler(tmp_path: Path) -> None:
    """KEDA's autoscaler belongs to it; what it leaves out has KEDA's defaults, and it may be paused."""
    async with opened(tmp_path, scenario.scaled_object("shop", "web", most=8)) as shop:
        made = scenario.autoscaler("shop", "keda-hpa-web", most=8)
        made["spec"]["scaleTargetRef"]["name"] = "web"
        uid = shop.server.store.get(SCALED_OBJECTS, "shop", "web")["metadata"]["uid"]
        owner = {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "name": "web",
            "uid": uid,
            "controller": True,
        }
        made["metadata"]["ownerReferences"] = [owner]
        shop.put(made)
        scaler = (await shop.around()).scaler
        assert scaler is not None
        assert (scaler.lever.kind, scaler.lever.name, scaler.lever.uid) == (LeverKind.SCALED_OBJECT, "web", uid)
        assert (scaler.minimum, scaler.maximum, scaler.paused) == (None, 8, False)
    paused = scenario.scaled_object("shop", "web", least=1, most=8)
    paused["metadata"]["annotations"] = {"autoscaling.keda.sh/paused-replicas": "3"}
    del paused["spec"]["maxReplicaCount"]
    async with opened(tmp_path, paused) as shop:
        scaler = (await shop.around()).scaler
        assert scaler is not None
        assert (scaler.minimum, scaler.maximum, scaler.paused) == (1, 100, True)


async def test_several_autoscalers_are_unknown(tmp_path: Path) -> None:
    """Nobody can tell which one decides."""
    second = scenario.autoscaler("shop", "web-2", most=6)
    second["spec"]["scaleTargetRef"]["name"] = "web"
    async with opened(tmp_path, scenario.autoscaler("shop", "web", most=6), second) as shop:
        around = await shop.around()
        assert (around.scaler, around.unknown) == (
            None,
            ("several autoscalers scale it (web, web-2): leave one of them",),
        )


async def test_an_autoscaler_of_somebody_else_is_unknown(tmp_path: Path) -> None:
    """An operator made it and will take changes back; it cannot be read here."""
    made = scenario.autoscaler("shop", "web", most=6)
    made["metadata"]["ownerReferences"] = [
        {"apiVersion": "example.com/v1", "kind": "Shop", "name": "web", "uid": "u", "controller": True}
    ]
    async with opened(tmp_path, made) as shop:
        assert (await shop.around()).unknown == ("its autoscaler web belongs to Shop/web, which cannot be read here",)


READS: Json = {"verbs": ["get", "list"], "apiGroups": ["", "apps"], "resources": ["*"]}


async def test_what_may_not_be_read_is_unknown(tmp_path: Path) -> None:
    """Each with what to allow. A quota that may not be read is held to by the server all the same."""
    rules = [{**READS, "resources": ["deployments", "replicasets", "pods"]}]
    async with opened(tmp_path, rules=rules) as shop:
        shop.mark({"argocd.argoproj.io/tracking-id": TRACKED})
        told = tuple(text.removesuffix(".argoproj.io in the cluster") for text in (await shop.around()).unknown)
        allow, scales = "let remediator list", "whether something else scales it"
        assert told == (
            f"deployment/web in shop says that Argo CD has it as application portal: {allow} applications",
            f"{scales}: let remediator get and list horizontalpodautoscalers.autoscaling in shop",
            f"{scales}: let remediator get and list scaledobjects.keda.sh in shop",
        )
        shop.mark(labels={"app.kubernetes.io/instance": "web"})
        assert "carries the label app.kubernetes.io/instance=web" in (await shop.around()).unknown[0]


async def test_a_server_that_does_not_answer_is_tried_again(tmp_path: Path) -> None:
    """Then nothing at all is known, and it is no lasting refusal."""
    async with opened(tmp_path) as shop:

        async def broken(call: Call, proceed: Proceed) -> web.StreamResponse:
            if "horizontalpodautoscalers" in call.http.path:
                return web.Response(status=503, text="service unavailable")
            return await proceed()

        shop.server.middlewares.append(broken)
        facts = await shop.facts()
        assert (facts.around, facts.problem, facts.retryable) == (None, "cluster_unreachable", True)


def keeper(*ignores: str) -> Keeper:
    """Return the Application `portal` that heals itself."""
    return Keeper(tool="Argo CD application", name="portal", ignores=ignores)


@pytest.mark.parametrize(
    ("ignored", "ignores"),
    [
        ([], ()),
        ([REPLICAS], ("/spec/replicas",)),
        ([{**REPLICAS, "kind": "*", "group": "*"}], ("/spec/replicas",)),
        ([{**REPLICAS, "name": "other"}, {**REPLICAS, "kind": "StatefulSet"}, {**REPLICAS, "namespace": "x"}], ()),
        ([{"group": "apps", "kind": "Deployment", "jqPathExpressions": [".spec.replicas"]}], ("/spec/replicas",)),
        ([{"group": "apps", "kind": "Deployment", "jqPathExpressions": [".spec | select(.a)"]}], ()),
    ],
)
async def test_argo_cd_keeps_what_it_does_not_ignore(
    tmp_path: Path, ignored: list[Json], ignores: tuple[str, ...]
) -> None:
    """An Application with self-heal, found by its own annotation, and what of this very object it does not compare."""
    async with opened(tmp_path, scenario.application("portal", "shop", ignored=ignored)) as shop:
        shop.mark({"argocd.argoproj.io/tracking-id": TRACKED})
        found = (await shop.around()).keeper
        assert found == keeper(*ignores)
        assert found is not None
        assert found.reverts("spec", "replicas") == (not ignores)


@pytest.mark.parametrize("how", ["no self-heal", "by hand", "disabled", "skipped"])
async def test_an_application_that_does_not_heal_keeps_nothing(tmp_path: Path, how: str) -> None:
    """Git is compared, and nothing is taken back."""
    made = scenario.application("portal", "shop", self_heal=how != "no self-heal")
    if how == "by hand":
        made["spec"]["syncPolicy"] = {}
    if how == "disabled":
        made["spec"]["syncPolicy"]["automated"]["enabled"] = False
    if how == "skipped":
        made["metadata"]["annotations"]["argocd.argoproj.io/skip-reconcile"] = "true"
    async with opened(tmp_path, made) as shop:
        shop.mark({"argocd.argoproj.io/tracking-id": TRACKED})
        assert await shop.around() == Surroundings()


async def test_the_marks_of_argo_cd(tmp_path: Path) -> None:
    """A copied annotation counts for nothing; a label does if the Application fits; a lost one is unknown."""
    async with opened(tmp_path, scenario.application("portal", "shop"), scenario.application("far", "else")) as shop:
        shop.mark({"argocd.argoproj.io/tracking-id": "portal:apps/Deployment:shop/other"})
        assert await shop.around() == Surroundings()
        shop.mark(labels={"app.kubernetes.io/instance": "portal"})
        assert (await shop.around()).keeper == keeper()
        shop.mark(labels={"app.kubernetes.io/instance": "far"})
        assert await shop.around() == Surroundings()
        shop.mark({"argocd.argoproj.io/tracking-id": f"argocd_{TRACKED}"})
        assert (await shop.around()).keeper == keeper()
        shop.mark({"argocd.argoproj.io/tracking-id": f"elsewhere_{TRACKED}"})
        (told,) = (await shop.around()).unknown
        assert told.endswith("and there is none here: it may be an Argo CD of another cluster")
    async with opened(tmp_path, without=("argoproj.io",)) as shop:
        shop.mark({"argocd.argoproj.io/tracking-id": TRACKED})
        (told,) = (await shop.around()).unknown
        assert told.endswith("it may be an Argo CD of another cluster")


async def test_the_autoscaler_is_kept_in_git_by_itself(tmp_path: Path) -> None:
    """Its own marks count, not those of the workload."""
    made = scenario.autoscaler("shop", "web", least=2, most=6)
    mark = "portal:autoscaling/HorizontalPodAutoscaler:shop/web"
    made["metadata"]["annotations"] = {"argocd.argoproj.io/tracking-id": mark}
    async with opened(tmp_path, made, scenario.application("portal", "shop", ignored=[REPLICAS])) as shop:
        around = await shop.around()
        assert around.keeper is None
        assert around.scaler is not None
        assert around.scaler.keeper == keeper()


async def test_flux_keeps_what_carries_its_labels(tmp_path: Path) -> None:
    """Both of its controllers, unless the object was taken out of their hands."""
    async with opened(tmp_path) as shop:
        shop.mark(labels={"kustomize.toolkit.fluxcd.io/name": "apps"})
        assert (await shop.around()).keeper == Keeper(tool="Flux Kustomization", name="apps")
        shop.mark(labels={"helm.toolkit.fluxcd.io/name": "web"})
        assert (await shop.around()).keeper == Keeper(tool="Flux HelmRelease", name="web")
        labels = {"kustomize.toolkit.fluxcd.io/name": "apps"}
        shop.mark({"kustomize.toolkit.fluxcd.io/reconcile": "disabled"}, labels=labels)
        assert await shop.around() == Surroundings()


async def test_quotas_say_how_many_more_pods_fit(tmp_path: Path) -> None:
    """By the number of pods and by what each asks for; a request that is left out is the limit."""
    made = scenario.quota("shop", "small", pods="5", requests_cpu="2", limits_memory="4Gi", requests_storage="1Gi")
    async with opened(tmp_path, made) as shop:
        bare = scenario.template("web")
        bare["spec"]["containers"][0]["resources"] = {}
        plain = {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": bare}
        shop.server.store.mutate(DEPLOYMENTS, "shop", "web", lambda obj: {**obj, "spec": plain})
        used = {"pods": "3", "requests.cpu": "900m", "limits.memory": "3Gi", "requests.storage": "0"}
        shop.server.store.update_status(RESOURCE_QUOTAS, "shop", "small", {"hard": {}, "used": used})
        assert (await shop.around()).rooms == (Room(quota="small", key="pods", pods=2),)

        def change(obj: Json) -> Json:
            (container,) = obj["spec"]["template"]["spec"]["containers"]
            fuller = {**container, "resources": {"limits": {"cpu": "300m", "memory": "512Mi"}}}
            template = {**obj["spec"]["template"], "spec": {"containers": [fuller, {**container, "name": "side"}]}}
            return {**obj, "spec": {**obj["spec"], "template": template}}

        shop.server.store.mutate(DEPLOYMENTS, "shop", "web", change)
        shop.reader = KubernetesReader(shop.client, FixedClock())
        assert {room.key: room.pods for room in (await shop.around()).rooms} == {
            "pods": 2,
            "requests.cpu": 3,
            "limits.memory": 2,
        }


async def test_a_quota_with_scopes_is_not_counted(tmp_path: Path) -> None:
    """It is about some pods only, perhaps none of ours."""
    made = scenario.quota("shop", "best-effort", pods="0")
    made["spec"]["scopes"] = ["BestEffort"]
    async with opened(tmp_path, made) as shop:
        assert (await shop.around()).rooms == ()


async def test_budgets_over_the_pods_are_found(tmp_path: Path) -> None:
    """By their selector, once they have counted; where they may not be read there are none."""
    made = [scenario.budget("shop", name, min_available=2) for name in ("web", "other", "fresh")]
    made[2]["spec"]["selector"] = {"matchLabels": {"app": "web"}}
    for name, expression in (
        ("in", {"operator": "In", "values": ["web", "x"]}),
        ("not-in", {"operator": "NotIn", "values": ["web"]}),
        ("exists", {"operator": "Exists"}),
        ("absent", {"operator": "DoesNotExist"}),
    ):
        more = scenario.budget("shop", name)
        more["spec"]["selector"] = {"matchExpressions": [{"key": "app", **expression}]}
        made.append(more)
    async with opened(tmp_path, *made) as shop:
        counted = {"disruptionsAllowed": 0, "currentHealthy": 2, "desiredHealthy": 2, "expectedPods": 3}
        for item in made:
            if item["metadata"]["name"] != "fresh":
                shop.server.store.update_status(DISRUPTION_BUDGETS, "shop", item["metadata"]["name"], counted)
        found = (await shop.facts()).budgets
        assert [one.name for one in found] == ["exists", "in", "web"]
        assert found[0] == Budget(name="exists", desired=2, healthy=2, allowed=0)
    rules = [{**READS, "resources": ["deployments", "replicasets", "pods"]}]
    async with opened(tmp_path, *made, rules=rules) as shop:
        _, facts = await shop.reader.resolve_and_read(WEB, SHOP)
        assert (facts.problem, facts.budgets) == ("", ())


async def test_many_decisions_at_once_read_once(tmp_path: Path) -> None:
    """A list of each kind for a namespace, and what was read a moment ago will do."""
    async with opened(tmp_path) as shop:
        for _ in range(5):
            await shop.around()
        paths = [one.path for one in shop.server.requests if "/pods" not in one.path and "/apps/" not in one.path]
        assert sorted(path.rsplit("/", 1)[1] for path in paths) == [
            "horizontalpodautoscalers",
            "poddisruptionbudgets",
            "resourcequotas",
            "scaledobjects",
        ]


@pytest.mark.parametrize("resource", [AUTOSCALERS, SCALED_OBJECTS], ids=str)
async def test_a_lever_is_read_for_a_write(tmp_path: Path, resource: GroupResource) -> None:
    """Image and marks are its own, its bounds too; the facts are the workload's. A new one of the name is another."""
    made = (scenario.autoscaler if resource == AUTOSCALERS else scenario.scaled_object)("shop", "web", least=2, most=6)
    async with opened(tmp_path, made) as shop:
        shop.mark(
            resource=resource, annotations={"remediator.io/action": "a" * 40, "remediator.io/fence": "7", "secret": "x"}
        )
        facts = await shop.facts()
        assert facts.workload is not None
        assert facts.around is not None
        assert facts.around.scaler is not None
        lever, target = facts.around.scaler.lever, facts.workload.target
        live = await shop.reader.live(target, through=lever)
        stored = shop.server.store.get(resource, "shop", "web")["metadata"]
        assert (live.marker, live.fence, live.image.uid) == ("a" * 40, 7, lever.uid)
        assert live.image.resource_version == stored["resourceVersion"]
        assert live.image.object["metadata"]["annotations"] == {
            "remediator.io/action": "a" * 40,
            "remediator.io/fence": "7",
        }
        assert set(live.image.object["spec"]) >= {"scaleTargetRef"}
        assert live.facts.workload is not None
        assert live.facts.workload.replicas == 3
        assert live.facts.around == Surroundings(scaler=facts.around.scaler)
        assert await shop.reader.proof(target, "a" * 40, through=lever) is True
        assert await shop.reader.proof(target, "b" * 40, through=lever) is False
        shop.server.store.remove(resource, "shop", "web")
        shop.put(made)
        with pytest.raises(Exception, match="was deleted, or made anew"):
            await shop.reader.live(target, through=lever)


def test_what_is_written_to_an_autoscaler_moves_its_image() -> None:
    """It has no generation: its managers stand for it, without those of the status; else its version."""
    fields = {"manager": "kubectl", "operation": "Update", "time": "2026-01-01T00:00:00Z"}
    status = {"manager": "controller", "subresource": "status", "time": "2026-01-01T00:00:09Z"}

    def generation(*managers: Json, version: str = "1") -> int:
        meta: Json = {"uid": "u", "resourceVersion": version, "managedFields": list(managers)}
        return lever_image({"metadata": meta, "spec": {}}, Meta(uid="u", resource_version=version)).generation

    first = generation(fields)
    assert generation(fields, status, version="2") == first
    assert generation({**fields, "time": "2026-01-01T00:00:01Z"}) != first
    assert generation(fields, {**fields, "manager": "remediator-a7"}) != first
    assert generation(version="1") == generation(version="1") != generation(version="2")
    assert 0 < first < 2**63
    assert lever_image({"metadata": {}, "spec": {}}, Meta(uid="u", generation=4)).generation == 4


@pytest.mark.parametrize(
    ("text", "value"),
    [("500m", "0.5"), ("2Gi", str(2 * 2**30)), ("1e3", "1000"), ("0.5", "0.5"), (".5", "0.5"), ("3k", "3000")],
)
def test_amounts_are_read(text: str, value: str) -> None:
    """As Kubernetes writes them."""
    found = amount(text)
    assert found is not None
    assert found == type(found)(value)


@pytest.mark.parametrize("text", ["", "x", "1Q", "1 Gi", "-", ".", "1e999", "9" * 70])
def test_what_is_no_amount(text: str) -> None:
    """It counts for nothing, and breaks nothing."""
    assert amount(text) is None
