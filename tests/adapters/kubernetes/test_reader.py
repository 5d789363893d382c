"""Labels to one workload inside what the rule allows, its facts, and what of both cannot be had."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from remediator.adapters.kubernetes.client import KubeClient
from remediator.adapters.kubernetes.reader import KubernetesReader
from remediator.adapters.kubernetes.resolve import Named, OfPod, OfService, clue_of
from remediator.model.errors import ClusterError
from remediator.model.facts import Facts
from remediator.model.rule import TargetSpec
from remediator.model.target import Kind, Target
from remediator.ports.cluster import Resolution
from tests.adapters.kubernetes.given import (
    NAMESPACE,
    NOW,
    PATH,
    SPEC,
    TARGET,
    UID,
    Answer,
    FixedClock,
    Json,
    cluster,
    connected,
    deployment,
    listing,
    owner,
    pod,
    refusal,
    replica_set,
)

PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
SERVICES = f"/api/v1/namespaces/{NAMESPACE}/services"
BUDGETS = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets"
REPLICA_SETS = f"/apis/apps/v1/namespaces/{NAMESPACE}/replicasets"
STATEFUL_SETS = f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets"
REVISIONS = f"/apis/apps/v1/namespaces/{NAMESPACE}/controllerrevisions"
HERE = {"namespace": NAMESPACE}
ONE_KIND = TargetSpec(namespaces=(NAMESPACE,), kinds=(Kind.DEPLOYMENT,))


def unhealthy(**metadata: Any) -> Json:
    """Return the Deployment in the middle of a rollout."""
    document = deployment(**metadata)
    document["status"] |= {"updatedReplicas": 1, "replicas": 4}
    return document


def service(selector: dict[str, str] | None) -> Json:
    """Return a service."""
    return {"metadata": {"name": "web", "namespace": NAMESPACE}, "spec": {"selector": selector}}


WORLD: dict[str, Answer] = {
    PATH: deployment(),
    PODS: listing(pod("backstage-1"), pod("backstage-2")),
    f"{PODS}/backstage-1": pod("backstage-1"),
    f"{PODS}/lonely": pod("lonely", owned={}),
    f"{PODS}/job": pod("job", owned=owner("Job", "backup", "j", "batch/v1")),
    f"{PODS}/rollout": pod("rollout", owned=owner("Deployment", "backstage", UID, "argoproj.io/v1alpha1")),
    f"{REPLICA_SETS}/backstage-1": replica_set("backstage-1", uid="rs-1"),
    REPLICA_SETS: listing(replica_set("backstage-1", uid="rs-1")),
    f"{SERVICES}/web": service({"app": "backstage"}),
    f"{SERVICES}/external": service(None),
}


async def resolved(
    labels: dict[str, str], spec: TargetSpec = SPEC, answers: dict[str, Answer] | None = None
) -> tuple[Resolution, list[str]]:
    """Resolve against a canned cluster; return the resolution and the paths that were asked for."""
    async with cluster(WORLD if answers is None else answers) as (canned, client):
        resolution = await KubernetesReader(client, FixedClock()).resolve(labels, spec)
    return resolution, canned.paths


@pytest.mark.parametrize(
    ("labels", "clue"),
    [
        ({"deployment": "backstage"}, Named(namespace=NAMESPACE, name="backstage", kinds=(Kind.DEPLOYMENT,))),
        ({"statefulset": "db"}, Named(namespace=NAMESPACE, name="db", kinds=(Kind.STATEFULSET,))),
        ({"deployment": "", "pod": "p-1"}, OfPod(namespace=NAMESPACE, pod="p-1")),
        (
            {"deployment": "backstage", "pod": "p", "service": "s"},
            Named(namespace=NAMESPACE, name="backstage", kinds=(Kind.DEPLOYMENT,)),
        ),
        ({"pod": "p", "service": "s"}, OfPod(namespace=NAMESPACE, pod="p")),
        ({"service": "s"}, OfService(namespace=NAMESPACE, service="s")),
        (
            {"workload": "x", "workload_type": "StatefulSet"},
            Named(namespace=NAMESPACE, name="x", kinds=(Kind.STATEFULSET,)),
        ),
        ({"workload": "x"}, Named(namespace=NAMESPACE, name="x", kinds=SPEC.kinds)),
    ],
)
def test_labels_are_a_clue(labels: dict[str, str], clue: object) -> None:
    """An explicit workload before the pod, the pod before the service; an empty label is none."""
    assert clue_of({**HERE, **labels}, SPEC) == clue


@pytest.mark.parametrize(
    ("labels", "problem", "words"),
    [
        ({"deployment": "backstage"}, "target_missing", "no label namespace"),
        ({"namespace": "", "deployment": "backstage"}, "target_missing", "no label namespace"),
        (HERE, "target_missing", "no label deployment"),
        ({"namespace": "kube-system", "deployment": "x"}, "target_not_allowed", "kube-system is not among"),
        ({"namespace": "../x", "deployment": "x"}, "target_not_allowed", "not the name of a namespace"),
        ({**HERE, "daemonset": "x"}, "target_not_allowed", "kind DaemonSet"),
        ({**HERE, "workload": "x", "workload_type": "cronjob"}, "target_not_allowed", "workload_type"),
        ({**HERE, "workload": "x", "workload_type": "daemonset"}, "target_not_allowed", "kind DaemonSet"),
        ({**HERE, "deployment": "x", "statefulset": "y"}, "target_ambiguous", "several"),
        ({**HERE, "deployment": "../../secrets/x"}, "target_not_allowed", "not a name"),
        ({**HERE, "pod": "p?x=1"}, "target_not_allowed", "not a name"),
        ({**HERE, "service": "S"}, "target_not_allowed", "not a name"),
        ({**HERE, "deployment": "x" * 254}, "target_not_allowed", "not a name"),
    ],
)
async def test_labels_outside_the_rule_lead_nowhere(labels: dict[str, str], problem: str, words: str) -> None:
    """Each has its word, says why, and costs no request."""
    resolution, asked = await resolved(labels)
    assert (resolution.target, resolution.problem, resolution.retryable) == (None, problem, False)
    assert words in resolution.detail
    assert not asked


@given(
    labels=st.dictionaries(
        st.sampled_from(["namespace", "deployment", "pod", "service", "workload", "workload_type"]),
        st.text(max_size=20),
    )
)
def test_no_label_reaches_a_path_unchecked(labels: dict[str, str]) -> None:
    """Whatever the labels hold, a clue has names of DNS-1123 only, and the rule's namespaces and kinds."""
    clue = clue_of(labels, SPEC)
    match clue:
        case Named(name=name) | OfPod(pod=name) | OfService(service=name):
            assert clue.namespace in SPEC.namespaces
            assert name
            assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")
        case Resolution():
            assert clue.target is None


