"""What the tests of the Kubernetes adapter start from: objects, a canned server, a fixed clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import web

from remediator.adapters.kubernetes.access import ClusterAccess
from remediator.adapters.kubernetes.client import ClientLimits, KubeClient
from remediator.model.plan import PatchObject
from remediator.model.rule import TargetSpec
from remediator.model.target import Kind, Target
from remediator.ports.cluster import WriteMark

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
NAMESPACE = "backstage"
UID = "6b1f5b6e-0000-4000-8000-000000000000"
TARGET = Target(kind=Kind.DEPLOYMENT, namespace=NAMESPACE, name="backstage", uid=UID)
SPEC = TargetSpec(namespaces=(NAMESPACE,), kinds=(Kind.DEPLOYMENT, Kind.STATEFULSET))
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
PATH = f"{DEPLOYMENTS}/backstage"

Json = dict[str, Any]


class FixedClock:
    """A clock that stands still."""

    def now(self) -> datetime:
        """Return the moment of the tests."""
        return NOW

    def monotonic(self) -> float:
        """Return zero."""
        return 0.0

    async def sleep(self, seconds: float) -> None:
        """Return at once."""


def deployment(name: str = "backstage", *, uid: str = UID, **metadata: Any) -> Json:
    """Return a healthy Deployment with three pods and a secret among its environment variables."""
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": uid,
            "resourceVersion": "100",
            "generation": 3,
            "creationTimestamp": "2026-11-20T08:00:00Z",
            "annotations": {"deployment.kubernetes.io/revision": "4", "team": "platform"},
            "managedFields": [{"manager": "someone"}],
            **metadata,
        },
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {
                "metadata": {"labels": labels, "creationTimestamp": None},
                "spec": {
                    "containers": [
                        {
                            "name": "app",
                            "image": "ghcr.io/backstage/backstage:1.30",
                            "args": ["--port=7007", "--db-password=hunter2hunter2"],
                            "env": [
                                {"name": "DB_PASSWORD", "value": "hunter2hunter2"},
                                {"name": "FROM", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                            ],
                            "resources": {"limits": {"memory": "1Gi"}},
                        }
                    ]
                },
            },
        },
        "status": {
            "observedGeneration": 3,
            "replicas": 3,
            "updatedReplicas": 3,
            "readyReplicas": 3,
            "availableReplicas": 3,
            "conditions": [
                {
                    "type": "Progressing",
                    "status": "True",
                    "reason": "NewReplicaSetAvailable",
                    "lastUpdateTime": "2026-01-02T03:04:05Z",
                }
            ],
        },
    }


def owner(kind: str, name: str, uid: str, api_version: str = "apps/v1") -> Json:
    """Return metadata that says which object controls this one."""
    reference = {"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": True}
    return {"ownerReferences": [reference]}


def replica_set(
    name: str, *, uid: str, owner_uid: str = UID, revision: int = 4, annotations: Json | None = None
) -> Json:
    """Return a ReplicaSet of the Deployment ``backstage``."""
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": uid,
            "creationTimestamp": f"2026-11-22T08:00:0{revision}Z",
            "labels": {"app": "backstage"},
            "annotations": {"deployment.kubernetes.io/revision": str(revision)},
            **owner("Deployment", "backstage", owner_uid),
        },
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "backstage"}},
            "template": {
                "metadata": {"labels": {"app": "backstage"}, "annotations": annotations or {}},
                "spec": {"containers": [{"name": "app", "image": f"ghcr.io/backstage/backstage:1.{revision}"}]},
            },
        },
        "status": {"replicas": 3, "readyReplicas": 3},
    }


def pod(name: str, *, owned: Json | None = None, status: Json | None = None, app: str = "backstage") -> Json:
    """Return a pod; ready and running unless ``status`` says otherwise."""
    healthy = {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "app", "ready": True, "restartCount": 0, "state": {"running": {}}}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": f"uid-{name}",
            "creationTimestamp": "2026-11-23T09:00:00Z",
            "labels": {"app": app},
            **(owner("ReplicaSet", "backstage-1", "rs-1") if owned is None else owned),
        },
        "spec": {"nodeName": "node-1", "containers": [{"name": "app", "image": "ghcr.io/backstage/backstage:1.30"}]},
        "status": healthy if status is None else status,
    }


def listing(*items: Json) -> Json:
    """Return a list as the API server sends it."""
    return {"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1000"}, "items": list(items)}


def refusal(code: int, reason: str, message: str = "no", **details: Any) -> web.Response:
    """Return a refusal with a Status body."""
    body = {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": code}
    return web.json_response({**body, "details": details}, status=code)


PATCH = PatchObject(target=TARGET, patch={"spec": {"replicas": 6}}, expected={"spec.replicas": 6})
MARK = WriteMark(action_id="a" * 64, number=42, fence=7, uid=UID, resource_version="100")

Answer = Json | web.Response | Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Canned:
    """A server that answers what it was told to, and remembers what it was asked; 404 for everything else."""

    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[web.Request] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        body = await request.read()
        self.requests.append(request)
        self.bodies.append(msgspec.json.decode(body) if body else None)
        answer = self.answers.get(f"{request.method} {request.path}", self.answers.get(request.path))
        if answer is None:
            return refusal(404, "NotFound", f"{request.path} not found")
        if isinstance(answer, dict):
            return web.json_response(answer)
        if isinstance(answer, web.Response):
            return web.Response(body=answer.body, status=answer.status, headers=answer.headers)
        return await answer(request)

    @property
    def paths(self) -> list[str]:
        """Return the paths that were asked for, in order."""
        return [request.path for request in self.requests]


@asynccontextmanager
async def serving(answers: dict[str, Answer] | None = None) -> AsyncIterator[Canned]:
    """Run a canned server on loopback."""
    canned = Canned(answers=answers or {})
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", canned.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    canned.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield canned
    finally:
        await runner.cleanup()


@asynccontextmanager
async def connected(url: str, **limits: Any) -> AsyncIterator[KubeClient]:
    """Open a client to a URL."""
    client = await KubeClient.connect(ClusterAccess(url=url), ClientLimits(**limits))
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def cluster(answers: dict[str, Answer], **limits: Any) -> AsyncIterator[tuple[Canned, KubeClient]]:
    """Run a canned server with a client to it."""
    async with serving(answers) as canned, connected(canned.url, **limits) as client:
        yield canned, client
