"""Reading facts: under a deadline, and a cluster that does not answer is a problem in them, never a guess."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from remediator.flow.parts import Parts
from remediator.model.errors import ClusterError
from remediator.model.facts import Facts
from remediator.model.target import Target


async def read_workload(parts: Parts, target: Target) -> Facts:
    """Read a target by itself: a verdict rests on what the workload counts, and one request is enough for that."""
    return await facts_within(parts, lambda: parts.cluster.reader.facts(target))


async def facts_within(parts: Parts, read: Callable[[], Awaitable[Facts]]) -> Facts:
    """Return what ``read`` finds, or facts that say why nothing could be read."""
    now = parts.clock.now()
    try:
        async with asyncio.timeout(parts.bounds.facts_deadline_s):
            return await read()
    except ClusterError as error:
        detail, retryable = str(error), error.retryable
    except TimeoutError:
        detail, retryable = f"the API server did not answer within {parts.bounds.facts_deadline_s:g} s", True
    return Facts(read_at=now, problem="cluster_unreachable", detail=detail, retryable=retryable)
