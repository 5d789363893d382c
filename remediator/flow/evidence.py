"""Evidence: look before anything is destroyed, and keep what was seen with the incident."""

from __future__ import annotations

import asyncio

from remediator.flow.parts import Parts
from remediator.model.errors import ClusterError, LedgerError
from remediator.model.plan import CaptureEvidence
from remediator.ports.actions import Claim
from remediator.ports.observer import StageEvent


async def capture(parts: Parts, claim: Claim, step: CaptureEvidence) -> None:
    """Capture one bundle, unless this incident has a fresh one and the step only precedes a change.

    The remedy goes on without evidence after the step's deadline, and where the database refuses what was seen: the log
    line says what is missing. A database that does not answer is a LedgerError: then nothing else can be done either.
    """
    action = claim.action
    if claim.has_evidence and action.plan.changes:
        return
    began = parts.clock.monotonic()
    try:
        async with asyncio.timeout(step.deadline_s + 1.0):
            bundle = await parts.cluster.evidence.capture(step)
        notes = {"truncated": list(bundle.truncated), "missing": bundle.missing}
        await parts.stores.evidence.keep(action.incident, action.number, action.target.key, bundle.parts, notes)
    except (ClusterError, LedgerError, TimeoutError) as error:
        if isinstance(error, LedgerError) and error.retryable:
            raise
        fields = {"incident": action.incident, "action": action.number, "error": str(error) or "deadline"}
        parts.observer.tell(StageEvent(stage="evidence", outcome="missing", fields=fields))
        return
    parts.observer.tell(StageEvent(stage="evidence", outcome="captured", seconds=parts.clock.monotonic() - began))
