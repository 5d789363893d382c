"""The shipped admission policies, enforced by the sandbox: what our user may still write, and what not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remediator.adapters.kubernetes.access import ClusterAccess
from remediator.adapters.kubernetes.client import Answer, KubeClient, Request
from remediator.adapters.kubernetes.marks import ACTION, FENCE
from remediator.adapters.kubernetes.policy import DEFAULT_USER, manifest, service_account_user
from remediator.adapters.kubernetes.writer import KubernetesWriter
from remediator.core.bounds import highest_replicas
from remediator.model.errors import ConfigError
from remediator.model.plan import PatchObject
from remediator.model.target import Kind, Target
from remediator.ports.cluster import Applied, WriteMark, WriteRefused
from remediator.sandbox import scenario
from remediator.sandbox.auth import MASTERS
from remediator.sandbox.calls import User
from remediator.sandbox.cluster import SandboxCluster

CAP = 20
FIRST, SECOND = "a" * 40, "b" * 40
WORKLOADS = "ValidatingAdmissionPolicy 'remediator-workloads' with binding 'remediator-workloads'"
NOTHING_ELSE = "ValidatingAdmissionPolicy 'remediator-nothing-else' with binding 'remediator-nothing-else'"
APPS = "/apis/apps/v1/namespaces/shop"
WEB = f"{APPS}/deployments/web"
PLURALS = {Kind.DEPLOYMENT: "deployments", Kind.STATEFULSET: "statefulsets", Kind.DAEMONSET: "daemonsets"}

Json = dict[str, Any]


class Guarded:
    """A cluster with the policies in it, our user, and somebody else. Both may do anything as far as RBAC goes."""

    def __init__(self, sandbox: SandboxCluster, ours: KubeClient, others: KubeClient) -> None:
        """Keep the clients."""
        self.sandbox = sandbox
        self.ours = ours
        self.others = others

    async def apply(self, documents: list[Json]) -> None:
        """Make policies and bindings, or replace those of the same name."""
        for document in documents:
            path = f"/apis/admissionregistration.k8s.io/v1/{_plural(document)}"
            made = await send(self.others, "POST", path, document)
            if made.status == 409:
                made = await send(self.others, "PUT", f"{path}/{document['metadata']['name']}", document)
            assert made.ok, made.body

    def fence(self, kind: str, name: str) -> str:
        """Return the fence on a workload."""
        annotations = self.sandbox.workload(kind, "shop", name)["metadata"].get("annotations", {})
        return str(annotations.get(FENCE, ""))

    async def write(self, step: PatchObject, fence: int, action: str = FIRST) -> Applied | WriteRefused:
        """Send a step by our own writer, based on the object as it is."""
        live = self.sandbox.workload(step.target.kind.value, "shop", step.target.name)["metadata"]
        mark = WriteMark(
            action_id=action, number=1, fence=fence, uid=live["uid"], resource_version=live["resourceVersion"]
        )
        result = await KubernetesWriter(self.ours).patch(step, mark)
        assert isinstance(result, Applied | WriteRefused)
        return result


def _plural(document: Json) -> str:
    word = str(document["kind"]).lower()
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"


def documents(user: str = DEFAULT_USER, cap: int = CAP) -> list[Json]:
    """Return the manifest's objects."""
    return list(yaml.safe_load_all(manifest(user, cap)))


async def send(client: KubeClient, method: str, path: str, body: Any = None, *, dry_run: bool = False) -> Answer:
    """Send one request."""
    content = "application/merge-patch+json" if method == "PATCH" else "application/json"
    return await client.send(
        Request(
            method=method,
            path=path,
            query={"dryRun": "All"} if dry_run else {},
            body=None if body is None else msgspec.json.encode(body),
            content_type=content if body is not None else "",
        )
    )


@asynccontextmanager
async def standing(folder: Path) -> AsyncIterator[Guarded]:
    """Run a cluster with one workload of each kind, at rest, and the policies."""
    seed = [
        scenario.namespace("shop"),
        scenario.deployment("shop", "web", replicas=3),
        scenario.stateful_set("shop", "db", replicas=3),
        scenario.daemon_set("shop", "agent"),
        scenario.service("shop", "web"),
    ]
    sandbox = SandboxCluster(seed=seed)
    await sandbox.server.start()
    clients = []
    for number, name in enumerate((DEFAULT_USER, "somebody")):
        token = f"token-{number}"
        sandbox.server.tokens.add(token, User(name, (MASTERS,)))
        (folder / token).write_text(token)
        clients.append(await KubeClient.connect(ClusterAccess(url=sandbox.url, token_file=folder / token)))
    try:
        guarded = Guarded(sandbox, *clients)
        await guarded.apply(documents())
        yield guarded
    finally:
        for client in clients:
            await client.close()
        await sandbox.server.stop()


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    """As ``standing``."""
    async with standing(tmp_path) as cluster:
        yield cluster


