"""Knows whether the cluster enforces fences, says so loudly where it does not, and stops writes where it must.

Without that enforcement a replica that slept through its lease is stopped by its fence in the database and by the
resourceVersion of its write; with it, by the cluster too (docs/explanation/admission-policy.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from remediator.core.guardrails.protected import shield
from remediator.core.guardrails.self_protection import own
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.errors import PortError
from remediator.model.plan import PatchObject
from remediator.model.policy import Policy
from remediator.model.target import Target
from remediator.ports.clock import Clock
from remediator.ports.cluster import ClusterWriter, WriteMark, WriteRefused, WriteResult
from remediator.ports.fences import FenceCheck, FenceReport, FenceState
from remediator.ports.health import HealthStatus
from remediator.ports.ledger import LedgerWriter
from remediator.ports.observer import Observer, StageEvent
from remediator.ports.rules import Rulebook

EVERY_S = 600.0
SOON_S = 15.0
"""Seconds until it is tried again: after a clear answer, and as long as there is none or writes wait for a better."""
REPEAT_S = 86400.0
"""Seconds after which the ledger is told again, so that the state is among its later entries."""
NOT_YET = FenceReport(state=FenceState.UNKNOWN, detail="not tried yet")
CURE = "remediator policy prints what the cluster needs"
WORDS = {
    FenceState.ENFORCED: "fences are enforced by the cluster",
    FenceState.MISSING: f"fences are NOT enforced by the cluster; {CURE}",
    FenceState.BLOCKED: "the cluster refuses our writes",
    FenceState.UNKNOWN: "not known whether the cluster enforces fences",
}


@dataclass(slots=True, kw_only=True)
class FenceWatch:
    """Tries it at the start and again and again; ``required``: nothing may be written unless fences are enforced."""

    cluster: FenceCheck
    rulebook: Rulebook
    policy: Policy
    ledger: LedgerWriter
    clock: Clock
    observer: Observer
    owner: str
    required: bool
    report: FenceReport = field(default=NOT_YET)
    _recorded: float = float("-inf")

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            await self.look()
            waited_for = self.report.state is FenceState.UNKNOWN or self.objection is not None
            await self.clock.sleep(SOON_S if waited_for else EVERY_S)

    async def look(self) -> None:
        """Try it once; tell of what is new."""
        before, report = self.report, await self._probe()
        if report.state is FenceState.UNKNOWN and before.state is not FenceState.UNKNOWN:
            # What was seen ten minutes ago is better than nothing, unless writing depends on it.
            report = report if self.required else before
        self.report = report
        news = report.state is not before.state or before is NOT_YET
        if news:
            fields = {"detail": report.detail, "required": self.required}
            self.observer.tell(StageEvent(stage="fences", outcome=report.state.value, fields=fields))
        old = self.clock.monotonic() - self._recorded >= REPEAT_S
        if report.state is not FenceState.UNKNOWN and (news or old):
            await self._record(report)

    @property
    def words(self) -> str:
        """Return the state as a sentence."""
        return f"{WORDS[self.report.state]}: {self.report.detail}"

    @property
    def objection(self) -> WriteRefused | None:
        """Return why nothing may be written now, if nothing may."""
        if not self.required or self.report.state is FenceState.ENFORCED:
            return None
        message = f"--require-fences: {self.words}"
        passing = self.report.state is FenceState.UNKNOWN
        return WriteRefused(reason="unreachable" if passing else "forbidden", message=message)

    async def check(self) -> HealthStatus:
        """Answer for readiness: not ready where fences are required and not enforced."""
        return HealthStatus(ok=self.objection is None, detail=self.words)

    async def _probe(self) -> FenceReport:
        try:
            specs = [rule.target for rule in self.rulebook.current().rules]
            return await self.cluster.probe_fences(specs, self._allowed)
        except PortError as error:
            return FenceReport(state=FenceState.UNKNOWN, detail=str(error))

    def _allowed(self, target: Target) -> bool:
        """Keep off what is protected, and what we run on ourselves, even with a dry run."""
        return shield(target, self.policy) is None and own(target, self.policy) is None

    async def _record(self, report: FenceReport) -> None:
        summary = f"{WORDS[report.state]}: {report.detail}"
        entry = NewEntry(
            kind=EntryKind.FENCES, summary=summary, data={"state": report.state.value, "owner": self.owner}
        )
        try:
            await self.ledger.append(entry)
            self._recorded = self.clock.monotonic()
        except PortError as error:
            fields = {"error": str(error), "summary": summary}
            self.observer.tell(StageEvent(stage="fences", outcome="unrecorded", fields=fields))


@dataclass(frozen=True, slots=True)
class FencedWriter:
    """Implements ports.cluster.ClusterWriter: asks the watch before each write. A dry run stores nothing, so it may."""

    writer: ClusterWriter
    watch: FenceWatch

    async def patch(self, step: PatchObject, mark: WriteMark, *, dry_run: bool = False) -> WriteResult:
        """Write, unless fences are required and not enforced."""
        objection = None if dry_run else self.watch.objection
        return objection or await self.writer.patch(step, mark, dry_run=dry_run)
