"""Questions to Prometheus: every kind of answer and of silence, in bounded threads, bytes and time."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from remediator.adapters.prometheus import THREADS, Reach, ThreadedPrometheus
from remediator.model.measure import Answer, Sample, Unseen
from remediator.ports.measuring import Query
from tests.adapters.alerting.site import Site, listening

PATH = "/api/v1/query"
AT = datetime(2026, 3, 14, 3, 0, tzinfo=UTC)
QUERY = Query(expr='sum by (namespace) (up{job="a b"})', at=AT)
LABELS = {"namespace": "backstage"}


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A server that answers as it is told."""
    async with listening() as one:
        yield one


@asynccontextmanager
async def asking(site: Site, **changes: Any) -> AsyncIterator[ThreadedPrometheus]:
    """What asks it, on a short lead."""
    reach = {"url": site.url, "connect_s": 0.5, "read_s": 0.3, "total_s": 0.6, **changes}
    prometheus = ThreadedPrometheus(Reach(**reach))
    try:
        yield prometheus
    finally:
        prometheus.close()


def vector(*values: object, kind: str = "vector", **rest: object) -> str:
    """Return an answer's text."""
    series = [{"metric": LABELS, "value": [AT.timestamp(), value]} for value in values]
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": series}, **rest})


async def answer(site: Site, query: Query = QUERY, **changes: Any) -> Answer:
    """Ask once."""
    async with asking(site, **changes) as prometheus:
        return await prometheus.ask(query, lambda given: given)


def form(site: Site) -> dict[str, list[str]]:
    """Return the form of the last question."""
    return parse_qs(site.seen[-1][3])


async def test_a_question_is_a_form_for_one_moment(site: Site) -> None:
    """In the body, where no limit for addresses cuts it off; with a time for the server, too."""
    site.says(PATH, vector("71.5"))
    assert await answer(site, read_s=4.0) == Answer(samples=(Sample(labels=LABELS, value=71.5, at=AT.timestamp()),))
    method, path, headers, _ = site.seen[-1]
    assert (method, path, headers["Content-Type"]) == ("POST", PATH, "application/x-www-form-urlencoded")
    assert form(site) == {"query": [QUERY.expr], "time": [f"{AT.timestamp():.3f}"], "timeout": ["4s"]}
    long = Query(expr="up" + " or up" * 5000, at=AT)
    await answer(site, long)
    assert form(site)["query"] == [long.expr]


@pytest.mark.parametrize(
    ("text", "status", "expected", "words"),
    [
        (vector(), 200, None, ""),
        (vector("1", kind="scalar"), 200, Unseen.WRONG_TYPE, "gives a scalar"),
        (vector(kind="matrix"), 200, Unseen.WRONG_TYPE, "gives a matrix"),
        (vector(kind="string"), 200, Unseen.WRONG_TYPE, "gives a string"),
        (vector("1", warnings=["a store is away"]), 200, Unseen.PARTIAL, "a store is away"),
        (vector("not a number"), 200, Unseen.MALFORMED, ""),
        ("<html>", 200, Unseen.MALFORMED, ""),
        ('{"status": "error", "error": "x"}', 200, Unseen.MALFORMED, ""),
        (
            '{"status":"error","errorType":"bad_data","error":"parse error at 3"}',
            400,
            Unseen.REFUSED,
            "parse error at 3",
        ),
        ('{"status":"error","errorType":"execution","error":"too much"}', 422, Unseen.REFUSED, "answers 422: too much"),
        ("who are you", 401, Unseen.REFUSED, "answers 401"),
        ("busy", 503, Unseen.UNAVAILABLE, "answers 503"),
        ("oops", 500, Unseen.UNAVAILABLE, "answers 500"),
    ],
)
async def test_answers(site: Site, text: str, status: int, expected: Unseen | None, words: str) -> None:
    """Each is told apart; none raises."""
    site.says(PATH, text, status)
    given = await answer(site)
    assert given.problem == expected
    assert words in given.detail
    assert given.samples == ()
    assert len(site.seen) == 1, "it is asked once, whatever comes back"


async def test_what_prometheus_says_is_kept_without_secrets(site: Site) -> None:
    """Of errors and of warnings."""
    secret = "store at http://me:hunter2secret@thanos:10901 is away"
    site.says(PATH, json.dumps({"status": "error", "errorType": "x", "error": secret}), 503)
    refused = await answer(site)
    site.says(PATH, vector("1", warnings=[secret]))
    partial = await answer(site)
    assert [one.problem for one in (refused, partial)] == [Unseen.UNAVAILABLE, Unseen.PARTIAL]
    assert all("store at" in one.detail and "hunter2secret" not in one.detail for one in (refused, partial))


async def test_strange_samples_are_handed_on(site: Site) -> None:
    """What they mean is for others to say."""
    histogram = {"metric": LABELS, "histogram": [1.0, {"count": "3"}]}
    result = [{"metric": LABELS, "value": [1, "NaN"]}, {"metric": LABELS, "value": [1.5, "+Inf"]}, histogram]
    site.says(PATH, json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}))
    nan, infinite, native = (await answer(site)).samples
    assert str(nan.value) == "nan"
    assert (infinite.value, infinite.at) == (float("inf"), 1.5)
    assert native.value is None


