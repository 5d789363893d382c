"""A daemon whose operator requires that the cluster enforces fences: without the policies, and then with them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from remediator.adapters.clock import SystemClock
from remediator.adapters.kubernetes.policy import manifest
from remediator.model.entry import EntryKind
from tests.acceptance.daemon import Daemon
from tests.acceptance.scene import BACKSTAGE, ROOMY, Scene, body


@pytest.fixture
async def scene(tmp_path: Path, database: str) -> AsyncIterator[Scene]:
    """The runbook's portal, without any policy."""
    async with Scene.playing(tmp_path, database) as playing:
        yield playing


async def fences(scene: Scene, daemon: Daemon) -> tuple[int, dict[str, Any]]:
    """Return the status of readiness, and what it says of fences."""
    status, text = await daemon.get(scene.http, "/readyz")
    return status, json.loads(text)["checks"]["fences"]


@pytest.mark.slow
async def test_nothing_is_written_before_fences_are_proven(scene: Scene) -> None:
    """Not ready, no write, people are called; when the policies are applied it notices, and acts."""
    daemon = scene.daemon(*ROOMY, "--require-fences")
    await daemon.start()

    async def missing() -> bool:
        status, said = await fences(scene, daemon)
        return status == 503 and "NOT enforced" in said["detail"]

    await scene.until("readiness says that fences are missing", missing)
    await scene.make_ill("backstage", "backstage")
    assert await daemon.post(scene.http, body([BACKSTAGE], SystemClock().now())) == 200
    await scene.until_kind(EntryKind.ACTION_REFUSED)
    (refused,) = await scene.entries(EntryKind.ACTION_REFUSED)
    assert "--require-fences" in refused.summary
    assert scene.writes() == []
    await scene.until_kind(EntryKind.INCIDENT_ESCALATED)
    scene.cluster.put(yaml.safe_load_all(manifest("admin", 20)))

    async def enforced() -> bool:
        return (await fences(scene, daemon))[0] == 200

    await scene.until("the policies are noticed", enforced)
    _, metrics = await daemon.get(scene.http, "/metrics")
    assert "\nremediator_fences_enforced 1.0\n" in metrics
    states = [entry.data["state"] for entry in await scene.entries(EntryKind.FENCES)]
    assert states == ["missing", "enforced"]
    await scene.make_ill("dev-portal", "backstage")
    elsewhere = {**BACKSTAGE, "namespace": "dev-portal"}
    assert await daemon.post(scene.http, body([elsewhere], SystemClock().now())) == 200
    await scene.until_kind(EntryKind.ACTION_APPLIED)
    assert [write.status for write in scene.writes()] == [200]