def target(kind: Kind, name: str) -> Target:
    """Return a workload of the cluster."""
    return Target(kind=kind, namespace="shop", name=name)


def restart(kind: Kind = Kind.DEPLOYMENT, name: str = "web") -> PatchObject:
    """Return the step of a restart."""
    return PatchObject(target=target(kind, name), patch={}, mark_template=True)


def scale(count: int, kind: Kind = Kind.DEPLOYMENT, name: str = "web") -> PatchObject:
    """Return the step of a scale."""
    return PatchObject(
        target=target(kind, name), patch={"spec": {"replicas": count}}, expected={"spec.replicas": count}
    )


def denied(result: Applied | WriteRefused, said: str) -> bool:
    """Tell whether the policy about workloads refused a write with these words."""
    return isinstance(result, WriteRefused) and result.reason == "invalid" and f"{WORKLOADS} denied" in result.message \
        and said in result.message  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name"), [(Kind.DEPLOYMENT, "web"), (Kind.STATEFULSET, "db"), (Kind.DAEMONSET, "agent")]
)
async def test_what_our_actions_write_is_let_through(guarded: Guarded, kind: Kind, name: str) -> None:
    """Restarts and scales of every kind, each with a higher fence than the one before."""
    assert isinstance(await guarded.write(restart(kind, name), 5), Applied)
    assert isinstance(await guarded.write(restart(kind, name), 6, SECOND), Applied)
    if kind is not Kind.DAEMONSET:
        assert isinstance(await guarded.write(scale(6, kind, name), 7), Applied)
        assert isinstance(await guarded.write(scale(3, kind, name), 8, SECOND), Applied)
    assert guarded.fence(kind.value, name) == ("6" if kind is Kind.DAEMONSET else "8")


async def test_fences_only_rise(guarded: Guarded) -> None:
    """A lower fence is refused, an equal one too unless it is the very same action; nothing of it is stored."""
    assert isinstance(await guarded.write(restart(), 5), Applied)
    assert denied(await guarded.write(restart(), 4, SECOND), "stale fence 4, the object carries 5")
    assert denied(await guarded.write(restart(), 5, SECOND), "stale fence 5")
    assert denied(await guarded.write(restart(), 0, SECOND), "stale fence 0")
    assert guarded.fence("Deployment", "web") == "5"
    assert isinstance(await guarded.write(scale(4), 5, FIRST), Applied), "a second step of the same claim"
    assert isinstance(await guarded.write(restart(), 10, SECOND), Applied)
    assert denied(await guarded.write(restart(), 9), "stale fence 9"), "fences are compared as numbers"


async def test_of_many_writers_only_those_in_rising_order_win(guarded: Guarded) -> None:
    """Whatever order they come in, the fences that were stored rise."""
    stored: list[int] = []
    for fence in (3, 1, 7, 2, 7, 6, 12, 11, 13):
        result = await guarded.write(restart(), fence, f"{fence:040x}" if fence != 7 else f"{len(stored):040x}")
        if isinstance(result, Applied):
            stored.append(fence)
    assert stored == [3, 7, 12, 13]


async def test_a_fence_that_is_no_number_is_named(guarded: Guarded) -> None:
    """Somebody has written into our annotation: the answer says what to do."""
    body = {"metadata": {"annotations": {FENCE: "soon"}}}
    assert (await send(guarded.others, "PATCH", WEB, body)).ok
    assert denied(await guarded.write(restart(), 9), "is not a number; remove it")


def marked(fence: str = "9", action: str = SECOND, **spec: Any) -> Json:
    """Return a patch of a spec with good marks."""
    return {"metadata": {"annotations": {ACTION: action, FENCE: fence}}, "spec": spec}


def pods(**spec: Any) -> Json:
    """Return a patch of the pod template's spec with good marks."""
    return marked(template={"spec": spec})


def container(**fields: Any) -> Json:
    """Return a patch of the only container with good marks. A merge patch replaces the whole list."""
    whole = scenario.template("web")["spec"]["containers"][0]
    return pods(containers=[{**whole, **fields}])


