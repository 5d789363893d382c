"""What every notifier promises: it says how people were told, or raises NotifyError and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from remediator.adapters.notify import LogNotifier, WebhookNotifier
from remediator.model.errors import NotifyError
from remediator.ports.notifier import Notifier
from tests.flow.rig import Sink

PAYLOAD = {"incident": 1, "message": "help: 崩 \x1b[31m", "severity": "P1", "action": None, "urgent": True}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def webhook(handler: Handler) -> AsyncIterator[WebhookNotifier]:
    """A webhook of somebody else, on a port of this machine."""
    app = web.Application()
    app.router.add_post("/", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        async with aiohttp.ClientSession() as session:
            yield WebhookNotifier(session, f"http://{host}:{port}/", timeout_s=2.0)
    finally:
        await runner.cleanup()


@pytest.fixture(params=["fake", "log", "webhook"])
async def notifier(request: pytest.FixtureRequest) -> AsyncIterator[Notifier]:
    """Each notifier in turn."""
    if request.param == "webhook":

        async def take(asked: web.Request) -> web.Response:
            await asked.json()
            return web.Response(status=202)

        async with webhook(take) as made:
            yield made
    else:
        yield Sink() if request.param == "fake" else LogNotifier("set a webhook")


async def test_it_says_how_people_were_told(notifier: Notifier) -> None:
    """In words for the ledger; the same message again is no fault."""
    words = {await notifier.send(7, PAYLOAD) for _ in range(2)}
    assert len(words) == 1
    assert words.pop()


@pytest.mark.parametrize("how", ["fake", "webhook"])
async def test_what_fails_is_said_with_whether_to_try_again(how: str) -> None:
    """As a NotifyError, with the other side's own wish."""
    if how == "fake":
        error = await failure(Sink(failing=NotifyError("throttled", "busy", retryable=True, retry_after=3.0)))
    else:

        async def refuse(_: web.Request) -> web.Response:
            return web.Response(status=429, headers={"Retry-After": "3"})

        async with webhook(refuse) as made:
            error = await failure(made)
    assert (error.reason, error.retryable, error.retry_after) == ("throttled", True, 3.0)


async def failure(notifier: Notifier) -> NotifyError:
    """Return what a notifier raises."""
    with pytest.raises(NotifyError) as caught:
        await notifier.send(1, dict[str, Any](PAYLOAD))
    return caught.value
