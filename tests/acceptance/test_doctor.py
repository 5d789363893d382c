"""``remediator doctor`` beside real programs: Prometheus, Alertmanager, PostgreSQL, and the sandbox cluster."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest

from remediator.adapters.alerting.fetch import Access, Fetch
from remediator.adapters.clock import SystemClock
from remediator.adapters.prometheus import Reach, ThreadedPrometheus
from remediator.cli.doctor import screen
from remediator.cli.paint import Paint
from remediator.doctor import rows
from remediator.doctor.asking import Asking
from remediator.doctor.examine import examine
from remediator.doctor.finding import Finding, Grade
from remediator.flow.choosing import Choice
from remediator.rulebook.load import load
from remediator.settings import Draft, draft_settings
from tests.acceptance.alertmanager import Alertmanager
from tests.acceptance.daemon import TOKEN, clean_environment
from tests.acceptance.exporter import exporter
from tests.acceptance.prometheus import MISSING, PROGRAM, scraping
from tests.acceptance.scene import Scene

RULES = Path("rules")
PATIENCE_S = 20.0
needs_prometheus = pytest.mark.skipif(PROGRAM is None, reason=MISSING)


def asked(scene: Scene, **flags: str) -> Draft:
    """The settings of a daemon on this scene."""
    token = scene.folder / "token"
    token.write_text(f"{TOKEN}\n", encoding="utf-8")
    token.chmod(0o600)
    usual = {
        "database_url": scene.database,
        "kubeconfig": str(scene.cluster.kubeconfig_path),
        "rules": str(RULES),
        "webhook_token_file": str(token),
        "state_dir": str(scene.folder / "state"),
    }
    return draft_settings({**usual, **flags}, {})


def of(findings: Sequence[Finding], area: str, what: str) -> Finding:
    """The first finding about something."""
    return next(one for one in findings if (one.area, one.what) == (area, what))


def told(findings: Sequence[Finding]) -> str:
    """The screen, as a pipe gets it."""
    return "\n".join(screen(findings, Paint(on=False), 100))


@pytest.mark.prometheus
@needs_prometheus
@pytest.mark.slow
async def test_each_row_finds_its_source_and_its_figure(tmp_path: Path) -> None:
    """A real Prometheus scrapes a portal in a mesh: every expression gives the number that the exporter stands for."""
    rules = load([RULES]).rules.rules
    async with exporter() as place, scraping(tmp_path / "p", place) as url, aiohttp.ClientSession() as http:
        asking = Asking(url=url, fetch=Fetch(http, Access()))
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = {one.what: one for one in (await rows.look(rules, asking)).findings}
                if all(one.grade is Grade.OK for one in found.values()):
                    break
                await asyncio.sleep(0.3)
        assert await chosen(url) == {"cpu-usage": "kube-prometheus", "error-rate": "istio"}
        cpu = found.pop("cpu-usage").found
        assert cpu.startswith("1 series by kube-prometheus, the highest ")
        assert cpu.endswith(" %")
        assert {name: one.found for name, one in found.items()} == {
            "memory-usage": "1 series by kube-prometheus, the highest 90 %",
            "error-rate": "1 series by istio, the highest 10 %",
            "response-time": "1 series by istio, the highest 0.75 seconds",
            "database-connections": "1 series by postgres-exporter, the highest 80 %",
        }


async def chosen(url: str) -> dict[str, str]:
    """What the poller itself would measure two of the rows by."""
    client = ThreadedPrometheus(Reach(url=url))
    try:
        found = {}
        for rule in load([RULES]).rules.rules:
            if rule.threshold is not None and rule.name in {"cpu-usage", "error-rate"}:
                choice = Choice(rule.threshold, 600.0)
                assert await choice.make(client, SystemClock().now()) is None
                found[rule.name] = choice.source.name if choice.source else ""
        return found
    finally:
        client.close()


@pytest.mark.prometheus
@needs_prometheus
@pytest.mark.slow
@pytest.mark.alertmanager
async def test_everything_is_there_and_then_prometheus_is_not(scene: Scene) -> None:
    """All areas are looked at, nothing is written; and with Prometheus stopped it says so, and what that means."""
    async with (
        exporter() as place,
        Alertmanager.running(scene.folder / "a", scene.http, ["http://127.0.0.1:9"]) as alerts,
    ):
        async with scraping(scene.folder / "p", place) as url:
            draft = asked(scene, prometheus_url=url, alertmanager_url=alerts.url, poll_settle="1s")
            async with asyncio.timeout(PATIENCE_S):
                findings = await looked(draft)
                while any(one.grade is not Grade.OK for one in findings if one.area in {"rows", "Prometheus"}):
                    await asyncio.sleep(0.3)
                    findings = await looked(draft)
        assert [one for one in findings if one.grade is Grade.STOP] == []
        assert of(findings, "Prometheus", "reachable").found.startswith("version 2.")
        assert "keeps 15d" in of(findings, "Prometheus", "memory").found
        assert of(findings, "Prometheus", "trust").found == "scrapes now, and did 1 s ago, without warnings"
        assert of(findings, "Prometheus", "targets").found == "all 1 answer"
        assert of(findings, "database", "reachable").found.startswith("PostgreSQL ")
        assert of(findings, "database", "settings").found == "synchronous_commit is on"
        assert of(findings, "database", "schema").grade is Grade.OK
        assert of(findings, "API server", "permissions").found.endswith(" rules need are granted")
        assert of(findings, "webhooks", "authentication").found == "on: bearer token"
        assert of(findings, "clocks", "skew").found == (
            "within 10 s of this host: database, API server, alertmanager, Prometheus"
        )
        stopped = await looked(draft)
    silent = of(stopped, "Prometheus", "reachable")
    assert silent.grade is Grade.STOP
    assert "no connection to 127.0.0.1" in silent.found
    assert "every row is unknown: nothing is set off, nothing ends, and people are told" in silent.advice
    assert of(stopped, "rows", "all").found == "5 rows could not be looked at: Prometheus does not answer"
    assert [write.path for write in scene.writes()] == []
    assert max(map(len, told(stopped).splitlines())) <= 100


async def looked(draft: Draft) -> tuple[Finding, ...]:
    """Look once."""
    return await examine(draft, SystemClock(), {})


async def test_the_command(scene: Scene) -> None:
    """As it is typed: a table, or JSON; 1 where something stops it; and no secret in either."""
    url = "http://127.0.0.1:9"
    password = scene.database.replace("postgresql://", "postgresql://ada:hunter2-hunter2@", 1)
    words = ["--rules", str(RULES), "--kubeconfig", str(scene.cluster.kubeconfig_path), "--insecure-no-auth"]
    words += ["--database-url", password, "--prometheus-url", url, "--notify-url", f"{url}/hooks/T0PS3CRET"]
    code, table = await typed(*words, state=scene.folder / "state")
    assert code == 1
    assert "STOP  Prometheus" in table
    assert table.endswith("something stops it\n")
    code, text = await typed(*words, "--json", state=scene.folder / "state")
    document = json.loads(text)
    assert (code, document["ok"], document["exit_code"]) == (1, False, 1)
    assert {one["area"] for one in document["findings"]} >= {"rules", "webhooks", "database", "Prometheus", "people"}
    for secret in ("hunter2", "T0PS3CRET"):
        assert secret not in table + text
    assert not (scene.folder / "state").exists()


async def typed(*words: str, state: Path) -> tuple[int, str]:
    """Type it, in an environment without settings."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "remediator", "doctor", "--state-dir", str(state), *words),
        stdout=asyncio.subprocess.PIPE,
        env=clean_environment(),
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()
