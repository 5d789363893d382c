"""Evidence: what the runbook looks at, each part for itself, capped, and without a secret in it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.adapters.kubernetes.budget import LARGEST_PART, fit, size
from remediator.adapters.kubernetes.evidence import KubernetesEvidence
from remediator.adapters.kubernetes.logs import KEPT_BYTES, LogSource, choose, clean
from remediator.adapters.kubernetes.summaries import history, items_of, keep, related_events, services_of
from remediator.model.plan import CaptureEvidence
from remediator.model.target import Kind, Target
from remediator.ports.cluster import EvidenceBundle
from tests.adapters.kubernetes.given import (
    NAMESPACE,
    PATH,
    TARGET,
    Answer,
    Canned,
    Json,
    cluster,
    deployment,
    listing,
    pod,
    refusal,
    replica_set,
)
from tests.adapters.kubernetes.test_client import silent

CORE = f"/api/v1/namespaces/{NAMESPACE}"
PODS = f"{CORE}/pods"
EVENTS = f"{CORE}/events"
SERVICES = f"{CORE}/services"
REPLICA_SETS = f"/apis/apps/v1/namespaces/{NAMESPACE}/replicasets"
SLICES = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
INGRESSES = f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/ingresses"
NODE = "/api/v1/nodes/node-1"
POD_USAGE = f"/apis/metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/pods"
NODE_USAGE = "/apis/metrics.k8s.io/v1beta1/nodes"
LOG = f"{PODS}/backstage-1-crash/log"
STEP = CaptureEvidence(target=TARGET)
CANARY = "zQ9canaryCanary"

CRASHING = {
    "phase": "Running",
    "conditions": [{"type": "Ready", "status": "False", "message": f"password={CANARY}"}],
    "containerStatuses": [
        {
            "name": "app",
            "ready": False,
            "restartCount": 3,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": f"token: {CANARY}"}},
            "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": f"Bearer {CANARY}"}},
        }
    ],
}


def event(name: str, at: str, kind: str = "Pod", **more: Any) -> Json:
    """Return an event about an object."""
    about = {"kind": kind, "name": name, "namespace": NAMESPACE}
    return {"involvedObject": about, "reason": "BackOff", "message": "Back-off", "lastTimestamp": at, **more}


async def log(request: web.Request) -> web.StreamResponse:
    """Answer like the log subresource: the previous run ends with an error."""
    which = "previous" if request.query.get("previous") else "present"
    return web.Response(text=f"2026-11-23T10:00:00Z {which} run\nDB_PASSWORD={CANARY}\nfailed: password={CANARY}\n")


WORLD: dict[str, Answer] = {
    PATH: deployment(annotations={"note": CANARY}),
    PODS: listing(pod("backstage-1-crash", status=CRASHING), pod("backstage-1-fine")),
    EVENTS: listing(
        event("backstage-1-crash", "2026-11-23T10:02:00Z", message=f"Error: postgres://u:{CANARY}@db/x"),
        event("backstage", "2026-11-23T10:01:00Z", "Deployment", reason="ScalingReplicaSet"),
        event("backstage-1", "2026-11-23T10:00:00Z", "ReplicaSet"),
        event("other-1-abc", "2026-11-23T10:00:30Z"),
    ),
    REPLICA_SETS: listing(
        replica_set("backstage-1", uid="r1", revision=4),
        replica_set("backstage-0", uid="r0", revision=3),
        replica_set("alien", uid="r9", revision=9, owner_uid="x"),
    ),
    SERVICES: listing(
        {"metadata": {"name": "backstage"}, "spec": {"selector": {"app": "backstage"}, "ports": [{"port": 80}]}},
        {"metadata": {"name": "other"}, "spec": {"selector": {"app": "other"}}},
        {"metadata": {"name": "external"}, "spec": {}},
    ),
    SLICES: listing({"metadata": {"name": "backstage-x"}, "endpoints": None, "addressType": "IPv4"}),
    INGRESSES: listing(
        {
            "metadata": {"name": "backstage"},
            "spec": {"rules": [{"http": {"paths": [{"path": "/", "backend": {"service": {"name": "backstage"}}}]}}]},
            "status": {"loadBalancer": {}},
        },
        {"metadata": {"name": "other"}, "spec": {"defaultBackend": {"service": {"name": "other"}}}},
    ),
    NODE: {"metadata": {"name": "node-1"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}},
    POD_USAGE: listing({"metadata": {"name": "p"}, "containers": [{"name": "app", "usage": {"cpu": "5m"}}]}),
    NODE_USAGE: listing({"metadata": {"name": "node-1"}, "usage": {"cpu": "1"}}, {"metadata": {"name": "node-2"}}),
    LOG: log,
    f"{PODS}/backstage-1-fine/log": log,
}


async def captured(
    answers: dict[str, Answer] | None = None, step: CaptureEvidence = STEP
) -> tuple[EvidenceBundle, Canned]:
    """Capture evidence of a canned cluster; an answer replaces the one of the same path."""
    async with cluster({**WORLD, **(answers or {})}) as (canned, client):
        return await KubernetesEvidence(client).capture(step), canned


async def test_everything_the_runbook_looks_at_is_there() -> None:
    """Pods, describe, events, logs with the previous run, endpoints, ingress, history, nodes and usage."""
    bundle, canned = await captured()
    assert sorted(bundle.parts) == [
        "endpoints",
        "endpoints/slices",
        "events",
        "ingress",
        "logs/backstage-1-crash/app",
        "logs/backstage-1-crash/app/previous",
        "logs/backstage-1-fine/app",
        "nodes",
        "pods",
        "rollout_history",
        "usage/nodes",
        "usage/pods",
        "workload",
    ]
    assert (bundle.truncated, bundle.missing) == ((), {})
    reads = {request.query.get("tailLines") for request in canned.requests if request.path == LOG}
    assert reads == {"200"}
    assert {request.method for request in canned.requests} == {"GET"}


async def test_parts_hold_what_explains_the_trouble() -> None:
    """Events in order of time and of this workload only; its history, newest first; its services."""
    parts = (await captured())[0].parts
    assert [item["involvedObject"]["name"] for item in parts["events"]] == [
        "backstage-1",
        "backstage",
        "backstage-1-crash",
    ]
    assert [row["revision"] for row in parts["rollout_history"]] == [4, 3]
    assert [item["metadata"]["name"] for item in parts["endpoints"]] == ["backstage"]
    assert [item["metadata"]["name"] for item in parts["ingress"]] == ["backstage"]
    assert [item["metadata"]["name"] for item in parts["usage/nodes"]] == ["node-1"]
    status = parts["pods"][0]["status"]["containerStatuses"][0]
    assert (status["state"]["waiting"]["reason"], status["lastState"]["terminated"]["exitCode"]) == (
        "CrashLoopBackOff",
        1,
    )
    assert "previous run" in parts["logs/backstage-1-crash/app/previous"]
    assert parts["workload"]["spec"]["template"]["spec"]["containers"][0]["env"] == [
        {"name": "DB_PASSWORD"},
        {"name": "FROM"},
    ]


async def test_no_planted_secret_is_kept() -> None:
    """Env values, annotations, messages of states, conditions and events, log lines: none gets through."""
    bundle, _ = await captured()
    shown = msgspec.json.encode(bundle).decode()
    assert CANARY not in shown
    assert "hunter2" not in shown
    assert shown.count("[redacted]") >= 8


@pytest.mark.parametrize(
    ("path", "part"),
    [
        (EVENTS, "events"),
        (REPLICA_SETS, "rollout_history"),
        (SERVICES, "endpoints"),
        (SLICES, "endpoints/slices"),
        (INGRESSES, "ingress"),
        (NODE, "nodes"),
        (POD_USAGE, "usage/pods"),
        (NODE_USAGE, "usage/nodes"),
        (LOG, "logs/backstage-1-crash/app"),
    ],
)
async def test_each_part_fails_alone(path: str, part: str) -> None:
    """No metrics server, no right to read nodes: that part is missing with the reason, the rest is there."""
    bundle, _ = await captured({path: refusal(403, "Forbidden", "no rights")})
    assert "403: Forbidden: no rights" in bundle.missing[part]
    assert {"workload", "pods"} <= set(bundle.parts)
    assert part not in bundle.parts


async def test_absent_metrics_are_said_in_plain_words() -> None:
    """A group that is not installed answers 404 as text."""
    absent = web.Response(status=404, text="404 page not found\n")
    bundle, _ = await captured({POD_USAGE: absent, NODE_USAGE: absent})
    assert "404 page not found" in bundle.missing["usage/pods"]


async def test_without_the_workload_there_are_still_events() -> None:
    """A deleted Deployment leaves events behind; what depends on its selector is missing."""
    bundle, _ = await captured({PATH: refusal(404, "NotFound")})
    assert [item["involvedObject"]["name"] for item in bundle.parts["events"]] == [
        "backstage-1",
        "backstage",
        "backstage-1-crash",
    ]
    assert {"workload", "pods", "rollout_history"} <= set(bundle.missing)


async def test_a_selector_that_cannot_be_read_is_a_missing_workload() -> None:
    """Somebody's server that is not quite Kubernetes breaks one part, not the capture."""
    document = deployment()
    document["spec"]["selector"] = {"matchExpressions": [{"key": "a", "operator": "Like", "values": ["b"]}]}
    bundle, _ = await captured({PATH: document})
    assert "Like" in bundle.missing["workload"]


