"""What people read: tables of objects as kubectl prints them, ages, and container logs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from remediator.sandbox import tables
from remediator.sandbox.clock import RealClock
from remediator.sandbox.podlogs import LogLine
from remediator.sandbox.resources import PODS, Catalogue, Json, Resource
from remediator.sandbox.server import SandboxServer
from remediator.sandbox.store import changed

NOW = datetime(2026, 7, 1, tzinfo=UTC)
LOG = "/api/v1/namespaces/backstage/pods/web-1/log"


def resource(group: str, version: str, plural: str) -> Resource:
    """A served resource."""
    found = Catalogue().find(group, version, plural)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (119, "119s"), (120, "2m"), (125, "2m5s"), (660, "11m"), (3 * 3600, "3h"), (3 * 3600 + 300, "3h5m"),
        (9 * 3600, "9h"), (47 * 3600, "47h"), (49 * 3600, "2d1h"), (9 * 86400, "9d"),
    ],
)  # fmt: skip
def test_ages_are_short(seconds: int, text: str) -> None:
    """An age is as short as kubectl writes it."""
    stamp = (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert tables.age(stamp, NOW) == text
    assert tables.age(None, NOW) == "<unknown>"


def pod(**more: Any) -> Json:
    """A pod with one container, and more of a status."""
    status = {"phase": "Running", "containerStatuses": [{"name": "c", "ready": False, "restartCount": 3, **more}]}
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}, "status": status}


GOING = {**pod(), "metadata": {"name": "p", "deletionTimestamp": "x"}}
CRASHING = pod(state={"waiting": {"reason": "CrashLoopBackOff"}})
ROWS: list[tuple[Resource, Json, list[Any]]] = [
    (
        resource("", "v1", "pods"),
        pod(state={"waiting": {"reason": "CrashLoopBackOff"}}),
        ["0/1", "CrashLoopBackOff", 3],
    ),
    (resource("", "v1", "pods"), pod(state={"terminated": {"reason": "OOMKilled"}}), ["0/1", "OOMKilled", 3]),
    (resource("", "v1", "pods"), pod(), ["0/1", "Running", 3]),
    (
        resource("", "v1", "pods"),
        {**pod(), "metadata": {"name": "p", "deletionTimestamp": "x"}},
        ["0/1", "Terminating", 3],
    ),
    (resource("apps", "v1", "replicasets"), {"spec": {"replicas": 2}, "status": {"replicas": 1}}, [2, 1, 0]),
    (resource("apps", "v1", "statefulsets"), {"spec": {"replicas": 2}, "status": {"readyReplicas": 1}}, ["1/2"]),
    (resource("apps", "v1", "daemonsets"), {"spec": {}, "status": {"numberReady": 1}}, [0, 0, 1, 0, 0]),
    (
        resource("", "v1", "services"),
        {"spec": {"type": "ClusterIP", "clusterIP": "10.0.0.1", "ports": [{"port": 80}]}},
        ["ClusterIP", "10.0.0.1", "<none>", "80/TCP"],
    ),
    (
        resource("", "v1", "nodes"),
        {"spec": {"unschedulable": True}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}},
        ["Ready,SchedulingDisabled", "<none>"],
    ),
    (resource("", "v1", "namespaces"), {"status": {"phase": "Active"}}, ["Active"]),
    (
        resource("autoscaling", "v2", "horizontalpodautoscalers"),
        {"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 4}},
        ["Deployment/web", 1, 4, 0],
    ),
    (resource("", "v1", "configmaps"), {"data": {"a": "1"}}, [1]),
    (resource("", "v1", "secrets"), {"type": "Opaque", "data": {}}, ["Opaque", 0]),
    (
        resource("policy", "v1", "poddisruptionbudgets"),
        {"spec": {"minAvailable": 2}, "status": {"disruptionsAllowed": 1}},
        [2, "N/A", 1],
    ),
    (
        resource("argoproj.io", "v1alpha1", "applications"),
        {"status": {"sync": {"status": "Synced"}, "health": {"status": "Healthy"}}},
        ["Synced", "Healthy"],
    ),
    (resource("", "v1", "serviceaccounts"), {}, ["<unknown>"]),
]


@pytest.mark.parametrize(("kind", "obj", "cells"), ROWS, ids=[f"{row[0].plural}-{n}" for n, row in enumerate(ROWS)])
def test_rows_say_what_matters(kind: Resource, obj: Json, cells: list[Any]) -> None:
    """The cells behind the name are those of `kubectl get`, and there is one for each column."""
    table = tables.table(kind, [{"metadata": {"name": "p"}, **obj}], "1", NOW)
    (row,) = table["rows"]
    assert row["cells"][0] == "p"
    assert row["cells"][1 : len(cells) + 1] == cells
    assert len(row["cells"]) == len(table["columnDefinitions"])


def test_event_rows() -> None:
    """An event begins with when it was last seen."""
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p"},
        "lastTimestamp": "2026-06-30T23:59:00Z",
        "type": "Warning",
        "reason": "BackOff",
        "message": "again",
    }
    (row,) = tables.table(resource("", "v1", "events"), [event], "1", NOW)["rows"]
    assert row["cells"] == ["60s", "Warning", "BackOff", "pod/p", "again"]


class Diary:
    """A container that wrote a line a minute ago and one now."""

    def lines(self, pod: Json, container: str, *, previous: bool) -> list[LogLine]:
        """The two lines; the instance before wrote another."""
        now = RealClock().now()
        if previous:
            return [LogLine(now, "last words")]
        return [LogLine(now - timedelta(minutes=1), "old ä"), LogLine(now, "new")]


@pytest.fixture
async def http(cluster: SandboxServer) -> AsyncIterator[aiohttp.ClientSession]:
    """A plain HTTP client, as admin, of a cluster whose container keeps a diary."""
    cluster.log_source = Diary()
    headers = {"Authorization": f"Bearer {cluster.admin_token}"}
    async with aiohttp.ClientSession(cluster.url, headers=headers) as session:
        yield session


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({}, "old ä\nnew\n"),
        ({"tailLines": "1"}, "new\n"),
        ({"tailLines": "0"}, ""),
        ({"tailLines": "9"}, "old ä\nnew\n"),
        ({"sinceSeconds": "30"}, "new\n"),
        ({"sinceTime": "2026-01-01T00:00:00Z"}, "old ä\nnew\n"),
        ({"limitBytes": "5"}, "old "),
    ],
)
async def test_log_options(http: aiohttp.ClientSession, query: dict[str, str], text: str) -> None:
    """tail, since and limit cut the text; a cut never leaves half a letter."""
    answer = await http.get(LOG, params=query)
    assert (answer.status, await answer.text()) == (200, text)
    assert answer.content_type == "text/plain"


async def test_log_timestamps(http: aiohttp.ClientSession) -> None:
    """Each line begins with its moment when that is asked for."""
    text = await (await http.get(LOG, params={"timestamps": "true", "tailLines": "1"})).text()
    assert datetime.fromisoformat(text.split()[0]).tzinfo is not None
    assert text.endswith(" new\n")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"limitBytes": "0"}, 422),
        ({"sinceSeconds": "0"}, 422),
        ({"sinceTime": "noon"}, 400),
        ({"sinceTime": "2026-01-01"}, 400),
    ],
)
async def test_log_options_that_are_none(http: aiohttp.ClientSession, query: dict[str, str], status: int) -> None:
    """Limits below one and times that are none are refused."""
    assert (await http.get(LOG, params=query)).status == status


@pytest.mark.parametrize(
    ("state", "query", "phrase"),
    [
        ({"state": {"waiting": {"reason": "ContainerCreating"}}}, {}, "waiting to start: ContainerCreating"),
        ({"state": {"waiting": {"reason": "ImagePullBackOff"}}}, {}, "trying and failing to pull image"),
        ({}, {"previous": "true"}, "previous terminated container"),
    ],
)
async def test_containers_without_a_log(
    cluster: SandboxServer, http: aiohttp.ClientSession, state: Json, query: dict[str, str], phrase: str
) -> None:
    """A container that has not started, or never ended, has no log: 400 with the reason."""
    status = {"phase": "Pending", "containerStatuses": [{"name": "web", "ready": False, "restartCount": 0, **state}]}
    cluster.store.update_status(PODS, "backstage", "web-1", status)
    answer = await http.get(LOG, params=query)
    assert answer.status == 400
    assert phrase in await answer.text()


async def test_log_of_the_instance_before(cluster: SandboxServer, http: aiohttp.ClientSession) -> None:
    """previous=true gives the last words of a container that was restarted, also while it waits."""
    terminated = {"lastState": {"terminated": {"exitCode": 1}}, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    status = {"containerStatuses": [{"name": "web", "ready": False, "restartCount": 2, **terminated}]}
    cluster.store.update_status(PODS, "backstage", "web-1", status)
    assert await (await http.get(LOG, params={"previous": "true"})).text() == "last words\n"


async def test_pods_that_nobody_runs(cluster: SandboxServer, http: aiohttp.ClientSession) -> None:
    """A pod without a node has no log, nor has one whose kubelet has said nothing."""
    cluster.store.update_status(PODS, "backstage", "web-1", {})
    assert "ContainerCreating" in await (await http.get(LOG)).text()
    cluster.store.mutate(PODS, "backstage", "web-1", lambda item: changed(item, ("spec", "nodeName"), ""))
    assert "does not have a host assigned" in await (await http.get(LOG)).text()
