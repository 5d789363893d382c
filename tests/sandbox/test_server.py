"""The server around the API: request log, middlewares, users, views and the edges of watches."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from remediator.sandbox.api import Proceed
from remediator.sandbox.calls import Call
from remediator.sandbox.resources import AUTOSCALERS, CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, CONFIG_MAPS, DEPLOYMENTS
from remediator.sandbox.server import SandboxServer
from remediator.sandbox.store import changed

DEPLOYMENT = "/apis/apps/v1/namespaces/backstage/deployments/backstage"
DEPLOYMENT_LIST = "/apis/apps/v1/namespaces/backstage/deployments"
MERGE = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture
async def http(cluster: SandboxServer) -> AsyncIterator[aiohttp.ClientSession]:
    """A plain HTTP client, as admin."""
    headers = {"Authorization": f"Bearer {cluster.admin_token}", "User-Agent": "tests/1"}
    async with aiohttp.ClientSession(cluster.url, headers=headers) as session:
        yield session


async def test_requests_are_an_oracle_of_writes(cluster: SandboxServer, http: aiohttp.ClientSession) -> None:
    """Each request is noted with user, body, status and whether it changed anything."""
    cluster.requests.clear()
    await http.get(DEPLOYMENT)
    await http.patch(DEPLOYMENT, json={"spec": {"replicas": 3}}, headers=MERGE)
    await http.patch(DEPLOYMENT, json={"spec": {"replicas": 3}}, headers=MERGE)
    await http.patch(DEPLOYMENT, json={"spec": {"replicas": 9}}, headers=MERGE, params={"dryRun": "All"})
    await http.patch(DEPLOYMENT, data=b"{not json", headers=MERGE)
    read, first, same, dry, broken = cluster.requests
    assert (read.method, read.path, read.is_write, read.changed) == ("GET", DEPLOYMENT, False, False)
    assert (first.user, first.user_agent, first.body) == ("admin", "tests/1", {"spec": {"replicas": 3}})
    assert [item.changed for item in (first, same, dry, broken)] == [True, False, False, False]
    assert [item.status for item in (first, same, dry, broken)] == [200, 200, 200, 400]
    assert cluster.requests.writes("deployments") == [first, same, broken]
    assert broken.body == "{not json"
    assert len(cluster.requests) == 5


async def test_large_bodies_are_noted_by_size(cluster: SandboxServer, http: aiohttp.ClientSession) -> None:
    """The log does not hold on to large bodies."""
    body = {"metadata": {"name": "big"}, "data": {"a": "x" * 100_000}}
    await http.post("/api/v1/namespaces/backstage/configmaps", json=body)
    (record,) = cluster.requests.writes("configmaps")
    assert (record.status, record.body) == (201, f"({len(json.dumps(body))} bytes)")


async def test_middlewares_stand_before_the_api(cluster: SandboxServer, http: aiohttp.ClientSession) -> None:
    """A middleware may answer itself, look at the answer, or let go; they run outermost first."""
    order: list[str] = []

    async def outer(call: Call, proceed: Proceed) -> web.StreamResponse:
        order.append(f"outer {call.method} {call.user.name}")
        return await proceed()

    async def refusing(call: Call, proceed: Proceed) -> web.StreamResponse:
        order.append("refusing")
        if call.method == "PATCH":
            return web.Response(status=429, text="Too many requests", headers={"Retry-After": "1"})
        return await proceed()

    cluster.middlewares.extend([outer, refusing])
    refused = await http.patch(DEPLOYMENT, json={"spec": {"replicas": 3}}, headers=MERGE)
    allowed = await http.get(DEPLOYMENT)
    assert (refused.status, allowed.status) == (429, 200)
    assert order == ["outer PATCH admin", "refusing", "outer GET admin", "refusing"]
    assert cluster.store.get(DEPLOYMENTS, "backstage", "backstage")["spec"]["replicas"] == 2
    assert [record.status for record in cluster.requests.writes()] == [429]


async def test_a_broken_connection_is_noted(cluster: SandboxServer, http: aiohttp.ClientSession) -> None:
    """A write whose answer is lost is in the log, with what it changed."""

    async def losing(call: Call, proceed: Proceed) -> web.StreamResponse:
        await proceed()
        assert call.http.transport is not None
        call.http.transport.close()
        raise ConnectionResetError

    cluster.middlewares.append(losing)
    with pytest.raises(aiohttp.ClientError):
        await http.patch(DEPLOYMENT, json={"spec": {"replicas": 3}}, headers=MERGE)
    (record,) = cluster.requests.writes()
    assert (record.status, record.changed) == (0, True)


async def test_cluster_roles_hold_everywhere(cluster: SandboxServer) -> None:
    """A ClusterRole bound to a group or user allows in every namespace, by resource and verb."""
    rules = [{"verbs": ["get", "list"], "apiGroups": ["apps"], "resources": ["*"]}]
    cluster.store.seed(CLUSTER_ROLES, [{"metadata": {"name": "viewer"}, "rules": rules}])
    reference = {"kind": "ClusterRole", "name": "viewer"}
    subjects = [{"kind": "Group", "name": "operators"}, {"kind": "User", "name": "eve"}]
    binding = {"metadata": {"name": "viewers"}, "subjects": subjects, "roleRef": reference}
    cluster.store.seed(CLUSTER_ROLE_BINDINGS, [binding])
    statuses = []
    for token in (cluster.add_user("ann", "operators"), cluster.add_user("eve"), cluster.add_user("mallory")):
        async with aiohttp.ClientSession(cluster.url, headers={"Authorization": f"Bearer {token}"}) as session:
            read = await session.get("/apis/apps/v1/deployments")
            written = await session.patch(DEPLOYMENT, json={}, headers=MERGE)
            statuses.append((read.status, written.status))
    assert statuses == [(200, 403), (200, 403), (403, 403)]


async def test_the_token_may_stand_in_the_address(cluster: SandboxServer) -> None:
    """The address of the kubeconfig carries the token, and the log shows the path without it."""
    address = cluster.kubeconfig()["clusters"][0]["cluster"]["server"]
    async with aiohttp.ClientSession() as session:
        good = await session.get(f"{address}{DEPLOYMENT}")
        bad = await session.get(f"{cluster.url}/-/nonsense{DEPLOYMENT}")
    assert (good.status, bad.status) == (200, 401)
    assert [record.path for record in cluster.requests] == [DEPLOYMENT, DEPLOYMENT]


async def test_a_port_in_use_is_an_error(cluster: SandboxServer) -> None:
    """A second server on the same port says so and leaves nothing behind."""
    port = int(cluster.url.rpartition(":")[2])
    second = SandboxServer()
    with pytest.raises(OSError, match="address already in use"):
        await second.start(port=port)
    await second.stop()


async def test_stop_ends_watches(cluster: SandboxServer, http: aiohttp.ClientSession) -> None:
    """A client that watches sees an orderly end when the server stops."""
    async with http.get(DEPLOYMENT_LIST, params={"watch": "1", "resourceVersion": "3"}) as stream:
        async with asyncio.timeout(5):
            await cluster.stop()
            text = await stream.text()
    assert [msgspec.json.decode(line)["type"] for line in text.splitlines()] == ["ADDED", "ADDED"]


async def test_a_table_is_watched(cluster: SandboxServer, http: aiohttp.ClientSession) -> None:
    """`kubectl get -w` gets each change as a Table of one row."""
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    version = str(cluster.store.version)
    params = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "1"}
    async with http.get(DEPLOYMENT_LIST, params=params, headers=accept) as stream:
        current = cluster.store.get(DEPLOYMENTS, "backstage", "backstage")
        cluster.store.update(DEPLOYMENTS, changed(current, ("spec", "replicas"), 7))
        lines = [msgspec.json.decode(line) for line in (await stream.text()).splitlines()]
    assert lines[0]["object"]["rows"][0]["cells"][:2] == ["backstage", "2/7"]


async def test_autoscaling_v1_writes_v2(cluster: SandboxServer, http: aiohttp.ClientSession) -> None:
    """An autoscaler made by the old version is stored as the new one, and read by both."""
    place = "/apis/autoscaling/{}/namespaces/backstage/horizontalpodautoscalers"
    target = {"kind": "Deployment", "name": "backstage", "apiVersion": "apps/v1"}
    spec = {"scaleTargetRef": target, "maxReplicas": 4, "targetCPUUtilizationPercentage": 70}
    made = await http.post(place.format("v1"), json={"metadata": {"name": "web"}, "spec": spec})
    assert made.status == 201
    stored = cluster.store.get(AUTOSCALERS, "backstage", "web")
    assert stored["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 70
    seen = await (await http.get(f"{place.format('v1')}/web")).json()
    assert seen["spec"]["targetCPUUtilizationPercentage"] == 70
    assert (await (await http.get(f"{place.format('v2')}/web")).json())["apiVersion"] == "autoscaling/v2"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/livez/ping", 200),
        ("GET", "/apis/argoproj.io", 200),
        ("GET", "/apis/argoproj.io/v2", 404),
        ("GET", "/apis/nope.example.com", 404),
        ("POST", "/version", 405),
        ("GET", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", 405),
        ("POST", "/api/v1/pods", 405),
        ("DELETE", "/api/v1/namespaces", 405),
        ("GET", "/api/v1/namespaces/backstage/pods/web-1/eviction", 405),
        ("GET", "/api/v1/namespaces/backstage/pods/web-1/portforward", 404),
        ("GET", "/api/v1/namespaces/backstage/configmaps/x/status", 404),
        ("POST", f"{DEPLOYMENT}/status", 405),
        ("DELETE", f"{DEPLOYMENT}/scale", 405),
        ("GET", "/api/v1/namespaces/x/nodes", 404),
        ("POST", "/api/v1/namespaces/backstage/pods/web-1/eviction", 400),
        ("GET", f"{DEPLOYMENT}?timeout=soon", 400),
    ],
)
async def test_paths_and_methods(http: aiohttp.ClientSession, method: str, path: str, status: int) -> None:
    """What is not served, or not by that method, is refused as the API server does."""
    answer = await http.request(method, path)
    assert answer.status == status, await answer.text()


BAD_BODIES: list[tuple[str, bytes, int]] = [
    ("nested too deeply", b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
    ("NaN", b'{"metadata":{"name":"x"},"data":{"a":NaN}}', 400),
    ("a list", b"[]", 400),
    ("a lone surrogate", b'{"metadata":{"name":"x"},"data":{"a":"\\ud800"}}', 400),
    ("no UTF-8", b'{"metadata":{"name":"\xff"}}', 400),
    ("no name", b'{"data":{}}', 422),
    ("a bad name", b'{"metadata":{"name":"../etc"}}', 422),
    ("a bad label", b'{"metadata":{"name":"x","labels":{"a b":"c"}}}', 422),
    ("a bad finalizer", b'{"metadata":{"name":"x","finalizers":["a b"]}}', 422),
    ("metadata of another type", b'{"metadata":7}', 400),
]


@pytest.mark.parametrize(("what", "body", "status"), BAD_BODIES, ids=[item[0] for item in BAD_BODIES])
async def test_bad_bodies(
    cluster: SandboxServer, http: aiohttp.ClientSession, what: str, body: bytes, status: int
) -> None:
    """A body that is none is refused with a Status, and nothing is stored."""
    headers = {"Content-Type": "application/json"}
    answer = await http.post("/api/v1/namespaces/backstage/configmaps", data=body, headers=headers)
    text: dict[str, Any] = await answer.json()
    assert (answer.status, text["kind"]) == (status, "Status"), what
    assert cluster.store.list(CONFIG_MAPS) == []