async def test_the_deadline_holds_and_what_was_read_stays() -> None:
    """One part that hangs is missing when time is up; the capture ends then."""
    step = CaptureEvidence(target=TARGET, deadline_s=0.5)
    began = asyncio.get_running_loop().time()
    bundle, _ = await captured({EVENTS: silent}, step)
    assert asyncio.get_running_loop().time() - began < 5
    assert bundle.missing == {"events": "not read within 0.5 s"}
    assert "pods" in bundle.parts


async def test_events_come_in_pages_and_end_somewhere() -> None:
    """At most four pages are read; more is said to be cut."""

    async def page(request: web.Request) -> web.StreamResponse:
        number = int(request.query.get("continue", "0"))
        items = [event("backstage-1-crash", f"2026-11-23T10:0{number}:{n:02d}Z") for n in range(40)]
        return web.json_response({**listing(*items), "metadata": {"continue": str(number + 1)}})

    bundle, canned = await captured({EVENTS: page})
    assert canned.paths.count(EVENTS) == 4
    assert "events" in bundle.truncated
    assert len(bundle.parts["events"]) == 100
    assert bundle.parts["events"][-1]["lastTimestamp"] == "2026-11-23T10:03:39Z"


async def test_many_pods_and_nodes_are_cut_and_said_so() -> None:
    """Fifty pods and five nodes are looked at."""
    many = [pod(f"backstage-1-{n}") for n in range(50)]
    for number, item in enumerate(many):
        item["spec"]["nodeName"] = f"node-{number}"
    nodes: dict[str, Answer] = {f"/api/v1/nodes/node-{n}": {"metadata": {"name": f"node-{n}"}} for n in range(50)}
    bundle, _ = await captured({**nodes, PODS: listing(*many)})
    assert {"pods", "nodes"} <= set(bundle.truncated)
    assert len(bundle.parts["nodes"]) == 5