def with_metadata(**fields: Any) -> Json:
    """Return a patch of metadata, beside good marks."""
    patch = marked()
    patch["metadata"]["annotations"] |= fields.pop("annotations", {})
    return {**patch, "metadata": {**patch["metadata"], **fields}}


FORBIDDEN: dict[str, Json] = {
    "image": container(image="evil:1"),
    "command": container(command=["sh", "-c", "id"]),
    "args": container(args=["--debug"]),
    "env": container(env=[{"name": "DEBUG", "value": "1"}]),
    "resources": container(resources={"limits": {"memory": "8Gi"}}),
    "a container's security context": container(securityContext={"privileged": True}),
    "a container's volume mounts": container(volumeMounts=[{"name": "v", "mountPath": "/v"}]),
    "a second container": pods(containers=[{"name": "web", "image": "x"}, {"name": "more", "image": "y"}]),
    "init containers": pods(initContainers=[{"name": "first", "image": "x"}]),
    "service account": pods(serviceAccountName="admin"),
    "volumes": pods(volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
    "security context": pods(securityContext={"runAsUser": 0}),
    "host network": pods(hostNetwork=True),
    "host pid": pods(hostPID=True),
    "host ipc": pods(hostIPC=True),
    "node": pods(nodeName="node-0"),
    "node selector": pods(nodeSelector={"gpu": "yes"}),
    "the template's labels": marked(template={"metadata": {"labels": {"more": "x"}}}),
    "the template's other annotations": marked(template={"metadata": {"annotations": {"inject": "yes"}}}),
    "paused": marked(paused=True),
    "strategy": marked(minReadySeconds=5),
    "revision history": marked(revisionHistoryLimit=0),
    "no more pods": marked(replicas=0),
    "too many pods at once": marked(replicas=9),
    "labels": with_metadata(labels={"team": "x"}),
    "another annotation": with_metadata(annotations={"team": "x"}),
    "an opt-out that stands": with_metadata(annotations={"remediator.io/opt-out": None}),
    "a switch of ours": with_metadata(annotations={"remediator.io/opt-in": "true"}),
    "owners": with_metadata(ownerReferences=[{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "y"}]),
    "finalizers": with_metadata(finalizers=["example.com/hold"]),
    "no fence": {"metadata": {"annotations": {ACTION: SECOND}}},
    "no action": {"metadata": {"annotations": {ACTION: None, FENCE: "9"}}},
    "a fence with a sign": marked(fence="+9"),
    "a fence beyond all numbers": marked(fence="9" * 30),
    "an action that is none": marked(action="x"),
    "an old fence": marked(fence="4"),
    "the fence of another action": marked(fence="5"),
}


async def prepare(guarded: Guarded) -> None:
    """Let an action of ours have written, and an operator have opted out."""
    assert isinstance(await guarded.write(restart(), 5), Applied)
    opted_out = {"metadata": {"annotations": {"remediator.io/opt-out": "true"}}}
    assert (await send(guarded.others, "PATCH", WEB, opted_out)).ok


async def test_what_no_action_needs_is_refused(guarded: Guarded) -> None:
    """Each change that our user might be led to make is denied by name, written or only tried."""
    await prepare(guarded)
    version = guarded.sandbox.store.version
    for what, patch in FORBIDDEN.items():
        for dry_run in (True, False):
            answer = await send(guarded.ours, "PATCH", WEB, patch, dry_run=dry_run)
            assert answer.status == 422, (what, answer.status, answer.body)
            assert WORKLOADS.encode() in answer.body, (what, answer.body)
    assert guarded.sandbox.store.version == version


async def test_nobody_else_is_concerned(guarded: Guarded) -> None:
    """The same changes by another user are none of the policies' business."""
    await prepare(guarded)
    for what, patch in FORBIDDEN.items():
        answer = await send(guarded.others, "PATCH", WEB, patch, dry_run=True)
        assert b"denied request" not in answer.body, what
    for method, path, body in ELSEWHERE:
        answer = await send(guarded.others, method, path, body, dry_run=True)
        assert b"denied request" not in answer.body, (method, path)


async def test_each_validation_is_needed(guarded: Guarded) -> None:
    """Without any one of them something is let through, or refused only because the rest cannot be evaluated."""
    await prepare(guarded)
    bad_fence = {"metadata": {"annotations": {FENCE: "soon"}}}
    assert (await send(guarded.others, "PATCH", f"{APPS}/statefulsets/db", bad_fence)).ok
    attempts = [("PATCH", WEB, patch) for patch in FORBIDDEN.values()]
    attempts += [*BESIDE, ("PATCH", f"{APPS}/statefulsets/db", marked())]
    policy = documents()[0]
    validations = policy["spec"]["validations"]
    for index, validation in enumerate(validations):
        rest = validations[:index] + validations[index + 1 :]
        await guarded.apply([{**policy, "spec": {**policy["spec"], "validations": rest}}])
        answers = [await send(guarded.ours, *attempt, dry_run=True) for attempt in attempts]
        lost = [answer for answer in answers if answer.ok or b"resulted in error" in answer.body]
        assert lost, validation["message"]


BESIDE: tuple[tuple[str, str, Any], ...] = (
    ("PATCH", f"{WEB}/scale", {"spec": {"replicas": 4}}),
    ("PATCH", f"{WEB}/status", {"status": {"replicas": 9}}),
    ("DELETE", WEB, None),
    ("DELETE", f"{APPS}/deployments", None),
    ("POST", f"{APPS}/deployments", scenario.deployment("shop", "more")),
    ("PATCH", f"{APPS}/statefulsets/db/scale", {"spec": {"replicas": 4}}),
)
ELSEWHERE: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/api/v1/namespaces/shop/pods", {"metadata": {"name": "p"}, "spec": scenario.template("p")["spec"]}),
    ("POST", "/api/v1/namespaces/shop/secrets", {"metadata": {"name": "s"}}),
    ("POST", "/api/v1/namespaces/shop/configmaps", {"metadata": {"name": "c"}}),
    ("PATCH", "/api/v1/namespaces/shop/services/web", {"metadata": {"labels": {"a": "b"}}}),
    ("DELETE", "/api/v1/namespaces/shop/services/web", None),
    ("POST", "/api/v1/namespaces", {"metadata": {"name": "mine"}}),
    ("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", {"metadata": {"name": "r"}, "rules": []}),
)  # fmt: skip


