"""What is said of Prometheus, Alertmanager and the rows, whatever they answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import pytest
from aiohttp import web

from remediator.adapters.alerting.fetch import Access, Fetch
from remediator.doctor import alertmanager, prometheus, rows
from remediator.doctor.asking import Asking
from remediator.doctor.finding import Finding, Grade
from remediator.model.rule import Matcher, MatchOp, Rule, Rung, Severity, Source, TargetSpec, Threshold
from remediator.model.target import Kind
from tests.adapters.alerting.site import Site, listening

NOW = datetime(2026, 3, 14, 3, 12, tzinfo=UTC)
OLD = format_datetime(NOW - timedelta(seconds=90), usegmt=True)
ISTIO = Source(name="istio", expr="sum(istio)", needs=(('istio{reporter="destination"}', "le"),))
TRAEFIK = Source(name="traefik", expr="sum(traefik)", needs=(("traefik",),))
HERE = {"namespace": "shop", "service": "web"}
Samples = list[tuple[dict[str, str], str]]


def a_row(*sources: Source, expr: str = "sum(plain)") -> Rule:
    """A row about services of the shop."""
    threshold = Threshold(expr=expr, unit="percent", warning=5, critical=10, for_s=60, sources=sources)
    return Rule(
        name="error-rate",
        match=(
            Matcher(label="alertname", op=MatchOp.EQUAL, value="error-rate"),
            Matcher(label="namespace", op=MatchOp.EQUAL, value="shop"),
        ),
        severity=Severity.P3,
        target=TargetSpec(namespaces=("shop",), kinds=(Kind.DEPLOYMENT,)),
        ladder=(Rung(action="notify", parameters={}),),
        threshold=threshold,
        place="rules/t.yaml:7",
    )


def vector(samples: Samples, *warnings: str) -> str:
    """An answer to an instant query."""
    result = [{"metric": labels, "value": [1.0, value]} for labels, value in samples]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}, "warnings": warnings})


class Answers:
    """A Prometheus that answers by what stands in the query."""

    def __init__(self, site: Site) -> None:
        """Answer nothing yet."""
        self.by_part: dict[str, str] = {}
        self.date = format_datetime(NOW, usegmt=True)
        site.answers["/api/v1/query"] = self._query
        for page in ("buildinfo", "runtimeinfo", "tsdb"):
            site.says(f"/api/v1/status/{page}", "no such page", status=404)

    async def _query(self, request: web.BaseRequest) -> web.StreamResponse:
        query = parse_qs(await request.text())["query"][0]
        text = next((text for part, text in self.by_part.items() if part in query), vector([]))
        return web.Response(text=text, headers={"Date": self.date})


@asynccontextmanager
async def asking(total_s: float = 5.0) -> AsyncIterator[tuple[Site, Answers, Asking]]:
    """Such a Prometheus, and who asks it."""
    async with listening() as site, aiohttp.ClientSession() as http:
        yield site, Answers(site), Asking(url=site.url, fetch=Fetch(http, Access(), total_s=total_s))


PROBE, NOTHING = "label_replace(count(", vector([])


@pytest.mark.parametrize(
    ("rule", "answers", "grade", "found"),
    [
        (
            a_row(ISTIO, TRAEFIK),
            {PROBE: vector([({"probe": "0"}, "3")])},
            Grade.GAP,
            "no series: istio lacks le; traefik lacks traefik",
        ),
        (a_row(ISTIO), {}, Grade.GAP, "no series: istio lacks istio, le"),
        (
            a_row(ISTIO, TRAEFIK),
            {PROBE: vector([({"probe": "2"}, "3")])},
            Grade.GAP,
            "the series by traefik are there, and the expression gives nothing",
        ),
        (
            a_row(TRAEFIK),
            {PROBE: vector([({"probe": "0"}, "3")]), "sum(": vector([({"namespace": "x"}, "1"), ({}, "2")])},
            Grade.GAP,
            "2 series by traefik, and none is the row's",
        ),
        (
            a_row(TRAEFIK),
            {PROBE: vector([({"probe": "0"}, "3")]), "sum(": vector([(HERE, "7"), (HERE | {"service": "b"}, "NaN")])},
            Grade.NOTE,
            "2 series by traefik, the highest 7 %; 1 without a number",
        ),
        (a_row(), {"sum(": vector([(HERE, "7"), ({"namespace": "x"}, "99")])}, Grade.OK, "1 series, the highest 7 %"),
        (a_row(), {"sum(": vector([(HERE, "7")], "store gone")}, Grade.GAP, "answered with a warning: store gone"),
        (a_row(), {"sum(": "{"}, Grade.STOP, "cannot be evaluated: malformed: the answer cannot be read"),
    ],
    ids=["a-part", "none", "empty", "not-ours", "nan", "ok", "warning", "malformed"],
)
async def test_rows(rule: Rule, answers: Mapping[str, str], grade: Grade, found: str) -> None:
    """Which series are there, which source that means, what comes of it, and what to do about a gap."""
    async with asking() as (_, says, who):
        says.by_part.update(answers)
        [finding] = (await rows.look([rule], who)).findings
        assert (finding.what, finding.grade) == ("error-rate", grade)
        assert finding.found.startswith(found)
        assert bool(finding.advice) is (grade is not Grade.OK)


async def test_an_expression_that_prometheus_refuses_is_a_gap() -> None:
    """It stops this row alone."""
    async with asking() as (site, _, who):
        site.says("/api/v1/query", '{"status":"error"}', status=422)
        [finding] = (await rows.look([a_row()], who)).findings
        assert finding.grade is Grade.GAP
        assert "answers 422" in finding.found


def named(findings: tuple[Finding, ...]) -> dict[str, Finding]:
    """The findings by what they are about."""
    return {one.what: one for one in findings}


def signs(newest: datetime, earlier: datetime | None) -> str:
    """What Prometheus knows of the times of its scrapes."""
    known = {"newest": newest} | ({"earlier": earlier} if earlier else {})
    return vector([({"sign": name}, str(at.timestamp())) for name, at in known.items()])


async def test_prometheus_in_good_order() -> None:
    """Its version, its memory, its targets."""
    async with asking() as (site, says, who):
        site.says("/api/v1/status/buildinfo", '{"data":{"version":"2.42.0"}}', Date=OLD)
        site.says("/api/v1/status/runtimeinfo", '{"data":{"storageRetention":"15d"}}', Date=OLD)
        head = {"numSeries": 12, "minTime": (NOW.timestamp() - 7200) * 1000}
        site.says("/api/v1/status/tsdb", json.dumps({"data": {"headStats": head}}), Date=OLD)
        says.by_part = {"sign": signs(NOW, NOW - timedelta(minutes=5)), "== 0": vector([({}, "2")])}
        says.by_part["count(up)"] = vector([({}, "5")])
        look = await prometheus.look(who, NOW, 300)
        found = {one.what: one.found for one in look.findings}
        assert found == {
            "reachable": "version 2.42.0 answers",
            "memory": "keeps 15d, 12 series, its head begins 2 h ago",
            "trust": "scrapes now, and did 5 min ago, without warnings",
            "targets": "2 of 5 do not answer",
        }
        assert [(one.whose, one.ahead_s) for one in look.clocks] == [("Prometheus", 0.0)]


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (signs(NOW, None), "Prometheus knows of nothing 5 min ago"),
        (signs(NOW - timedelta(minutes=10), NOW), "nothing has been scraped for 10 min"),
        (vector([], "partial"), "answers with a warning: partial"),
        (vector([]), "Prometheus has no series 'up'"),
    ],
    ids=["fresh", "stale", "warning", "empty"],
)
async def test_a_prometheus_that_is_not_to_be_believed_stops_the_rows(answer: str, found: str) -> None:
    """And something else than Prometheus, which tells neither version nor memory, is no fault."""
    async with asking() as (_, says, who):
        says.by_part = {"sign": answer}
        look = named((await prometheus.look(who, NOW, 300)).findings)
        assert look["trust"].grade is Grade.STOP
        assert look["trust"].found.startswith(found)
        assert look["reachable"].grade is Grade.OK
        assert look["memory"].grade is Grade.NOTE


async def test_a_prometheus_that_lets_us_not_in() -> None:
    """The credentials are named as the place to look at."""
    async with asking() as (site, _, who):
        site.says("/api/v1/query", "who are you", status=401)
        [finding] = (await prometheus.look(who, NOW, 300)).findings
        assert (finding.grade, "answers 401" in finding.found, "credentials" in finding.advice) == (
            Grade.STOP,
            True,
            True,
        )


async def test_a_prometheus_that_hangs() -> None:
    """Takes as long as one question may, and no longer."""

    async def hang(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with asking(total_s=0.1) as (site, _, who):
        site.answers = dict.fromkeys([*site.answers, "/api/v1/query"], hang)
        async with asyncio.timeout(5):
            [finding] = (await prometheus.look(who, NOW, 300)).findings
            [row] = (await rows.look([a_row()], who)).findings
        assert "did not answer within 0.1 s" in finding.found
        assert row.found == "1 rows could not be looked at: Prometheus does not answer"


HOOK = "receivers:\n- name: r\n  webhook_configs:\n  - send_resolved: %s\n    url: http://r:9095%s\n"
OTHER = "receivers:\n- name: r\n  webhook_configs:\n  - url: <secret>\n"


@pytest.mark.parametrize(
    ("config", "grade", "found"),
    [
        (HOOK % ("true", alertmanager.HOOK), Grade.OK, "a receiver posts to "),
        (HOOK % ("false", alertmanager.HOOK), Grade.GAP, "may not send what is resolved"),
        (HOOK % ("true", "/elsewhere"), Grade.GAP, "no receiver posts to "),
        (OTHER, Grade.NOTE, "it masks the addresses"),
    ],
    ids=["ours", "without-resolved", "none", "masked"],
)
async def test_a_receiver_that_points_at_us(config: str, grade: Grade, found: str) -> None:
    """Seen where Alertmanager tells its configuration, and not guessed where it masks it."""
    status: dict[str, Any] = {"versionInfo": {"version": "0.27.0"}, "cluster": {"status": "ready"}}
    async with listening() as site, aiohttp.ClientSession() as http:
        site.says("/api/v2/status", json.dumps(status | {"config": {"original": config}}), Date=OLD)
        look = await alertmanager.look([f"main={site.url}"], Fetch(http, Access()), NOW)
        version, receiver = look.findings
        assert version.found == "version 0.27.0 answers; its cluster is ready"
        assert receiver.grade is grade
        assert found in receiver.found
        assert look.clocks[0].ahead_s == -90


@pytest.mark.parametrize(("status", "body"), [(503, "no"), (200, "[]"), (200, "\xff{")])
async def test_an_alertmanager_that_is_none(status: int, body: str) -> None:
    """It was asked for, so it stops what asks it; alerts may come all the same."""
    async with listening() as site, aiohttp.ClientSession() as http:
        site.says("/api/v2/status", body, status=status)
        [finding] = (await alertmanager.look([f"main={site.url}"], Fetch(http, Access()), NOW)).findings
        assert (finding.what, finding.grade) == ("main", Grade.STOP)
