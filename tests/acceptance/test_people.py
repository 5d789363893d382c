"""Where people come in: they are told, they are asked, and they can forbid everything."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from remediator.adapters.clock import SystemClock
from remediator.core.guardrails.opted_out import ANNOTATION
from remediator.model.entry import EntryKind
from tests.acceptance.daemon import clean_environment
from tests.acceptance.scene import BACKSTAGE, ROOMY, Scene, body

DATABASE = {"alertname": "DatabaseDown", "namespace": "backstage", "deployment": "postgres"}
PAGER_TOKEN = "S3cretOfThePager"


@dataclass
class Pager:
    """What people are told goes here. Answers 503 the first ``failing`` times."""

    failing: int = 0
    url: str = ""
    asked: int = 0
    heard: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen on loopback."""
        app = web.Application()
        app.router.add_post("/page", self._page)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}/page".format(*runner.addresses[0][:2])
        try:
            yield
        finally:
            await runner.cleanup()

    async def _page(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {PAGER_TOKEN}"
        self.asked += 1
        self.keys.append(request.headers["Idempotency-Key"])
        if self.asked <= self.failing:
            return web.Response(status=503)
        self.heard.append(json.loads(await request.read()))
        return web.Response()


async def test_people_are_told_of_what_a_guard_refuses(scene: Scene) -> None:
    """The owner has opted out: nothing is written, and the pager hears of it once, also when it fails at first."""
    token = scene.folder / "pager-token"
    token.write_text(PAGER_TOKEN, encoding="utf-8")
    token.chmod(0o600)
    pager = Pager(failing=1)
    async with pager.listening():
        daemon = scene.daemon(*ROOMY, "--notify-url", pager.url, "--notify-token-file", str(token))
        await daemon.start()
        scene.cluster.annotate("Deployment", "backstage", "backstage", {ANNOTATION: "true"})
        await scene.make_ill("backstage", "backstage")
        assert await daemon.post(scene.http, body([BACKSTAGE], SystemClock().now())) == 200
        await scene.until_kind(EntryKind.NOTIFIED)
        assert await daemon.stop() == 0
    assert scene.writes() == []
    assert len(pager.heard) == 1
    assert (pager.asked, len(set(pager.keys))) == (2, 1)
    assert ANNOTATION in json.dumps(pager.heard)
    assert (await scene.kinds())[EntryKind.INCIDENT_ESCALATED] == 1
    said = daemon.log.read_text(encoding="utf-8")
    assert PAGER_TOKEN not in said
    assert pager.url not in said


async def test_what_a_person_approves_is_done(scene: Scene) -> None:
    """Asked, nothing happens; approved on the command line, it is decided anew, done and verified; asked once."""
    daemon = scene.daemon(*ROOMY)
    await daemon.start()
    await scene.make_ill("backstage", "postgres")
    since = SystemClock().now()
    assert await daemon.post(scene.http, body([DATABASE], since)) == 200
    await scene.until_kind(EntryKind.DECISION_ASK)
    assert scene.writes() == []
    assert await _type(scene, "approve", "A1", "--as", "mira", "--reason", "users are waiting") == 0
    await scene.until_kind(EntryKind.ACTION_APPLIED)
    await scene.cluster.settle()
    assert await daemon.post(scene.http, body([DATABASE], since, resolved=SystemClock().now())) == 200
    await scene.until_resolved()
    await scene.joined(1)
    (approval,) = await scene.entries(EntryKind.APPROVAL)
    assert approval.summary == "approved by mira: users are waiting"
    assert await _type(scene, "approve", "A1") == 3


async def test_what_a_person_rejects_is_not_done(scene: Scene) -> None:
    """The answer is recorded, nothing is written, and nobody is asked again for the same alert."""
    daemon = scene.daemon(*ROOMY)
    await daemon.start()
    await scene.make_ill("backstage", "postgres")
    since = SystemClock().now()
    assert await daemon.post(scene.http, body([DATABASE], since)) == 200
    await scene.until_kind(EntryKind.DECISION_ASK)
    assert await _type(scene, "reject", "A1") == 0
    assert await daemon.post(scene.http, body([DATABASE], since)) == 200
    assert await daemon.post(scene.http, body([{"alertname": "Unknown"}], since)) == 200
    await scene.until_kind(EntryKind.SIGNAL_UNMATCHED)
    assert await daemon.stop() == 0
    assert scene.writes() == []
    counts = await scene.kinds()
    assert (counts[EntryKind.DECISION_ASK], counts[EntryKind.DECISION_ACT]) == (1, 0)


async def test_the_ceiling_lowers_every_rule(scene: Scene) -> None:
    """With --mode observe an enforcing rule shows what it would do: the API server checks it, and stores nothing."""
    daemon = scene.daemon(*ROOMY, "--mode", "observe")
    await daemon.start()
    await scene.make_ill("backstage", "backstage")
    assert await daemon.post(scene.http, body([BACKSTAGE], SystemClock().now())) == 200
    await scene.until_kind(EntryKind.ACTION_OBSERVED)
    assert scene.writes() == []
    # Action 0 is none: what the daemon tries at its start.
    tried = [one for one in scene.cluster.requests if one.method == "PATCH"]
    dry = [one for one in tried if " action/0 " not in one.user_agent]
    assert [(one.status, one.query["dryRun"], one.changed) for one in dry] == [(200, "All", False)]
    assert (await scene.kinds())[EntryKind.ACTION_DISPATCHED] == 0


@pytest.mark.parametrize("flags", [("--protected", "deployment/backstage/*"), ("--protected-namespaces", "backstage")])
async def test_what_the_operator_protects_is_never_touched(scene: Scene, flags: tuple[str, str]) -> None:
    """By name or by namespace: held, with the entry that protects it."""
    daemon = scene.daemon(*ROOMY, *flags)
    await daemon.start()
    await scene.make_ill("backstage", "backstage")
    assert await daemon.post(scene.http, body([BACKSTAGE], SystemClock().now())) == 200
    await scene.until_kind(EntryKind.DECISION_HOLD)
    (hold, *_) = await scene.entries(EntryKind.DECISION_HOLD)
    assert "protected" in hold.reasons
    assert scene.writes() == []


async def _type(scene: Scene, *words: str) -> int:
    """Type a command as a person on another machine does, and return its exit code."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "remediator", *words, "--database-url", scene.database),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env=clean_environment(),
    )
    async with asyncio.timeout(30):
        return await process.wait()