async def test_a_long_log_keeps_its_end() -> None:
    """The last line before a crash is the one that matters."""
    lines = "".join(f"line {n}\n" for n in range(50_000)) + "the last line\n"
    bundle, _ = await captured({LOG: web.Response(text=lines)})
    part = bundle.parts["logs/backstage-1-crash/app"]
    assert part.endswith("the last line\n")
    assert part.startswith("line ")
    assert len(part) <= KEPT_BYTES
    assert "logs/backstage-1-crash/app" in bundle.truncated


async def test_the_whole_has_a_size() -> None:
    """The most telling parts get the room; what was cut or left out is named."""
    bundle, _ = await captured(step=CaptureEvidence(target=TARGET, max_bytes=3000))
    assert size(bundle.parts) < 3400
    assert "workload" in bundle.parts
    assert "usage/nodes" in bundle.truncated


async def test_a_name_that_is_none_is_not_asked_for() -> None:
    """Whoever made the target."""
    step = CaptureEvidence(target=Target(kind=Kind.DEPLOYMENT, namespace="../x", name="y"))
    bundle, canned = await captured(step=step)
    assert "not a name" in bundle.missing["workload"]
    assert not canned.requests


async def test_a_stateful_set_has_a_history_too() -> None:
    """In ControllerRevisions."""
    target = Target(kind=Kind.STATEFULSET, namespace=NAMESPACE, name="db")
    document = deployment("db", uid="sts")
    revision = replica_set("db-1", uid="r", owner_uid="sts")
    revision["revision"] = 7
    answers: dict[str, Answer] = {
        f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/db": document,
        f"/apis/apps/v1/namespaces/{NAMESPACE}/controllerrevisions": listing(revision),
    }
    bundle, _ = await captured(answers, CaptureEvidence(target=target))
    assert [row["revision"] for row in bundle.parts["rollout_history"]] == [7]


