"""A fault proxy for HTTP: before the API server, Prometheus, Alertmanager, or whom people are told by."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from tests.faults.points import Cut, Meeting, Point, Reply, nothing

# Of one connection, not of what is said on it.
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "upgrade"}


class HttpProxy:
    """Passes requests on to ``upstream``, and has each met before it is sent and after it was answered."""

    def __init__(self, upstream: str, meet: Meeting = nothing) -> None:
        """Stand before ``upstream``, an address without a path at its end."""
        self.upstream = upstream
        self.meet = meet
        self.url = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[HttpProxy]:
        """Listen on a free port of the loopback interface."""
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        async with aiohttp.ClientSession(auto_decompress=False) as self._out:
            try:
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
                yield self
            finally:
                await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        call = f"{request.method} {resource(request.path)}" + (" (dry run)" if "dryRun" in request.query else "")
        try:
            await self.meet(Point(call=call, after=False, about=request.path))
            reply = await self._forward(request)
            await self.meet(Point(call=call, after=True, about=request.path))
        except Cut:
            return _broken(request)
        except Reply as ordered:
            reply = ordered
        answer = web.StreamResponse(status=reply.status, headers=reply.headers)
        answer.content_length = len(reply.body) + (1 if reply.cut else 0)
        await answer.prepare(request)
        await answer.write(reply.body)
        return _broken(request) if reply.cut else answer

    async def _forward(self, request: web.Request) -> Reply:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        async with self._out.request(
            request.method,
            self.upstream + request.path_qs,
            headers=headers,
            data=await request.read(),
            allow_redirects=False,
        ) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
            return Reply(answer.status, kept, await answer.read())


def resource(path: str) -> str:
    """Return what a Kubernetes path is about (``deployments``, ``pods/log``); of another path, its last part."""
    parts = path.strip("/").split("/")
    for root, depth in (("api", 2), ("apis", 3)):
        if root in parts:
            rest = parts[parts.index(root) + depth :]
            rest = rest[2:] if len(rest) > 2 and rest[0] == "namespaces" else rest
            return "/".join(rest[:1] + rest[2:])
    return parts[-1]


def _broken(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()
