"""A server on loopback that answers what a test wants, for everything that a real one never would."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass
class Site:
    """Answers by path; keeps what it was asked. ``url`` is its base address."""

    answers: dict[str, Handler] = field(default_factory=dict)
    seen: list[tuple[str, str, dict[str, str], str]] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        self.seen.append((request.method, request.path, dict(request.headers), await request.text()))
        return await self.answers[request.path](request)

    def says(self, path: str, body: str, status: int = 200, **headers: str) -> None:
        """Answer so from now on."""

        async def handler(_: web.BaseRequest) -> web.StreamResponse:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return web.Response(status=status, text=body, headers=named)

        self.answers[path] = handler


@asynccontextmanager
async def listening() -> AsyncIterator[Site]:
    """Run one."""
    site = Site()
    server = web.Server(site.handle)
    runner = web.ServerRunner(server, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield site
    finally:
        await runner.cleanup()
