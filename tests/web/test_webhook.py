"""The webhook: 200 after the inbox took it, and for everything else the right refusal."""

from __future__ import annotations

import asyncio

import pytest

from remediator.model.errors import InvariantBroken, LedgerError
from remediator.web.receive import BodyLimits
from remediator.web.webhook import WebhookLimits
from tests.fakes.inbox import MemoryInbox
from tests.intake.bodies import alert, body
from tests.web.site import HOOK, Setup, Site, ask, head, post, read_answer, running

GOOD = body(alert())


def codes(site: Site) -> list[str]:
    """The outcomes that the webhook told."""
    return site.notebook.outcomes("webhook")


@pytest.mark.parametrize("path", [HOOK, HOOK + "/", "/"])
async def test_a_body_is_taken(path: str) -> None:
    """On the named path with and without a slash at its end, and on the root."""
    async with running() as site:
        answer = await post(site, GOOD, path=path)
    assert (answer.status, answer.json) == (200, {"new": 1, "known": 0, "quarantined": 0})
    assert [signal.source for signal in site.inbox.facts.values()] == ["alertmanager"]
    assert codes(site) == ["accepted"]
    assert site.notebook.fields("webhook", "accepted")["new"] == 1


async def test_a_repeat_is_known() -> None:
    """A retry of Alertmanager is answered 200 and changes nothing."""
    async with running() as site:
        await post(site, GOOD)
        answer = await post(site, GOOD)
    assert answer.json == {"new": 0, "known": 1, "quarantined": 0}
    assert codes(site) == ["accepted", "accepted"]
    assert [event.fields["known"] for event in site.notebook.events if event.stage == "webhook"] == [0, 1]


async def test_the_answer_waits_for_the_commit() -> None:
    """No word before the inbox has returned."""
    inbox = MemoryInbox()
    inbox.open.clear()
    async with running(Setup(inbox=inbox)) as site:
        async with asyncio.TaskGroup() as tasks:
            answer = tasks.create_task(post(site, GOOD))
            while not inbox.asked:
                await asyncio.sleep(0.01)
            assert not answer.done()
            inbox.open.set()
        assert answer.result().status == 200


async def test_a_bad_alert_is_quarantined_and_the_rest_taken() -> None:
    """One bad alert in a good body, and what Alertmanager left out."""
    async with running() as site:
        answer = await post(site, body(alert(), alert(labels={}), truncatedAlerts=4))
    assert answer.json == {"new": 1, "known": 0, "quarantined": 1}
    assert site.inbox.truncated == 4
    assert site.notebook.outcomes("intake") == ["truncated", "quarantined"]
    assert site.notebook.fields("intake", "quarantined")["path"] == '$.alerts[1].labels["alertname"]'


async def test_garbage_is_answered_with_its_place() -> None:
    """400, once and for all, with the JSON path."""
    async with running() as site:
        answer = await post(site, b'{"version":"4","alerts":7}')
    assert answer.status == 400
    assert answer.json["path"] == "$.alerts"
    assert "expected an array" in answer.json["error"]
    assert site.notebook.fields("webhook", "malformed")["path"] == "$.alerts"
    assert site.inbox.asked == 0


@pytest.mark.parametrize("reason", ["full", "unavailable", "disk_full"])
async def test_a_store_that_cannot_is_503_with_the_reason(reason: str) -> None:
    """The only answer after which Alertmanager tries again; its log shows our reason, without our secrets."""
    inbox = MemoryInbox()
    inbox.refuse_with = LedgerError(reason, "postgresql://u:hunter2hunter2@db is away", retry_after=7.2)
    async with running(Setup(inbox=inbox)) as site:
        answer = await post(site, GOOD)
        assert answer.status == 503
        assert answer.headers["retry-after"] == "7"
        assert reason in answer.json["error"]
        assert b"hunter2" not in answer.body
        inbox.refuse_with = None
        assert (await post(site, GOOD)).status == 200
    assert codes(site) == ["full" if reason == "full" else "store", "accepted"]