def statuses(**containers: Json) -> Json:
    """Return a pod with these container statuses."""
    listed = [{"name": name, **status} for name, status in containers.items()]
    return pod("p", status={"containerStatuses": listed})


def test_crashed_containers_are_read_first() -> None:
    """Crash loop, then restarted, then not ready, then healthy; only so many."""
    item = statuses(
        healthy={"ready": True},
        restarted={"ready": True, "restartCount": 1},
        starting={"ready": False},
        crashed={"restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
        killed={"restartCount": 1, "lastState": {"terminated": {"exitCode": 137}}},
        done={"state": {"terminated": {"exitCode": 0}}},
    )
    order = [source.container for source in choose([item], most=10) if not source.previous]
    assert order == ["crashed", "killed", "restarted", "starting", "healthy", "done"]
    assert [source.part for source in choose([item], most=1)] == ["logs/p/crashed", "logs/p/crashed/previous"]
    assert choose([item], most=3)[-1] == LogSource(pod="p", container="restarted", previous=True)


def test_a_log_commands_no_terminal() -> None:
    """Colours, titles, bells and carriage returns are taken out, before a secret can hide behind them."""
    shown = clean(b"\x1b[31mpass\x1b[0mword=hunter2hunter2\x1b]0;title\x07 ok\r\n\x00\x08tab\there\xff\n")
    assert shown == "password=[redacted] ok\ntab\there\ufffd\n"


@settings(max_examples=50)
@given(
    parts=st.dictionaries(
        st.sampled_from(["pods", "events", "logs/a/b", "nodes", "workload", "else"]),
        st.one_of(
            st.text(max_size=3000),
            st.lists(st.text(max_size=200), max_size=20),
            st.dictionaries(st.text(max_size=5), st.text(max_size=900)),
        ),
    ),
    room=st.integers(min_value=0, max_value=6000),
)
def test_evidence_never_exceeds_its_room(parts: dict[str, Any], room: int) -> None:
    """Whatever the parts are, the sum of what is kept fits, and whatever was cut is named."""
    kept, truncated = fit(parts, room)
    assert sum(size(part) for part in kept.values()) <= room
    assert {name for name in parts if kept.get(name) != parts[name]} == set(truncated)


def test_one_part_cannot_take_all_the_room() -> None:
    """A single part has a limit of its own."""
    kept, truncated = fit({"events": ["x" * 1000] * 1000}, 10_000_000)
    assert size(kept["events"]) <= LARGEST_PART
    assert truncated == ("events",)


def test_allow_lists_keep_what_they_name_and_nothing_else() -> None:
    """Nested, through lists, without nulls."""
    document = {"a": 1, "b": {"c": 2, "d": 3}, "e": [{"f": 4, "g": 5}, "odd"], "n": None, "x": {"y": 1}}
    assert keep(document, {"a": True, "b": {"c": True}, "e": {"f": True}, "n": True}) == {
        "a": 1,
        "b": {"c": 2},
        "e": [{"f": 4}, None],
    }


def test_summaries_take_what_clusters_really_send() -> None:
    """Null items, events in micro-seconds or without a time, history without a number."""
    assert items_of({"items": None}) == []
    assert items_of("nonsense") == []
    timeless = {"involvedObject": {"name": "x"}}
    late = {"involvedObject": {"name": "x"}, "eventTime": "2026-11-23T10:00:00.500000Z"}
    early = {"involvedObject": {"name": "x"}, "firstTimestamp": "2026-11-23T10:00:00Z"}
    assert related_events([late, early, timeless], "x", []) == [timeless, early, late]
    assert history([{"metadata": {"name": "r"}}])[0]["revision"] == 0
    assert services_of([{"spec": {"selector": {}}}], {}) == []
