"""``/livez``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

import asyncio

from remediator.model.errors import LedgerError
from remediator.ports.health import HealthStatus
from remediator.web.health import Health
from tests.fakes.clock import StillClock
from tests.web.site import Setup, Word, ask, head, running


async def test_every_check_is_shown() -> None:
    """200 while all are well, by name, with the numbers."""
    ready = [Word("database"), Word("inbox", HealthStatus(ok=True, detail="oldest 0.2 s"))]
    async with running(Setup(ready=ready, live=[Word("tasks")])) as site:
        answer = await ask(site, head("GET", "/readyz"))
        live = await ask(site, head("GET", "/livez"))
    assert answer.status == live.status == 200
    assert answer.json == {
        "ok": True,
        "checks": {"database": {"ok": True, "detail": "fine"}, "inbox": {"ok": True, "detail": "oldest 0.2 s"}},
    }
    assert list(live.json["checks"]) == ["tasks"]
    assert answer.headers["cache-control"] == "no-store"


async def test_one_bad_check_is_503() -> None:
    """Also one that raises; and liveness does not care about readiness."""
    ready = [Word("a"), Word("b", error=LedgerError("unavailable", "postgresql://u:hunter2hunter2@db refused"))]
    async with running(Setup(ready=ready)) as site:
        answer = await ask(site, head("GET", "/readyz"))
        assert (await ask(site, head("GET", "/livez"))).status == 200
    assert answer.status == 503
    assert answer.json["ok"] is False
    assert answer.json["checks"]["a"]["ok"] is True
    assert answer.json["checks"]["b"]["ok"] is False
    assert "refused" in answer.json["checks"]["b"]["detail"]
    assert b"hunter2" not in answer.body


async def test_a_check_that_does_not_answer_is_not_ok() -> None:
    """Each has a deadline; the others are not held up."""
    stuck = Word("stuck", free=asyncio.Event())
    health = Health([stuck, Word("fine")], StillClock(), deadline_s=0.02)
    answer = await health.look()
    assert {name: status.ok for name, status in answer.items()} == {"stuck": False, "fine": True}
    assert answer["stuck"].detail == "no answer within 0.02 s"


async def test_asking_often_costs_nothing() -> None:
    """Many at once and many in a row are one look; after a second it is looked again."""
    word = Word("database", free=asyncio.Event())
    assert word.free is not None
    clock = StillClock()
    health = Health([word], clock)
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(health.look()) for _ in range(20)]
        while not word.asked:
            await asyncio.sleep(0)
        word.free.set()
    assert all(task.result()["database"].ok for task in asked)
    clock.ahead += 0.9
    await health.look()
    assert word.asked == 1
    clock.ahead += 0.2
    await health.look()
    assert word.asked == 2


async def test_metrics_are_handed_on() -> None:
    """With the content type that Prometheus expects."""
    async with running() as site:
        answer = await ask(site, head("GET", "/metrics"))
        assert (await ask(site, head("POST", "/metrics", {"Content-Length": "0"}))).status == 405
    assert answer.body == b"# HELP x y\n"
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["server"] == "remediator"
