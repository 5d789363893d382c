"""``remediator undo`` against a running daemon: the whole way, as a person types it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from remediator.adapters.clock import SystemClock
from remediator.model.entry import EntryKind
from remediator.sandbox.resources import DEPLOYMENTS
from tests.acceptance.daemon import clean_environment
from tests.faults.stage import Kind, Stage, Target

KEPT, CHANGED = Target(0, Kind.SCALE), Target(1, Kind.SCALE)


async def type_undo(stage: Stage, action: int) -> tuple[int, str]:
    """Type the command in another process; return its exit code and what it printed."""
    words = ["undo", f"A{action}", "--as", "mira", "--reason", "enough", "--database-url", stage.scene.database]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "remediator", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=clean_environment(NO_COLOR="1"),
    )
    async with asyncio.timeout(120):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


@pytest.mark.slow
async def test_a_person_takes_back_what_the_machine_did(tmp_path: Path, database: str) -> None:
    """One of two scaled applications is returned; the other was changed by somebody since, and is left alone."""
    async with Stage.playing(tmp_path, database, apps=2) as stage:
        replica = await stage.replica("daemon")
        await replica.daemon.start()
        since = SystemClock().now()
        assert await stage.fire(replica, KEPT, CHANGED, since=since) == 200
        await stage.scene.until_kind(EntryKind.ACTION_APPLIED, 2)
        await stage.scene.cluster.settle()
        assert await stage.resolve(replica, KEPT, CHANGED, since=since) == 200
        await stage.scene.until_resolved(2)
        rows = await stage.sql.fetch("SELECT number, target_key FROM remediator.actions")
        numbers = {row["target_key"]: row["number"] for row in rows}
        stage.scene.cluster.store.mutate(
            DEPLOYMENTS, CHANGED.namespace, CHANGED.name, lambda one: {**one, "spec": {**one["spec"], "replicas": 5}}
        )
        await stage.scene.cluster.settle()
        code, said = await type_undo(stage, numbers[KEPT.key])
        assert code == 0, said
        assert stage.shape(KEPT) == (0, 1)
        assert "asked for by mira: spec.replicas 2 -> 1" in said
        assert "recovered: as before, 1 of 1 pods ready" in said
        code, said = await type_undo(stage, numbers[CHANGED.key])
        assert code == 1, said
        assert "was changed since, ours -> theirs: spec.replicas: 2 -> 5" in said
        assert stage.shape(CHANGED) == (0, 5)
        assert (stage.changes(KEPT), stage.changes(CHANGED)) == (2, 1)
        code, said = await type_undo(stage, numbers[KEPT.key])
        assert (code, "undoes it already" in said) == (1, True)
        await stage.scene.joined(3)
