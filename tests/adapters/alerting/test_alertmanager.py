"""Asking Alertmanagers: all of a source, each with an answer or a reason; and a real one is understood."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from remediator.adapters.alerting.alertmanager import HttpAlertmanagers
from remediator.adapters.alerting.fetch import Access, Fetch
from remediator.intake.asked import read_alerts, read_status
from remediator.model.sighting import Disposition
from remediator.ports.monitoring import Alertmanagers
from tests.acceptance.alertmanager import MISSING, PROGRAM, Alertmanager
from tests.adapters.alerting.site import Site, listening

ALERTS, STATUS = "/api/v2/alerts", "/api/v2/status"
DATE = "Sat, 14 Mar 2026 03:10:00 GMT"
AT = datetime(2026, 3, 14, 3, 10, tzinfo=UTC)


def status(up_s: float = 600.0, word: str = "ready") -> str:
    """Return a status of an Alertmanager that has been running for so long."""
    return json.dumps({"uptime": (AT - timedelta(seconds=up_s)).isoformat(), "cluster": {"status": word}})


def alert(number: int) -> dict[str, Any]:
    """Return one alert."""
    return {
        "fingerprint": f"{number:016x}",
        "labels": {"alertname": "A", "n": str(number)},
        "annotations": {},
        "startsAt": "2026-03-14T03:00:00Z",
        "updatedAt": "2026-03-14T03:09:30Z",
        "status": {"state": "active", "silencedBy": [], "inhibitedBy": []},
        "receivers": [{"name": "remediator"}],
        "generatorURL": "",
    }


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """The session that the process shares."""
    async with aiohttp.ClientSession() as opened:
        yield opened


def asking(session: aiohttp.ClientSession, *urls: str, total_s: float = 5.0) -> Alertmanagers:
    """Return what asks these Alertmanagers of one source."""
    fetch = Fetch(session, Access(), total_s=total_s)
    return HttpAlertmanagers(peers={"am": urls}, fetch=fetch, read_alerts=read_alerts, read_status=read_status)


def healthy(site: Site, *alerts: dict[str, Any]) -> None:
    """Let a server answer as an Alertmanager does."""
    site.says(ALERTS, json.dumps(alerts), Date=DATE)
    site.says(STATUS, status(), Date=DATE)


async def test_an_answer(session: aiohttp.ClientSession) -> None:
    """Everything is asked for, whatever its state and its receiver; the status after it."""
    async with listening() as site:
        healthy(site, alert(1))
        (answer,) = await asking(session, site.url).ask("am")
        assert [path for _, path, _, _ in site.seen] == [ALERTS, STATUS]
    assert (answer.problem, answer.whole, answer.settled, answer.up_for_s) == ("", True, True, 600.0)
    assert [one.signal.fingerprint for one in answer.sightings] == [f"{1:016x}"]
    assert answer.sightings[0].signal.source == "am"


async def test_a_large_answer_is_read_beside_the_loop(session: aiohttp.ClientSession) -> None:
    """Five thousand alerts take a while to be read; the loop goes on meanwhile."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    async with listening() as site, asyncio.TaskGroup() as beside:
        healthy(site, *(alert(number) for number in range(5000)))
        ticking = beside.create_task(tick())
        (answer,) = await asking(session, site.url).ask("am")
        ticking.cancel()
    assert len(answer.sightings) == 5000
    assert ticks >= 2


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [(ALERTS, "{}", 200), (ALERTS, "[]", 500), (STATUS, "{}", 200), (STATUS, "", 404), (ALERTS, "[", 200)],
)
async def test_half_an_answer_is_none(session: aiohttp.ClientSession, path: str, body: str, code: int) -> None:
    """With the reason, and nothing of what could be read."""
    async with listening() as site:
        healthy(site, alert(1))
        site.says(path, body, code, Date=DATE)
        (answer,) = await asking(session, site.url).ask("am")
    assert answer.problem
    assert (answer.sightings, answer.up_for_s, answer.settled) == ((), 0.0, False)


async def test_both_questions_have_one_deadline(session: aiohttp.ClientSession) -> None:
    """A turn must end in time, however slowly each of them is answered."""

    async def slowly(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(0.3)
        return web.Response(text="[]")

    async with listening() as site:
        site.answers = dict.fromkeys((ALERTS, STATUS), slowly)
        (answer,) = await asking(session, site.url, total_s=0.5).ask("am")
    assert answer.problem == "timeout: no answer within 0.5 s"


async def test_one_that_hangs_does_not_hide_the_other(session: aiohttp.ClientSession) -> None:
    """Both are asked at the same time, each has its own deadline."""

    async def hanging(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise AssertionError

    async with listening() as one, listening() as other:
        healthy(one, alert(1))
        other.answers[ALERTS] = hanging
        answers = await asking(session, other.url, one.url, total_s=0.5).ask("am")
    assert [bool(answer.problem) for answer in answers] == [True, False]
    assert answers[0].problem.startswith("timeout")


@pytest.mark.alertmanager
@pytest.mark.skipif(PROGRAM is None, reason=MISSING)
async def test_a_real_one_is_understood(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """What fires, what is silenced, who gets it, since when it runs; and what is over is not there."""
    names = ("Plain", "Quiet", "Over")
    plain, quiet, over = ({"alertname": name, "namespace": "backstage"} for name in names)
    async with Alertmanager.running(tmp_path / "am", session, ["http://127.0.0.1:9"]) as real:
        silence = await real.silence({"alertname": "Quiet"})
        await real.fire(plain, quiet, over)
        await real.resolve(over)
        (answer,) = await asking(session, real.url).ask("am")
    assert (answer.problem, answer.whole, answer.settled) == ("", True, True)
    # The header that tells its time has whole seconds.
    assert -1.0 <= answer.up_for_s < 60.0
    found = {one.signal.labels["alertname"]: one for one in answer.sightings}
    assert sorted(found) == ["Plain", "Quiet"]
    assert (found["Plain"].disposition, found["Plain"].receivers) == (Disposition.ACTIVE, ("remediator",))
    assert (found["Quiet"].disposition, found["Quiet"].by) == (Disposition.SILENCED, (silence,))
    assert -1.0 <= found["Plain"].updated_ago_s < 60.0
