"""A cluster to hold the adapter against, sandbox or real, with a proxy before it that fails as networks do.

Everything goes through the API: the same tests run on the sandbox and on the cluster of REMEDIATOR_TEST_KUBECONFIG.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec
from aiohttp import web

from remediator.adapters.kubernetes.access import ClusterAccess
from remediator.adapters.kubernetes.client import ClientLimits, KubeClient, Request
from remediator.adapters.kubernetes.evidence import KubernetesEvidence
from remediator.adapters.kubernetes.names import PLURALS, apps_path, core_path, workload_path
from remediator.adapters.kubernetes.reader import KubernetesReader
from remediator.adapters.kubernetes.writer import KubernetesWriter
from remediator.model.errors import ClusterError
from remediator.model.rule import TargetSpec
from remediator.model.target import Kind, Target
from remediator.ports.cluster import LiveObject, WriteMark

IMAGE = "registry.k8s.io/pause:3.10"
TIMEOUT_S = 1.5
DEADLINE_S = 60.0

Json = dict[str, Any]


class Fault(StrEnum):
    """What befalls the next write on its way."""

    SWALLOW = "swallow"  # it is forwarded and stored, and the connection closes without an answer
    FAIL = "fail"  # 500, and nothing is forwarded
    FAIL_AFTER = "fail_after"  # it is forwarded and stored, and the answer is a 500
    HANG = "hang"  # nothing is forwarded, and nobody answers
    HANG_AFTER = "hang_after"  # it is forwarded and stored, and nobody answers
    GARBLE = "garble"  # it is forwarded and stored, and the answer is 200 with half a body


class Clock:
    """Real time."""

    def now(self) -> datetime:
        """Return the present time."""
        return datetime.fromtimestamp(asyncio.get_running_loop().time(), UTC)

    def monotonic(self) -> float:
        """Return the loop's time."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


