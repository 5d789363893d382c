"""Prometheus's memory: episodes out of samples, an honest "I do not know", and a real one is understood."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import pytest

from remediator.adapters.alerting.fetch import Access, Fetch
from remediator.adapters.alerting.history import MOST_EPISODES, PrometheusHistory
from remediator.adapters.clock import SystemClock
from remediator.intake.asked import read_labels
from remediator.intake.fingerprint import fingerprint
from remediator.model.errors import MonitoringError
from tests.acceptance.prometheus import MISSING, PROGRAM, prometheus
from tests.adapters.alerting.site import Site, listening

RANGE, INSTANT = "/api/v1/query_range", "/api/v1/query"
T0 = datetime(2026, 3, 14, 3, 0, tzinfo=UTC)
LABELS = {"alertname": "BackstageDown", "namespace": "backstage"}


def series(*seconds: float, **labels: str) -> dict[str, Any]:
    """Return a series of the answer with points at these times after T0."""
    points = [[T0.timestamp() + at, "3"] for at in seconds]
    return {"metric": {"alertstate": "firing", **LABELS, **labels}, "values": points}


def envelope(*result: dict[str, Any], kind: str = "matrix", **more: Any) -> str:
    """Return an answer of Prometheus."""
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": list(result)}, **more})


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """The session that the process shares."""
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A server that answers as Prometheus does, that nothing fires now."""
    async with listening() as running:
        running.says(INSTANT, envelope(kind="vector"))
        yield running


def history(session: aiohttp.ClientSession, url: str) -> PrometheusHistory:
    """Return what asks this Prometheus."""
    return PrometheusHistory(url=url, fetch=Fetch(session, Access()), read_labels=read_labels)


async def test_samples_become_episodes(session: aiohttp.ClientSession, site: Site) -> None:
    """Points that are minutes apart are one; a longer pause parts them. The fingerprint is that of the labels."""
    site.says(RANGE, envelope(series(10, 20, 100, 900, 910)))
    first, second = sorted(
        await history(session, site.url).episodes(T0, T0 + timedelta(seconds=1000)), key=lambda one: one.began_at
    )
    assert (first.labels, first.fingerprint) == (LABELS, fingerprint(LABELS))
    # One step before the first point it was not there yet; 1000 s make steps of 2 s.
    assert (first.began_at, first.ended_at) == (T0 + timedelta(seconds=8), T0 + timedelta(seconds=100))
    assert (second.began_at, second.ended_at) == (T0 + timedelta(seconds=898), T0 + timedelta(seconds=910))
    assert (first.over, second.over) == (True, True)


async def test_what_fires_now_is_not_over(session: aiohttp.ClientSession, site: Site) -> None:
    """Its last episode, that is."""
    site.says(RANGE, envelope(series(10, 900), series(10, namespace="dev-portal")))
    site.says(INSTANT, envelope({"metric": {"__name__": "ALERTS", **series()["metric"]}, "value": [1, "1"]}))
    found = await history(session, site.url).episodes(T0, T0 + timedelta(seconds=1000))
    assert {(one.labels["namespace"], one.began_at > T0 + timedelta(minutes=5)): one.over for one in found} == {
        ("backstage", False): True,
        ("backstage", True): False,
        ("dev-portal", False): True,
    }


@pytest.mark.parametrize(("span_s", "step"), [(10, 1), (500, 1), (501, 2), (86400, 173)])
async def test_windows_touch_each_other(session: aiohttp.ClientSession, site: Site, span_s: int, step: int) -> None:
    """At most five hundred of them, and none of the time falls between two."""
    site.says(RANGE, envelope())
    await history(session, site.url).episodes(T0, T0 + timedelta(seconds=span_s))
    asked = parse_qs(site.seen[0][3])
    assert asked["query"] == [f'count_over_time(ALERTS{{alertstate="firing"}}[{step}s])']
    assert asked["step"] == [str(step)]
    assert float(asked["start"][0]) == T0.timestamp() + step
    assert float(asked["end"][0]) >= T0.timestamp() + span_s


async def test_there_is_a_bound(session: aiohttp.ClientSession, site: Site) -> None:
    """Those that fired longest are told of."""
    many = [series(*range(10, 10 + 1 + n % 7), n=str(n)) for n in range(MOST_EPISODES + 100)]
    site.says(RANGE, envelope(*many))
    found = await history(session, site.url).episodes(T0, T0 + timedelta(seconds=100))
    assert len(found) == MOST_EPISODES
    assert min(one.ended_at - one.began_at for one in found) >= timedelta(seconds=1)


@pytest.mark.parametrize(
    "body",
    [
        *("", "[]", "null", '{"status": "error"}', envelope(warnings=["a store was not reachable"])),
        *(envelope().replace("success", "error"), '{"status": "success", "data": {"result": [{"metric": 7}]}}'),
    ],
)
@pytest.mark.parametrize("path", [RANGE, INSTANT])
async def test_half_an_answer_is_none(session: aiohttp.ClientSession, site: Site, body: str, path: str) -> None:
    """What is missing may be what was missed."""
    site.says(RANGE, envelope())
    site.says(path, body)
    with pytest.raises(MonitoringError):
        await history(session, site.url).episodes(T0, T0 + timedelta(seconds=100))


@pytest.mark.prometheus
@pytest.mark.slow
@pytest.mark.skipif(PROGRAM is None, reason=MISSING)
async def test_a_real_one_is_understood(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """An alert that has fired and ended is over, and lasted about as long as it did; one that fires is not over."""
    began = SystemClock().now()
    async with prometheus(tmp_path) as url:
        asked = history(session, url)
        async with asyncio.timeout(40):
            while True:
                now = SystemClock().now()
                found = {one.labels["alertname"]: one for one in await asked.episodes(began, now)}
                if "Lasting" in found and "Short" in found and found["Short"].over:
                    break
                await asyncio.sleep(0.5)
    assert not found["Lasting"].over
    short = found["Short"]
    assert short.labels == {"alertname": "Short", "namespace": "backstage", "deployment": "backstage"}
    assert 2 <= (short.ended_at - short.began_at).total_seconds() <= 10