async def test_the_times_of_samples_are_asked_for(site: Site) -> None:
    """By a second question for the same moment; the first one's times are that moment."""
    seen = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        expr = parse_qs(await request.text())["query"][0]
        seen.append(expr)
        return web.Response(text=vector(str(AT.timestamp() - 200) if expr.startswith("timestamp(") else "91"))

    site.answers[PATH] = handler
    given = await answer(site, Query(expr="job:ratio", at=AT, dated=True))
    assert given.samples == (Sample(labels=LABELS, value=91.0, at=AT.timestamp() - 200),)
    assert seen == ["job:ratio", "timestamp(job:ratio)"]


async def test_nobody_there() -> None:
    """Refused at once; the address is told without what else it holds."""
    nowhere = Site(url="http://user:secret@127.0.0.1:1")
    given = await answer(nowhere)
    assert given.problem is Unseen.UNREACHABLE
    assert "secret" not in given.detail
    assert "127.0.0.1:1" in given.detail


async def test_a_redirect_is_not_followed(site: Site) -> None:
    """It could lead credentials elsewhere."""
    site.says(PATH, "", 302, Location=f"{site.url}/elsewhere")
    given = await answer(site)
    assert (given.problem, len(site.seen)) == (Unseen.REFUSED, 1)


async def test_an_answer_has_a_bound(site: Site) -> None:
    """In bytes."""
    site.says(PATH, vector("1") + " " * 5000)
    assert (await answer(site, most_bytes=1000)).problem is Unseen.TOO_LARGE


@pytest.mark.parametrize("kind", ["token", "basic"])
async def test_secrets_come_from_files_and_are_read_each_time(site: Site, tmp_path: Path, kind: str) -> None:
    """So that they can be exchanged; one that is away is a reason, and its content is never told."""
    secret = tmp_path / "secret"
    secret.write_text("first\n" if kind == "token" else "me:first\n", encoding="utf-8")
    site.says(PATH, vector("1"))
    files = {"token_file": secret} if kind == "token" else {"basic_auth_file": secret}
    async with asking(site, **files) as prometheus:
        await prometheus.ask(QUERY, lambda given: given)
        first = site.seen[-1][2]["Authorization"]
        secret.write_text("me:second", encoding="utf-8")
        await prometheus.ask(QUERY, lambda given: given)
        assert site.seen[-1][2]["Authorization"] != first
        secret.unlink()
        away = await prometheus.ask(QUERY, lambda given: given)
    assert first.startswith("Bearer first" if kind == "token" else "Basic ")
    assert away.problem is Unseen.CREDENTIALS
    assert str(secret) in away.detail


async def test_credentials_of_the_address_are_used(site: Site) -> None:
    """As the history does; and never told."""
    site.says(PATH, "no", 403)
    given = await answer(site, url=site.url.replace("http://", "http://me:hunter2@"))
    assert site.seen[-1][2]["Authorization"] == "Basic bWU6aHVudGVyMg=="
    assert given.problem is Unseen.REFUSED
    assert "hunter2" not in given.detail


async def hangs(_: web.BaseRequest) -> web.StreamResponse:
    """Never answer."""
    await asyncio.Event().wait()
    return web.Response()


async def drips(request: web.BaseRequest) -> web.StreamResponse:
    """Answer a byte at a time: the socket never waits for long, and there is no end to it."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("handler", [hangs, drips])
async def test_who_does_not_answer_in_time_holds_nobody_up(site: Site, handler: Any) -> None:
    """Twice as many questions as threads: all are over by their deadline, and the loop has gone on all the time."""
    site.answers[PATH] = handler
    loop = asyncio.get_running_loop()
    late = []

    async def beat() -> None:
        while True:
            began = loop.time()
            await asyncio.sleep(0.01)
            late.append(loop.time() - began)

    async with asking(site) as prometheus, asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        beating = tasks.create_task(beat())
        began = loop.time()
        asked = [tasks.create_task(prometheus.ask(QUERY, lambda given: given.problem)) for _ in range(2 * THREADS)]
        while not all(one.done() for one in asked):
            await asyncio.sleep(0.05)
        assert loop.time() - began < 3.0
        assert {one.result() for one in asked} == {Unseen.TIMEOUT}
        # The threads that everybody shares are free, for names are resolved in them; and soon our own are, too.
        await asyncio.to_thread(int, "1")
        site.says(PATH, vector("1"))
        while await prometheus.ask(QUERY, lambda given: given.problem) is Unseen.TIMEOUT:
            assert loop.time() - began < 5.0
        beating.cancel()
    assert len(late) > 20


async def test_what_is_made_of_an_answer_is_made_in_a_thread(site: Site) -> None:
    """A large one must not stop the loop; what goes wrong there is no answer of Prometheus, and is raised."""
    site.says(PATH, vector("1"))
    async with asking(site) as prometheus:
        assert await prometheus.ask(QUERY, lambda _: threading.current_thread()) is not threading.main_thread()

        def bug(_: Answer) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await prometheus.ask(QUERY, bug)
