"""The admit stage's transaction: one advisory lock, everything read, the pure core asked, everything written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from remediator.adapters.ledger import rows
from remediator.adapters.ledger.docket import read
from remediator.adapters.ledger.pool import LedgerPool, statement, transaction
from remediator.adapters.ledger.queries import QUERIES
from remediator.adapters.ledger.writs import Written, write
from remediator.model.case import Assessed
from remediator.model.decision import Hold
from remediator.model.incident import Candidate
from remediator.ports.admission import AdmissionReport, Deliberation


class LedgerAdmissionStore:
    """Implements ports.admission.AdmissionStore."""

    def __init__(self, pool: LedgerPool, leases: LedgerPool | None = None) -> None:
        """Work on ``pool``, and on ``leases`` for what a crash may undo."""
        self._pool = pool
        self._leases = leases or pool

    async def take(self, limit: int, lease_s: float) -> tuple[Candidate, ...]:
        """Lease candidates that are due."""
        async with statement(self._leases) as connection:
            found = await connection.fetch(QUERIES["take_candidates"], limit, lease_s)
        return tuple(rows.candidate(row) for row in found)

    async def admit(self, items: Sequence[Assessed], core: Deliberation) -> AdmissionReport:
        """Decide in one transaction. Candidates that somebody else has decided meanwhile are left out."""
        scopes = core.scopes(tuple(items))
        async with transaction(self._pool, QUERIES["lock_admission"]) as connection:
            docket = await read(connection, items, scopes, core.outlook())
            if docket is None:
                return AdmissionReport()
            written = await write(connection, core.rule(docket.batch), docket)
        return _report(written)


def _report(written: Written) -> AdmissionReport:
    counts: Counter[str] = Counter(type(writ.ruling.decision).__name__ for writ in written.writs)
    reasons = tuple(
        refusal.reason.value
        for writ in written.writs
        if isinstance(writ.ruling.decision, Hold)
        for refusal in writ.ruling.decision.refusals
    )
    return AdmissionReport(
        acts=counts["Act"],
        observed=counts["Observe"],
        asked=counts["Ask"],
        held=counts["Hold"],
        reasons=reasons,
        escalated=written.escalated,
    )
