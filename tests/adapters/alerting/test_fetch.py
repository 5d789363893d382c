"""A question to the monitoring is bounded in time and size, carries its credentials, and fails with a reason."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from remediator.adapters.alerting.fetch import Access, Fetch, trust
from remediator.model.errors import ConfigError, MonitoringError
from tests.adapters.alerting.site import Site, listening

PATH = "/api/v2/alerts"


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A server that answers what a test wants."""
    async with listening() as running:
        yield running


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """The session that the process shares."""
    async with aiohttp.ClientSession() as opened:
        yield opened


async def refused(fetch: Fetch, site: Site) -> MonitoringError:
    """Return why there is no answer."""
    with pytest.raises(MonitoringError) as caught:
        await fetch.get(site.url + PATH)
    return caught.value


async def test_an_answer_and_when_it_was_given(site: Site, session: aiohttp.ClientSession) -> None:
    """By the clock of who gave it: what it tells of times is held against that."""
    site.says(PATH, "[]", Date="Sat, 14 Mar 2026 03:10:00 GMT")
    answer = await Fetch(session, Access()).get(site.url + PATH)
    assert (answer.body, answer.at) == (b"[]", datetime(2026, 3, 14, 3, 10, tzinfo=UTC))
    ((_, _, headers, _),) = site.seen
    assert headers["Accept-Encoding"] == "identity"
    assert headers["User-Agent"].startswith("remediator/")
    assert "Authorization" not in headers


async def test_credentials_are_read_for_each_question(
    site: Site, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """So that a token can be exchanged without a restart."""
    site.says(PATH, "[]")
    token, pair = tmp_path / "token", tmp_path / "pair"
    pair.write_text("ada:geheim\n")
    for word in ("first", "second"):
        token.write_text(word + "\n")
        await Fetch(session, Access(token_file=token)).get(site.url + PATH)
    await Fetch(session, Access(basic_auth_file=pair)).get(site.url + PATH)
    given = [headers["Authorization"] for _, _, headers, _ in site.seen]
    assert given == ["Bearer first", "Bearer second", "Basic YWRhOmdlaGVpbQ=="]
    error = await refused(Fetch(session, Access(token_file=tmp_path / "none")), site)
    assert error.reason == "credentials"


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        *((204, "unavailable"), (301, "redirected"), (302, "redirected"), (308, "redirected"), (401, "refused")),
        *((404, "refused"), (429, "refused"), (500, "unavailable"), (503, "unavailable")),
    ],
)
async def test_everything_but_200_is_no_answer(
    site: Site, session: aiohttp.ClientSession, status: int, reason: str
) -> None:
    """A redirect is not followed: it would carry the token elsewhere."""
    site.says(PATH, "[]", status, Location="/elsewhere")
    error = await refused(Fetch(session, Access()), site)
    assert error.reason == reason
    assert [path for _, path, _, _ in site.seen] == [PATH]


async def test_an_answer_has_a_size(site: Site, session: aiohttp.ClientSession) -> None:
    """Told or not, it is broken off where it gets too long."""

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 1000)

    site.answers[PATH] = endless
    error = await refused(Fetch(session, Access(), most_bytes=100_000), site)
    assert error.reason == "too_large"


async def test_an_answer_has_a_deadline(site: Site, session: aiohttp.ClientSession) -> None:
    """However slowly it drips."""

    async def dripping(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    site.answers[PATH] = dripping
    error = await refused(Fetch(session, Access(), total_s=0.3), site)
    assert (error.reason, error.retryable) == ("timeout", True)


async def test_an_answer_that_breaks_off_is_none(site: Site, session: aiohttp.ClientSession) -> None:
    """Half a list of alerts is not a shorter list."""

    async def broken(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"[]")
        assert request.transport is not None
        request.transport.close()
        return response

    site.answers[PATH] = broken
    assert (await refused(Fetch(session, Access()), site)).reason == "unreachable"


async def test_a_compressed_answer_is_refused(site: Site, session: aiohttp.ClientSession) -> None:
    """A small one may be very large."""
    site.says(PATH, "", Content_Encoding="zstd-of-tomorrow")
    assert (await refused(Fetch(session, Access()), site)).reason == "encoded"


@pytest.mark.parametrize("date", ["", "yesterday"])
async def test_an_answer_without_a_time_is_refused(site: Site, session: aiohttp.ClientSession, date: str) -> None:
    """Nobody knows how long it has been running, nor how old its news is."""
    site.says(PATH, "[]", Date=date)
    assert (await refused(Fetch(session, Access()), site)).reason == "undated"


async def test_nobody_listens(session: aiohttp.ClientSession) -> None:
    """Said with the place, and without what else stands in the address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(MonitoringError) as caught:
        await Fetch(session, Access()).get(f"http://127.0.0.1:{port}/secret-path")
    assert caught.value.reason == "unreachable"
    assert str(port) in str(caught.value)
    assert "secret-path" not in str(caught.value)


def test_an_authority_that_cannot_be_read_is_told_by_name(tmp_path: Path) -> None:
    """At the start, not at the first question."""
    assert trust(None) is None
    with pytest.raises(ConfigError, match=r"none\.pem"):
        trust(tmp_path / "none.pem")
    (tmp_path / "bad.pem").write_text("no certificate")
    with pytest.raises(ConfigError, match=r"bad\.pem"):
        trust(tmp_path / "bad.pem")