async def test_the_rule_may_name_its_target() -> None:
    """Then labels choose the namespace at most; with one namespace not even that."""
    named = TargetSpec(namespaces=(NAMESPACE,), kinds=(Kind.DEPLOYMENT,), name="backstage")
    for labels in ({}, {"namespace": NAMESPACE, "deployment": "other"}):
        resolution, asked = await resolved(labels, named)
        assert resolution == Resolution(target=TARGET)
        assert asked == [PATH]
    elsewhere, _ = await resolved({"namespace": "other"}, named)
    assert elsewhere.problem == "target_not_allowed"
    two = TargetSpec(namespaces=(NAMESPACE, "dev-portal"), kinds=(Kind.DEPLOYMENT,), name="backstage")
    missing, _ = await resolved({}, two)
    assert missing.problem == "target_missing"


async def test_a_name_without_a_kind_is_looked_up_in_every_kind() -> None:
    """One hit is the target; two are ambiguous; none is not found; a server that fails is not an absence."""
    labels = {**HERE, "workload": "backstage"}
    stateful = f"{STATEFUL_SETS}/backstage"
    resolution, asked = await resolved(labels)
    assert resolution.target == TARGET
    assert sorted(asked) == sorted([PATH, stateful])
    both, _ = await resolved(labels, answers={**WORLD, stateful: deployment()})
    assert both.problem == "target_ambiguous"
    none, _ = await resolved(labels, answers={})
    assert none.problem == "target_not_found"
    broken, _ = await resolved(labels, answers={**WORLD, stateful: refusal(500, "InternalError")})
    assert (broken.problem, broken.retryable) == ("cluster_unreachable", True)
    hinted, asked = await resolved({**labels, "workload_type": "Deployment"})
    assert (hinted.target, asked) == (TARGET, [PATH])


async def test_a_pod_leads_to_its_deployment() -> None:
    """By ownerReferences: pod, ReplicaSet, Deployment."""
    resolution, asked = await resolved({**HERE, "pod": "backstage-1"})
    assert resolution.target == TARGET
    assert asked == [f"{PODS}/backstage-1", f"{REPLICA_SETS}/backstage-1", PATH]