async def test_workloads_are_changed_and_nothing_more(guarded: Guarded) -> None:
    """No creation, no deletion, no subresource: the scale subresource would drop our marks without a word."""
    for method, path, body in BESIDE:
        answer = await send(guarded.ours, method, path, body)
        assert answer.status == 422, (method, path, answer.body)
        assert WORKLOADS.encode() in answer.body
        assert b"may not create or delete them" in answer.body


SCALERS = "ValidatingAdmissionPolicy 'remediator-scalers' with binding 'remediator-scalers'"
HPA = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/web"
SCALED = "/apis/keda.sh/v1alpha1/namespaces/shop/scaledobjects/queue"


def bound(field: str, count: int, fence: str = "9", action: str = SECOND) -> Json:
    """Return a patch of one bound with good marks."""
    return {**marked(fence, action), "spec": {field: count}}


async def with_scalers(guarded: Guarded) -> None:
    """Let there be an autoscaler and a ScaledObject that carry marks of ours."""
    guarded.sandbox.put([scenario.autoscaler("shop", "web", most=6), scenario.scaled_object("shop", "queue", most=6)])
    for path, field in ((HPA, "minReplicas"), (SCALED, "minReplicaCount")):
        assert (await send(guarded.ours, "PATCH", path, bound(field, 2, "5", FIRST))).ok


async def test_bounds_of_scalers_may_be_changed(guarded: Guarded) -> None:
    """The fewest and the most pods, up and back down, each under a higher fence; KEDA's default too."""
    await with_scalers(guarded)
    for fence, spec in enumerate(({"minReplicas": 6}, {"maxReplicas": CAP}, {"minReplicas": 1, "maxReplicas": 6}), 6):
        answer = await send(guarded.ours, "PATCH", HPA, {**marked(str(fence)), "spec": spec})
        assert answer.ok, answer.body
    for fence, scaled in enumerate(({"minReplicaCount": 6}, {"maxReplicaCount": CAP}, {"minReplicaCount": None}), 6):
        answer = await send(guarded.ours, "PATCH", SCALED, {**marked(str(fence)), "spec": scaled})
        assert answer.ok, answer.body


def scaler_attempts() -> list[tuple[str, str, Any]]:
    """Return what our user must not do to what scales workloads."""
    attempts: list[tuple[str, str, Any]] = []
    for path, most in ((HPA, "maxReplicas"), (SCALED, "maxReplicaCount")):
        wrong = (
            bound(most, CAP + 1),
            marked(scaleTargetRef={"apiVersion": "apps/v1", "kind": "Deployment", "name": "other"}),
            bound(most, 7, "4"),
            bound(most, 7, "5"),
            bound(most, 7, "soon"),
            {"spec": {most: 7}, "metadata": {"annotations": {FENCE: "9", ACTION: "x"}}},
            with_metadata(labels={"team": "x"}),
            with_metadata(annotations={"team": "x"}),
            with_metadata(ownerReferences=[{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "y"}]),
        )
        attempts += [("PATCH", path, patch) for patch in wrong]
        attempts += [("PATCH", f"{path}/status", {"status": {}}), ("DELETE", path, None)]
    return attempts


