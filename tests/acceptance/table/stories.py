"""What happens to each row: a load that rises over warning and critical, and what has to follow."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack

import asyncpg

from remediator.model.entry import EntryKind
from remediator.sandbox.cluster import SandboxCluster
from tests.acceptance.table.stage import LIMIT, ROLE, NotSoError, Stage
from tests.acceptance.table.verdicts import Expected, Line, line_of

ISSUES = "database-connection-issues"
FULL = {"alertname": "PostgreSQLMaxConnectionsReached", "namespace": "backstage", "severity": "critical"}
WANTED = "200"
EXPECTED = (
    Expected(rule="cpu-usage", remedy="scale", returns=True),
    Expected(rule="memory-usage", remedy="scale", returns=True),
    Expected(rule="error-rate"),
    Expected(rule="response-time"),
    Expected(rule="database-connections", remedy="raise_connections", asks=True, returns=True),
    Expected(rule=ISSUES, remedy="raise_max_connections", asks=True, levels=False),
)


async def play(stage: Stage) -> tuple[list[Line], list[str]]:
    """Play all rows at once; return each as it went, and what has not become so in time."""
    _calm(stage)
    missing: list[str] = []
    async with asyncio.TaskGroup() as tasks:
        for story in (_cpu, _memory, _errors, _slowness, _database):
            tasks.create_task(_to_its_end(story(stage), missing))
    entries = await stage.scene.entries()
    return [line_of(expected, entries) for expected in EXPECTED], missing


async def _to_its_end(story: Coroutine[None, None, None], missing: list[str]) -> None:
    """Let one row fail alone."""
    try:
        await story
    except NotSoError as error:
        missing.append(str(error))


def _calm(stage: Stage) -> None:
    """Let everything be as on a quiet morning."""
    loads = stage.portal.loads
    loads["cpu-usage"].cores = 1.0
    loads["memory-usage"].memory = 1000


async def _cpu(stage: Stage) -> None:
    """75 % of three pods; 90 % before the fourth has started; 67.5 % of four; and back to three in the evening."""
    load = stage.portal.loads["cpu-usage"]
    load.cores = 2.25
    await stage.level("cpu-usage", "warning")
    load.cores = 2.7
    await stage.level("cpu-usage", "critical")
    await stage.rule("cpu-usage", EntryKind.INCIDENT_RESOLVED)
    load.cores = 1.0
    await stage.rule("cpu-usage", EntryKind.RETURN_ENDED)
    if _replicas(stage.scene.cluster, "backstage") != 3:
        raise NotSoError("cpu-usage: backstage has not three pods again")


async def _memory(stage: Stage) -> None:
    """The same through an autoscaler: its minReplicas go from two to three and back."""
    load = stage.portal.loads["memory-usage"]
    load.memory = 1700
    await stage.level("memory-usage", "warning")
    load.memory = 1900
    await stage.level("memory-usage", "critical")
    await stage.rule("memory-usage", EntryKind.INCIDENT_RESOLVED)
    load.memory = 1000
    await stage.rule("memory-usage", EntryKind.RETURN_ENDED)


async def _errors(stage: Stage) -> None:
    """7 % of the requests fail, then 15 %, then none."""
    load = stage.portal.loads["error-rate"]
    load.failing = 0.07
    await stage.level("error-rate", "warning")
    load.failing = 0.15
    await stage.level("error-rate", "critical")
    await stage.rule("error-rate", EntryKind.EVIDENCE)
    load.failing = 0.0
    await stage.rule("error-rate", EntryKind.INCIDENT_RESOLVED)


async def _slowness(stage: Stage) -> None:
    """Of a hundred requests ten take more than half a second, then as many more than a second, then none."""
    load = stage.portal.loads["response-time"]
    load.beyond = (0.1, 0.0)
    await stage.level("response-time", "warning")
    load.beyond = (0.2, 0.1)
    await stage.level("response-time", "critical")
    await stage.rule("response-time", EntryKind.EVIDENCE)
    load.beyond = (0.0, 0.0)
    await stage.rule("response-time", EntryKind.INCIDENT_RESOLVED)


async def _database(stage: Stage) -> None:
    """A role uses 85 % of its connections, then 95 %, until a person agrees to more; then the maximum is asked for."""
    async with AsyncExitStack() as sessions:
        for number in range(LIMIT - 1):
            if number == LIMIT - 3:
                await stage.level("database-connections", "warning")
            await _idle(stage, sessions)
        await stage.level("database-connections", "critical")
        await stage.approve("database-connections")
        await stage.rule("database-connections", EntryKind.INCIDENT_RESOLVED)
        if await stage.sick.limit(ROLE) != 2 * LIMIT:
            raise NotSoError(f"database-connections: the limit of {ROLE} was not raised")
    await stage.rule("database-connections", EntryKind.RETURN_ENDED)
    if await stage.sick.limit(ROLE) != LIMIT:
        raise NotSoError(f"database-connections: the limit of {ROLE} is not as it was")
    await _maximum(stage)


async def _maximum(stage: Stage) -> None:
    """No limit is used up, so the runbook's second step is asked for: MAX_CONNECTIONS, which restarts the database."""
    await stage.alertmanager.fire(FULL)
    await stage.approve(ISSUES)
    await stage.rule(ISSUES, EntryKind.ACTION_APPLIED)
    await stage.scene.cluster.settle(lambda: stage.scene.cluster.is_rolled_out("Deployment", "backstage", "postgres"))
    await stage.alertmanager.resolve(FULL)
    await stage.rule(ISSUES, EntryKind.INCIDENT_RESOLVED)
    pods = stage.scene.cluster.workload("Deployment", "backstage", "postgres")["spec"]["template"]["spec"]
    if [one["value"] for one in pods["containers"][0]["env"]] != [WANTED]:
        raise NotSoError(f"{ISSUES}: MAX_CONNECTIONS is not {WANTED}")


async def _idle(stage: Stage, sessions: AsyncExitStack) -> None:
    """Open one more session of the application, which idles in a transaction until ``sessions`` ends."""
    one: asyncpg.Connection[asyncpg.Record] = await stage.sick.session(ROLE, "catalog")
    sessions.push_async_callback(one.close)
    await one.execute("BEGIN")
    await one.execute("SELECT 1")


def _replicas(cluster: SandboxCluster, namespace: str) -> int:
    return int(cluster.workload("Deployment", namespace, "backstage")["spec"]["replicas"])