@pytest.mark.parametrize(
    ("name", "answers", "problem"),
    [
        ("lonely", {}, "target_not_allowed"),
        ("job", {}, "target_not_allowed"),
        ("rollout", {}, "target_not_allowed"),
        ("gone", {}, "target_not_found"),
        ("backstage-1", {f"{REPLICA_SETS}/backstage-1": replica_set("backstage-1", uid="anew")}, "target_not_found"),
        ("backstage-1", {PATH: deployment(uid="anew")}, "target_not_found"),
    ],
)
async def test_a_pod_that_leads_elsewhere_is_a_problem(name: str, answers: dict[str, Answer], problem: str) -> None:
    """No owner, an owner of another kind or another API group, a pod that is gone, an owner that was made anew."""
    resolution, _ = await resolved({**HERE, "pod": name}, answers={**WORLD, **answers})
    assert (resolution.target, resolution.problem) == (None, problem)


async def test_a_replica_set_of_its_own_is_not_a_target() -> None:
    """Nobody above it: there is no rollout to restart."""
    bare = replica_set("backstage-1", uid="rs-1")
    del bare["metadata"]["ownerReferences"]
    resolution, _ = await resolved(
        {**HERE, "pod": "backstage-1"}, answers={**WORLD, f"{REPLICA_SETS}/backstage-1": bare}
    )
    assert resolution.problem == "target_not_found"


async def test_a_service_leads_to_the_one_workload_behind_it() -> None:
    """By its selector and the owners of the pods."""
    resolution, _ = await resolved({**HERE, "service": "web"})
    assert resolution.target == TARGET


@pytest.mark.parametrize(
    ("name", "pods", "problem"),
    [
        ("external", listing(pod("a")), "target_not_found"),
        ("nosuch", listing(), "target_not_found"),
        ("web", listing(), "target_not_found"),
        ("web", listing(pod("lonely", owned={})), "target_not_found"),
        ("web", listing(pod("a"), pod("b", owned=owner("StatefulSet", "db", "sts-1"))), "target_ambiguous"),
        ("web", listing(pod("a"), pod("b", owned=owner("Job", "x", "j", "batch/v1"))), "target_not_allowed"),
        (
            "web",
            listing(*(pod(f"p{n}", owned=owner("ReplicaSet", f"r{n}", f"r{n}")) for n in range(11))),
            "target_ambiguous",
        ),
    ],
)
async def test_a_service_that_does_not_lead_to_one_workload_is_a_problem(name: str, pods: Json, problem: str) -> None:
    """No selector, no pods, no owners, several, too many, or a kind that the rule does not allow."""
    stateful = {**deployment("db", uid="sts-1"), "kind": "StatefulSet"}
    answers = {**WORLD, PODS: pods, f"{STATEFUL_SETS}/db": stateful}
    resolution, _ = await resolved({**HERE, "service": name}, answers=answers)
    assert (resolution.target, resolution.problem) == (None, problem)


@pytest.mark.parametrize(
    ("answer", "problem", "retryable"),
    [
        (refusal(403, "Forbidden"), "target_not_allowed", False),
        (refusal(401, "Unauthorized"), "cluster_unreachable", True),
        (refusal(503, "ServiceUnavailable"), "cluster_unreachable", True),
        (web.Response(text="<html>"), "cluster_unreachable", True),
    ],
)
async def test_what_cannot_be_read_is_told_from_what_is_not_there(
    answer: web.Response, problem: str, retryable: bool
) -> None:
    """Unknown is not absent: only a 404 is."""
    resolution, _ = await resolved({**HERE, "deployment": "backstage"}, answers={PATH: answer})
    assert (resolution.problem, resolution.retryable) == (problem, retryable)


async def test_an_unreachable_cluster_is_a_retryable_problem(unused_tcp_port: int) -> None:
    """Nobody listens there."""
    async with connected(f"http://127.0.0.1:{unused_tcp_port}") as client:
        reader = KubernetesReader(client, FixedClock())
        resolution, facts = await reader.resolve_and_read({**HERE, "deployment": "backstage"}, SPEC)
        with pytest.raises(ClusterError, match="no connection"):
            await reader.live(TARGET)
        with pytest.raises(ClusterError, match="no connection"):
            await reader.proof(TARGET, "a")
    assert (resolution.problem, resolution.retryable) == ("cluster_unreachable", True)
    assert (facts.problem, facts.retryable, facts.workload) == ("cluster_unreachable", True, None)