async def test_nothing_else_of_scalers_may_be_changed(guarded: Guarded) -> None:
    """Not what they scale, not beyond the cap, not without rising fences, not their status; nor may they go."""
    await with_scalers(guarded)
    version = guarded.sandbox.store.version
    for method, path, body in scaler_attempts():
        answer = await send(guarded.ours, method, path, body)
        assert answer.status == 422, (method, path, body, answer.body)
        assert SCALERS.encode() in answer.body
    assert guarded.sandbox.store.version == version


async def test_each_validation_about_scalers_is_needed(guarded: Guarded) -> None:
    """Without any one of them something is let through, or refused only because the rest cannot be evaluated."""
    await with_scalers(guarded)
    guarded.sandbox.put([scenario.autoscaler("shop", "odd", most=6)])
    odd = f"{HPA[:-3]}odd"
    assert (await send(guarded.others, "PATCH", odd, {"metadata": {"annotations": {FENCE: "soon"}}})).ok
    policy = next(document for document in documents() if document["metadata"]["name"] == "remediator-scalers")
    validations = policy["spec"]["validations"]
    attempts = [*scaler_attempts(), ("PATCH", odd, marked(maxReplicas=7))]
    for index, validation in enumerate(validations):
        rest = validations[:index] + validations[index + 1 :]
        await guarded.apply([{**policy, "spec": {**policy["spec"], "validations": rest}}])
        answers = [await send(guarded.ours, *attempt, dry_run=True) for attempt in attempts]
        lost = [answer for answer in answers if answer.ok or b"resulted in error" in answer.body]
        assert lost, validation["message"]


async def test_nothing_but_workloads_is_written(guarded: Guarded) -> None:
    """Whatever RBAC would allow. What only asks, and what only reads, goes through."""
    for method, path, body in ELSEWHERE:
        answer = await send(guarded.ours, method, path, body)
        assert answer.status == 422, (method, path, answer.body)
        assert NOTHING_ELSE.encode() in answer.body
    review = {"kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert (await send(guarded.ours, "POST", path, {"apiVersion": "authorization.k8s.io/v1", **review})).ok
    assert (await send(guarded.ours, "GET", f"{APPS}/deployments")).ok


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.integers(1, 40), after=st.integers(0, 60), cap=st.integers(1, 50))
async def test_steps_are_bounded_as_the_core_bounds_them(guarded: Guarded, before: int, after: int, cap: int) -> None:
    """What the core may plan passes, and no step that it would not: the two know one bound."""
    await guarded.apply(documents(cap=cap))
    fence = str(int(guarded.fence("Deployment", "web") or "0") + 1)
    plain = {"metadata": {"annotations": {ACTION: None, FENCE: None}}, "spec": {"replicas": before}}
    assert (await send(guarded.others, "PATCH", WEB, plain)).ok
    answer = await send(guarded.ours, "PATCH", WEB, marked(fence=fence, replicas=after))
    allowed = 1 <= after <= max(before, min(cap, highest_replicas(before)))
    assert answer.ok is allowed, (before, after, cap, answer.body)


async def test_the_user_is_a_parameter(guarded: Guarded) -> None:
    """The policies concern the one user that they were made for, however it is called."""
    names = (
        'o"brien\\',
        "it's me",
        service_account_user("backstage", "machine"),
        "user {{ .Values.x }} @MAX_REPLICAS@",
    )
    for name in names:
        await guarded.apply(documents(user=name))
        assert (await send(guarded.ours, "PATCH", WEB, marked(paused=True), dry_run=True)).ok
        guarded.sandbox.server.tokens.add("token-0", User(name, (MASTERS,)))
        assert not (await send(guarded.ours, "PATCH", WEB, marked(paused=True), dry_run=True)).ok, name
        guarded.sandbox.server.tokens.add("token-0", User(DEFAULT_USER, (MASTERS,)))


@pytest.mark.parametrize("name", ["", "a\nb", "a\x00", "x" * 300])
def test_what_cannot_be_a_user_is_refused(name: str) -> None:
    """It would break the manifest."""
    with pytest.raises(ConfigError, match="user's name"):
        manifest(name, CAP)