async def test_a_slow_store_is_503_in_time() -> None:
    """The inbox's own deadline, which comes before Alertmanager's, has a word of its own."""
    inbox = MemoryInbox()
    inbox.refuse_with = LedgerError("timeout", "not stored within 5 s", retryable=True)
    async with running(Setup(inbox=inbox)) as site:
        answer = await post(site, GOOD)
    assert answer.status == 503
    assert answer.headers["retry-after"] == "5"
    assert codes(site) == ["deadline"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
@pytest.mark.parametrize("path", [HOOK, HOOK + "/", "/"])
async def test_other_methods_are_405(method: str, path: str) -> None:
    """An Alertmanager that was redirected comes with GET and no body: a 2xx would lose its alerts."""
    async with running() as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(head(method, path))
        text = await reader.readuntil(b"\r\n\r\n")
        writer.close()
    assert text.startswith(b"HTTP/1.1 405")
    assert b"Allow: POST" in text
    assert site.notebook.fields("webhook", "method")["method"] == method


@pytest.mark.parametrize("path", ["/alerts", "/api/v1/webhooks", HOOK + "//", "//", "/../", "/livez/"])
async def test_there_is_no_redirect(path: str) -> None:
    """An unknown path is 404, never 3xx: Alertmanager follows redirects with GET and calls that success."""
    async with running() as site:
        for request in (head("GET", path), head("POST", path, {"Content-Length": str(len(GOOD))}) + GOOD):
            answer = await ask(site, request)
            assert answer.status in {404, 405}
            assert "location" not in answer.headers
    assert site.inbox.asked == 0


async def test_a_query_does_not_matter() -> None:
    """Some proxies add one."""
    async with running() as site:
        assert (await post(site, GOOD, path=HOOK + "?tenant=a")).status == 200


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/json; charset=utf-8", "nonsense"])
async def test_the_content_type_does_not_matter(content_type: str | None) -> None:
    """The body says what it is."""
    async with running() as site:
        headers = {"Content-Length": str(len(GOOD))} | ({"Content-Type": content_type} if content_type else {})
        assert (await ask(site, head("POST", HOOK, headers) + GOOD)).status == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
async def test_compressed_bodies_are_refused(encoding: str) -> None:
    """Nobody needs them, and a bomb fits in one."""
    async with running() as site:
        answer = await post(site, GOOD, {"Content-Encoding": encoding})
    assert answer.status == 415
    assert codes(site) == ["encoding"]


SMALL = BodyLimits(one=10_000, together=15_000)


async def test_a_body_announced_too_large_is_refused_before_it_comes() -> None:
    """413 on the announcement alone."""
    async with running(Setup(body=SMALL)) as site:
        answer = await ask(site, head("POST", HOOK, {"Content-Length": "10001"}))
    assert answer.status == 413
    assert codes(site) == ["too_large"]


async def test_an_endless_body_is_refused_while_it_comes() -> None:
    """413 as soon as the cap is passed, though no length was announced."""
    async with running(Setup(body=SMALL)) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(head("POST", HOOK, {"Transfer-Encoding": "chunked"}))
        chunk = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
        for _ in range(3):
            writer.write(chunk)
        answer = await read_answer(reader)
        writer.close()
    assert answer.status == 413
    assert "lower max_alerts" in answer.json["error"]


async def test_the_cap_is_five_mebibytes() -> None:
    """The last byte that fits is read, and the next is not."""
    text = GOOD + b" " * (5 * 2**20 - len(GOOD))
    async with running() as site:
        assert (await post(site, text)).status == 200
        assert (await post(site, text + b" ")).status == 413


async def test_large_bodies_together_are_bounded() -> None:
    """The memory of all bodies at one time: 503, and what was held is given back."""
    async with running(Setup(body=SMALL)) as site:
        streams = []
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            writer.write(head("POST", HOOK, {"Content-Length": "9000"}) + b" " * 8000)
            streams.append((reader, writer))
        ended = [asyncio.ensure_future(read_answer(reader)) for reader, _ in streams]  # noqa: TID251 - ends with the test
        done, waiting = await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
        (refused,) = done
        assert (refused.result().status, refused.result().json["reason"]) == (503, "memory")
        for _, writer in streams:
            writer.close()
        (gone,) = waiting
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await gone
        while len(codes(site)) < 2:
            await asyncio.sleep(0.01)
        full = GOOD + b" " * (9000 - len(GOOD))
        assert [(await post(site, full)).status for _ in range(3)] == [200, 200, 200]


async def test_large_bodies_are_parsed_beside_the_loop() -> None:
    """Good and bad ones come to the same end in a thread."""
    async with running(Setup(webhook=WebhookLimits(inline_bytes=10))) as site:
        assert (await post(site, GOOD)).json["new"] == 1
        assert (await post(site, b'{"version":"4","alerts":7}')).json["path"] == "$.alerts"


async def test_connections_are_kept_for_the_next_request() -> None:
    """Alertmanager keeps its connection, also over refusals."""
    async with running() as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        request = head("POST", HOOK, {"Content-Length": str(len(GOOD))}) + GOOD
        for expected, sent in ((200, request), (405, head("GET", HOOK)), (200, request), (200, request)):
            writer.write(sent)
            assert (await read_answer(reader)).status == expected
        writer.close()


async def test_a_sender_that_goes_away_changes_nothing() -> None:
    """The commit goes on without it: the answer is lost, the alert is not."""
    inbox = MemoryInbox()
    inbox.open.clear()
    async with running(Setup(inbox=inbox)) as site:
        _, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(head("POST", HOOK, {"Content-Length": str(len(GOOD))}) + GOOD)
        while not inbox.asked:
            await asyncio.sleep(0.01)
        writer.transport.abort()
        await asyncio.sleep(0.05)
        inbox.open.set()
        while not inbox.facts:
            await asyncio.sleep(0.01)
        assert (await post(site, GOOD)).json["known"] == 1


async def test_a_fault_of_ours_is_500_and_told() -> None:
    """Alertmanager tries again after a 5xx; the fault is in the log, not in the answer."""

    class Broken(MemoryInbox):
        async def accept(self, delivery: object) -> None:  # type: ignore[override] # a fault of a kind nobody expects
            raise KeyError("hunter2hunter2")

    async with running(Setup(inbox=Broken())) as site:
        answer = await post(site, GOOD)
        assert answer.status == 500
        assert b"hunter2" not in answer.body
        assert isinstance(site.notebook.fields("http", "fault")["exc_info"], KeyError)
        assert site.bugs == []


async def test_a_broken_invariant_reaches_the_supervisor() -> None:
    """Then nothing more may be done on what cannot be so."""

    class Broken(MemoryInbox):
        async def accept(self, delivery: object) -> None:  # type: ignore[override] # only raises
            raise InvariantBroken("two leaders")

    async with running(Setup(inbox=Broken())) as site:
        assert (await post(site, GOOD)).status == 500
        assert [str(bug) for bug in site.bugs] == ["two leaders"]