async def read(client: KubeClient) -> Facts:
    """Return the facts of the Deployment that an alert names."""
    _, facts = await KubernetesReader(client, FixedClock()).resolve_and_read(
        {**HERE, "deployment": "backstage"}, ONE_KIND
    )
    return facts


def short_of_pods() -> Json:
    """Return the Deployment, rolled out but for a pod that is not ready."""
    document = deployment()
    document["status"] |= {"readyReplicas": 2}
    return document


async def test_a_named_workload_and_its_facts_take_one_request() -> None:
    """The read that finds it is the one that its facts are made of; nobody asks about pods of one that is well."""
    async with cluster(WORLD) as (canned, client):
        reader = KubernetesReader(client, FixedClock())
        resolution, facts = await reader.resolve_and_read({**HERE, "deployment": "backstage"}, ONE_KIND)
        again = await reader.facts(TARGET)
    assert resolution == Resolution(target=TARGET)
    assert canned.paths == [PATH, PATH]
    assert (facts.read_at, facts.pods) == (NOW, ())
    assert again == facts


async def test_pods_are_listed_where_one_is_not_ready() -> None:
    """They say why; nobody asks about ReplicaSets while nothing rolls."""
    async with cluster({**WORLD, PATH: short_of_pods()}) as (canned, client):
        facts = await read(client)
    assert (canned.paths[0], sorted(canned.paths)) == (PATH, sorted([PATH, PODS, BUDGETS]))
    assert [one.query["labelSelector"] for one in canned.requests if one.path == PODS] == ["app=backstage"]
    assert [item.name for item in facts.pods] == ["backstage-1", "backstage-2"]
    assert facts.workload is not None
    assert (facts.workload.target, facts.workload.replicas, facts.workload.revision) == (TARGET, 3, "4")


async def test_a_rollout_under_way_says_when_it_began() -> None:
    """Four requests, and the newest ReplicaSet is the beginning."""
    async with cluster({**WORLD, PATH: unhealthy()}) as (canned, client):
        facts = await read(client)
    assert sorted(canned.paths) == sorted([PATH, PODS, REPLICA_SETS, BUDGETS])
    assert facts.workload is not None
    assert facts.workload.rollout_started_at is not None


@pytest.mark.parametrize(
    ("failing", "known", "problem"),
    [
        (REPLICA_SETS, refusal(403, "Forbidden"), ""),
        (REPLICA_SETS, refusal(500, "InternalError"), "cluster_unreachable"),
        (PODS, refusal(403, "Forbidden"), "target_not_allowed"),
        (PODS, refusal(500, "InternalError"), "cluster_unreachable"),
    ],
)
async def test_half_a_picture_is_none(failing: str, known: web.Response, problem: str) -> None:
    """Without its pods a workload is unknown; without the right to list ReplicaSets only the beginning is."""
    async with cluster({**WORLD, PATH: unhealthy(), failing: known}) as (_, client):
        facts = await read(client)
    assert facts.problem == problem
    assert (facts.workload is None) is bool(problem)


async def test_a_workload_that_was_made_anew_is_not_the_target() -> None:
    """Another uid is another object, for facts, for a write and for a proof."""
    async with cluster({**WORLD, PATH: deployment(uid="anew")}) as (_, client):
        reader = KubernetesReader(client, FixedClock())
        assert (await reader.facts(TARGET)).problem == "target_not_found"
        with pytest.raises(ClusterError) as caught:
            await reader.live(TARGET)
        assert await reader.proof(TARGET, "a") is None
    assert caught.value.reason == "not_found"


async def test_an_empty_selector_selects_nothing() -> None:
    """It would be every pod of the namespace."""
    document = deployment()
    document["spec"]["selector"] = {}
    async with cluster({**WORLD, PATH: document}) as (canned, client):
        facts = await read(client)
    assert (facts.problem, canned.paths) == ("target_not_found", [PATH])


async def test_a_selector_that_nobody_knows_selects_nothing() -> None:
    """An operator of another Kubernetes: its pods are unknown, and nobody guesses."""
    document = deployment()
    document["spec"]["selector"] = {"matchExpressions": [{"key": "a", "operator": "Like"}]}
    async with cluster({**WORLD, PATH: document}) as (canned, client):
        facts = await read(client)
    assert (facts.problem, facts.workload, canned.paths) == ("cluster_unreachable", None, [PATH])


