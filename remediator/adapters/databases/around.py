"""What the databases add to the readers of the cluster: facts for decisions, and evidence of who has connections."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from remediator.adapters.databases.postgres import PostgresDatabases
from remediator.model.database import DatabaseFacts
from remediator.model.errors import ClusterError
from remediator.model.facts import Facts
from remediator.model.owners import Lever
from remediator.model.plan import CaptureEvidence
from remediator.model.rule import TargetSpec
from remediator.model.target import Target
from remediator.ports.cluster import ClusterReader, EvidenceBundle, EvidenceReader, LiveObject, Resolution

PART = "database/connections"


class Readers(ClusterReader, EvidenceReader, Protocol):
    """What reads the cluster, for decisions and as evidence."""


@dataclass(frozen=True, slots=True)
class DatabaseAround:
    """Implements ClusterReader and EvidenceReader: the cluster's, with the databases beside it, where there are any.

    Where an action must know what surrounds a workload, its database is looked at too; who has connections is kept
    beside what the cluster shows.
    """

    cluster: ClusterReader
    evidence: EvidenceReader
    databases: PostgresDatabases | None

    async def resolve(self, labels: dict[str, str], spec: TargetSpec) -> Resolution:
        """See ClusterReader."""
        return await self.cluster.resolve(labels, spec)

    async def resolve_and_read(
        self, labels: dict[str, str], spec: TargetSpec, *, around: bool = False
    ) -> tuple[Resolution, Facts]:
        """See ClusterReader; and look at the database of the workload, once."""
        resolution, facts = await self.cluster.resolve_and_read(labels, spec, around=around)
        if not around or facts.workload is None or self.databases is None:
            return resolution, facts
        view = await self.databases.look(facts.workload.target)
        return resolution, facts if view is None else msgspec.structs.replace(facts, database=view)

    async def facts(self, target: Target) -> Facts:
        """See ClusterReader."""
        return await self.cluster.facts(target)

    async def live(self, target: Target, *, within_s: float = 0.0, through: Lever | None = None) -> LiveObject:
        """See ClusterReader."""
        return await self.cluster.live(target, within_s=within_s, through=through)

    async def proof(self, target: Target, action_id: str, *, through: Lever | None = None) -> bool | None:
        """See ClusterReader."""
        return await self.cluster.proof(target, action_id, through=through)

    async def capture(self, step: CaptureEvidence) -> EvidenceBundle:
        """See EvidenceReader."""
        if self.databases is None:
            return await self.evidence.capture(step)
        async with asyncio.TaskGroup() as tasks:
            look = tasks.create_task(self.databases.look(step.target))
            capture = tasks.create_task(_tried(self.evidence.capture(step)))
        bundle, view = capture.result(), look.result()
        if isinstance(bundle, ClusterError):
            raise bundle
        if view is None:
            return bundle
        if view.facts is None:
            return msgspec.structs.replace(bundle, missing={**bundle.missing, PART: view.problem})
        return msgspec.structs.replace(bundle, parts={**bundle.parts, PART: seen(view.facts)})


async def _tried(reading: Awaitable[EvidenceBundle]) -> EvidenceBundle | ClusterError:
    """Return the error instead of raising it, so that it is no group of one."""
    try:
        return await reading
    except ClusterError as error:
        return error


def seen(facts: DatabaseFacts) -> dict[str, Any]:
    """Return what is kept of a look: numbers, limits and who has connections; no statement of anybody's."""
    document: dict[str, Any] = msgspec.to_builtins(facts)
    return {
        "connections": f"{facts.used} of {facts.ordinary} that ordinary roles can have",
        **{key: document[key] for key in ("name", "max_connections", "reserved", "used", "pending", "managed_by")},
        "limits": document["limits"],
        "holders": document["holders"],
        "idle_in_transaction": {"sessions": len(facts.idle), "longest_s": max(facts.idle, default=0)},
    }
