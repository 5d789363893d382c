"""Notifications reach a webhook once for each id, and every way of failing has its reason."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from aiohttp import web

from remediator.adapters.notify import LogNotifier, WebhookNotifier
from remediator.model.errors import NotifyError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[str]:
    """Serve one handler on loopback and give its address."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """The session that the process shares."""
    async with aiohttp.ClientSession() as opened:
        yield opened


def answering(status: int, **headers: str) -> tuple[Handler, list[tuple[str, dict[str, str], Any]]]:
    """Return a handler that always answers so, and the list of what it was sent."""
    seen: list[tuple[str, dict[str, str], Any]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append((request.method, dict(request.headers), await request.json()))
        return web.Response(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return handler, seen


async def test_a_notification_is_posted_with_its_key_and_token(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """JSON with the id, a stable idempotency key, and the token of the file as it is at that moment."""
    token_file = tmp_path / "token"
    token_file.write_text("first\n")
    handler, seen = answering(202)
    async with listening(handler) as url:
        notifier = WebhookNotifier(session, url, token_file=token_file)
        await notifier.send(7, {"title": "backstage down"})
        token_file.write_text("second\n")
        await notifier.send(7, {"title": "backstage down"})
        await notifier.send(7, {"title": "a restored database counts from 7 again"})
    first, again, other = (headers["Idempotency-Key"] for _, headers, _ in seen)
    assert first == again != other
    del seen[2]
    assert [(method, body) for method, _, body in seen] == [("POST", {"id": 7, "title": "backstage down"})] * 2
    assert [headers["Authorization"] for _, headers, _ in seen] == ["Bearer first", "Bearer second"]
    assert first.startswith("remediator-notification-7-")


@pytest.mark.parametrize(
    ("status", "reason", "retryable"),
    [
        (301, "redirected", False),
        (307, "redirected", False),
        (400, "refused", False),
        (401, "refused", False),
        (404, "refused", False),
        (429, "throttled", True),
        (500, "unavailable", True),
        (503, "unavailable", True),
    ],
)
async def test_an_answer_that_is_not_2xx_has_a_reason(
    session: aiohttp.ClientSession, status: int, reason: str, retryable: bool
) -> None:
    """Each class of answers tells whether trying again makes sense, and how long the other side wants to be left."""
    handler, seen = answering(status, Retry_After="17", Location="http://127.0.0.1:9/elsewhere")
    async with listening(handler) as url:
        with pytest.raises(NotifyError) as caught:
            await WebhookNotifier(session, url).send(1, {})
    assert (caught.value.reason, caught.value.retryable, caught.value.retry_after) == (reason, retryable, 17.0)
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("header", "seconds"), [("Wed, 21 Oct 2026 07:28:00 GMT", None), ("999999", 3600.0), ("-1", None), ("", None)]
)
async def test_retry_after_is_seconds_within_reason(
    session: aiohttp.ClientSession, header: str, seconds: float | None
) -> None:
    """Dates and nonsense are left to our own back-off, and nobody can send us away for a year."""
    handler, _ = answering(503, Retry_After=header)
    async with listening(handler) as url:
        with pytest.raises(NotifyError) as caught:
            await WebhookNotifier(session, url).send(1, {})
    assert caught.value.retry_after == seconds


async def test_silence_ends_at_the_timeout(session: aiohttp.ClientSession) -> None:
    """A webhook that never answers costs the timeout and no more."""

    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        return web.Response()

    async with listening(silent) as url:
        with pytest.raises(NotifyError) as caught:
            await WebhookNotifier(session, url, timeout_s=0.2).send(1, {})
    assert (caught.value.reason, caught.value.retryable) == ("timeout", True)


async def test_nobody_there_is_unreachable_and_the_address_stays_out_of_the_message(
    session: aiohttp.ClientSession, unused_tcp_port: int
) -> None:
    """A webhook's address may hold a secret: errors do not repeat it."""
    with pytest.raises(NotifyError) as caught:
        await WebhookNotifier(session, f"http://127.0.0.1:{unused_tcp_port}/hook/s3cret").send(1, {})
    assert (caught.value.reason, caught.value.retryable) == ("unreachable", True)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"two words", b"\xff"])
async def test_a_token_file_that_cannot_be_used_names_the_file(
    session: aiohttp.ClientSession, tmp_path: Path, content: bytes | None
) -> None:
    """Nothing is sent without the token that was asked for; the message says which file to look at."""
    token_file = tmp_path / "token"
    if content is not None:
        token_file.write_bytes(content)
    handler, seen = answering(200)
    async with listening(handler) as url:
        with pytest.raises(NotifyError, match="token") as caught:
            await WebhookNotifier(session, url, token_file=token_file).send(1, {})
    assert caught.value.reason == "token"
    assert str(token_file) in caught.value.message
    assert not seen


async def test_without_a_webhook_the_log_says_it_loudly() -> None:
    """The line is a warning, holds the whole notification, and tells how to have it sent."""
    with structlog.testing.capture_logs() as lines:
        await LogNotifier("set notify.url to send this to people").send(3, {"title": "backstage down"})
    assert lines == [
        {
            "event": "notification_for_people",
            "log_level": "warning",
            "notification": 3,
            "payload": {"title": "backstage down"},
            "not_sent": "set notify.url to send this to people",
        }
    ]