async def test_a_live_object_has_its_image_and_marks() -> None:
    """One request; the marks of whoever wrote last; no pods."""
    marks = {"remediator.io/action": "earlier", "remediator.io/fence": "6"}
    async with cluster({PATH: deployment(annotations=marks)}) as (canned, client):
        live = await KubernetesReader(client, FixedClock()).live(TARGET)
    assert (live.marker, live.fence, live.image.uid, live.image.resource_version) == ("earlier", 6, UID, "100")
    assert live.facts.workload is not None
    assert live.facts.pods == ()
    assert canned.paths == [PATH]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (deployment(deletionTimestamp="2026-11-23T10:00:00Z"), "not_found"),
        (deployment(annotations={"remediator.io/fence": "soon"}), "bad_mark"),
        (refusal(404, "NotFound"), "not_found"),
        (refusal(403, "Forbidden"), "forbidden"),
        (web.Response(text="{"), "malformed"),
    ],
)
async def test_what_cannot_be_written_to_is_an_error(answer: Answer, reason: str) -> None:
    """Being deleted, marked by somebody else, absent, forbidden, unreadable."""
    async with cluster({PATH: answer}) as (_, client):
        with pytest.raises(ClusterError) as caught:
            await KubernetesReader(client, FixedClock()).live(TARGET)
    assert caught.value.reason == reason


async def test_a_target_that_is_no_name_is_not_asked_for() -> None:
    """Whoever made it."""
    target = Target(kind=Kind.DEPLOYMENT, namespace=NAMESPACE, name="../secrets")
    async with cluster({}) as (canned, client):
        assert (await KubernetesReader(client, FixedClock()).facts(target)).problem == "target_not_found"
    assert not canned.paths


@pytest.mark.parametrize(
    ("answers", "proof"),
    [
        ({PATH: deployment(annotations={"remediator.io/action": "mine"})}, True),
        ({REPLICA_SETS: listing(replica_set("r", uid="r", annotations={"remediator.io/action": "mine"}))}, True),
        (
            {
                REPLICA_SETS: listing(
                    replica_set("r", uid="r", owner_uid="x", annotations={"remediator.io/action": "mine"})
                )
            },
            False,
        ),
        ({}, False),
        ({PATH: refusal(404, "NotFound")}, None),
        ({REPLICA_SETS: refusal(403, "Forbidden")}, None),
    ],
)
async def test_proof_is_looked_for_where_it_may_be(answers: dict[str, Answer], proof: bool | None) -> None:
    """On the object, on the templates of its own ReplicaSets; None where nobody can know."""
    async with cluster({**WORLD, **answers}) as (_, client):
        assert await KubernetesReader(client, FixedClock()).proof(TARGET, "mine") is proof


async def test_a_template_mark_is_proof() -> None:
    """The object's own annotation may have been wiped."""
    document = deployment()
    document["spec"]["template"]["metadata"]["annotations"] = {"remediator.io/action": "mine"}
    async with cluster({PATH: document}) as (_, client):
        assert await KubernetesReader(client, FixedClock()).proof(TARGET, "mine") is True


async def test_proof_that_cannot_be_had_now_is_an_error() -> None:
    """A server that fails may answer later: that is not the same as nobody knowing."""
    async with cluster({**WORLD, REPLICA_SETS: refusal(500, "InternalError")}) as (_, client):
        with pytest.raises(ClusterError) as caught:
            await KubernetesReader(client, FixedClock()).proof(TARGET, "mine")
    assert caught.value.retryable


async def test_controller_revisions_prove_what_a_stateful_set_was() -> None:
    """A StatefulSet leaves its templates in ControllerRevisions."""
    target = Target(kind=Kind.STATEFULSET, namespace=NAMESPACE, name="db", uid="sts-1")
    template = {"metadata": {"annotations": {"remediator.io/action": "mine"}}}
    revision = {
        "metadata": {
            "name": "db-1",
            "creationTimestamp": "2026-11-22T08:00:00Z",
            **owner("StatefulSet", "db", "sts-1"),
        },
        "revision": 1,
        "data": {"spec": {"template": template}},
    }
    document = unhealthy(uid="sts-1")
    answers: dict[str, Answer] = {f"{STATEFUL_SETS}/db": document, REVISIONS: listing(revision), PODS: listing()}
    async with cluster(answers) as (_, client):
        reader = KubernetesReader(client, FixedClock())
        assert await reader.proof(target, "mine") is True
        assert await reader.proof(target, "other") is False
        _, facts = await reader.resolve_and_read({**HERE, "statefulset": "db"}, SPEC)
    assert facts.workload is not None
    assert facts.workload.revision == "db-1"
    assert facts.workload.rollout_started_at is not None
