"""The admit stage's transaction: one advisory lock, everything read, the pure core asked, everything written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import structs

from remediator.adapters.ledger import rows
from remediator.adapters.ledger.endings import lock_admission
from remediator.adapters.ledger.pool import Connection, LedgerPool, statement, transaction
from remediator.adapters.ledger.queries import QUERIES
from remediator.adapters.ledger.writs import Written, orphan_key, write
from remediator.model.action import PastAction
from remediator.model.case import AdmissionBatch, Assessed, Scope, Window
from remediator.model.decision import Hold
from remediator.model.incident import Candidate, Incident
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
        async with transaction(self._pool) as connection:
            await lock_admission(connection)
            batch, known_reasons = await _read(connection, items, core)
            if not batch.items:
                return AdmissionReport()
            writs = core.rule(batch)
            written = await write(connection, writs, batch.now, known_reasons)
            await connection.execute(QUERIES["wake"], "execute")
        return _report(written)


async def _read(
    connection: Connection, items: Sequence[Assessed], core: Deliberation
) -> tuple[AdmissionBatch, dict[int, tuple[str, ...]]]:
    versions = [item.candidate.id for item in items], [item.candidate.tries for item in items]
    undecided = await connection.fetch(QUERIES["undecided"], *versions)
    now = undecided[0]["now"] if undecided else None
    firing = {row["id"]: row["firing"] for row in undecided}
    reasons = {row["id"]: tuple(row["last_reasons"]) for row in undecided}
    open_items = tuple(item for item in items if item.candidate.id in firing)
    if now is None:
        return _empty(items), {}
    keys = sorted({item.facts.workload.target.key for item in open_items if item.facts.workload})
    found = await _incidents(connection, open_items, keys)
    incidents = {row["id"]: rows.incident(row) for row in found}
    by_namespace = {row["namespace"]: row["actions"] for row in await connection.fetch(QUERIES["open_actions"])}
    past: dict[str, list[PastAction]] = {}
    for row in await connection.fetch(QUERIES["past_actions"], keys):
        past.setdefault(row["target_key"], []).append(rows.past_action(row))
    unresolved = {one.target_key: one for one in incidents.values() if one.state != "resolved"}
    batch = AdmissionBatch(
        now=now,
        items=tuple(_with_incident(item, incidents, unresolved) for item in open_items),
        incidents=unresolved,
        past={key: tuple(actions) for key, actions in past.items()},
        windows=await _windows(connection, core.scopes(open_items), batch_time=now),
        open_by_namespace=by_namespace,
        open_in_cluster=sum(by_namespace.values()),
        last_in_cluster=await connection.fetchval(QUERIES["last_admission"]),
        firing=firing,
        working={row["id"]: frozenset(row["working"]) for row in found},
        rejected={row["id"]: frozenset(row["rejected"]) for row in found},
    )
    return batch, reasons


def _empty(items: Sequence[Assessed]) -> AdmissionBatch:
    return AdmissionBatch(
        now=items[0].facts.read_at,
        items=(),
        incidents={},
        past={},
        windows={},
        open_by_namespace={},
        open_in_cluster=0,
        last_in_cluster=None,
        firing={},
    )


async def _incidents(connection: Connection, items: Sequence[Assessed], keys: list[str]) -> Sequence[rows.Row]:
    unresolved = [orphan_key(item.candidate) for item in items if item.facts.workload is None]
    numbers = [item.candidate.incident for item in items if item.candidate.incident is not None]
    return await connection.fetch(QUERIES["incidents_of"], [*keys, *unresolved], numbers)


def _with_incident(item: Assessed, incidents: dict[int, Incident], unresolved: dict[str, Incident]) -> Assessed:
    own = incidents.get(item.candidate.incident) if item.candidate.incident is not None else None
    if own is None or own.state == "resolved":
        # The core finds the incidents of targets; what has no target is known by its alert alone.
        own = unresolved.get(orphan_key(item.candidate)) if item.facts.workload is None else None
    return structs.replace(item, incident=own) if own is not None else item


async def _windows(connection: Connection, scopes: Sequence[Scope], *, batch_time: object) -> dict[Scope, Window]:
    if not scopes:
        return {}
    counted = await connection.fetch(
        QUERIES["count_windows"],
        list(range(len(scopes))),
        [scope.kind for scope in scopes],
        [scope.key for scope in scopes],
        [scope.limit.window_s for scope in scopes],
        batch_time,
    )
    return {scopes[row["place"]]: Window(count=row["actions"], oldest_at=row["oldest_at"]) for row in counted}


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
