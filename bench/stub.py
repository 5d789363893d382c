"""A stub of the Kubernetes API: any Deployment is there, healthy, and can be patched. As little work as possible.

``dump`` answers with the writes: the path of each, and when it came (monotonic nanoseconds). With a delay, each request
is answered so many seconds later, and ``times`` answers with when each came.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import yaml
from aiohttp import web
from aiohttp.typedefs import Handler

from bench.lines import answer_lines

DEPLOYMENT = "/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
SINCE = "2026-01-01T00:00:00Z"
REPLICAS = 2
CONDITIONS = (("Available", "MinimumReplicasAvailable"), ("Progressing", "NewReplicaSetAvailable"))
_CONFLICT = 409

Json = dict[str, Any]


class Stub:
    """Deployments by namespace and name, made when they are first asked for."""

    def __init__(self, delay_s: float = 0.0) -> None:
        """Begin with nothing."""
        self.delay_s = delay_s
        self.requests: list[int] = []
        self.deployments: dict[tuple[str, str], Json] = {}
        self.writes: list[tuple[str, int]] = []
        self._version = 1000

    async def read(self, request: web.Request) -> web.Response:
        """Answer a GET of one Deployment."""
        return _answer(self._deployment(request))

    async def patch(self, request: web.Request) -> web.Response:
        """Merge, if the version and uid in the patch are those of the object; note when what was stored came."""
        came = time.monotonic_ns()
        found = self._deployment(request)
        change: Json = msgspec.json.decode(await request.read())
        wanted = change.get("metadata", {})
        for field in ("resourceVersion", "uid"):
            if wanted.pop(field, found["metadata"][field]) != found["metadata"][field]:
                status = {
                    "kind": "Status",
                    "status": "Failure",
                    "reason": "Conflict",
                    "code": _CONFLICT,
                    "message": field,
                }
                return _answer(status, _CONFLICT)
        if "dryRun" in request.query:
            return _answer(found)
        self.writes.append((request.path, came))
        merge(found, change)
        self._version += 1
        meta = found["metadata"]
        meta["resourceVersion"] = str(self._version)
        meta["generation"] += 1
        found["status"]["observedGeneration"] = meta["generation"]
        return _answer(found)

    async def pods(self, request: web.Request) -> web.Response:
        """Answer the pods of the Deployment that the selector names."""
        name = request.query.get("labelSelector", "").rpartition("=")[2]
        pods = [_pod(request.match_info["namespace"], name, number) for number in range(REPLICAS)]
        return _answer({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods})

    async def nothing(self, request: web.Request) -> web.Response:
        """Answer any other list: there is nothing."""
        return _answer({"kind": "List", "apiVersion": "v1", "metadata": {"selfLink": request.path}, "items": []})

    @web.middleware
    async def late(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Note, and answer later."""
        self.requests.append(time.monotonic_ns())
        await asyncio.sleep(self.delay_s)
        return await handler(request)

    async def dump(self) -> Any:
        """Return the writes."""
        return self.writes

    async def times(self) -> Any:
        """Return when requests came; they are noted only where they are delayed."""
        return self.requests

    def _deployment(self, request: web.Request) -> Json:
        key = request.match_info["namespace"], request.match_info["name"]
        found = self.deployments.get(key)
        if found is None:
            found = self.deployments[key] = _deployment(*key)
        return found


def merge(below: Json, above: Json) -> None:
    """Lay a merge patch over an object, in place."""
    for key, value in above.items():
        known = below.get(key)
        if value is None:
            below.pop(key, None)
        elif isinstance(known, dict) and isinstance(value, dict):
            merge(known, value)
        else:
            below[key] = value


def _deployment(namespace: str, name: str) -> Json:
    labels = {"app": name}
    container = {"name": "app", "image": f"ghcr.io/backstage/{name}:1.0", "ports": [{"containerPort": 7007}]}
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), REPLICAS)
    meta = {"namespace": namespace, "name": name, "uid": f"uid-{namespace}-{name}", "resourceVersion": "1000"}
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**meta, "generation": 1, "creationTimestamp": SINCE, "labels": labels, "annotations": {}},
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": labels},
            "strategy": rolling,
            "template": {"metadata": {"labels": labels, "annotations": {}}, "spec": {"containers": [container]}},
        },
        "status": {**counts, "observedGeneration": 1, "conditions": [_condition(*known) for known in CONDITIONS]},
    }


def _condition(kind: str, reason: str) -> Json:
    return {"type": kind, "status": "True", "reason": reason, "lastUpdateTime": SINCE, "lastTransitionTime": SINCE}


def _pod(namespace: str, name: str, number: int) -> Json:
    meta = {"namespace": namespace, "name": f"{name}-{number}", "uid": f"{name}-{number}", "creationTimestamp": SINCE}
    running = {"name": "app", "ready": True, "restartCount": 0, "state": {"running": {"startedAt": SINCE}}}
    conditions = [{"type": "Ready", "status": "True"}]
    return {
        "metadata": {**meta, "labels": {"app": name}},
        "spec": {"nodeName": "node-1"},
        "status": {"phase": "Running", "conditions": conditions, "containerStatuses": [running]},
    }


def _answer(what: Json, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(what), status=status, content_type="application/json")


def write_kubeconfig(path: Path, url: str) -> None:
    """Write a kubeconfig that leads to the stub."""
    cluster = {"name": "stub", "cluster": {"server": url}}
    context = {"name": "stub", "context": {"cluster": "stub", "user": "stub"}}
    user = {"name": "stub", "user": {"token": "anybody"}}
    parts = {"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "stub"}
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **parts}), encoding="utf-8")


async def main(kubeconfig: Path, delay_s: float) -> None:
    """Be the program: ready with address and kubeconfig; ``dump`` answers with the writes."""
    stub = Stub(delay_s)
    app = web.Application(middlewares=[stub.late] if delay_s else [])
    app.router.add_get(DEPLOYMENT, stub.read)
    app.router.add_patch(DEPLOYMENT, stub.patch)
    app.router.add_get("/api/v1/namespaces/{namespace}/pods", stub.pods)
    app.router.add_get("/{path:.*}", stub.nothing)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    write_kubeconfig(kubeconfig, url)
    await answer_lines({"url": url}, {"dump": stub.dump, "times": stub.times})
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0))  # noqa: PLR2004 - its words