@dataclass
class FaultProxy:
    """Relays every request to the cluster; ``faults`` are spent on writes, one each."""

    upstream: KubeClient
    faults: list[Fault] = field(default_factory=list)
    writes: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Relay one request, or fail."""
        fault = None
        if request.method == "PATCH":
            self.writes += 1
            fault = self.faults.pop(0) if self.faults else None
        if fault is Fault.FAIL:
            return web.json_response({"kind": "Status", "code": 500, "reason": "InternalError"}, status=500)
        if fault is Fault.HANG:
            await asyncio.Event().wait()
        answer = await self._forward(request)
        if fault in {Fault.SWALLOW, Fault.GARBLE}:
            return await self._cut(request, b"{" if fault is Fault.GARBLE else None)
        if fault is Fault.HANG_AFTER:
            await asyncio.Event().wait()
        if fault is Fault.FAIL_AFTER:
            return web.Response(status=500, text="broken")
        return answer

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        answer = await self.upstream.send(
            Request(
                method=request.method,
                path=request.raw_path.split("?")[0],
                query=dict(request.query),
                body=await request.read() or None,
                content_type=request.headers.get("Content-Type", ""),
                user_agent=request.headers["User-Agent"],
            )
        )
        kept = {name: answer.headers[name] for name in ("Content-Type", "Retry-After") if name in answer.headers}
        return web.Response(status=answer.status, body=answer.body, headers=kept)

    async def _cut(self, request: web.Request, beginning: bytes | None) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        if beginning is not None:
            await response.prepare(request)
            await response.write(beginning)
        if request.transport is not None:
            request.transport.close()
        return response


@dataclass
class Kit:
    """The cluster under test, the adapter (through the proxy), and hands to change things with (past the proxy)."""

    namespace: str
    admin: KubeClient
    proxy: FaultProxy
    reader: KubernetesReader
    writer: KubernetesWriter
    evidence: KubernetesEvidence

    @property
    def spec(self) -> TargetSpec:
        """Return a rule's limits that allow everything in the test's namespace."""
        return TargetSpec(namespaces=(self.namespace,), kinds=tuple(Kind))

    async def ask(
        self, method: str, path: str, body: Json | None = None, content_type: str = "application/json"
    ) -> Json:
        """Send a request as the administrator and return the answer; AssertionError for a refusal."""
        encoded = msgspec.json.encode(body) if body is not None else None
        answer = await self.admin.send(Request(method=method, path=path, body=encoded, content_type=content_type))
        assert answer.ok, (method, path, answer.status, answer.body[:500])
        document: Json = msgspec.json.decode(answer.body)
        return document

    async def get(self, target: Target) -> Json:
        """Return a workload as it is."""
        return await self.ask("GET", workload_path(target.kind, target.namespace, target.name))

    async def pods(self) -> list[str]:
        """Return the names of the namespace's pods."""
        found = await self.ask("GET", core_path(self.namespace, "pods"))
        return [item["metadata"]["name"] for item in found["items"]]

    async def change(self, target: Target, patch: Json) -> Json:
        """Merge-patch a workload, as somebody else would."""
        path = workload_path(target.kind, target.namespace, target.name)
        return await self.ask("PATCH", path, patch, "application/merge-patch+json")

    async def make(self, kind: Kind = Kind.DEPLOYMENT, name: str = "web", *, replicas: int = 1) -> Target:
        """Make a workload, wait until it is rolled out, and return the target."""
        spec: Json = {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "app", "image": IMAGE}], "terminationGracePeriodSeconds": 0},
            },
        }
        if kind is not Kind.DAEMONSET:
            spec["replicas"] = replicas
        if kind is Kind.STATEFULSET:
            spec["serviceName"] = name
        manifest = {"apiVersion": "apps/v1", "kind": kind.value, "metadata": {"name": name}, "spec": spec}
        made = await self.ask("POST", apps_path(self.namespace, PLURALS[kind]), manifest)
        target = Target(kind=kind, namespace=self.namespace, name=name, uid=made["metadata"]["uid"])
        await self.rolled_out(target)
        return target

    async def make_service(self, name: str = "web") -> None:
        """Make a service for the pods of the workload of that name."""
        spec = {"selector": {"app": name}, "ports": [{"port": 80}]}
        manifest = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}
        await self.ask("POST", core_path(self.namespace, "services"), manifest)

    async def delete(self, target: Target) -> None:
        """Delete a workload and wait until it is gone."""
        path = workload_path(target.kind, target.namespace, target.name)
        await self.ask("DELETE", path, {"propagationPolicy": "Background"})

        async def gone() -> bool:
            return (await self.admin.send(Request(path=path))).status == 404

        await self.until(gone)

    async def rolled_out(self, target: Target) -> None:
        """Wait until a workload is rolled out."""

        async def done() -> bool:
            facts = await self.reader.facts(target)
            return facts.workload is not None and facts.workload.rolled_out and facts.workload.observed_generation > 0

        await self.until(done)

    async def until(self, wanted: Callable[[], Any]) -> None:
        """Wait for a condition; TimeoutError after a minute."""
        async with asyncio.timeout(DEADLINE_S):
            while not await wanted():
                await asyncio.sleep(0.05)

    async def quiet(self, target: Target) -> LiveObject:
        """Return the live object once controllers have stopped to change it."""
        before = ""
        async with asyncio.timeout(DEADLINE_S):
            while (live := await self.reader.live(target)).image.resource_version != before:
                before = live.image.resource_version
                await asyncio.sleep(0.3)
        return live

    async def mark(self, target: Target, action: str, fence: int = 1) -> WriteMark:
        """Return the mark of a write that is based on the object as it is now."""
        live = await self.quiet(target)
        return WriteMark(
            action_id=action,
            number=fence,
            fence=fence,
            uid=live.image.uid,
            resource_version=live.image.resource_version,
        )


@asynccontextmanager
async def open_kit(access: ClusterAccess, namespace: str) -> AsyncIterator[Kit]:
    """Make the namespace, put the proxy before the cluster, and connect the adapter to it."""
    async with AsyncExitStack() as stack:
        admin = await KubeClient.connect(access)
        stack.push_async_callback(admin.close)
        proxy = FaultProxy(admin)
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", proxy.handle)
        runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        limits = ClientLimits(total_s=TIMEOUT_S)
        client = await KubeClient.connect(ClusterAccess(url=f"http://127.0.0.1:{runner.addresses[0][1]}"), limits)
        stack.push_async_callback(client.close)
        kit = Kit(
            namespace=namespace,
            admin=admin,
            proxy=proxy,
            reader=KubernetesReader(client, Clock()),
            writer=KubernetesWriter(client),
            evidence=KubernetesEvidence(client),
        )
        await kit.ask(
            "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        )
        try:
            yield kit
        finally:
            try:
                await admin.get(Request(method="DELETE", path=f"/api/v1/namespaces/{namespace}"))
            except ClusterError as error:
                print(f"namespace {namespace} is left behind: {error}")
